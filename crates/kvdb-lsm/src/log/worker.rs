//! The log's thread: due syncs, retries on a full disk, preallocation, listeners.

use super::options::{RETRY_INTERVAL, SYNC_INTERVAL, SyncPolicy};
use super::pace::Pace;
use super::progress::{LogProgress, LogState};
use super::segments::{create_spare, is_no_space};
use super::shared::Shared;
use super::state::{AWAY, NO_SPARE, POISONED, REFUSED, STALLED};
use crate::sync::Mutex;
use crate::sync::atomic::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Where the time of a log comes from, and when what is due.
#[derive(Debug)]
pub(super) struct Clock {
    base: Option<Instant>,
    agenda: Mutex<Agenda>,
}

#[derive(Debug, Default)]
struct Agenda {
    manual_now: Duration,
    last_sync: Duration,
    last_spare: Option<Duration>,
    spares: u64,
    last_retry: Option<Duration>,
    reported: Option<LogProgress>,
}

impl Clock {
    pub(super) fn monotonic() -> Self {
        // Under shuttle nothing may depend on how long something takes.
        let base = (!cfg!(kvdb_shuttle)).then(Instant::now);
        Self { base, agenda: Mutex::default() }
    }

    pub(super) fn manual() -> Self {
        Self { base: None, agenda: Mutex::default() }
    }

    pub(super) fn set(&self, now: Duration) {
        self.agenda.lock().manual_now = now;
    }

    pub(super) fn now(&self) -> Duration {
        self.base.map_or_else(|| self.agenda.lock().manual_now, |base| base.elapsed())
    }

    pub(super) fn now_millis(&self) -> u64 {
        u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

/// Runs until the log is closed or dropped.
pub(super) fn run(shared: &Shared) {
    let work = || {
        let mut pace = Pace::default();
        tick(shared);
        while shared.wake.wait(timeout(shared)) {
            pace.gather(shared);
            pace.observe(shared, || tick(shared));
        }
    };
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        shared.poison_because("the thread of the log panicked".to_owned());
        report(shared);
    }
}

/// How long the thread may sleep if nobody wakes it.
fn timeout(shared: &Shared) -> Option<Duration> {
    let flags = shared.flags.load(Ordering::Acquire);
    if flags & POISONED != 0 {
        return None;
    }
    if flags & (STALLED | NO_SPARE) != 0 {
        return Some(RETRY_INTERVAL);
    }
    match shared.policy() {
        SyncPolicy::EverySec => {
            let due = shared.clock.agenda.lock().last_sync + SYNC_INTERVAL;
            Some(due.saturating_sub(shared.clock.now()))
        }
        // Without a spare, another attempt may succeed.
        _ if shared.segments.lock().spare.is_none() => Some(RETRY_INTERVAL),
        _ => None,
    }
}

/// Does everything that is due.
pub(super) fn tick(shared: &Shared) {
    if shared.flags.load(Ordering::Acquire) & AWAY != 0 {
        write(shared);
    }
    write_and_sync(shared);
    prepare_spare(shared);
    shared.remove_obsolete();
    start_writeback(shared);
    report(shared);
}

/// Writes everything appended so far, while others leave it to this thread, and tells them.
fn write(shared: &Shared) {
    shared.flags.fetch_or(AWAY, Ordering::AcqRel);
    {
        let mut drain = shared.drain.lock();
        // Errors are kept as the state of the log, and reported from there.
        let done = shared.advance(&mut drain);
        shared.flags.fetch_and(!AWAY, Ordering::AcqRel);
        if done.is_ok() {
            // What was left to this thread up to that moment.
            let _ = shared.advance(&mut drain);
        }
    }
    report(shared);
}

fn write_and_sync(shared: &Shared) {
    let flags = shared.flags.load(Ordering::Acquire);
    if flags & POISONED != 0 {
        return;
    }
    let now = shared.clock.now();
    {
        let mut agenda = shared.clock.agenda.lock();
        if flags & STALLED != 0 {
            if agenda.last_retry.is_some_and(|last| now < last + RETRY_INTERVAL) {
                return;
            }
            agenda.last_retry = Some(now);
        }
        let requested = shared.wake.take_sync();
        let due = match shared.policy() {
            SyncPolicy::Always => true,
            SyncPolicy::EverySec => now >= agenda.last_sync + SYNC_INTERVAL,
            SyncPolicy::No => false,
        };
        if !due && !requested && flags & STALLED == 0 {
            return;
        }
        if due {
            agenda.last_sync = now;
        }
    }
    // Errors are kept as the state of the log, and reported from there.
    if shared.policy() == SyncPolicy::Always {
        let _ = shared.write_and_sync();
    } else {
        // Replies wait for no more than this.
        write(shared);
        let _ = shared.sync_written();
    }
}

fn prepare_spare(shared: &Shared) {
    let now = shared.clock.now();
    let number = {
        let flags = shared.flags.load(Ordering::Acquire);
        let mut agenda = shared.clock.agenda.lock();
        if flags & NO_SPARE != 0 && shared.segments.lock().spare.is_some() {
            // A segment was begun without one just before it came.
            shared.flags.fetch_and(!(NO_SPARE | REFUSED), Ordering::AcqRel);
        }
        if flags & POISONED != 0
            || shared.segments.lock().spare.is_some()
            || agenda.last_spare.is_some_and(|last| now < last + RETRY_INTERVAL)
        {
            return;
        }
        agenda.last_spare = Some(now);
        agenda.spares += 1;
        agenda.spares
    };
    match create_spare(&shared.options, number) {
        Ok(spare) => {
            shared.segments.lock().spare = Some(spare);
            shared.clock.agenda.lock().last_spare = None;
            shared.flags.fetch_and(!(NO_SPARE | REFUSED), Ordering::AcqRel);
        }
        Err(e) if is_no_space(&e) => {
            shared.flags.fetch_or(NO_SPARE, Ordering::AcqRel);
        }
        // Whatever it is, it is met again and judged when the segment is needed.
        Err(_) => {}
    }
}

/// Without syncs by the second, writeback is spread evenly instead of coming in bursts.
fn start_writeback(shared: &Shared) {
    if shared.policy() != SyncPolicy::No {
        return;
    }
    let range = shared.drain.lock().take_writeback();
    if let Some((segment, offset, len)) = range {
        // A hint: its failure means nothing.
        let _ = segment.file.start_writeback(offset, len);
    }
}

fn report(shared: &Shared) {
    let progress = LogProgress {
        written: shared.marks.written.seq(),
        durable: shared.marks.durable.seq(),
        state: shared.state(),
    };
    {
        let mut agenda = shared.clock.agenda.lock();
        let news = match &agenda.reported {
            None => progress.written > 0 || progress.state != LogState::Open,
            Some(last) => {
                (last.written, last.durable) != (progress.written, progress.durable)
                    || last.state != progress.state
            }
        };
        if !news {
            return;
        }
        agenda.reported = Some(progress.clone());
    }
    for listener in shared.listeners.read().iter() {
        // A panic is the listener's own failure, and was reported by the panic hook. Without this
        // thread nothing would ever be durable again.
        let _ = catch_unwind(AssertUnwindSafe(|| listener(&progress)));
    }
}
