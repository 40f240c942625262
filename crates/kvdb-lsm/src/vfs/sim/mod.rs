//! A file system in memory that crashes, fails and fills up on demand.
//!
//! The model is the one a careful store must assume of a real system, no kinder:
//!
//! * A written byte is durable after a sync of its file that began later and succeeded. Until
//!   then a crash keeps the write whole, drops it, or keeps any subset of its 512-byte sectors,
//!   independently of all other writes.
//! * A created, renamed or removed name is durable after a sync of its directory; until then a
//!   crash keeps or drops each such change independently.
//! * A sync that fails leaves the data unsynced **and** marks it clean: a later sync succeeds and
//!   does not save it.
//! * A created directory is durable after a sync of the directory it is in. Until then a crash
//!   keeps or drops it, and with it everything in it, synced or not. A sync that failed can be
//!   tried again for it: there is no other way to save a directory that has something in it.
//!
//! Everything is deterministic: the outcome of a crash depends on its seed alone.

mod file;
mod inode;
mod names;

use super::fault::{FaultKind, FaultPlan};
use super::{Vfs, VfsFile};
use file::{SimFile, SimLock, position};
use inode::{Choices, Inode, Stage};
use names::NameChange;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A simulated file system. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SimVfs {
    state: Arc<Mutex<State>>,
}

/// # Invariants
/// `names` is `durable_names` with all of `name_changes` applied.
#[derive(Debug, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    name_changes: Vec<(NameChange, Stage)>,
    dirs: BTreeSet<PathBuf>,
    durable_dirs: BTreeSet<PathBuf>,
    /// Directories of `dirs` that are not durable.
    dir_changes: Vec<(PathBuf, Stage)>,
    locks: BTreeSet<PathBuf>,
    /// How many share a lock.
    shared_locks: BTreeMap<PathBuf, usize>,
    capacity: Option<u64>,
    operations: u64,
    syncs: u64,
    plan: Option<(FaultPlan, u64)>,
    faults_hit: u64,
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

fn locked(path: &Path) -> io::Error {
    let message = format!("{} is locked by process {}", path.display(), std::process::id());
    io::Error::new(io::ErrorKind::WouldBlock, message)
}

fn taken(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", path.display()))
}

/// Whether a directory is in no other: the root, or the one that relative paths start from.
fn is_top(dir: &Path) -> bool {
    dir.parent().is_none()
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or_else(|| Path::new("")).to_owned()
}

impl State {
    /// Counts an operation; `Err` or a short transfer if the plan says so.
    fn operation(&mut self) -> Result<(), FaultKind> {
        self.operations += 1;
        if let Some((plan, since)) = self.plan
            && plan.hits(self.operations - since)
        {
            self.faults_hit += 1;
            return Err(plan.kind);
        }
        Ok(())
    }

    fn plain_operation(&mut self) -> io::Result<()> {
        self.operation().map_err(FaultKind::error)
    }

    fn name_change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push((change, Stage::Dirty));
    }

    fn settle_names(&mut self) {
        let durable = self.dir_changes.extract_if(.., |(_, stage)| *stage == Stage::Durable);
        self.durable_dirs.extend(durable.map(|(dir, _)| dir));
        let durable = self.name_changes.iter().take_while(|(_, s)| *s == Stage::Durable).count();
        for (change, _) in self.name_changes.drain(..durable) {
            change.apply(&mut self.durable_names);
        }
        let mut used: BTreeSet<u64> =
            self.names.values().chain(self.durable_names.values()).copied().collect();
        used.extend(self.name_changes.iter().filter_map(|(change, _)| change.inode()));
        self.inodes.retain(|number, inode| inode.handles > 0 || used.contains(number));
    }

    /// The bytes in use: by files that have a name or are open.
    fn used(&self) -> u64 {
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        let in_use = self.inodes.iter().filter(|(n, i)| i.handles > 0 || named.contains(n));
        in_use.map(|(_, inode)| inode.footprint()).sum()
    }

    fn free(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    fn named(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| missing(path))
    }

    fn inode(&mut self, number: u64) -> &mut Inode {
        self.inodes.get_mut(&number).expect("an inode with a handle or a name is kept")
    }
}

impl SimVfs {
    /// An empty file system without limits or faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a power cut at this moment leaves: all that was synced, and of the rest a subset chosen
    /// by `seed`. The original goes on unharmed. Faults, limits and locks are not inherited.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let mut choices = Choices(seed);
        // Some crashes lose nearly everything, some nearly nothing.
        let keep = [16, 128, 240][(choices.next() % 3) as usize];
        let state = self.state.lock();
        let mut names = state.durable_names.clone();
        for (change, stage) in &state.name_changes {
            if *stage == Stage::Durable || choices.chance(keep) {
                change.apply(&mut names);
            }
        }
        let mut dirs = state.durable_dirs.clone();
        dirs.extend(state.dir_changes.iter().filter(|_| choices.chance(keep)).map(|(dir, _)| dir.clone()));
        // What is in a lost directory is lost, however deep.
        let all = dirs.clone();
        dirs.retain(|dir| dir.ancestors().all(|dir| is_top(dir) || all.contains(dir)));
        names.retain(|name, _| is_top(&parent(name)) || dirs.contains(&parent(name)));
        let inodes = state.inodes.iter().map(|(&number, inode)| {
            let mut data = inode.base.clone();
            for (change, stage) in &inode.changes {
                match stage {
                    Stage::Durable => change.apply(&mut data),
                    Stage::Dirty | Stage::Lost => change.survive(&mut data, &mut choices, keep),
                }
            }
            (number, Inode::from_bytes(data))
        });
        let used: BTreeSet<u64> = names.values().copied().collect();
        let after = State {
            inodes: inodes.filter(|(number, _)| used.contains(number)).collect(),
            next_inode: state.next_inode,
            durable_names: names.clone(),
            names,
            durable_dirs: dirs.clone(),
            dirs,
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(after)) }
    }

    /// What the death of the process at this moment leaves: everything written, synced or not. The
    /// machine runs on, so what was not synced is not durable for that, and what a failed sync
    /// lost is still to be read.
    #[must_use]
    pub fn process_crash(&self) -> Self {
        let state = self.state.lock();
        let inodes = state.inodes.iter();
        let inodes = inodes.map(|(&number, inode)| (number, Inode { handles: 0, ..inode.clone() }));
        let mut copy = State {
            inodes: inodes.collect(),
            next_inode: state.next_inode,
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            name_changes: state.name_changes.clone(),
            dirs: state.dirs.clone(),
            durable_dirs: state.durable_dirs.clone(),
            dir_changes: state.dir_changes.clone(),
            ..State::default()
        };
        copy.settle_names();
        Self { state: Arc::new(Mutex::new(copy)) }
    }

    /// The I/O calls so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// The successful syncs of files and directories so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Sets the plan for the calls from now on.
    pub fn fail(&self, plan: FaultPlan) {
        let mut state = self.state.lock();
        state.plan = Some((plan, state.operations));
        state.faults_hit = 0;
    }

    /// Ends all planned faults; returns how many calls were hit.
    pub fn heal(&self) -> u64 {
        let mut state = self.state.lock();
        state.plan = None;
        std::mem::take(&mut state.faults_hit)
    }

    /// Limits the bytes all files can take together; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// The bytes all files take together.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used()
    }

    /// Inverts all bits of one byte of a file, on the disk and in the cache; whatever else was
    /// unsynced in that file becomes durable.
    pub fn flip_byte(&self, path: &Path, offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let number = state.named(path)?;
        let offset = position(offset)?;
        let inode = state.inode(number);
        let byte = inode.cached.get_mut(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
        *byte = !*byte;
        inode.base.clone_from(&inode.cached);
        inode.changes.clear();
        Ok(())
    }

    fn open_file(&self, state: &mut State, inode: u64, writable: bool) -> SimFile {
        state.inode(inode).handles += 1;
        SimFile { state: Arc::clone(&self.state), inode, writable }
    }

    fn open_named(&self, path: &Path, writable: bool) -> io::Result<SimFile> {
        let mut state = self.state.lock();
        state.plain_operation()?;
        let inode = state.named(path)?;
        Ok(self.open_file(&mut state, inode, writable))
    }
}

impl Vfs for SimVfs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        let mut state = self.state.lock();
        state.plain_operation()?;
        if state.names.contains_key(path) || state.dirs.contains(path) {
            return Err(taken(path));
        }
        let dir = parent(path);
        if !dir.as_os_str().is_empty() && !state.dirs.contains(&dir) {
            return Err(missing(&dir));
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(inode, Inode::default());
        state.name_change(NameChange::Link { name: path.to_owned(), inode });
        Ok(Box::new(self.open_file(&mut state, inode, true)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        Ok(Box::new(self.open_named(path, true)?))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        Ok(Arc::new(self.open_named(path, false)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.plain_operation()?;
        let inode = state.named(from)?;
        state.name_change(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.plain_operation()?;
        state.named(path)?;
        state.name_change(NameChange::Unlink { name: path.to_owned() });
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.plain_operation()?;
        let inode = state.named(from)?;
        if state.names.contains_key(to) {
            return Err(taken(to));
        }
        state.name_change(NameChange::Link { name: to.to_owned(), inode });
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.plain_operation()?;
        for dir in path.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
            if state.dirs.insert(dir.to_owned()) {
                let stage = if is_top(dir) { Stage::Durable } else { Stage::Dirty };
                state.dir_changes.push((dir.to_owned(), stage));
            }
        }
        state.settle_names();
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state.lock();
        state.plain_operation()?;
        if !state.dirs.contains(dir) {
            return Err(missing(dir));
        }
        let entries = state.names.keys().chain(&state.dirs);
        let entries = entries.filter(|path| path.parent() == Some(dir));
        let names = entries.filter_map(|path| path.file_name()?.to_str());
        let names: BTreeSet<String> = names.map(str::to_owned).collect();
        Ok(names.into_iter().collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let mut state = self.state.lock();
        state.plain_operation()?;
        Ok(state.names.contains_key(path) || state.dirs.contains(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let outcome = state.plain_operation();
        let to = if outcome.is_ok() { Stage::Durable } else { Stage::Lost };
        for (change, stage) in &mut state.name_changes {
            if *stage == Stage::Dirty && change.concerns(dir) {
                *stage = to;
            }
        }
        if outcome.is_ok() {
            for (created, stage) in &mut state.dir_changes {
                if parent(created) == dir {
                    *stage = Stage::Durable;
                }
            }
        }
        state.settle_names();
        state.syncs += u64::from(outcome.is_ok());
        outcome
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.state.lock();
        state.plain_operation()?;
        if state.shared_locks.contains_key(path) || !state.locks.insert(path.to_owned()) {
            return Err(locked(path));
        }
        Ok(Box::new(SimLock { state: Arc::clone(&self.state), path: path.to_owned(), shared: false }))
    }

    fn lock_shared(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.state.lock();
        state.plain_operation()?;
        if state.locks.contains(path) {
            return Err(locked(path));
        }
        *state.shared_locks.entry(path.to_owned()).or_default() += 1;
        Ok(Box::new(SimLock { state: Arc::clone(&self.state), path: path.to_owned(), shared: true }))
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.plain_operation()?;
        Ok(state.free())
    }
}
