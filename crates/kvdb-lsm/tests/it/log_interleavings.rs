//! The way of a batch through the log under shuttle: its place, the write, the sync, the change of
//! segments, and what those are told who wait for it.
//!
//! Whoever is told that something is durable cuts the power at once, and looks. That nobody waits for
//! ever needs no test of its own: shuttle calls it a deadlock.

use crate::db_interleavings::explore;
use kvdb_lsm::batch::{Op, Seq, WriteBatch};
use kvdb_lsm::log::{Log, LogError, LogOptions, LogState, SyncPolicy};
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;
use std::sync::Arc;
use std::time::Duration;

/// How many outcomes of a power cut are looked at.
const CRASHES: u64 = 6;

/// A log, and the order in which it gave batches their places.
struct Run {
    vfs: SimVfs,
    log: Log,
    /// The first sequence of each batch, and what is in it. Only touched inside the ordering lock.
    order: std::sync::Mutex<Vec<(Seq, u8)>>,
}

fn options(vfs: &SimVfs, policy: SyncPolicy) -> LogOptions {
    LogOptions { policy, segment_bytes: 4096, manual: true, ..LogOptions::new(Arc::new(vfs.clone()), "/log") }
}

/// The batches that a log has, as [`Run::order`] has them.
fn replay(vfs: &SimVfs) -> Vec<(Seq, u8)> {
    let mut found = Vec::new();
    Log::open(options(vfs, SyncPolicy::No), |_, batch| {
        let Some(Op::Put { value, .. }) = batch.iter().next() else { panic!("a batch of something else") };
        found.push((batch.first_seq(), value[0]));
        Ok(())
    })
    .expect("what is left can be opened");
    found
}

impl Run {
    fn new(options: LogOptions, vfs: SimVfs) -> Arc<Self> {
        let (log, _) = Log::open(options, |_, _| Ok(())).expect("open");
        Arc::new(Self { vfs, log, order: Default::default() })
    }

    fn append(&self, name: u8, bytes: usize) -> Result<Seq, LogError> {
        let mut batch = WriteBatch::new();
        batch.put(b"key", &vec![name; bytes]);
        let noted = |first| self.order.lock().expect("nobody panics while holding it").push((first, name));
        self.log.append(&batch, noted).map(|(last, ())| last)
    }

    /// What is left must be the first batches in their order, those up to `promised` among them.
    fn judge(&self, left: &SimVfs, promised: Seq) {
        let order = self.order.lock().expect("nobody panics while holding it").clone();
        let found = replay(left);
        assert!(order.starts_with(&found), "{found:?} came back of {order:?}");
        let last = found.last().map_or(0, |(first, _)| *first);
        assert!(last >= promised, "{last} came back, {promised} was promised");
    }

    fn judge_durable(&self, promised: Seq) {
        assert!(self.log.durable() >= promised);
        // What was not synced is lost in some of these.
        (0..CRASHES).for_each(|seed| self.judge(&self.vfs.crash(seed), promised));
    }
}

fn spawn<R: Send + 'static>(
    run: &Arc<Run>,
    body: impl FnOnce(&Run) -> R + Send + 'static,
) -> thread::JoinHandle<R> {
    let run = Arc::clone(run);
    thread::spawn(move || body(&run))
}

#[test]
fn a_sync_is_acknowledged_when_all_that_it_covers_is_durable() {
    let seen = explore(3000, || {
        let vfs = SimVfs::new();
        let run = Run::new(options(&vfs, SyncPolicy::Always), vfs);
        let writers = [1, 2].map(|name| {
            spawn(&run, move |run| {
                let seq = run.append(name, 10).expect("append");
                let synced = run.log.sync().expect("sync");
                assert!(synced >= seq);
                run.judge_durable(synced);
                (seq, synced)
            })
        });
        let seq = run.append(3, 10).expect("append");
        run.log.write_out(seq).expect("write");
        assert!(run.log.written() >= seq);
        run.judge(&run.vfs.process_crash(), seq);
        let durable = run.log.durable();
        run.judge_durable(durable);
        (seq, durable, writers.map(|writer| writer.join().expect("the writer ended well")))
    });
    println!("{} results", seen.len());
    assert!(seen.len() >= 10, "only {} different results: nothing was explored", seen.len());
}

#[test]
fn segments_change_without_a_gap_under_those_who_write() {
    let seen = explore(1500, || {
        let vfs = SimVfs::new();
        let run = Run::new(options(&vfs, SyncPolicy::EverySec), vfs);
        // Two batches fill a segment.
        let writers = [1, 2].map(|name| {
            spawn(&run, move |run| {
                for _ in 0..2 {
                    let seq = run.append(name, 1800).expect("append");
                    run.log.write_out(seq).expect("write");
                    run.judge(&run.vfs.process_crash(), seq);
                }
            })
        });
        let rotation = spawn(&run, |run| {
            let (number, before) = run.log.rotate(|last| last).expect("rotate");
            run.log.tick(Duration::from_secs(1));
            (number, before)
        });
        run.log.tick(Duration::ZERO);
        let durable = run.log.durable();
        run.judge_durable(durable);
        for writer in writers {
            writer.join().expect("the writer ended well");
        }
        let rotated = rotation.join().expect("the rotation ended well");
        let synced = run.log.sync().expect("sync");
        assert_eq!(synced, 4);
        run.judge_durable(synced);
        (durable, rotated, run.log.stats().segments)
    });
    println!("{} results", seen.len());
    assert!(seen.len() >= 4, "only {} different results: nothing was explored", seen.len());
}

#[test]
fn a_failed_sync_is_the_last_word_for_everybody() {
    let seen = explore(3000, || {
        let mut shown = Vec::new();
        // The write of the first, its sync, the write of the second, or its sync.
        for nth in 1..=4 {
            let vfs = SimVfs::new();
            // This policy makes no further writes, which may fail.
            let run = Run::new(options(&vfs, SyncPolicy::EverySec), vfs);
            run.vfs.fail(FaultPlan::once(nth, FaultKind::Io));
            let write = move |name| {
                move |run: &Run| match run.append(name, 10) {
                    Ok(seq) => match run.log.sync() {
                        Ok(synced) => {
                            assert!(synced >= seq);
                            run.judge_durable(synced);
                            true
                        }
                        Err(LogError::Poisoned(_)) => false,
                        Err(other) => panic!("{other}"),
                    },
                    Err(LogError::Poisoned(_)) => false,
                    Err(other) => panic!("{other}"),
                }
            };
            let writers = [1, 2].map(|name| spawn(&run, write(name)));
            let succeeded = writers.map(|writer| writer.join().expect("the writer ended well"));
            if run.vfs.heal() > 0 {
                assert!(succeeded != [true; 2], "a fault that nobody heard of");
                assert!(matches!(run.log.state(), LogState::Poisoned(_)), "{:?}", run.log.state());
                assert!(matches!(run.append(3, 10), Err(LogError::Poisoned(_))));
                assert!(matches!(run.log.sync(), Err(LogError::Poisoned(_))), "a later sync is believed");
                run.judge(&run.vfs.crash(nth), run.log.durable());
            }
            shown.push(succeeded);
        }
        shown
    });
    println!("{} results", seen.len());
    assert!(seen.len() >= 4, "only {} different results: nothing was explored", seen.len());
}

/// What a listener has heard.
#[derive(Default)]
struct Heard {
    progress: Mutex<(Seq, Seq, bool)>,
    changed: Condvar,
}

impl Heard {
    /// Waits until `is_enough` says yes to what is written and durable, or the log has stopped; false
    /// then.
    fn wait(&self, is_enough: impl Fn(Seq, Seq) -> bool) -> bool {
        let mut progress = self.progress.lock().expect("nobody panics while holding it");
        loop {
            let (written, durable, is_stopped) = *progress;
            if is_enough(written, durable) || is_stopped {
                return !is_stopped;
            }
            progress = self.changed.wait(progress).expect("nobody panics while holding it");
        }
    }
}

/// A log with its thread, and what its listener hears.
fn with_thread(policy: SyncPolicy) -> (Arc<Run>, Arc<Heard>) {
    let vfs = SimVfs::new();
    let run = Run::new(LogOptions { manual: false, ..options(&vfs, policy) }, vfs);
    let heard = Arc::new(Heard::default());
    let listener = Arc::clone(&heard);
    run.log.add_listener(Box::new(move |progress| {
        let is_stopped = matches!(progress.state, LogState::Poisoned(_));
        let now = (progress.written, progress.durable, is_stopped);
        *listener.progress.lock().expect("nobody panics while holding it") = now;
        listener.changed.notify_all();
    }));
    (run, heard)
}

fn close(run: Arc<Run>) {
    let run = Arc::into_inner(run).expect("the writers have ended");
    run.log.close().expect("close");
    assert_eq!(replay(&run.vfs.crash(1)), run.order.into_inner().expect("nobody panicked with it"));
}

#[test]
fn whoever_waits_for_the_thread_of_the_log_hears_when_it_is_durable() {
    let seen = explore(1500, || {
        let (run, heard) = with_thread(SyncPolicy::Always);
        let writers = [1, 2].map(|name| {
            let heard = Arc::clone(&heard);
            spawn(&run, move |run| {
                // Before the second sync the thread waits for as many as were in the first.
                [(); 2].map(|()| {
                    let seq = run.append(name, 10).expect("append");
                    run.log.request_sync();
                    assert!(heard.wait(|_, durable| durable >= seq), "the log has stopped");
                    run.judge_durable(seq);
                    run.log.durable() - seq
                })
            })
        });
        let ahead = writers.map(|writer| writer.join().expect("the writer ended well"));
        close(run);
        ahead
    });
    println!("{} results", seen.len());
    assert!(seen.len() >= 3, "only {} different results: nothing was explored", seen.len());
}

#[test]
fn what_is_left_to_the_thread_of_the_log_is_written() {
    explore(1500, || {
        let (run, heard) = with_thread(SyncPolicy::No);
        let writers = [1, 2].map(|name| {
            let heard = Arc::clone(&heard);
            spawn(&run, move |run| {
                // The second of them begins a segment, for which nobody but the thread may wait.
                for _ in 0..2 {
                    let seq = run.append(name, 1800).expect("append");
                    run.log.write_soon(seq).expect("write");
                    if run.log.written() < seq {
                        assert!(heard.wait(|written, _| written >= seq), "the log has stopped");
                    }
                    run.judge(&run.vfs.process_crash(), seq);
                }
            })
        });
        for writer in writers {
            writer.join().expect("the writer ended well");
        }
        let segments = run.log.stats().segments;
        close(run);
        segments
    });
}

#[test]
fn a_failure_reaches_all_who_wait_for_the_thread_of_the_log() {
    let seen = explore(1500, || {
        let (run, heard) = with_thread(SyncPolicy::Always);
        run.vfs.fail(FaultPlan::from(4, FaultKind::Io));
        let writers = [1, 2].map(|name| {
            let heard = Arc::clone(&heard);
            spawn(&run, move |run| match run.append(name, 10) {
                Ok(seq) => {
                    run.log.request_sync();
                    let durable = heard.wait(|_, durable| durable >= seq);
                    if durable {
                        run.judge_durable(seq);
                    }
                    durable
                }
                Err(LogError::Poisoned(_)) => false,
                Err(other) => panic!("{other}"),
            })
        });
        writers.map(|writer| writer.join().expect("the writer ended well"))
    });
    println!("{} results", seen.len());
    assert!(seen.len() >= 2, "only {} different results: nothing was explored", seen.len());
}
