//! Copying a file while computing what identifies its content.

use std::path::Path;

use xxhash_rust::xxh3::Xxh3Default;

use crate::error::Error;
use crate::progress::Watch;
use crate::vfs::{Vfs, VfsFile, VfsFileExt};

/// The bytes read at once.
const UNIT: usize = 256 << 10;

/// What the bytes of a file hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    /// The length of the file in bytes.
    pub(crate) size: u64,
    /// CRC-32/IEEE, as the manifest has it.
    pub(crate) crc: u32,
    /// XXH3-128.
    pub(crate) hash: u128,
}

/// Computes a digest.
struct Digester {
    size: u64,
    crc: crc32fast::Hasher,
    hash: Xxh3Default,
}

impl Digester {
    fn new() -> Self {
        Self { size: 0, crc: crc32fast::Hasher::new(), hash: Xxh3Default::new() }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.crc.update(bytes);
        self.hash.update(bytes);
    }

    fn finish(self) -> Digest {
        Digest { size: self.size, crc: self.crc.finalize(), hash: self.hash.digest128() }
    }
}

/// Opens a file and reads it to its end, in order.
fn open_and_read_through(
    vfs: &dyn Vfs,
    path: &Path,
    each: impl FnMut(&[u8], u64) -> Result<(), Error>,
) -> Result<(), Error> {
    let file = vfs.open_read(path).map_err(Error::io("open", path))?;
    read_through(&*file, path, each)
}

/// Reads a file to its end, in order; `each` gets the bytes with their offset.
pub(crate) fn read_through(
    file: &dyn VfsFile,
    path: &Path,
    mut each: impl FnMut(&[u8], u64) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut buf = vec![0; UNIT];
    let mut offset = 0;
    loop {
        let n = match file.read_at(&mut buf, offset) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other.map_err(Error::io("read", path))?,
        };
        if n == 0 {
            return Ok(());
        }
        each(&buf[..n], offset)?;
        offset += n as u64;
    }
}

/// The checksum of a whole file, as the manifest has it.
pub(crate) fn checksum(file: &dyn VfsFile, path: &Path) -> Result<u32, Error> {
    let mut hasher = crc32fast::Hasher::new();
    read_through(file, path, |bytes, _| {
        hasher.update(bytes);
        Ok(())
    })?;
    Ok(hasher.finalize())
}

/// The digest of a file as the disk has it.
pub(crate) fn digest(vfs: &dyn Vfs, path: &Path, watch: &mut Watch<'_>) -> Result<Digest, Error> {
    let mut digester = Digester::new();
    open_and_read_through(vfs, path, |bytes, _| {
        digester.update(bytes);
        watch.add(bytes.len() as u64)
    })?;
    Ok(digester.finish())
}

/// Copies a file to `to`, which must not exist, possibly to another file system, and makes the
/// copy durable; its name is the caller's business. After an error there is no copy, if the file
/// system lets it be removed.
pub(crate) fn copy(
    from_vfs: &dyn Vfs,
    from: &Path,
    to_vfs: &dyn Vfs,
    to: &Path,
    watch: &mut Watch<'_>,
) -> Result<Digest, Error> {
    let target = to_vfs.create(to).map_err(Error::io("create", to))?;
    let copied = fill(from_vfs, from, &*target, to, watch);
    if copied.is_err() {
        drop(target);
        let _ = to_vfs.remove(to);
    }
    copied
}

fn fill(
    from_vfs: &dyn Vfs,
    from: &Path,
    target: &dyn VfsFile,
    to: &Path,
    watch: &mut Watch<'_>,
) -> Result<Digest, Error> {
    let mut digester = Digester::new();
    open_and_read_through(from_vfs, from, |bytes, offset| {
        digester.update(bytes);
        target.write_all_at(bytes, offset).map_err(Error::io("write", to))?;
        // Only a hint: what it cannot do now, the sync does.
        let _ = target.start_writeback(offset, bytes.len() as u64);
        watch.add(bytes.len() as u64)
    })?;
    target.sync_all().map_err(Error::io("sync", to))?;
    Ok(digester.finish())
}
