//! Checkpoints: a copy of the database that shares its tables and blob files.
//!
//! The copy gets links to these files, a manifest of its own, and as the very last thing `CURRENT`:
//! a directory without it is not a database, so an unfinished copy is never taken for one.
//!
//! Writers are held up only where the memtable is frozen, by a rotation of the log in memory. The
//! files are kept from being removed by holding the state; no lock is held while files are linked
//! or copied, so appends, flushes and compactions go on.

use std::path::{Path, PathBuf};

use crate::batch::Seq;
use crate::db::core::Core;
use crate::db::files::{DataFile, DataKind, LOG_DIR, MadeFiles};
use crate::error::Error;
use crate::file_copy;
use crate::progress::{OnProgress, Watch};
use crate::version::{Manifest, ManifestError, Snapshot, write_current};
use crate::vfs::{Vfs, create_dir_durably};

/// Copies what is in tables to `dir`; returns the last sequence in the copy.
pub(crate) fn write(core: &Core, dir: &Path, progress: OnProgress<'_>) -> Result<Seq, Error> {
    let vfs = &*core.options.vfs;
    prepare(vfs, dir)?;
    // The state keeps the files from being removed for as long as it is held.
    let (state, mut snapshot) = core.installed()?;
    state.version.check_readable()?;
    let mut made = MadeFiles::new(vfs);
    let mut watch = Watch::begin(snapshot.data_files().map(|file| file.size).sum(), progress)?;
    for file in snapshot.data_files() {
        let (from, to) = (file.path(&core.options.dir), file.path(dir));
        if vfs.hard_link(&from, &to).is_ok() {
            made.add(to);
            watch.add(file.size)?;
        } else {
            copy_file(vfs, &from, vfs, &to, file, &mut watch)?;
            made.add(to);
        }
    }
    sync_dirs(vfs, dir)?;
    // From here on it is unknown how complete the copy is: nothing is taken away from it.
    made.keep();
    finish(vfs, dir, &mut snapshot)?;
    watch.end();
    Ok(snapshot.flushed_seq)
}

/// Creates the directories of a database that gets its tables from elsewhere. Nothing may be there.
pub(crate) fn prepare(vfs: &dyn Vfs, dir: &Path) -> Result<(), Error> {
    let subs = DataKind::ALL.map(DataKind::dir).into_iter().chain([LOG_DIR]);
    let parts: Vec<PathBuf> =
        std::iter::once(dir.to_owned()).chain(subs.clone().map(|sub| dir.join(sub))).collect();
    for path in &parts {
        create_dir_durably(vfs, path).map_err(Error::io("create", path))?;
    }
    for path in &parts {
        let names = vfs.list(path).map_err(Error::io("list", path))?;
        let sub = |name: &String| path == dir && subs.clone().any(|sub| name == sub);
        if let Some(name) = names.iter().find(|name| !sub(name)) {
            return Err(Error::Invalid(format!(
                "a copy of a database needs an empty directory, but {} has {name} in it",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Makes the names of tables and blob files in `dir` durable.
pub(crate) fn sync_dirs(vfs: &dyn Vfs, dir: &Path) -> Result<(), Error> {
    DataKind::ALL.iter().try_for_each(|kind| {
        let files = dir.join(kind.dir());
        vfs.sync_dir(&files).map_err(Error::io("sync", &files))
    })
}

/// Makes the files in `dir` a database, as `snapshot` describes it. The files are durable.
pub(crate) fn finish(vfs: &dyn Vfs, dir: &Path, snapshot: &mut Snapshot) -> Result<(), Error> {
    // The copy has no log: its first append begins one behind the tables.
    snapshot.min_segment = 0;
    let number = snapshot.next_file;
    snapshot.next_file = number + 1;
    Manifest::create(vfs, dir, number, snapshot)?;
    write_current(vfs, dir, number).map_err(ManifestError::into_error)
}

/// Copies a table or blob file and checks that it has the size and checksum of `file`. The copy is
/// durable, its name is not yet.
pub(crate) fn copy_file(
    from_vfs: &dyn Vfs,
    from: &Path,
    to_vfs: &dyn Vfs,
    to: &Path,
    file: DataFile,
    watch: &mut Watch<'_>,
) -> Result<file_copy::Digest, Error> {
    let digest = file_copy::copy(from_vfs, from, to_vfs, to, watch)?;
    if (digest.size, digest.crc) == (file.size, file.crc) {
        return Ok(digest);
    }
    let _ = to_vfs.remove(to);
    Err(Error::corruption(from, 0, "the file does not have the size and checksum of the manifest"))
}
