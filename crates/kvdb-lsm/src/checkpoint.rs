//! Checkpoints: a copy of the database that shares its tables.
//!
//! The copy gets links to the tables, a manifest of its own, and as the very last thing `CURRENT`:
//! a directory without it is not a database, so an unfinished copy is never taken for one.

use std::path::Path;

use crate::batch::Seq;
use crate::db::core::{Core, LOG_DIR, TABLE_DIR, table_name};
use crate::error::Error;
use crate::version::{Manifest, ManifestError, write_current};
use crate::vfs::{Vfs, VfsFileExt, create_dir_durably};

const COPY_UNIT: usize = 1 << 20;

/// Copies what is in tables to `dir`; returns the last sequence in the copy.
pub(crate) fn write(core: &Core, dir: &Path) -> Result<Seq, Error> {
    let vfs = &*core.options.vfs;
    let tables = dir.join(TABLE_DIR);
    for path in [dir, &tables, &dir.join(LOG_DIR)] {
        create_dir_durably(vfs, path).map_err(Error::io("create", path))?;
    }
    for path in [dir, &tables, &dir.join(LOG_DIR)] {
        let names = vfs.list(path).map_err(Error::io("list", path))?;
        let sub = |name: &String| path == dir && (name == TABLE_DIR || name == LOG_DIR);
        if let Some(name) = names.iter().find(|name| !sub(name)) {
            return Err(Error::Invalid(format!(
                "a checkpoint needs an empty directory, but {} has {name} in it",
                path.display()
            )));
        }
    }
    // The state keeps the tables from being removed for as long as it is held.
    let (state, mut snapshot) = loop {
        match core.installed() {
            Some(installed) => break installed,
            // A compaction has just dropped rows for a reason that is only in memory.
            None => core.flush_all()?,
        }
    };
    for (_, file) in state.version.files() {
        let to = tables.join(table_name(file.meta.number));
        if vfs.hard_link(file.table.path(), &to).is_err() {
            copy(vfs, file.table.path(), &to)?;
        }
    }
    vfs.sync_dir(&tables).map_err(Error::io("sync", &tables))?;
    // The copy has no log: its first append begins one behind the tables.
    snapshot.min_segment = 0;
    let number = snapshot.next_file;
    snapshot.next_file = number + 1;
    Manifest::create(vfs, dir, number, &snapshot)?;
    write_current(vfs, dir, number).map_err(ManifestError::into_error)?;
    Ok(snapshot.flushed_seq)
}

/// Copies a file to another device.
fn copy(vfs: &dyn Vfs, from: &Path, to: &Path) -> Result<(), Error> {
    let source = vfs.open_read(from).map_err(Error::io("open", from))?;
    let target = vfs.create(to).map_err(Error::io("create", to))?;
    let mut buf = vec![0; COPY_UNIT];
    let mut offset = 0;
    loop {
        let n = source.read_at(&mut buf, offset).map_err(Error::io("read", from))?;
        if n == 0 {
            return target.sync_all().map_err(Error::io("sync", to));
        }
        target.write_all_at(&buf[..n], offset).map_err(Error::io("write", to))?;
        offset += n as u64;
    }
}
