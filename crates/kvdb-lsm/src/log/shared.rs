//! What the log's handle and its thread share, and the steps that both take.

use super::drain::{Drain, Written};
use super::options::{LogOptions, SLOW_SYNC, SyncPolicy};
use super::order::Order;
use super::progress::{FullReason, LogError, LogProgress, LogState};
use super::segments::{self, Segments};
use super::state::{AWAY, Counters, Halt, Marks, NO_SPARE, POISONED, REFUSED, SLOW, STALLED, Wake};
use super::worker::Clock;
use crate::apart::Apart;
use crate::sabotage::{self, Bug};
use crate::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock};
use crate::vfs::VfsFile;
use crate::wal::SegmentNumber;
use crate::wal::format::{framed_bound, segment_path};
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(super) type Listener = Box<dyn Fn(&LogProgress) + Send + Sync>;

/// Lock order: `removing`, `drain`, then `order` where it is held for longer than a moment, then `syncing`, then
/// any one of the others.
pub(super) struct Shared {
    pub(super) options: LogOptions,
    /// Written by every append; what it stands beside is read by every append.
    pub(super) order: Apart<Mutex<Order>>,
    pub(super) drain: Mutex<Drain>,
    /// Held over every sync of a segment. The system reports a lost page to one of two concurrent
    /// syncs only; the other must not take its own success for an answer. Counts how often the end
    /// of the log was taken back.
    pub(super) syncing: Mutex<u64>,
    pub(super) segments: Mutex<Segments>,
    /// Held by the one thread at a time that removes segments.
    pub(super) removing: Mutex<()>,
    pub(super) marks: Apart<Marks>,
    pub(super) flags: AtomicU32,
    pub(super) failure: OnceLock<Arc<str>>,
    pub(super) policy: AtomicU8,
    /// When the running sync began, in milliseconds of `clock` plus one; 0 if none is running.
    pub(super) sync_began: AtomicU64,
    /// When the last sync began that was counted as too slow, in the same way.
    pub(super) slow_began: AtomicU64,
    pub(super) counters: Counters,
    pub(super) listeners: RwLock<Vec<Listener>>,
    pub(super) wake: Wake,
    pub(super) clock: Clock,
}

impl Shared {
    pub(super) fn policy(&self) -> SyncPolicy {
        SyncPolicy::from_u8(self.policy.load(Ordering::Acquire))
    }

    pub(super) fn state(&self) -> LogState {
        if let Err(Halt::Poisoned(cause)) = self.check_poison() {
            return LogState::Poisoned(cause);
        }
        let flags = self.flags.load(Ordering::Acquire);
        if flags & STALLED != 0 || flags & (NO_SPARE | REFUSED) == NO_SPARE | REFUSED {
            LogState::Full(FullReason::NoSpace)
        } else if flags & SLOW != 0 {
            LogState::Full(FullReason::SlowDisk)
        } else {
            LogState::Open
        }
    }

    #[cold]
    pub(super) fn refusal(&self) -> LogError {
        match self.state() {
            LogState::Poisoned(cause) => LogError::Poisoned(cause),
            LogState::Full(reason) => self.refuse(reason),
            // The state has changed since the caller looked at it.
            LogState::Open => self.refuse(FullReason::Backlog),
        }
    }

    #[cold]
    pub(super) fn refuse(&self, reason: FullReason) -> LogError {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        LogError::Full(reason)
    }

    #[cold]
    pub(super) fn refuse_without_spare(&self) -> LogError {
        if self.flags.fetch_or(REFUSED, Ordering::AcqRel) & REFUSED == 0 {
            self.wake.poke();
        }
        self.refuse(FullReason::NoSpace)
    }

    /// Whether the disk has room for a batch of `len` bytes that no preallocation covers, and for
    /// the segment behind it. Taken without, it would stop the log until there is.
    #[cold]
    pub(super) fn disk_has_room(&self, len: u64) -> bool {
        let len = framed_bound(len).saturating_add(self.options.segment_bytes);
        segments::has_room(&self.options, len)
    }

    /// Leaves what was appended to the log's thread, for one that may not wait: listeners hear of it.
    pub(super) fn leave_to_thread(&self) {
        self.flags.fetch_or(AWAY, Ordering::AcqRel);
        self.wake.poke();
    }

    pub(super) fn check_poison(&self) -> Result<(), Halt> {
        if self.flags.load(Ordering::Acquire) & POISONED == 0 {
            return Ok(());
        }
        let cause = self.failure.get().expect("the cause is set before the flag");
        Err(Halt::Poisoned(Arc::clone(cause)))
    }

    /// Ends the log for good.
    #[cold]
    pub(super) fn poison(&self, action: &str, number: SegmentNumber, error: &io::Error) -> Halt {
        let path = segment_path(&self.options.dir, number);
        self.poison_because(format!("cannot {action} {}: {error}", path.display()))
    }

    /// Ends the log for good.
    #[cold]
    pub(super) fn poison_because(&self, cause: String) -> Halt {
        let cause = Arc::clone(self.failure.get_or_init(|| cause.into()));
        self.flags.fetch_or(POISONED, Ordering::AcqRel);
        self.wake.poke();
        Halt::Poisoned(cause)
    }

    /// Writes everything appended so far, and keeps the flag for a full disk.
    pub(super) fn advance(&self, drain: &mut Drain) -> Result<(), LogError> {
        self.keep_stall(drain.advance(self))
    }

    /// As [`Self::advance`], as far as that need not wait for the disk; tells whether it is everything.
    pub(super) fn advance_to_cut(&self, drain: &mut Drain) -> Result<bool, LogError> {
        self.keep_stall(drain.advance_to_cut(self))
    }

    /// Keeps the flag for a full disk.
    fn keep_stall<T>(&self, result: Result<T, Halt>) -> Result<T, LogError> {
        match result {
            Ok(done) => {
                if self.flags.load(Ordering::Acquire) & STALLED != 0 {
                    self.flags.fetch_and(!STALLED, Ordering::AcqRel);
                    self.wake.poke();
                }
                Ok(done)
            }
            Err(halt) => {
                if matches!(halt, Halt::NoSpace)
                    && self.flags.fetch_or(STALLED, Ordering::AcqRel) & STALLED == 0
                {
                    self.wake.poke();
                }
                Err(halt.into())
            }
        }
    }

    /// Writes everything appended so far and makes it durable. What a full disk keeps from being
    /// written does not keep the rest from becoming durable.
    pub(super) fn write_and_sync(&self) -> Result<(), LogError> {
        let target = self.marks.appended.bytes();
        let (advanced, written) = {
            let mut drain = self.drain.lock();
            (self.advance(&mut drain), drain.written())
        };
        if self.marks.durable.bytes() < target.min(written.position.bytes) {
            self.sync_segment(&written)?;
        }
        self.check_poison()?;
        advanced
    }

    /// Makes durable what is written.
    pub(super) fn sync_written(&self) -> Result<(), LogError> {
        let written = self.drain.lock().written();
        if self.marks.durable.bytes() < written.position.bytes {
            self.sync_segment(&written)?;
        }
        Ok(self.check_poison()?)
    }

    /// Makes everything written up to `written` durable, and publishes it.
    pub(super) fn sync_segment(&self, written: &Written) -> Result<(), Halt> {
        let ends = self.syncing.lock();
        self.sync_alone(&*written.segment.file, written.segment.number)?;
        written.segment.synced.fetch_max(written.offset, Ordering::Relaxed);
        if *ends == written.ends {
            let is_early = sabotage::has(Bug::EarlyDurable);
            self.marks.durable.raise(if is_early { self.marks.written.get() } else { written.position });
        }
        Ok(())
    }

    /// Syncs a file; a failure is final.
    pub(super) fn sync_file(&self, file: &dyn VfsFile, number: SegmentNumber) -> Result<(), Halt> {
        let _ends = self.syncing.lock();
        self.sync_alone(file, number)
    }

    /// As [`Shared::sync_file`], while the lock is held.
    fn sync_alone(&self, file: &dyn VfsFile, number: SegmentNumber) -> Result<(), Halt> {
        self.check_poison()?;
        let began = self.clock.now_millis() + 1;
        self.sync_began.store(began, Ordering::Release);
        let result = file.sync_data();
        self.sync_began.store(0, Ordering::Release);
        self.note_if_slow(began);
        self.flags.fetch_and(!SLOW, Ordering::AcqRel);
        match result {
            Ok(()) => {
                self.counters.syncs.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(e) => Err(self.poison("sync", number, &e)),
        }
    }

    /// Counts the sync that began at `began` if it has been running for too long, once; tells whether it has.
    fn note_if_slow(&self, began: u64) -> bool {
        let running = Duration::from_millis((self.clock.now_millis() + 1).saturating_sub(began));
        let is_slow = running > SLOW_SYNC;
        if is_slow && self.slow_began.swap(began, Ordering::AcqRel) != began {
            self.counters.delayed.fetch_add(1, Ordering::Relaxed);
        }
        is_slow
    }

    /// Counts a sync that takes too long, and makes appends be refused meanwhile under
    /// [`SyncPolicy::EverySec`]: under the other policies nobody is told that a write is safe before it
    /// is, or after a second. The log's thread cannot do it: it is the one that waits for the disk.
    pub(super) fn watch_slow_sync(&self) {
        let began = self.sync_began.load(Ordering::Acquire);
        if began == 0 || !self.note_if_slow(began) || self.policy() != SyncPolicy::EverySec {
            return;
        }
        if self.flags.fetch_or(SLOW, Ordering::AcqRel) & SLOW == 0 {
            // The sync may have ended just now; then nobody else would lift the flag.
            if self.sync_began.load(Ordering::Acquire) != began {
                self.flags.fetch_and(!SLOW, Ordering::AcqRel);
            }
        }
    }

    /// Removes the finished segments that are obsolete, from the first on: a log with a gap could not be
    /// opened. If another thread is at it, that one goes on. After a failed sync nothing is removed any more.
    pub(super) fn remove_obsolete(&self) {
        loop {
            if self.flags.load(Ordering::Acquire) & POISONED != 0 {
                return;
            }
            let Some(removing) = self.removing.try_lock() else { return };
            loop {
                let taken = self.segments.lock().take_obsolete();
                let Some((number, len)) = taken else { break };
                if segments::remove(&*self.options.vfs, &self.options.dir, number).is_err() {
                    // The next tick tries again.
                    self.segments.lock().finished.insert(number, len);
                    return;
                }
            }
            drop(removing);
            // Who came meanwhile has left it to this thread.
            if !self.segments.lock().has_obsolete() {
                return;
            }
        }
    }
}

impl From<Halt> for LogError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::NoSpace => Self::Full(FullReason::NoSpace),
            Halt::Poisoned(cause) => Self::Poisoned(cause),
        }
    }
}
