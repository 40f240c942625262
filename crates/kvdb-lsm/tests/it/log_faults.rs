//! I/O faults: each call of a script fails once, or fails from then on; the disk fills up; a sync
//! hangs.

use crate::hooked::{Hooked, Hooks};
use crate::support::{Rng, batch, cases, open, options};
use kvdb_lsm::batch::{Seq, WriteBatch};
use kvdb_lsm::log::{FullReason, Log, LogError, LogOptions, LogState, SyncPolicy};
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs, VfsFile};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

const POLICIES: [SyncPolicy; 3] = [SyncPolicy::Always, SyncPolicy::EverySec, SyncPolicy::No];

/// A script that meets every kind of I/O: returns the batches taken and the marks reached.
fn script(log: &Log) -> (u64, Seq, Seq) {
    let mut taken = 0;
    let mut now = Duration::ZERO;
    for round in 0..60 {
        if log.append(&batch(taken), |_| ()).is_ok() {
            taken += 1;
        }
        now += Duration::from_millis(60);
        // Refusals are checked by their effects: what is recovered in the end.
        let _ = match round % 6 {
            0 | 3 => log.write_out(log.appended()),
            2 => log.sync().map(|_| ()),
            5 if round % 4 == 1 => log.rotate(|_| ()).map(|_| ()),
            _ => {
                log.tick(now);
                Ok(())
            }
        };
        assert!(log.durable() <= log.written() && log.written() <= log.appended());
    }
    (taken, log.written(), log.durable())
}

fn check(vfs: &SimVfs, taken: u64, at_least: Seq, context: &str) {
    let (log, recovered, replayed) =
        open(options(vfs, SyncPolicy::No)).unwrap_or_else(|e| panic!("{context}: {e}"));
    replayed.assert_prefix(context);
    assert!(recovered.last_seq >= at_least, "{context}: {} < {at_least}", recovered.last_seq);
    assert!(replayed.batches.len() as u64 <= taken, "{context}");
    // Once opened, what was replayed is durable, whatever the cache claimed about it before.
    let (_, later, _) = open(options(&vfs.crash(taken + at_least), SyncPolicy::No))
        .unwrap_or_else(|e| panic!("{context}, then a power cut: {e}"));
    assert!(later.last_seq >= recovered.last_seq, "{context}: {later:?} after {recovered:?}");
    log.append(&batch(replayed.batches.len() as u64), |_| ()).expect("it goes on");
    log.close().expect("closed");
    let (_, _, again) = open(options(vfs, SyncPolicy::No)).expect("opened");
    again.assert_prefix(context);
    assert_eq!(again.batches.len(), replayed.batches.len() + 1, "{context}");
}

fn sweep(plan: fn(u64, FaultKind) -> FaultPlan) {
    for policy in POLICIES {
        let calls = {
            let vfs = SimVfs::new();
            let (log, ..) = open(options(&vfs, policy)).expect("fresh");
            let (taken, ..) = script(&log);
            assert_eq!(taken, 60);
            vfs.operations()
        };
        assert!(calls > 60);
        for kind in [FaultKind::Io, FaultKind::NoSpace, FaultKind::Short] {
            for n in 1..=calls {
                let context = format!("{policy:?}, {:?}", plan(n, kind));
                let vfs = SimVfs::new();
                vfs.fail(plan(n, kind));
                let Ok((log, ..)) = open(options(&vfs, policy)) else {
                    vfs.heal();
                    check(&vfs.crash(n), 0, 0, &context);
                    continue;
                };
                let (taken, written, durable) = script(&log);
                drop(log);
                let copy = vfs.process_crash();
                check(&vfs.crash(n), taken, durable, &context);
                check(&copy, taken, written, &context);
            }
        }
    }
}

#[test]
fn any_one_call_may_fail() {
    sweep(FaultPlan::once);
}

#[test]
fn all_calls_may_fail_from_any_one_on() {
    sweep(FaultPlan::from);
}

#[test]
fn a_failed_sync_poisons_for_good_and_listeners_learn_it() {
    let vfs = SimVfs::new();
    let (log, ..) = open(options(&vfs, SyncPolicy::Always)).expect("fresh");
    let states = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&states);
    log.add_listener(Box::new(move |p| seen.lock().expect("no panic").push(p.clone())));
    let (first, ()) = log.append(&batch(0), |_| ()).expect("appended");
    log.tick(Duration::ZERO);
    let (second, ()) = log.append(&batch(1), |_| ()).expect("appended");
    log.write_out(second).expect("written");
    vfs.fail(FaultPlan::once(1, FaultKind::Io));
    let error = log.sync().expect_err("the sync fails");
    assert!(matches!(&error, LogError::Poisoned(cause) if cause.contains("sync")), "{error}");
    assert_eq!(vfs.heal(), 1);
    for _ in 0..3 {
        log.tick(Duration::from_secs(5));
        assert!(matches!(log.append(&batch(2), |_| ()), Err(LogError::Poisoned(_))));
        assert!(matches!(log.sync(), Err(LogError::Poisoned(_))));
        assert!(matches!(log.rotate(|_| ()), Err(LogError::Poisoned(_))));
        assert_eq!((log.written(), log.durable()), (second, first));
    }
    assert!(matches!(log.close(), Err(LogError::Poisoned(_))));
    let states = states.lock().expect("no panic");
    assert_eq!((states[0].durable, &states[0].state), (first, &LogState::Open));
    assert!(matches!(states[1].state, LogState::Poisoned(_)) && states.len() == 2);
}

/// Fills the disk up to the capacity; returns the batches taken.
fn fill(log: &Log, mut next: u64, now: &mut Duration) -> u64 {
    for _ in 0..10_000 {
        match log.append(&batch(next), |_| ()) {
            Ok((seq, ())) => {
                next += 1;
                // A refusal here means the write is kept for later.
                let _ = log.write_out(seq);
            }
            Err(error) => {
                assert_eq!(error, LogError::Full(FullReason::NoSpace));
                return next;
            }
        }
        *now += Duration::from_millis(30);
        log.tick(*now);
    }
    panic!("the disk never fills up");
}

#[test]
fn a_full_disk_refuses_before_anything_is_buffered_and_goes_on_by_itself() {
    for seed in 0..cases(40) {
        let mut rng = Rng::new(seed);
        let vfs = SimVfs::new();
        let (log, ..) = open(options(&vfs, SyncPolicy::EverySec)).expect("fresh");
        let states = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&states);
        log.add_listener(Box::new(move |p| seen.lock().expect("no panic").push(p.state.clone())));
        let mut now = Duration::ZERO;
        let mut capacity = 40_000 + rng.below(40_000);
        let (mut next, mut was_full) = (0, false);
        for _ in 0..3 {
            vfs.set_capacity(Some(capacity));
            next = fill(&log, next, &mut now);
            now += Duration::from_secs(1);
            log.tick(now);
            // A batch larger than a segment is refused for itself.
            was_full |= log.state() != LogState::Open;
            assert!(log.append(&batch(next), |_| ()).is_err());
            // Nothing of what was taken is lost, whatever happens now.
            let (_, _, kept) = {
                let copy = vfs.process_crash();
                open(options(&copy, SyncPolicy::No)).expect("opened")
            };
            kept.assert_prefix("while full");
            assert!(kept.last_seq() >= log.written());
            capacity += 50_000;
            vfs.set_capacity(Some(capacity));
            now += Duration::from_secs(1);
            log.tick(now);
            assert_eq!(log.state(), LogState::Open, "seed {seed}");
            assert_eq!(log.durable(), log.appended(), "what was kept is written");
        }
        let seen = states.lock().expect("no panic").clone();
        let full = LogState::Full(FullReason::NoSpace);
        assert!(seen.contains(&full) == was_full && seen.last() == Some(&LogState::Open), "{seen:?}");
        vfs.set_capacity(None);
        log.close().expect("closed");
        let (_, _, replayed) = open(options(&vfs, SyncPolicy::No)).expect("opened");
        replayed.assert_prefix("in the end");
        assert_eq!(replayed.batches.len() as u64, next);
    }
}

#[test]
fn ordinary_batches_never_run_into_the_end_of_the_disk() {
    let vfs = SimVfs::new();
    vfs.set_capacity(Some(100_000));
    let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("fresh");
    let mut small = WriteBatch::new();
    small.put(b"key", &[1; 50]);
    log.tick(Duration::ZERO);
    let mut taken = 0;
    while let Ok((seq, ())) = log.append(&small, |_| ()) {
        log.write_out(seq).expect("room is known before a batch is taken");
        log.tick(Duration::from_millis(100 * taken));
        taken += 1;
    }
    assert_eq!(log.written(), taken, "all that was taken is written");
    assert!(taken > 500, "{taken}");
}

#[test]
fn a_full_disk_can_be_rotated_and_freed_by_its_owner() {
    for seed in 0..cases(20) {
        let mut rng = Rng::new(seed);
        let vfs = SimVfs::new();
        let options = LogOptions { reserve_bytes: 1000, ..options(&vfs, SyncPolicy::EverySec) };
        let (log, ..) = open(options).expect("fresh");
        // Less than a segment is left when the log is full.
        vfs.set_capacity(Some(70_000 + rng.below(16_000)));
        let mut now = Duration::ZERO;
        for _ in 0..4 {
            let mut taken = 0;
            loop {
                let mut batch = WriteBatch::new();
                batch.put(b"key", &vec![1; rng.below(900) as usize]);
                let Ok((seq, ())) = log.append(&batch, |_| ()) else { break };
                log.write_out(seq).expect("written");
                now += Duration::from_millis(110);
                log.tick(now);
                taken += 1;
            }
            assert!(taken > 50, "seed {seed}: {taken}");
            assert_eq!(log.state(), LogState::Full(FullReason::NoSpace));
            // The owner has the batches elsewhere, and lets go of them.
            let (segment, ()) = log.rotate(|_| ()).expect("a cut needs no space for a whole segment");
            assert!(log.append(&batch(0), |_| ()).is_err(), "there is no more space than before");
            assert_eq!(log.sync(), Ok(log.appended()));
            log.remove_before(segment);
            now += Duration::from_secs(1);
            log.tick(now);
            assert_eq!(log.state(), LogState::Open, "seed {seed}");
        }
    }
}

#[test]
fn a_rotation_that_cuts_nothing_costs_no_room() {
    let vfs = SimVfs::new();
    vfs.set_capacity(Some(20 << 10));
    let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("fresh");
    // There is no space for a second segment, but the first is preallocated.
    log.tick(Duration::ZERO);
    assert_eq!(log.rotate(|_| ()), Ok((1, ())));
    log.append(&batch(0), |_| ()).expect("appended");
    log.sync().expect("synced");
}

#[test]
fn a_batch_larger_than_the_disk_is_refused_and_the_rest_goes_on() {
    let vfs = SimVfs::new();
    let (log, ..) = open(options(&vfs, SyncPolicy::EverySec)).expect("fresh");
    log.tick(Duration::ZERO);
    vfs.set_capacity(Some(vfs.used_bytes() + 100_000));
    let mut large = WriteBatch::new();
    large.put(b"k", &[9; 150_000]);
    assert_eq!(log.append(&large, |_| ()), Err(LogError::Full(FullReason::NoSpace)));
    assert_eq!(log.state(), LogState::Open);
    log.append(&batch(0), |_| ()).expect("appended");
    log.sync().expect("synced");
    let mut fits = WriteBatch::new();
    fits.put(b"k", &[9; 40_000]);
    log.append(&fits, |_| ()).expect("appended");
    log.sync().expect("synced");
}

#[test]
fn a_log_opens_on_a_full_disk_and_takes_batches_once_there_is_space() {
    let vfs = SimVfs::new();
    let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("fresh");
    log.append(&batch(0), |_| ()).expect("appended");
    log.close().expect("closed");
    vfs.set_capacity(Some(vfs.used_bytes() + 100));
    let (log, _, replayed) = open(options(&vfs, SyncPolicy::No)).expect("opened");
    assert_eq!(replayed.batches.len(), 1);
    assert_eq!(log.append(&batch(1), |_| ()), Err(LogError::Full(FullReason::NoSpace)));
    vfs.set_capacity(None);
    log.tick(Duration::from_secs(1));
    log.append(&batch(1), |_| ()).expect("appended");
    log.close().expect("closed");
    open(options(&vfs, SyncPolicy::No)).expect("opened").2.assert_prefix("after space returned");
}

/// A disk whose syncs, or writes, wait until they are let through.
#[derive(Default)]
struct Hanging {
    state: Mutex<(Option<Call>, bool)>,
    changed: Condvar,
}

/// What waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Sync,
    Write,
}

impl Hanging {
    /// Makes the coming calls of a kind wait, or lets all through.
    fn hold(&self, held: Option<Call>) {
        self.state.lock().expect("no panic").0 = held;
        self.changed.notify_all();
    }

    /// Waits until a call waits.
    fn wait_for_a_call(&self) {
        let state = self.state.lock().expect("no panic");
        drop(self.changed.wait_while(state, |(_, waiting)| !*waiting).expect("no panic"));
    }

    fn pass(&self, call: Call) {
        let mut state = self.state.lock().expect("no panic");
        if state.0 != Some(call) {
            return;
        }
        state.1 = true;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |(held, _)| *held == Some(call)).expect("no panic");
        state.1 = false;
    }
}

impl Hooks for Hanging {
    fn before_write(&self, _path: &Path) {
        self.pass(Call::Write);
    }

    fn sync_data(&self, _path: &Path, file: &dyn VfsFile) -> io::Result<()> {
        self.pass(Call::Sync);
        file.sync_data()
    }
}

/// A log on a disk that hangs when it is told to.
fn open_hanging(options: LogOptions) -> (Arc<Hanging>, Log) {
    let gate = Arc::new(Hanging::default());
    let vfs = Arc::new(Hooked { disk: SimVfs::new(), hooks: Arc::clone(&gate) });
    let (log, ..) = open(LogOptions { vfs, ..options }).expect("fresh");
    (gate, log)
}

#[test]
fn appends_and_writes_go_on_during_a_sync_and_are_refused_when_it_hangs() {
    let (gate, log) = open_hanging(options(&SimVfs::new(), SyncPolicy::EverySec));
    let mut small = WriteBatch::new();
    small.put(b"key", b"value");
    let (first, ()) = log.append(&small, |_| ()).expect("appended");
    gate.hold(Some(Call::Sync));
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| log.sync());
        gate.wait_for_a_call();
        // The next group is appended and written while the first is on its way to the disk.
        let (second, ()) = log.append(&small, |_| ()).expect("appended");
        log.write_out(second).expect("written");
        assert_eq!((log.written(), log.durable()), (second, 0));
        // Time passes. The tick waits for the sync as the log's thread would.
        scope.spawn(|| log.tick(Duration::from_secs(3)));
        while log.append(&WriteBatch::new(), |_| ()).is_ok() {
            log.write_out(second).expect("nothing to write");
            std::thread::yield_now();
        }
        assert_eq!(log.state(), LogState::Full(FullReason::SlowDisk));
        assert_eq!(log.append(&small, |_| ()), Err(LogError::Full(FullReason::SlowDisk)));
        assert_eq!(log.stats().delayed, 1);
        gate.hold(None);
        assert_eq!(syncing.join().expect("no panic"), Ok(first));
    });
    log.append(&small, |_| ()).expect("appended");
    log.sync().expect("synced");
    assert_eq!((log.durable(), log.state()), (log.appended(), LogState::Open));
}

#[test]
fn a_sync_that_hangs_is_counted_under_every_policy() {
    for policy in [SyncPolicy::Always, SyncPolicy::EverySec, SyncPolicy::No] {
        let (gate, log) = open_hanging(options(&SimVfs::new(), policy));
        let (first, ()) = log.append(&batch(0), |_| ()).expect("appended");
        log.write_out(first).expect("written");
        gate.hold(Some(Call::Sync));
        std::thread::scope(|scope| {
            let syncing = scope.spawn(|| log.sync());
            gate.wait_for_a_call();
            scope.spawn(|| log.tick(Duration::from_secs(3)));
            while log.stats().delayed == 0 {
                log.write_out(first).expect("nothing to write");
                std::thread::yield_now();
            }
            let refused = LogState::Full(FullReason::SlowDisk);
            let expected = if policy == SyncPolicy::EverySec { refused } else { LogState::Open };
            assert_eq!(log.state(), expected, "{policy:?}");
            gate.hold(None);
            syncing.join().expect("no panic").expect("synced");
        });
        // Once, and the next ones are fast again.
        log.sync().expect("synced");
        assert_eq!((log.stats().delayed, log.state()), (1, LogState::Open), "{policy:?}");
    }
}

#[test]
fn who_may_not_wait_does_not_wait_for_one_who_goes_over_to_the_next_segment() {
    let (gate, log) = open_hanging(LogOptions { manual: false, ..options(&SimVfs::new(), SyncPolicy::No) });
    let (tell, told) = mpsc::channel();
    log.add_listener(Box::new(move |progress| tell.send(progress.written).expect("the test listens")));
    let (first, ()) = log.append(&batch(0), |_| ()).expect("appended");
    log.rotate(|_| ()).expect("rotated");
    let (second, ()) = log.append(&batch(1), |_| ()).expect("appended");
    gate.hold(Some(Call::Sync));
    let far = Duration::from_secs(20);
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| log.sync());
        gate.wait_for_a_call();
        let (done, returned) = mpsc::channel();
        let log = &log;
        scope.spawn(move || done.send(log.write_soon(second)));
        let returned = returned.recv_timeout(far);
        let written = log.written();
        gate.hold(None);
        assert_eq!(returned, Ok(Ok(())), "it waits for the disk");
        assert_eq!(written, first);
        assert_eq!(syncing.join().expect("no panic"), Ok(second));
    });
    while told.recv_timeout(far).expect("the thread of the log tells") < second {}
    log.close().expect("closed");
}

#[test]
fn what_is_taken_and_not_written_is_a_backlog_as_well() {
    let (gate, log) = open_hanging(options(&SimVfs::new(), SyncPolicy::No));
    log.append(&batch(0), |_| ()).expect("appended");
    log.rotate(|_| ()).expect("rotated");
    let mut large = WriteBatch::new();
    large.put(b"k", &[9; 300 << 10]);
    log.append(&large, |_| ()).expect("appended");
    gate.hold(Some(Call::Sync));
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| log.sync());
        gate.wait_for_a_call();
        let refused = log.append(&batch(1), |_| ());
        gate.hold(None);
        assert_eq!(refused, Err(LogError::Full(FullReason::Backlog)));
        syncing.join().expect("no panic").expect("synced");
    });
    log.append(&batch(1), |_| ()).expect("appended");
}

#[test]
fn what_is_written_is_synced_by_the_second_on_a_full_disk_too() {
    let vfs = SimVfs::new();
    let (log, ..) = open(options(&vfs, SyncPolicy::EverySec)).expect("fresh");
    log.tick(Duration::from_secs(1));
    // Acknowledged under this policy.
    let (first, ()) = log.append(&batch(0), |_| ()).expect("appended");
    log.write_out(first).expect("written");
    let (second, ()) = log.append(&batch(1), |_| ()).expect("appended");
    vfs.fail(FaultPlan::once(1, FaultKind::NoSpace));
    assert_eq!(log.write_out(second), Err(LogError::Full(FullReason::NoSpace)));
    for seconds in 2..5 {
        vfs.fail(FaultPlan::once(1, FaultKind::NoSpace));
        log.tick(Duration::from_secs(seconds));
        assert_eq!(log.state(), LogState::Full(FullReason::NoSpace));
    }
    assert_eq!((log.written(), log.durable()), (first, first));
    let (_, _, kept) = open(options(&vfs.crash(1), SyncPolicy::No)).expect("opened");
    assert!(kept.last_seq() >= first, "an acknowledged write of three seconds ago was lost");
    vfs.heal();
    log.tick(Duration::from_secs(5));
    assert_eq!((log.durable(), log.state()), (second, LogState::Open));
}

#[test]
fn statistics_do_not_wait_for_a_write_that_hangs() {
    let (gate, log) = open_hanging(options(&SimVfs::new(), SyncPolicy::No));
    let (seq, ()) = log.append(&batch(0), |_| ()).expect("appended");
    let before = log.stats();
    gate.hold(Some(Call::Write));
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| log.write_out(seq));
        gate.wait_for_a_call();
        let (done, told) = mpsc::channel();
        let log = &log;
        scope.spawn(move || done.send(log.stats()));
        let told = told.recv_timeout(Duration::from_secs(20));
        gate.hold(None);
        writing.join().expect("no panic").expect("written");
        assert_eq!(told.expect("it waits for the disk").live_bytes, before.live_bytes);
    });
    assert!(log.stats().live_bytes > before.live_bytes);
}
