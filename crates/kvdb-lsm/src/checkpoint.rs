//! Checkpoints: a copy of the database that shares its tables.
//!
//! The copy gets links to the tables, a manifest of its own, and as the very last thing `CURRENT`:
//! a directory without it is not a database, so an unfinished copy is never taken for one.
//!
//! Writers are held up only where the memtable is frozen, by a rotation of the log in memory. The
//! tables are kept from being removed by holding the state; no lock is held while files are linked
//! or copied, so appends, flushes and compactions go on.

use std::path::{Path, PathBuf};

use crate::batch::Seq;
use crate::db::core::{Core, LOG_DIR, TABLE_DIR, table_name};
use crate::error::Error;
use crate::file_copy;
use crate::progress::{OnProgress, Watch};
use crate::version::{FileMeta, Manifest, ManifestError, Snapshot, write_current};
use crate::vfs::{Vfs, create_dir_durably};

/// Copies what is in tables to `dir`; returns the last sequence in the copy.
pub(crate) fn write(core: &Core, dir: &Path, progress: OnProgress<'_>) -> Result<Seq, Error> {
    let vfs = &*core.options.vfs;
    prepare(vfs, dir)?;
    let tables = dir.join(TABLE_DIR);
    // The state keeps the tables from being removed for as long as it is held.
    let (state, mut snapshot) = core.installed()?;
    let total = state.version.files().map(|(_, file)| file.meta.size).sum();
    let mut made = Made { vfs, paths: Vec::new() };
    let mut watch = Watch::begin(total, progress)?;
    for (_, file) in state.version.files() {
        file.table.check_readable()?;
        let to = tables.join(table_name(file.meta.number));
        let linked = vfs.hard_link(file.table.path(), &to).is_ok();
        if linked {
            made.paths.push(to);
            watch.add(file.meta.size)?;
        } else {
            copy_table(vfs, file.table.path(), vfs, &to, &file.meta, &mut watch)?;
            made.paths.push(to);
        }
    }
    vfs.sync_dir(&tables).map_err(Error::io("sync", &tables))?;
    // From here on it is unknown how complete the copy is: nothing is taken away from it.
    made.paths.clear();
    finish(vfs, dir, &mut snapshot)?;
    watch.end();
    Ok(snapshot.flushed_seq)
}

/// Creates the directories of a database that gets its tables from elsewhere. Nothing may be there.
pub(crate) fn prepare(vfs: &dyn Vfs, dir: &Path) -> Result<(), Error> {
    let parts = [dir.to_owned(), dir.join(TABLE_DIR), dir.join(LOG_DIR)];
    for path in &parts {
        create_dir_durably(vfs, path).map_err(Error::io("create", path))?;
    }
    for path in &parts {
        let names = vfs.list(path).map_err(Error::io("list", path))?;
        let sub = |name: &String| path == dir && (name == TABLE_DIR || name == LOG_DIR);
        if let Some(name) = names.iter().find(|name| !sub(name)) {
            return Err(Error::Invalid(format!(
                "a copy of a database needs an empty directory, but {} has {name} in it",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Makes the tables in `dir` a database, as `snapshot` describes it. The tables are durable.
pub(crate) fn finish(vfs: &dyn Vfs, dir: &Path, snapshot: &mut Snapshot) -> Result<(), Error> {
    // The copy has no log: its first append begins one behind the tables.
    snapshot.min_segment = 0;
    let number = snapshot.next_file;
    snapshot.next_file = number + 1;
    Manifest::create(vfs, dir, number, snapshot)?;
    write_current(vfs, dir, number).map_err(ManifestError::into_error)
}

/// Copies a table and checks that it is the one that `meta` describes. The copy is durable, its
/// name is not yet.
pub(crate) fn copy_table(
    from_vfs: &dyn Vfs,
    from: &Path,
    to_vfs: &dyn Vfs,
    to: &Path,
    meta: &FileMeta,
    watch: &mut Watch<'_>,
) -> Result<file_copy::Digest, Error> {
    let digest = file_copy::copy(from_vfs, from, to_vfs, to, watch)?;
    if (digest.size, digest.crc) == (meta.size, meta.crc) {
        return Ok(digest);
    }
    let _ = to_vfs.remove(to);
    Err(Error::corruption(from, 0, "the file does not have the size and checksum of the manifest"))
}

/// Links and copies that are removed again unless the work comes to its end and clears the list.
pub(crate) struct Made<'a> {
    pub(crate) vfs: &'a dyn Vfs,
    pub(crate) paths: Vec<PathBuf>,
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        for path in &self.paths {
            // Without CURRENT what stays is no database, and the next attempt refuses it.
            let _ = self.vfs.remove(path);
        }
    }
}
