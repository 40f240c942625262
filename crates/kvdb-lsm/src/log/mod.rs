//! The commit log: orders batches, groups them, writes them, and makes them durable.
//!
//! Three steps, each with its own lock, so that none waits for the next:
//!
//! 1. [`Log::append`] gives a batch its sequence numbers and copies it into a buffer. One memcpy
//!    under the *ordering lock*; never any I/O.
//! 2. [`Log::write_out`] takes the whole buffer, frames it as one record, and writes it with one
//!    system call. Whoever comes first leads and writes for all; the others find their work done.
//!    Meanwhile the next group gathers in a second buffer.
//! 3. A *sync* makes what was written durable, while further groups are appended and written.
//!
//! What a batch may be acknowledged on is the caller's choice: [`Log::written`] survives the
//! process, [`Log::durable`] the machine. After a crash, what is recovered is a prefix of what was
//! appended that contains at least everything durable.
//!
//! # Failures
//!
//! * A sync that fails poisons the log: the system may have dropped the pages and a later success
//!   would be a lie. Nothing is acknowledged any more; the process must restart. The same holds
//!   for a write that fails for another reason than space.
//! * A full disk refuses appends before anything is buffered: the next segment is preallocated
//!   before the current one is full. If a write runs out of space nevertheless, it is taken up
//!   again at the same place until it succeeds; nothing is dropped or reordered.
//!
//! # What it does not do
//!
//! It knows nothing of tables or memtables: which segments are still needed, its owner says.

mod drain;
mod options;
mod order;
mod pace;
mod progress;
mod segments;
mod shared;
mod state;
mod truncate;
mod worker;

pub use crate::wal::{Recovered, SegmentNumber, TornTail};
pub use options::{LogOptions, SyncPolicy};
pub use progress::{FullReason, LogError, LogProgress, LogState, LogStats};

use crate::apart::Apart;
use crate::batch::{BatchView, Seq, WriteBatch};
use crate::error::Error;
use crate::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::sync::thread::{Builder, JoinHandle};
use crate::sync::{Mutex, RwLock};
use crate::vfs::create_dir_durably;
use crate::wal::format::segment_path;
use crate::wal::recovery;
use drain::Drain;
use options::SHORT_WRITE;
use order::Order;
use segments::{Origin, Segment, Segments};
use shared::Shared;
use state::{AWAY, Counters, Mark, Marks, NO_SPARE, POISONED, Position, SLOW, STALLED, Wake};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use worker::Clock;

/// A commit log. See the [module documentation](self).
pub struct Log {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Opens the log in `options.dir`, creating it if needed. Every batch found is given to
    /// `replay`, in order, with the segment it is in; an error of `replay` ends the opening.
    ///
    /// The log goes on in a new segment. When this returns, everything replayed is durable.
    ///
    /// # Errors
    /// [`Error::Corruption`] if durable data is damaged or missing; nothing was changed then, but
    /// batches may have been replayed. [`Error::Io`] if the file system fails.
    pub fn open(
        options: LogOptions,
        mut replay: impl FnMut(SegmentNumber, BatchView<'_>) -> Result<(), Error>,
    ) -> Result<(Self, Recovered), Error> {
        let (vfs, dir) = (&*options.vfs, options.dir.as_path());
        if options.first_seq == 0 || options.segment_bytes < 4096 {
            let why = "a log needs a first sequence number above 0 and segments of 4 KiB or more";
            return Err(Error::Invalid(why.to_owned()));
        }
        create_dir_durably(vfs, dir).map_err(Error::io("create", dir))?;
        let start = recovery::Start { min_segment: options.min_segment, first_seq: options.first_seq };
        let found = recovery::recover(vfs, dir, start, &mut replay)?;
        let obsolete = segments::clean(vfs, dir, options.min_segment).map_err(Error::io("clean", dir))?;

        let number = found.next_segment;
        let next_seq = found.recovered.last_seq + 1;
        let path = segment_path(dir, number);
        let mut capacity = options.segment_bytes;
        let new = segments::begin(&options, number, next_seq, Origin::New);
        let begun = match new {
            Err(e) if segments::is_no_space(&e) => {
                // Open for reading at least; appends wait until a segment can be preallocated.
                capacity = 0;
                segments::begin(&options, number, next_seq, Origin::Bare)
            }
            other => other,
        };
        let begun = begun.map_err(Error::io("create", &path))?;
        begun.file.sync_all().map_err(Error::io("sync", &path))?;
        begun.publish(vfs, dir).map_err(Error::io("create", &path))?;

        let last_seq = next_seq - 1;
        let synced = AtomicU64::new(begun.framer.offset());
        let segment = Segment { number, file: begun.file, synced };
        // What is obsolete has no length that anybody would count.
        let obsolete = obsolete.into_iter().map(|number| (number, 0));
        let segments = Segments {
            finished: obsolete.chain(found.segments.iter().copied()).collect(),
            obsolete_below: 0,
            spare: None,
        };
        let marks = || Mark::new(last_seq);
        let manual = options.manual;
        let counters =
            Counters { segment_bytes: AtomicU64::new(begun.framer.offset()), ..Counters::default() };
        let shared = Arc::new(Shared {
            order: Apart::new(Mutex::new(Order::new(number, next_seq, capacity, options.segment_bytes))),
            drain: Mutex::new(Drain::new(segment, begun.framer, last_seq, capacity == 0)),
            syncing: Mutex::new(0),
            segments: Mutex::new(segments),
            removing: Mutex::new(()),
            marks: Apart::new(Marks { appended: marks(), written: marks(), durable: marks() }),
            flags: AtomicU32::new(if capacity == 0 { NO_SPARE } else { 0 }),
            failure: OnceLock::new(),
            policy: AtomicU8::new(options.policy.to_u8()),
            sync_began: AtomicU64::new(0),
            slow_began: AtomicU64::new(0),
            counters,
            listeners: RwLock::new(Vec::new()),
            wake: Wake::default(),
            clock: if manual { Clock::manual() } else { Clock::monotonic() },
            options,
        });
        let mut log = Self { shared, thread: None };
        if !manual {
            let shared = Arc::clone(&log.shared);
            let thread = Builder::new().name("kvdb-log".to_owned());
            let thread = thread.spawn(move || worker::run(&shared));
            log.thread = Some(thread.map_err(Error::io("start the thread of", &log.shared.options.dir))?);
        }
        Ok((log, found.recovered))
    }

    /// Gives the batch its sequence numbers and copies it into the buffer; never does I/O or waits
    /// for it, except that it asks how much space is free before it takes a batch larger than a
    /// segment. `under_lock` is given the first of the numbers and runs inside the ordering lock:
    /// what it does has the order of the log. Returns the last number with its result.
    ///
    /// An empty batch takes no place in the log. A batch that takes no sequence number returns the
    /// last one before it; only [`Log::sync`] can tell when such a batch is durable.
    ///
    /// # Errors
    /// Nothing was taken, and `under_lock` did not run.
    #[inline]
    pub fn append<R>(
        &self,
        batch: &WriteBatch,
        under_lock: impl FnOnce(Seq) -> R,
    ) -> Result<(Seq, R), LogError> {
        let shared = &*self.shared;
        let flags = shared.flags.load(Ordering::Acquire);
        if flags & (STALLED | SLOW | POISONED) != 0 {
            return Err(shared.refusal());
        }
        let size = batch.ops_bytes().len();
        let len = match u32::try_from(size) {
            Ok(len) if size <= shared.options.max_batch_bytes => len,
            _ => return Err(LogError::TooLarge),
        };
        if size as u64 > shared.options.segment_bytes && !shared.disk_has_room(size as u64) {
            return Err(shared.refuse(FullReason::NoSpace));
        }
        let mut order = shared.order.lock();
        if !batch.is_empty() {
            if !order.has_room(shared.marks.written.bytes(), shared.options.max_buffered_bytes) {
                drop(order);
                shared.leave_to_thread();
                return Err(shared.refuse(FullReason::Backlog));
            }
            if order.needs_cut(size) {
                if flags & NO_SPARE != 0 {
                    drop(order);
                    return Err(shared.refuse_without_spare());
                }
                order.cut();
            }
        }
        let result = under_lock(order.next_seq());
        if !batch.is_empty() {
            order.push(batch, len);
        }
        let last = order.next_seq() - 1;
        shared.marks.appended.set(Position { seq: last, bytes: order.position() });
        drop(order);
        Ok((last, result))
    }

    /// The last sequence number appended.
    #[must_use]
    pub fn appended(&self) -> Seq {
        self.shared.marks.appended.seq()
    }

    /// The last sequence number that survives the process.
    #[must_use]
    pub fn written(&self) -> Seq {
        self.shared.marks.written.seq()
    }

    /// The last sequence number that survives the machine.
    #[must_use]
    pub fn durable(&self) -> Seq {
        self.shared.marks.durable.seq()
    }

    /// Writes at least everything up to `up_to` to the system. If another thread is writing, waits
    /// for it; usually it has written this thread's batches too.
    ///
    /// # Errors
    /// [`LogError::Full`] when the disk is full: what was appended is kept and written later.
    pub fn write_out(&self, up_to: Seq) -> Result<(), LogError> {
        let shared = &*self.shared;
        shared.watch_slow_sync();
        if self.written() >= up_to {
            return Ok(());
        }
        if shared.flags.load(Ordering::Acquire) & (STALLED | POISONED) != 0 {
            return Err(shared.refusal());
        }
        let mut drain = shared.drain.lock();
        if self.written() >= up_to {
            return Ok(());
        }
        match shared.advance(&mut drain) {
            // The disk filled up behind what was asked for.
            Err(LogError::Full(_)) if self.written() >= up_to => Ok(()),
            other => other,
        }
    }

    /// As [`Self::write_out`], for a thread that others wait for: where writing would have to wait for the disk, since a
    /// segment ends, or for a thread that waits for it, it is left to the log's thread, and listeners hear of it.
    ///
    /// # Errors
    /// As [`Self::write_out`].
    pub fn write_soon(&self, up_to: Seq) -> Result<(), LogError> {
        let shared = &*self.shared;
        shared.watch_slow_sync();
        if self.written() >= up_to {
            return Ok(());
        }
        let flags = shared.flags.load(Ordering::Acquire);
        if flags & (STALLED | POISONED) != 0 {
            return Err(shared.refusal());
        }
        if flags & AWAY != 0 {
            return Ok(());
        }
        let Some(mut drain) = shared.drain.try_lock_for(SHORT_WRITE) else {
            // Whoever writes has come to the end of a segment, and waits for the disk.
            shared.leave_to_thread();
            return Ok(());
        };
        if self.written() < up_to && !shared.advance_to_cut(&mut drain)? {
            shared.leave_to_thread();
        }
        Ok(())
    }

    /// Asks the log's thread to write and sync everything appended so far; returns at once.
    /// Listeners hear of the result.
    pub fn request_sync(&self) {
        self.shared.wake.request_sync(self.appended());
    }

    /// Writes and syncs everything appended before the call; returns its last sequence number.
    pub fn sync(&self) -> Result<Seq, LogError> {
        let seq = self.appended();
        self.shared.write_and_sync()?;
        self.shared.wake.poke();
        Ok(seq)
    }

    /// Adds a listener, which the log's thread calls after it has moved `written` or `durable`, or the state changed.
    /// Listeners must be quick, and must not add listeners.
    pub fn add_listener(&self, listener: Box<dyn Fn(&LogProgress) + Send + Sync>) {
        self.shared.listeners.write().push(listener);
    }

    /// Cuts the log: what is appended from now on goes into a new segment. `under_lock` is given
    /// the last sequence number before the cut and runs at the cut, inside the ordering lock.
    /// Returns the number of the segment with its result. If the current segment is still empty,
    /// it is the new one.
    ///
    /// No I/O happens here. Before anything in the new segment is written, the old one is complete
    /// and durable. On a full disk the new segment takes no batches until there is space, but its
    /// owner can let go of the old ones.
    pub fn rotate<R>(&self, under_lock: impl FnOnce(Seq) -> R) -> Result<(SegmentNumber, R), LogError> {
        let shared = &*self.shared;
        let flags = shared.flags.load(Ordering::Acquire);
        if flags & (STALLED | POISONED) != 0 {
            return Err(shared.refusal());
        }
        let mut order = shared.order.lock();
        if !order.segment_is_empty() {
            let number = order.cut();
            if flags & NO_SPARE != 0 {
                // The owner may free space once it has the cut; batches wait until there is some.
                order.has_no_room(number);
            }
        }
        let number = order.segment();
        let result = under_lock(order.next_seq() - 1);
        drop(order);
        shared.wake.poke();
        Ok((number, result))
    }

    /// Says that the segments before `number` are not needed any more. Those that are finished are
    /// removed now, in order and by one thread at a time, the others later.
    pub fn remove_before(&self, number: SegmentNumber) {
        {
            let mut segments = self.shared.segments.lock();
            segments.obsolete_below = segments.obsolete_below.max(number);
        }
        self.shared.remove_obsolete();
    }

    /// Changes the policy from now on.
    pub fn set_policy(&self, policy: SyncPolicy) {
        self.shared.policy.store(policy.to_u8(), Ordering::Release);
        // Whatever the thread waits for: under another policy it may not sync what it was asked to.
        self.shared.wake.request_sync(Seq::MAX);
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> SyncPolicy {
        self.shared.policy()
    }

    /// Whether the log takes batches.
    #[must_use]
    pub fn state(&self) -> LogState {
        self.shared.state()
    }

    /// Why nothing will ever be written any more, if so.
    #[inline]
    #[must_use]
    pub fn failure(&self) -> Option<&Arc<str>> {
        let is_poisoned = self.shared.flags.load(Ordering::Acquire) & POISONED != 0;
        self.shared.failure.get().filter(|_| is_poisoned)
    }

    /// Statistics since the log was opened. Never waits for the disk.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        let segments = self.shared.segments.lock();
        let current = self.shared.counters.segment_bytes.load(Ordering::Relaxed);
        LogStats {
            appended_bytes: self.shared.marks.appended.bytes(),
            segments: segments.finished.len() as u64 + 1,
            live_bytes: segments.finished.values().sum::<u64>() + current,
            ..self.shared.counters.stats()
        }
    }

    /// Does what the log's thread would do at the time `now` (since any fixed point): due syncs,
    /// retries, preallocation, listeners. For logs opened with [`LogOptions::manual`]; others
    /// ignore it.
    pub fn tick(&self, now: Duration) {
        if self.thread.is_none() {
            self.shared.clock.set(now);
            worker::tick(&self.shared);
        }
    }

    /// Writes and syncs everything, finishes the last segment, and ends the thread. Without
    /// this a dropped log ends like a crash of the process: what was not written is lost.
    pub fn close(mut self) -> Result<(), LogError> {
        self.stop_thread();
        let shared = &*self.shared;
        // Synced before the trailer is framed, so that the trailer can promise it.
        shared.write_and_sync()?;
        let mut drain = shared.drain.lock();
        drain.finish(shared).map_err(LogError::from)?;
        // A leftover is removed at the next opening as well.
        let spare = shared.segments.lock().spare.take();
        let _ = spare.map(|spare| spare.remove(&*shared.options.vfs));
        Ok(())
    }

    fn stop_thread(&mut self) {
        self.shared.wake.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop_thread();
    }
}
