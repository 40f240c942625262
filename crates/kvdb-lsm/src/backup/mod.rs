//! Incremental backups: copies of the database's tables and blob files in a directory of their own,
//! each once for however many backups hold it.
//!
//! ```text
//! DIR/LOCK                  held by whoever works with the backups
//! DIR/tables/NAME.sst       the tables; the name tells them apart: number, size, crc, hash of the end
//! DIR/tables/NAME.blob      the blob files, in the same way
//! DIR/tables/FILE.damaged   nothing: FILE was found to be damaged
//! DIR/backups/000001.backup what belongs to a backup, with a checksum
//! ```
//!
//! A backup is made in this order, each step durable before the next: every file that is not there
//! is copied to a temporary name, checked against the database's manifest while it is copied, and
//! renamed; the directory is synced; the description is written, synced and renamed. So a backup
//! that is listed is complete, and what a crash leaves behind is garbage that the next backup
//! removes.
//!
//! A file is taken for one that is there already only if a complete backup holds it, and it was not
//! found to be damaged since: what an interrupted backup left is copied anew, and so is what a
//! verification or a restoration marked, which mends all backups that hold it. The name of a file has its number, its size, the
//! checksum of the manifest, and a 128-bit hash of its last 64 KiB, where the index of a table repeats
//! the checksum of every block, and the footer of a blob file the hash of all records: two databases that once were the same (a restored one, say) can share a
//! directory, although they give the same numbers to different files.

mod manifest;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::manifest::{BackupManifest, Content};
pub(crate) use self::manifest::{forge as forge_description, parse as parse_description};
use crate::batch::Seq;
use crate::checkpoint;
use crate::db::Db;
use crate::db::files::{DataFile, DataKind, MadeFiles};
use crate::error::Error;
use crate::file_copy;
use crate::progress::{OnProgress, Watch};
use crate::verify::Report;
use crate::vfs::{Vfs, VfsFileExt};

const TABLES: &str = "tables";
const BACKUPS: &str = "backups";
/// What stands behind the name of a damaged file.
const MARK: &str = ".damaged";
/// The bytes at the end of a file that are hashed for its name.
const TAIL: u64 = 64 << 10;

/// What is known about a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupInfo {
    /// Its number, from 1 on.
    pub id: u64,
    /// The time that was given when it was made, in milliseconds since 1970.
    pub time: u64,
    /// The last sequence in it.
    pub seq: Seq,
    /// The tables it holds.
    pub tables: u64,
    /// The blob files it holds.
    pub blobs: u64,
    /// The bytes of both.
    pub bytes: u64,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBackup {
    /// The backup.
    pub backup: BackupInfo,
    /// The tables that were not there yet.
    pub copied_tables: u64,
    /// The blob files that were not there yet.
    pub copied_blobs: u64,
    /// The bytes of both.
    pub copied_bytes: u64,
}

/// The backups of a directory.
#[derive(Debug, Default)]
pub struct BackupList {
    /// Those that can be read, by number.
    pub backups: Vec<BackupInfo>,
    /// Why the others cannot be. As long as there are any, no file is removed.
    pub damaged: Vec<Error>,
}

/// A directory of backups, locked for this process.
///
/// # Invariants
/// Every file that a description names is in `tables/`, complete and durable, from before the
/// description got its name until after that name is gone, durably.
pub struct Backups {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    _lock: Box<dyn Send + Sync>,
}

impl fmt::Debug for Backups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backups").field("dir", &self.dir).finish_non_exhaustive()
    }
}

fn description_name(id: u64) -> String {
    format!("{id:06}.backup")
}

fn parse_description_name(name: &str) -> Option<u64> {
    let id = name.strip_suffix(".backup")?.parse().ok()?;
    (description_name(id) == name && id > 0).then_some(id)
}

/// The name of the mark that a stored file is damaged.
fn mark_of(name: &str) -> String {
    format!("{name}{MARK}")
}

fn stored_name(file: DataFile, content: Content) -> String {
    let DataFile { kind, number, size, crc } = file;
    format!("{number:06}-{size}-{crc:08x}-{:032x}.{}", content.tail, kind.extension())
}

/// The descriptions of a directory, read.
#[derive(Default)]
struct Described {
    sound: BTreeMap<u64, BackupManifest>,
    damaged: Vec<(u64, Error)>,
}

impl Described {
    /// The highest number in use.
    fn newest(&self) -> u64 {
        let damaged = self.damaged.iter().map(|(id, _)| *id);
        self.sound.keys().copied().chain(damaged).max().unwrap_or_default()
    }

    /// The files that complete backups hold, by name.
    fn contents(&self) -> BTreeMap<String, Content> {
        let files = self.sound.values().flat_map(BackupManifest::files);
        files.map(|(file, content)| (stored_name(file, content), content)).collect()
    }
}

impl BackupInfo {
    fn of(manifest: &BackupManifest) -> Self {
        Self {
            id: manifest.id,
            time: manifest.time,
            seq: manifest.state.flushed_seq,
            tables: manifest.state.files.len() as u64,
            blobs: manifest.state.blobs.len() as u64,
            bytes: manifest.files().map(|(file, _)| file.size).sum(),
        }
    }
}

impl Backups {
    /// Opens the backups in `dir`, which is created if it is missing.
    ///
    /// # Errors
    /// [`Error::Io`], also if another process works with the directory.
    pub fn open(vfs: Arc<dyn Vfs>, dir: impl Into<PathBuf>) -> Result<Self, Error> {
        let dir = dir.into();
        for path in [dir.clone(), dir.join(TABLES), dir.join(BACKUPS)] {
            vfs.create_dir_all(&path).map_err(Error::io("create", &path))?;
        }
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            vfs.sync_dir(parent).map_err(Error::io("sync", parent))?;
        }
        vfs.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
        let lock_path = dir.join("LOCK");
        let lock = vfs.lock(&lock_path).map_err(Error::io("lock", &lock_path))?;
        Ok(Self { vfs, dir, _lock: lock })
    }

    fn file_path(&self, name: &str) -> PathBuf {
        self.dir.join(TABLES).join(name)
    }

    fn description_path(&self, id: u64) -> PathBuf {
        self.dir.join(BACKUPS).join(description_name(id))
    }

    /// The backups that there are.
    pub fn list(&self) -> Result<BackupList, Error> {
        let described = self.read_all()?;
        Ok(BackupList {
            backups: described.sound.values().map(BackupInfo::of).collect(),
            damaged: described.damaged.into_iter().map(|(_, error)| error).collect(),
        })
    }

    fn read_all(&self) -> Result<Described, Error> {
        let dir = self.dir.join(BACKUPS);
        let names = self.vfs.list(&dir).map_err(Error::io("list", &dir))?;
        let mut described = Described::default();
        for id in names.iter().filter_map(|name| parse_description_name(name)) {
            match self.read(id) {
                Ok(manifest) => drop(described.sound.insert(id, manifest)),
                Err(error @ Error::Corruption { .. }) => described.damaged.push((id, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(described)
    }

    fn read(&self, id: u64) -> Result<BackupManifest, Error> {
        let path = self.description_path(id);
        if !self.vfs.exists(&path).map_err(Error::io("look for", &path))? {
            return Err(Error::Invalid(format!("there is no backup {id} in {}", self.dir.display())));
        }
        // What a bad read returned may have been a fault of the transfer: read once more.
        self.read_description(&path, id).or_else(|_| self.read_description(&path, id))
    }

    fn read_description(&self, path: &Path, id: u64) -> Result<BackupManifest, Error> {
        let bad = |what: String| Error::corruption(path, 0, what);
        let file = self.vfs.open_read(path).map_err(Error::io("open", path))?;
        let len = file.len().map_err(Error::io("measure", path))?;
        // It has all first and last keys of the tables: there is no length that it cannot have.
        let mut bytes = Vec::new();
        let len = usize::try_from(len)
            .ok()
            .filter(|&len| bytes.try_reserve_exact(len).is_ok())
            .ok_or_else(|| bad("the description is longer than the memory".to_owned()))?;
        bytes.resize(len, 0);
        file.read_exact_at(&mut bytes, 0).map_err(Error::io("read", path))?;
        let manifest = BackupManifest::decode(&bytes).map_err(bad)?;
        if manifest.id != id {
            return Err(bad(format!("the file says it is backup {}", manifest.id)));
        }
        Ok(manifest)
    }

    /// Backs up everything appended to `db` before the call; `time` is noted with the backup, in
    /// milliseconds since 1970. Appends, flushes and compactions go on meanwhile.
    ///
    /// # Errors
    /// There is no new backup then, or, if only its name could not be made durable, one that is
    /// complete. [`Error::Corruption`] names a damaged table of the database.
    pub fn create(&self, db: &Db, time: u64, progress: OnProgress<'_>) -> Result<NewBackup, Error> {
        let core = db.core();
        core.flush_all()?;
        let described = self.read_all()?;
        self.remove_garbage(&described)?;
        let there = described.contents();
        // The state keeps the files from being removed for as long as it is held.
        let (state, snapshot) = core.installed()?;
        state.version.check_readable()?;
        let source = &*core.options.vfs;
        let mut manifest =
            BackupManifest { id: described.newest() + 1, time, state: snapshot, ..BackupManifest::default() };
        let total = manifest.state.data_files().map(|file| file.size).sum();
        let mut watch = Watch::begin(total, progress)?;
        let (mut copied_tables, mut copied_blobs, mut copied_bytes) = (0, 0, 0);
        let mut mended = Vec::new();
        for file in manifest.state.data_files() {
            let from = file.path(&core.options.dir);
            let tail = hash_of_end(source, &from, file)?;
            let name = stored_name(file, Content { hash: 0, tail });
            let content = match there.get(&name) {
                Some(&content) if self.is_there(&name, file)? => {
                    watch.add(file.size)?;
                    content
                }
                _ => {
                    let hash = self.copy_in(source, &from, file, &name, &mut watch)?;
                    mended.push(name);
                    copied_bytes += file.size;
                    match file.kind {
                        DataKind::Table => copied_tables += 1,
                        DataKind::Blob => copied_blobs += 1,
                    }
                    Content { hash, tail }
                }
            };
            manifest.contents.insert(file.number, content);
        }
        drop(state);
        core.sweep();
        let tables = self.dir.join(TABLES);
        self.vfs.sync_dir(&tables).map_err(Error::io("sync", &tables))?;
        self.publish(&manifest)?;
        for name in &mended {
            // With its mark it would be copied once more.
            let _ = self.remove_if_there(&self.file_path(&mark_of(name)));
        }
        watch.end();
        Ok(NewBackup { backup: BackupInfo::of(&manifest), copied_tables, copied_blobs, copied_bytes })
    }

    /// Whether a file that a backup holds is still there, as far as a look at its length can tell, and
    /// was not found to be damaged.
    fn is_there(&self, name: &str, expected: DataFile) -> Result<bool, Error> {
        if self.is_marked(name)? {
            return Ok(false);
        }
        let path = self.file_path(name);
        if !self.vfs.exists(&path).map_err(Error::io("look for", &path))? {
            return Ok(false);
        }
        let file = self.vfs.open_read(&path).map_err(Error::io("open", &path))?;
        Ok(file.len().map_err(Error::io("measure", &path))? == expected.size)
    }

    fn is_marked(&self, name: &str) -> Result<bool, Error> {
        let mark = self.file_path(&mark_of(name));
        self.vfs.exists(&mark).map_err(Error::io("look for", &mark))
    }

    /// Notes, durably, that a file is damaged, so that the next backup that needs it copies it anew.
    fn mark(&self, name: &str) -> Result<(), Error> {
        if self.is_marked(name)? {
            return Ok(());
        }
        let mark = self.file_path(&mark_of(name));
        self.vfs.create(&mark).map_err(Error::io("create", &mark))?;
        let tables = self.dir.join(TABLES);
        self.vfs.sync_dir(&tables).map_err(Error::io("sync", &tables))
    }

    /// Copies a file of the database; returns the hash of the whole file.
    fn copy_in(
        &self,
        source: &dyn Vfs,
        from: &Path,
        file: DataFile,
        name: &str,
        watch: &mut Watch<'_>,
    ) -> Result<u128, Error> {
        let tmp = self.file_path(&format!("{name}.tmp"));
        self.remove_if_there(&tmp)?;
        let copy = |watch: &mut _| checkpoint::copy_file(source, from, &*self.vfs, &tmp, file, watch);
        let digest = match copy(watch) {
            // What a bad read returned may have been a fault of the transfer: read once more.
            Err(Error::Corruption { .. }) => copy(watch)?,
            other => other?,
        };
        let path = self.file_path(name);
        self.vfs.rename(&tmp, &path).map_err(Error::io("rename", &tmp))?;
        Ok(digest.hash)
    }

    /// Writes the description, which makes the backup one.
    fn publish(&self, manifest: &BackupManifest) -> Result<(), Error> {
        let path = self.description_path(manifest.id);
        let tmp = path.with_extension("backup.tmp");
        self.remove_if_there(&tmp)?;
        let file = self.vfs.create(&tmp).map_err(Error::io("create", &tmp))?;
        file.write_all_at(&manifest.encode(), 0).map_err(Error::io("write", &tmp))?;
        file.sync_all().map_err(Error::io("sync", &tmp))?;
        self.vfs.rename(&tmp, &path).map_err(Error::io("rename", &tmp))?;
        let dir = self.dir.join(BACKUPS);
        self.vfs.sync_dir(&dir).map_err(Error::io("sync", &dir))
    }

    fn remove_if_there(&self, path: &Path) -> Result<(), Error> {
        if self.vfs.exists(path).map_err(Error::io("look for", path))? {
            self.vfs.remove(path).map_err(Error::io("remove", path))?;
        }
        Ok(())
    }

    /// Removes what no backup holds: leftovers of interrupted backups, and the files that only
    /// deleted backups held. With a description that cannot be read, nothing can be told apart, and
    /// nothing is removed.
    fn remove_garbage(&self, described: &Described) -> Result<(), Error> {
        if !described.damaged.is_empty() {
            return Ok(());
        }
        // No description may come back by a crash once its files are gone.
        let backups = self.dir.join(BACKUPS);
        self.vfs.sync_dir(&backups).map_err(Error::io("sync", &backups))?;
        let used: BTreeSet<String> = described.contents().into_keys().collect();
        let of = |name: &str| name.strip_suffix(MARK).unwrap_or(name).to_owned();
        self.remove_where(TABLES, |name| !used.contains(&of(name)) && is_ours(name))?;
        self.remove_where(BACKUPS, |name| name.ends_with(".backup.tmp"))
    }

    fn remove_where(&self, sub: &str, is_garbage: impl Fn(&str) -> bool) -> Result<(), Error> {
        let dir = self.dir.join(sub);
        let names = self.vfs.list(&dir).map_err(Error::io("list", &dir))?;
        for name in names.iter().filter(|name| is_garbage(name)) {
            let path = dir.join(name);
            self.vfs.remove(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(())
    }

    /// Deletes a backup, damaged or not, and the files that no other one holds.
    ///
    /// # Errors
    /// The backup may be gone or not; files that are left over are removed by the next backup or
    /// deletion.
    pub fn delete(&self, id: u64) -> Result<(), Error> {
        let path = self.description_path(id);
        if !self.vfs.exists(&path).map_err(Error::io("look for", &path))? {
            return Err(Error::Invalid(format!("there is no backup {id} in {}", self.dir.display())));
        }
        self.vfs.remove(&path).map_err(Error::io("remove", &path))?;
        let dir = self.dir.join(BACKUPS);
        self.vfs.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
        self.remove_garbage(&self.read_all()?)
    }

    /// Reads every table and blob file of a backup and compares it with what was backed up. What is
    /// damaged is marked: the next backup of a database that still has the file copies it anew.
    pub fn verify(&self, id: u64, progress: OnProgress<'_>) -> Result<Report, Error> {
        let manifest = self.read(id)?;
        let info = BackupInfo::of(&manifest);
        let entries = manifest.state.files.values().map(|(_, meta)| meta.entries).sum();
        let mut report = Report {
            tables: info.tables,
            blobs: info.blobs,
            entries,
            bytes: info.bytes,
            problems: Vec::new(),
        };
        let mut watch = Watch::begin(info.bytes, progress)?;
        for (file, content) in manifest.files() {
            match self.verify_file(file, content, &mut watch) {
                Ok(()) => {}
                Err(Error::Canceled) => return Err(Error::Canceled),
                Err(problem) => {
                    report.problems.push(problem);
                    report.problems.extend(self.mark(&stored_name(file, content)).err());
                }
            }
        }
        watch.end();
        Ok(report)
    }

    fn verify_file(&self, file: DataFile, content: Content, watch: &mut Watch<'_>) -> Result<(), Error> {
        let name = stored_name(file, content);
        let path = self.file_path(&name);
        if !self.vfs.exists(&path).map_err(Error::io("look for", &path))? {
            let what = format!("the {} is missing from the backup", file.kind.noun());
            return Err(Error::corruption(&path, 0, what));
        }
        let is_sound = |digest: file_copy::Digest| {
            (digest.size, digest.crc, digest.hash) == (file.size, file.crc, content.hash)
        };
        if is_sound(file_copy::digest(&*self.vfs, &path, watch)?)
            || is_sound(file_copy::digest(&*self.vfs, &path, watch)?)
        {
            // What was marked was a fault of the transfer.
            return self.remove_if_there(&self.file_path(&mark_of(&name)));
        }
        Err(not_as_backed_up(&path, file))
    }

    /// Restores a backup into `dir` of `vfs`, which must be empty or not exist. Every byte is
    /// checked on the way; the directory is a database only when all of it is there and durable.
    ///
    /// # Errors
    /// There is no database in the directory then. [`Error::Invalid`] also if the backup is of a
    /// database that this version cannot read.
    pub fn restore(
        &self,
        id: u64,
        vfs: &dyn Vfs,
        dir: &Path,
        progress: OnProgress<'_>,
    ) -> Result<BackupInfo, Error> {
        let mut manifest = self.read(id)?;
        let info = BackupInfo::of(&manifest);
        let readable = manifest.state.features.check_readable();
        readable.map_err(|why| Error::Invalid(format!("backup {id}: {why}")))?;
        checkpoint::prepare(vfs, dir)?;
        let mut made = MadeFiles::new(vfs);
        let mut watch = Watch::begin(info.bytes, progress)?;
        for (file, content) in manifest.files() {
            let name = stored_name(file, content);
            let from = self.file_path(&name);
            let to = file.path(dir);
            let copied = checkpoint::copy_file(&*self.vfs, &from, vfs, &to, file, &mut watch);
            if copied.is_ok() {
                made.add(to);
            }
            let is_other = |digest: &file_copy::Digest| digest.hash != content.hash;
            let found = match copied {
                Ok(digest) if is_other(&digest) => Err(not_as_backed_up(&from, file)),
                other => other.map(drop),
            };
            found.inspect_err(|error| {
                if matches!(error, Error::Corruption { .. }) {
                    // Without the mark, the error says it all the same.
                    let _ = self.mark(&name);
                }
            })?;
        }
        checkpoint::sync_dirs(vfs, dir)?;
        // From here on it is unknown how complete the copy is: nothing is taken away from it.
        made.keep();
        checkpoint::finish(vfs, dir, &mut manifest.state)?;
        watch.end();
        Ok(info)
    }
}

fn not_as_backed_up(path: &Path, file: DataFile) -> Error {
    Error::corruption(path, 0, format!("the {} is not what was backed up", file.kind.noun()))
}

/// Whether a file in `tables/` is one that backups make.
fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(".tmp").or_else(|| name.strip_suffix(MARK)).unwrap_or(name);
    DataKind::ALL.iter().any(|kind| name.rsplit_once('.').is_some_and(|(_, end)| end == kind.extension()))
}

/// XXH3-128 of the last bytes of a file, which hold what tells its content: the checksums of the
/// blocks of a table, the hash of the records of a blob file.
fn hash_of_end(vfs: &dyn Vfs, path: &Path, expected: DataFile) -> Result<u128, Error> {
    let file = vfs.open_read(path).map_err(Error::io("open", path))?;
    let len = expected.size.min(TAIL);
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, expected.size - len).map_err(|source| {
        if source.kind() == std::io::ErrorKind::UnexpectedEof {
            let what = format!("the {} is shorter than the manifest says", expected.kind.noun());
            return Error::corruption(path, 0, what);
        }
        Error::io("read", path)(source)
    })?;
    Ok(xxhash_rust::xxh3::xxh3_128(&bytes))
}
