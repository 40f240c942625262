//! The store: what it holds, and the way from a command to the log.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use kvdb_lsm::Db;
use kvdb_lsm::batch::{Op, WriteBatch};
use parking_lot::{Mutex, RwLock};

use crate::commit_log::{CommitLog, Refusal};
use crate::context::Change;
use crate::dead_rows::DeadRows;
use crate::error::StoreError;
use crate::events::EventClasses;
use crate::eviction::Candidate;
use crate::identity::Identity;
use crate::io::IoPool;
use crate::key::{Place, SHARDS};
use crate::latches::{Guards, Latched};
use crate::news::{NewsDesk, Told};
use crate::readers::ReaderCounts;
use crate::shard::Shard;
use crate::types::Layout;
use crate::usage::Usage;
use crate::watch::Presence;

/// Databases that a store may have at the most; counters and tokens have room for these.
pub const MAX_DATABASES: u16 = 1024;

/// How a store is set up.
pub struct StoreOptions {
    /// How many databases there are (`SELECT 0` to one less), at most [`MAX_DATABASES`].
    pub databases: u16,
    /// Random bits that become the secret seed of the hashes when the data is new.
    pub fresh_seed: u64,
    /// Threads for reads from the disk.
    pub io_threads: usize,
}

/// Events that INFO reports, counted since start.
#[derive(Debug, Default)]
pub struct StoreStats {
    /// Keys deleted because their deadline had passed.
    pub expired: AtomicU64,
    /// Keys deleted because there was no room for them.
    pub evicted: AtomicU64,
    /// Entries dropped from memory that stay on disk.
    pub evicted_to_disk: AtomicU64,
    /// Keys read from the disk because they were not resident.
    pub loads: AtomicU64,
    /// Expiry cycles that ended because their time was up.
    pub expiry_cut_short: AtomicU64,
}

/// The keyspace of a node or of a group.
///
/// # Invariants
///
/// * Every change of an entry is appended to the log under the latch of its shard, so the log has the changes of a key
///   in the order of evaluation.
/// * `spaces` and the shards' databases change together, under all latches.
pub struct Store {
    pub(crate) shards: Box<[Latched]>,
    pub(crate) rows: Arc<Db>,
    pub(crate) log: Arc<dyn CommitLog>,
    pub(crate) io: IoPool,
    seed: u64,
    spaces: Box<[AtomicU32]>,
    /// The next space to be given to a database; changes under all latches.
    pub(crate) next_space: AtomicU32,
    /// See [`Store::epoch`].
    epoch: AtomicU64,
    /// Keys in each database when the store was opened, resident or not.
    pub(crate) keys_at_open: Box<[i64]>,
    pub(crate) expires_at_open: Box<[i64]>,
    pub(crate) fading_at_open: Box<[i64]>,
    /// Bytes that resident objects hold, as of the last census.
    pub(crate) resident_bytes: AtomicUsize,
    /// Bytes of objects, the sum of what every shard was last counted with; see [`Store::occupied`].
    pub(crate) counted: AtomicUsize,
    /// The earliest deadline of the keys that have left memory since a walk over those on disk was last begun, or `u64::MAX`.
    pub(crate) cold_deadline: AtomicU64,
    /// Bytes of the tables that find them, as of the last census.
    pub(crate) table_bytes: AtomicUsize,
    /// See [`Store::set_counting`].
    pub(crate) counting: AtomicBool,
    /// Keys that may be deleted next for want of room, the best last.
    pub(crate) candidates: Mutex<Vec<Candidate>>,
    pub(crate) closing: AtomicBool,
    /// Scripts that are busy; see [`Store::begin_busy`].
    pub(crate) busy: AtomicUsize,
    /// See [`Store::set_pastime`].
    pub(crate) pastime: OnceLock<fn()>,
    /// See [`Store::usage`], as bits.
    usage: AtomicU64,
    /// See [`Store::events`], and in the highest bit [`Store::wants_names`].
    wanted: AtomicU16,
    /// What is told, and whom.
    pub(crate) news: NewsDesk,
    /// See [`Store::remembered`].
    pub(crate) readers: ReaderCounts,
    /// See [`Store::layout`].
    layout: RwLock<Layout>,
    /// What is told which spaces are dead.
    dead_rows: OnceLock<Arc<DeadRows>>,
    /// What has happened since start.
    pub stats: StoreStats,
}

/// The bit of [`Store::wanted`] that is no class of events.
const NAMES_WANTED: u16 = 1 << 15;

/// The durable counter with the number of keys of a database.
pub(crate) fn keys_counter(db: u16) -> u16 {
    db
}

/// The durable counter with the number of keys with a deadline of a database.
pub(crate) fn expires_counter(db: u16) -> u16 {
    0x8000 | db
}

/// The durable counter with the number of keys with elements that die of a database.
pub(crate) fn fading_counter(db: u16) -> u16 {
    0x4000 | db
}

/// The bits of a counter's number that are the number of a database.
const COUNTED_DB: u16 = 0x3fff;

impl Store {
    /// Opens the keyspace over a database and a log. Reads the identity row and the spaces; loads no key.
    ///
    /// # Errors
    /// When those rows cannot be read or written, or a thread cannot be started.
    pub fn open(rows: Arc<Db>, log: Arc<dyn CommitLog>, options: &StoreOptions) -> Result<Self, StoreError> {
        let databases = options.databases.clamp(1, MAX_DATABASES);
        let identity = Identity::load_or_create(&rows, log.as_ref(), databases, options.fresh_seed)?;
        let all = 0..databases;
        let keys_at_open: Box<[i64]> = all.clone().map(|db| rows.counter(keys_counter(db))).collect();
        let expires_at_open = all.clone().map(|db| rows.counter(expires_counter(db))).collect();
        let fading_at_open = all.map(|db| rows.counter(fading_counter(db))).collect();
        let complete: Vec<bool> = keys_at_open.iter().map(|&n| n == 0).collect();
        Ok(Self {
            shards: (0..SHARDS).map(|_| Latched::new(Shard::new(&complete))).collect(),
            io: IoPool::new(options.io_threads).map_err(StoreError::Threads)?,
            seed: identity.seed,
            spaces: identity.spaces.iter().map(|&s| AtomicU32::new(s)).collect(),
            next_space: AtomicU32::new(identity.next_space),
            epoch: AtomicU64::new(0),
            rows,
            log,
            keys_at_open,
            expires_at_open,
            fading_at_open,
            resident_bytes: AtomicUsize::new(0),
            cold_deadline: AtomicU64::new(u64::MAX),
            counted: AtomicUsize::new(0),
            table_bytes: AtomicUsize::new(0),
            counting: AtomicBool::new(false),
            candidates: Mutex::default(),
            closing: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            pastime: OnceLock::new(),
            usage: AtomicU64::new(Usage::default().to_bits()),
            wanted: AtomicU16::new(0),
            news: NewsDesk::default(),
            readers: ReaderCounts::default(),
            layout: RwLock::new(Layout::with_seed(identity.seed)),
            dead_rows: OnceLock::new(),
            stats: StoreStats::default(),
        })
    }

    /// Has the filter of the database under the store told which rows are dead, now and whenever
    /// databases are emptied and collections go. Only the first filter counts.
    ///
    /// # Errors
    /// When the rows that say which rows are dead cannot be read; the message is for an operator.
    pub fn tell(&self, filter: Arc<DeadRows>) -> Result<(), String> {
        let _all = self.latch_all();
        let filter = self.dead_rows.get_or_init(|| filter);
        filter.know(self.next_space.load(Ordering::Relaxed), &self.all_spaces());
        self.load_dead_generations(filter)?;
        self.rows.request_compaction();
        Ok(())
    }

    /// What has been told which rows are dead.
    pub(crate) fn dead_rows(&self) -> Option<&Arc<DeadRows>> {
        self.dead_rows.get()
    }

    /// Passes on that databases have been emptied: the row that says so has been appended, and all
    /// latches are held.
    pub(crate) fn tell_emptied(&self) {
        if let Some(filter) = self.dead_rows.get() {
            filter.know(self.next_space.load(Ordering::Relaxed), &self.all_spaces());
            self.rows.request_compaction();
        }
    }

    /// How many databases there are.
    pub fn databases(&self) -> u16 {
        self.keys_at_open.len() as u16
    }

    /// The database under the objects.
    pub fn rows(&self) -> &Arc<Db> {
        &self.rows
    }

    /// The threads that may wait for the disk.
    pub fn io(&self) -> &IoPool {
        &self.io
    }

    /// The last sequence given out.
    pub fn appended(&self) -> u64 {
        self.log.appended()
    }

    /// How the use of keys is remembered.
    #[inline]
    pub fn usage(&self) -> Usage {
        Usage::from_bits(self.usage.load(Ordering::Relaxed))
    }

    /// Has the use of keys be remembered in another way from now on.
    pub fn set_usage(&self, usage: Usage) {
        self.usage.store(usage.to_bits(), Ordering::Relaxed);
    }

    /// The events that are published.
    #[inline]
    pub fn events(&self) -> EventClasses {
        EventClasses::from_bits(self.wanted.load(Ordering::Relaxed) & !NAMES_WANTED)
    }

    /// Has these events be published from now on: none, where it is not said on which channels.
    pub fn set_events(&self, events: EventClasses) {
        let bits = if events.publishes() { events.bits() } else { 0 };
        self.wanted.fetch_and(NAMES_WANTED, Ordering::Relaxed);
        self.wanted.fetch_or(bits, Ordering::Relaxed);
    }

    /// Whether somebody is told the names of all keys that are changed.
    pub(crate) fn wants_names(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) & NAMES_WANTED != 0
    }

    /// Has the names of all keys that are changed be told ([`News::Changed`](crate::News)), or not any more.
    pub fn set_names_wanted(&self, wanted: bool) {
        if wanted {
            self.wanted.fetch_or(NAMES_WANTED, Ordering::Relaxed);
        } else {
            self.wanted.fetch_and(!NAMES_WANTED, Ordering::Relaxed);
        }
    }

    /// Whether there may be something to tell of a key that was changed, or of a new one.
    #[inline]
    pub(crate) fn tells_changes(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) & (NAMES_WANTED | EventClasses::NEW.bits()) != 0
    }

    /// Where small collections end and large ones begin.
    #[inline]
    pub fn layout(&self) -> Layout {
        *self.layout.read()
    }

    /// Moves the border between small collections and large ones, for what is changed from now on. The seed stays.
    pub fn set_layout(&self, layout: Layout) {
        *self.layout.write() = Layout { seed: self.seed, ..layout };
    }

    /// The place of a key.
    #[inline]
    pub fn place(&self, key: &[u8]) -> Place {
        Place::of(key, self.seed)
    }

    /// The space of a database; stable while any latch is held.
    #[inline]
    pub(crate) fn space(&self, db: u16) -> u32 {
        self.spaces[usize::from(db)].load(Ordering::Relaxed)
    }

    pub(crate) fn set_space(&self, db: u16, space: u32) {
        self.spaces[usize::from(db)].store(space, Ordering::Relaxed);
    }

    pub(crate) fn all_spaces(&self) -> Vec<u32> {
        self.spaces.iter().map(|s| s.load(Ordering::Relaxed)).collect()
    }

    /// How often databases have been emptied or exchanged; stable while any latch is held. What was learned about a
    /// database without a latch in between holds only if this is still the same: the space alone does not tell, since
    /// two exchanges bring it back.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Begins a new epoch; all latches are held.
    pub(crate) fn next_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Appends what a run has changed, and marks the changed entries with its sequence. The guards must still be held.
    ///
    /// # Errors
    /// The log refused. Then the run has not happened, and has to [forget](forget) what it changed.
    #[inline]
    pub(crate) fn commit(
        &self,
        guards: &mut Guards<'_>,
        batch: &WriteBatch,
        changed: &[Change],
        told: &mut Vec<Told>,
    ) -> Result<u64, Refusal> {
        let seq = self.log.append(batch)?;
        for &Change { db, place, quiet } in changed {
            let shard = guards.shard_mut(place);
            shard.committed(seq);
            if !shard.watches.is_empty() && !quiet {
                let is_there = shard.presence(db, place, None) != Presence::Absent;
                shard.watches.touch(db, place, is_there);
            }
            if !shard.readers.is_empty() && !quiet {
                shard.readers.take(place, told, &self.readers);
            }
            shard.settle(db, place, seq);
        }
        if self.counting.load(Ordering::Relaxed) {
            changed.iter().for_each(|change| self.count(guards.shard_mut(change.place)));
        }
        Ok(seq)
    }

    /// Bytes that resident objects and their tables hold, as of the last census.
    pub fn resident_bytes(&self) -> usize {
        self.resident_bytes.load(Ordering::Relaxed)
    }

    /// Counts the bytes that resident objects and their tables hold, shard by shard.
    pub fn census(&self) -> usize {
        let (mut bytes, mut tables) = (0, 0);
        for i in 0..SHARDS {
            let mut shard = self.shard(i);
            self.count(&mut shard);
            bytes += shard.bytes();
            tables += shard.overhead_bytes();
        }
        self.table_bytes.store(tables, Ordering::Relaxed);
        self.resident_bytes.store(bytes + tables, Ordering::Relaxed);
        bytes + tables
    }

    /// Bytes of the tables that find the resident keys of a database, and of the index of their deadlines.
    pub fn overhead(&self, db: u16) -> (usize, usize) {
        let of_shards = (0..SHARDS).map(|index| self.shard(index).db(db).overhead());
        of_shards.fold((0, 0), |(tables, expiry), (more, theirs)| (tables + more, expiry + theirs))
    }

    /// Ends the I/O threads; loads that are queued are finished first. The database and the log are the caller's.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.io.close();
    }
}

/// Undoes a run that the log refused, or that was abandoned: its objects leave memory, their slots are no longer complete,
/// and the counts are taken back. What it changed may be in one of the databases that it has exchanged, too.
#[cold]
pub(crate) fn forget(
    guards: &mut Guards<'_>,
    batch: &WriteBatch,
    changed: &[Change],
    exchanged: &[u16],
    appended: u64,
) {
    for &Change { db, place, .. } in changed {
        for &db in std::iter::once(&db).chain(exchanged) {
            guards.shard_mut(place).forget_pending(db, place, appended);
        }
    }
    // Counts are sums over shards, so any shard that is held will do.
    let Some(shard) = guards.iter_mut().next() else { return };
    for op in batch.iter() {
        if let Op::Counter { id, delta } = op {
            let counts = match id & !COUNTED_DB {
                0x8000 => &mut shard.expires_delta,
                0x4000 => &mut shard.fading_delta,
                _ => &mut shard.keys_delta,
            };
            counts[usize::from(id & COUNTED_DB)] -= delta;
        }
    }
}
