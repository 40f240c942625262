//! A database that is only read: no file of it is changed.

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use super::damage::Damage;
use super::files::LOG_DIR;
use super::iter::Iter;
use super::open::{Lock, Replay, check_options, open_tables};
use super::options::Options;
use super::state::{Lookup, State};
use super::views::{ReadView, Views};
use crate::batch::Seq;
use crate::cache::BlockCache;
use crate::entry::{KeyRange, NEWEST};
use crate::error::Error;
use crate::log::Recovered;
use crate::memtable::Memtable;
use crate::progress::OnProgress;
use crate::verify::{self, Report};
use crate::version::{read_current, read_manifest};
use crate::wal::recovery;

/// A database that was opened for reading.
///
/// The log is replayed into memory, so what is seen is what an ordinary opening would see. No file
/// is written, not even the lock: many may read at once, and a process that wants to write is kept
/// out meanwhile, as they are kept out by one that does. A database that is being written cannot be
/// read from outside, because its tables come and go: use a checkpoint of it.
pub struct ReadOnlyDb {
    state: Arc<State>,
    views: Arc<Views>,
    recovered: Recovered,
    seq: Seq,
    damaged: Vec<u64>,
    _lock: Lock,
}

impl fmt::Debug for ReadOnlyDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOnlyDb").field("seq", &self.seq).finish_non_exhaustive()
    }
}

impl ReadOnlyDb {
    /// Opens the database in `options.dir`. Of the options, those that concern writing mean
    /// nothing here.
    ///
    /// # Errors
    /// [`Error::Io`] if a process has the database open for writing, [`Error::Invalid`] if there is
    /// no database or one that this version cannot read, and as [`Db::open`](super::Db::open).
    pub fn open(options: &Options) -> Result<Self, Error> {
        check_options(options)?;
        let (vfs, dir) = (&*options.vfs, options.dir.as_path());
        let lock_path = dir.join("LOCK");
        let lock = vfs.lock_shared(&lock_path).map_err(Error::io("lock", &lock_path))?;
        let number = read_current(vfs, dir)?
            .ok_or_else(|| Error::Invalid(format!("there is no database in {}", dir.display())))?;
        let snapshot = read_manifest(vfs, dir, number)?;
        // A database that may only be read is welcome here.
        let readable = snapshot.features.check_readable();
        readable.map_err(|why| Error::Invalid(format!("{}: {why}", dir.display())))?;
        let cache = Arc::new(match &options.runtime {
            Some(runtime) => runtime.cache_for_database(),
            None => BlockCache::new(options.block_cache_bytes, options.block_bytes),
        });
        let (version, damaged) = open_tables(options, &snapshot, &cache)?;
        let memtable = Memtable::new(options.partitioning);
        let log_dir = dir.join(LOG_DIR);
        let mut replay = Replay::new(&log_dir, snapshot.flushed_seq, &memtable);
        let start =
            recovery::Start { min_segment: snapshot.min_segment, first_seq: snapshot.flushed_seq + 1 };
        let recovered =
            recovery::replay_only(vfs, &log_dir, start, &mut |segment, batch| replay.apply(segment, batch))?;
        let seq = recovered.last_seq;
        replay.check_end(seq)?;
        let quarantined = damaged.iter().copied().collect();
        let state = State {
            active: Arc::new(memtable),
            frozen: Vec::new(),
            version: Arc::new(version),
            totals: Arc::new(snapshot.counters),
            // Nobody listens: nothing is ever compacted.
            signals: Arc::default(),
            damage: Arc::new(Damage::new(damaged)),
        };
        let state = Arc::new(state);
        Ok(Self { state, views: Arc::default(), recovered, seq, damaged: quarantined, _lock: lock })
    }

    /// The last sequence in the database.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// What replaying the log found.
    #[must_use]
    pub const fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// The numbers of the tables and blob files in quarantine.
    #[must_use]
    pub fn quarantined(&self) -> &[u64] {
        &self.damaged
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let found = self.state.get_with(Lookup::new(key, NEWEST), |value| value.map(<[u8]>::to_vec))?;
        Ok(found.flatten())
    }

    /// The value of a counter.
    #[must_use]
    pub fn counter(&self, id: u16) -> i64 {
        self.state.counter(id)
    }

    /// The keys of a range in order.
    #[must_use]
    pub fn iter(&self, range: impl RangeBounds<[u8]>) -> Iter {
        Iter::new(self.view().pin, KeyRange::new(&range))
    }

    /// As [`ReadOnlyDb::iter`], over all keys.
    #[must_use]
    pub fn iter_all(&self) -> Iter {
        Iter::new(self.view().pin, KeyRange::all())
    }

    fn view(&self) -> ReadView {
        self.views.pin(self.seq, Arc::clone(&self.state))
    }

    /// As [`Db::verify_with`](super::Db::verify_with). The manifest and the log were read
    /// completely when the database was opened.
    pub fn verify(&self, progress: OnProgress<'_>) -> Result<Report, Error> {
        verify::verify(&self.state.version, progress)
    }
}
