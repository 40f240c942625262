//! `CURRENT`: the name of the manifest in use.
//!
//! ```text
//! CURRENT := "MANIFEST-" number (six digits or more) "\n" crc (eight hex digits) "\n"
//! ```
//! It is replaced by writing a new file beside it and renaming that.

use std::path::Path;

use super::{ManifestError, NUMBER_LIMIT};
use crate::error::Error;
use crate::vfs::{Vfs, VfsFileExt};

/// The name of the file.
pub(crate) const CURRENT: &str = "CURRENT";
const CURRENT_NEW: &str = "CURRENT.new";
/// Longer than any valid content.
const MAX_LEN: usize = 128;

/// The name of a manifest.
pub(crate) fn manifest_name(number: u64) -> String {
    format!("MANIFEST-{number:06}")
}

/// The number of a manifest, if `name` is one.
pub(crate) fn parse_manifest_name(name: &str) -> Option<u64> {
    let number = name.strip_prefix("MANIFEST-")?.parse().ok()?;
    (manifest_name(number) == name && number < NUMBER_LIMIT).then_some(number)
}

/// The number of the manifest in use; `None` if there is no `CURRENT`.
pub(crate) fn read_current(vfs: &dyn Vfs, dir: &Path) -> Result<Option<u64>, Error> {
    let path = dir.join(CURRENT);
    if !vfs.exists(&path).map_err(Error::io("look for", &path))? {
        return Ok(None);
    }
    // What a bad read returned may have been a fault of the transfer: read once more.
    read_once(vfs, &path).or_else(|_| read_once(vfs, &path)).map(Some)
}

fn read_once(vfs: &dyn Vfs, path: &Path) -> Result<u64, Error> {
    let file = vfs.open_read(path).map_err(Error::io("open", path))?;
    let mut content = [0; MAX_LEN];
    let mut len = 0;
    loop {
        let n = file.read_at(&mut content[len..], len as u64).map_err(Error::io("read", path))?;
        if n == 0 {
            break;
        }
        len += n;
    }
    parse(&content[..len]).ok_or_else(|| Error::corruption(path, 0, "the file does not name a manifest"))
}

fn render(number: u64) -> String {
    let name = manifest_name(number);
    let crc = crc32fast::hash(name.as_bytes());
    format!("{name}\n{crc:08x}\n")
}

fn parse(content: &[u8]) -> Option<u64> {
    let text = str::from_utf8(content).ok()?;
    let number = parse_manifest_name(text.lines().next()?)?;
    (render(number) == text).then_some(number)
}

/// Makes manifest `number`, which is durable, the one in use.
///
/// # Errors
/// [`ManifestError::NotWritten`] if the one before is in use still, for certain.
pub(crate) fn write_current(vfs: &dyn Vfs, dir: &Path, number: u64) -> Result<(), ManifestError> {
    let new = dir.join(CURRENT_NEW);
    write_beside(vfs, &new, number).map_err(ManifestError::NotWritten)?;
    let renamed = vfs.rename(&new, &dir.join(CURRENT)).map_err(Error::io("rename", &new));
    let synced = renamed.and_then(|()| vfs.sync_dir(dir).map_err(Error::io("sync", dir)));
    synced.map_err(ManifestError::Unknown)
}

fn write_beside(vfs: &dyn Vfs, new: &Path, number: u64) -> Result<(), Error> {
    if vfs.exists(new).map_err(Error::io("look for", new))? {
        vfs.remove(new).map_err(Error::io("remove", new))?;
    }
    let file = vfs.create(new).map_err(Error::io("create", new))?;
    file.write_all_at(render(number).as_bytes(), 0).map_err(Error::io("write", new))?;
    file.sync_all().map_err(Error::io("sync", new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_intact_name_is_read() {
        let content = render(123);
        assert!(content.starts_with("MANIFEST-000123\n"));
        assert_eq!(parse(content.as_bytes()), Some(123));
        assert_eq!(parse_manifest_name("MANIFEST-12"), None);
        assert_eq!(parse_manifest_name("MANIFEST-1234567"), Some(1_234_567));
        for at in 0..content.len() {
            let mut bad = content.clone().into_bytes();
            bad[at] ^= 2;
            assert_eq!(parse(&bad), None);
            assert_eq!(parse(&content.as_bytes()[..at]), None);
        }
    }
}
