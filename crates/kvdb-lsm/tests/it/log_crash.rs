//! Crashes at random moments, judged by the prefix oracle: what a log gives back is the first n of
//! the batches appended, whole and in order, with n at least what was acknowledged.

use crate::support::{DIR, Rng, batch, cases, open, options};
use kvdb_lsm::batch::Seq;
use kvdb_lsm::log::{Log, LogError, LogOptions, SyncPolicy};
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs, Vfs};
use std::path::Path;
use std::time::Duration;

const POLICIES: [SyncPolicy; 3] = [SyncPolicy::Always, SyncPolicy::EverySec, SyncPolicy::No];

/// What a run of the workload has been promised.
#[derive(Debug, Default, Clone)]
struct Promised {
    /// Batches appended, and the last sequence number after each.
    ends: Vec<Seq>,
    written: Seq,
    durable: Seq,
}

impl Promised {
    fn note(&mut self, log: &Log) {
        self.written = self.written.max(log.written());
        self.durable = self.durable.max(log.durable());
        assert!(log.durable() <= log.written() && log.written() <= log.appended());
    }
}

/// Runs random steps on a log; a refused step is no failure.
fn steps(log: &Log, rng: &mut Rng, promised: &mut Promised, count: u64, now: &mut Duration) {
    for _ in 0..count {
        let step: Result<(), LogError> = match rng.below(12) {
            0..=6 => log.append(&batch(promised.ends.len() as u64), |_| ()).map(|(seq, ())| {
                promised.ends.push(seq);
            }),
            7 | 8 => log.write_out(log.appended()),
            9 if rng.one_in(4) => log.rotate(|_| ()).map(|_| ()),
            10 if rng.one_in(3) => log.sync().map(|seq| assert!(log.durable() >= seq)),
            11 if rng.one_in(2) => {
                log.request_sync();
                Ok(())
            }
            _ => {
                *now += Duration::from_millis(rng.below(500));
                log.tick(*now);
                Ok(())
            }
        };
        promised.note(log);
        if matches!(step, Err(LogError::Poisoned(_))) {
            return;
        }
    }
}

/// Opens what a crash left; checks it against the promise; cuts the promise to what was kept.
fn check(vfs: &SimVfs, policy: SyncPolicy, promised: &mut Promised, at_least: Seq, context: &str) -> Log {
    let (log, recovered, replayed) = open(options(vfs, policy)).unwrap_or_else(|e| panic!("{context}: {e}"));
    replayed.assert_prefix(context);
    assert!(recovered.last_seq >= at_least, "{context}: {} < {at_least}", recovered.last_seq);
    assert!(replayed.batches.len() <= promised.ends.len(), "{context}");
    promised.ends.truncate(replayed.batches.len());
    assert_eq!(promised.ends.last().copied().unwrap_or(0), recovered.last_seq, "{context}");
    assert_eq!(log.durable(), recovered.last_seq, "{context}");
    (promised.written, promised.durable) = (log.written(), log.durable());
    log
}

#[test]
fn a_power_cut_keeps_a_prefix_with_everything_durable() {
    for seed in 0..cases(400) {
        let mut rng = Rng::new(seed);
        let policy = POLICIES[rng.below(3) as usize];
        let mut vfs = SimVfs::new();
        let mut promised = Promised::default();
        let mut now = Duration::ZERO;
        for life in 0..4 {
            let context = format!("seed {seed}, life {life}, {policy:?}");
            let at_least = promised.durable;
            let log = check(&vfs, policy, &mut promised, at_least, &context);
            let count = rng.below(120);
            steps(&log, &mut rng, &mut promised, count, &mut now);
            if rng.one_in(8) {
                promised.durable = log.appended();
                log.close().expect("closed");
            }
            vfs = vfs.crash(rng.next());
        }
    }
}

#[test]
fn the_death_of_the_process_keeps_everything_written() {
    for seed in 0..cases(100) {
        let mut rng = Rng::new(seed);
        let policy = POLICIES[rng.below(3) as usize];
        let mut vfs = SimVfs::new();
        let mut promised = Promised::default();
        let mut now = Duration::ZERO;
        for life in 0..3 {
            let context = format!("seed {seed}, life {life}, {policy:?}");
            let at_least = promised.written;
            let log = check(&vfs, policy, &mut promised, at_least, &context);
            let count = rng.below(100);
            steps(&log, &mut rng, &mut promised, count, &mut now);
            vfs = vfs.process_crash();
        }
    }
}

/// The power fails again and again while the log is being opened.
#[test]
fn crashes_during_recovery_lose_nothing_durable() {
    for seed in 0..cases(60) {
        let mut rng = Rng::new(seed);
        let vfs = SimVfs::new();
        let mut promised = Promised::default();
        let log = check(&vfs, SyncPolicy::EverySec, &mut promised, 0, "fresh");
        let mut now = Duration::ZERO;
        steps(&log, &mut rng, &mut promised, 150, &mut now);
        drop(log);
        let mut crashed = vfs.crash(rng.next());
        for attempt in 0..8 {
            // Everything from some call on fails: the opening stops there.
            crashed.fail(FaultPlan::from(1 + rng.below(30), FaultKind::Io));
            drop(open(options(&crashed, SyncPolicy::EverySec)));
            crashed = crashed.crash(rng.next());
            let context = format!("seed {seed}, attempt {attempt}");
            // A copy, so that the next attempt meets what this one left behind.
            let copy = crashed.process_crash();
            let at_least = promised.durable;
            drop(check(&copy, SyncPolicy::EverySec, &mut promised.clone(), at_least, &context));
        }
    }
}

/// With the manifest's part played by a variable: segments below it are removed while running.
#[test]
fn removed_segments_stay_removed_and_the_others_stay() {
    for seed in 0..cases(100) {
        let mut rng = Rng::new(seed);
        let mut vfs = SimVfs::new();
        let mut min_segment = 0;
        let mut first_kept = 0;
        for life in 0..4 {
            let context = format!("seed {seed}, life {life}");
            let options = LogOptions { min_segment, ..options(&vfs, SyncPolicy::No) };
            let (log, recovered, replayed) = open(options).unwrap_or_else(|e| panic!("{context}: {e}"));
            let found: Vec<_> = replayed.batches.iter().map(|(_, batch)| batch.clone()).collect();
            let expected: Vec<_> = (first_kept..first_kept + found.len() as u64).map(batch).collect();
            assert_eq!(found, expected, "{context}");
            assert!(replayed.segments.iter().all(|&n| n >= min_segment), "{context}");
            log.remove_before(min_segment);
            let mut next = first_kept + found.len() as u64;
            let mut last = recovered.last_seq;
            for _ in 0..rng.below(60) {
                let (seq, ()) = log.append(&batch(next), |_| ()).expect("appended");
                assert!(seq > last, "{context}");
                (last, next) = (seq, next + 1);
                if rng.one_in(10) {
                    let at = next;
                    let (segment, ()) = log.rotate(|_| ()).expect("rotated");
                    // As a flush does it: first everything is durable, then the manifest says so.
                    log.sync().expect("synced");
                    if rng.one_in(2) {
                        (min_segment, first_kept) = (segment, at);
                        log.remove_before(segment);
                    }
                }
                if rng.one_in(5) {
                    log.write_out(last).expect("written");
                }
            }
            drop(log);
            vfs = vfs.crash(rng.next());
        }
        let segments = vfs.list(Path::new(DIR)).expect("listed");
        assert!(segments.len() < 40, "{segments:?}");
    }
}
