//! Taking back the end of a log: what was taken back never returns, what stays is durable, and a crash
//! or a failed call meanwhile leaves a log that ends somewhere between.

use crate::support::{DIR, Rng, batch, cases, open, options, segment_file};
use kvdb_lsm::batch::{Seq, WriteBatch};
use kvdb_lsm::error::Error;
use kvdb_lsm::log::{Log, LogOptions, LogState, SyncPolicy};
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs, Vfs};
use std::path::Path;
use std::time::Duration;

/// The batches that a log should hold, by their numbers in the workload, with their last sequence
/// numbers. A number is never used twice, so a batch that returns is recognised.
#[derive(Debug, Default, Clone)]
struct Model {
    batches: Vec<(u64, Seq)>,
    next: u64,
}

impl Model {
    fn last_seq(&self) -> Seq {
        self.batches.last().map_or(0, |&(_, last)| last)
    }

    fn append(&mut self, log: &Log) {
        let expected = self.last_seq() + 1;
        let (last, first) = log.append(&batch(self.next), |first| first).expect("appended");
        assert_eq!(first, expected);
        self.batches.push((self.next, last));
        self.next += 1;
    }

    /// The first sequence number of one of the batches, and the model without it and what follows.
    fn cut(&self, rng: &mut Rng) -> Option<(Seq, Self)> {
        let count = self.batches.len() as u64;
        // Mostly the newest batches go, as in life.
        let back = if rng.one_in(4) { rng.below(count + 1) } else { rng.below(count.min(6) + 1) };
        let mut shorter = self.clone();
        shorter.batches.truncate((count - back) as usize);
        (count > 0).then(|| (shorter.last_seq() + 1, shorter))
    }

    /// Checks that a log found on the disk is a prefix of this with all up to `at_least`.
    fn check(&self, vfs: &SimVfs, at_least: Seq, context: &str) -> (Log, Self) {
        let (log, found) = read(vfs, context);
        assert!(found.last_seq() >= at_least, "{context}: {} < {at_least}", found.last_seq());
        let count = found.batches.len();
        assert!(count <= self.batches.len(), "{context}: {count} batches of {}", self.batches.len());
        assert_eq!(found.batches, self.batches[..count], "{context}");
        (log, Self { next: self.next, ..found })
    }
}

/// Opens a log and recognises its batches.
fn read(vfs: &SimVfs, context: &str) -> (Log, Model) {
    let (log, _, replayed) =
        open(options(vfs, SyncPolicy::Always)).unwrap_or_else(|e| panic!("{context}: {e}"));
    let mut model = Model::default();
    for (first, found) in &replayed.batches {
        assert_eq!(*first, model.last_seq() + 1, "{context}");
        let number = number_of(found);
        assert_eq!(*found, batch(number), "{context}: batch {number}");
        model.batches.push((number, first + u64::from(found.count()) - 1));
    }
    (log, model)
}

fn number_of(found: &WriteBatch) -> u64 {
    let first = found.iter().next().expect("a batch has operations");
    let key = first.key().expect("the first operation has a key");
    let text = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix("batch-"));
    text.and_then(|number| number.parse().ok()).expect("the key tells the number")
}

#[test]
fn what_was_taken_back_never_returns_and_what_stays_is_durable() {
    for seed in 0..cases(300) {
        let mut rng = Rng::new(seed);
        let mut vfs = SimVfs::new();
        let mut model = Model::default();
        let mut durable = 0;
        let mut now = Duration::ZERO;
        for life in 0..5 {
            let context = format!("seed {seed}, life {life}");
            let (mut log, found) = model.check(&vfs, durable, &context);
            model = found;
            durable = model.last_seq();
            for _ in 0..rng.below(90) {
                match rng.below(16) {
                    0..=8 => model.append(&log),
                    9 | 10 => log.write_out(log.appended()).expect("written"),
                    11 if rng.one_in(3) => drop(log.rotate(|_| ()).expect("rotated")),
                    12 if rng.one_in(2) => drop(log.sync().expect("synced")),
                    13 | 14 => {
                        let Some((first, shorter)) = model.cut(&mut rng) else { continue };
                        log.truncate_from(first).unwrap_or_else(|e| panic!("{context}: {e}"));
                        assert_eq!(log.appended(), first - 1, "{context}");
                        assert_eq!((log.written(), log.durable()), (first - 1, first - 1), "{context}");
                        model.batches = shorter.batches;
                    }
                    _ => {
                        now += Duration::from_millis(rng.below(500));
                        log.tick(now);
                    }
                }
                durable = log.durable();
                assert!(durable <= log.written() && log.written() <= log.appended(), "{context}");
            }
            if rng.one_in(6) {
                durable = log.appended();
                log.close().expect("closed");
            }
            vfs = vfs.crash(rng.next());
        }
    }
}

/// Batches over several segments, of which all but the last few are durable.
fn filled(vfs: &SimVfs) -> (Log, Model) {
    let (log, mut model) = read(vfs, "fresh");
    for n in 0..60 {
        model.append(&log);
        if n % 9 == 0 {
            log.sync().expect("synced");
        }
        if n % 20 == 19 {
            log.rotate(|_| ()).expect("rotated");
        }
    }
    log.write_out(log.appended()).expect("written");
    (log, model)
}

#[test]
fn any_call_may_fail_meanwhile() {
    for keep in [0, 5, 19, 20, 33, 59] {
        let calls = {
            let vfs = SimVfs::new();
            let (mut log, model) = filled(&vfs);
            let before = vfs.operations();
            log.truncate_from(first_behind(&model, keep)).expect("taken back");
            vfs.operations() - before
        };
        assert!(calls > 8, "{calls}");
        for kind in [FaultKind::Io, FaultKind::NoSpace, FaultKind::Short] {
            for n in 1..=calls {
                for plan in [FaultPlan::once, FaultPlan::from] {
                    let context = format!("keep {keep}, {:?}", plan(n, kind));
                    let vfs = SimVfs::new();
                    let (mut log, mut model) = filled(&vfs);
                    let (durable, first) = (log.durable(), first_behind(&model, keep));
                    vfs.fail(plan(n, kind));
                    let result = log.truncate_from(first);
                    vfs.heal();
                    let mut at_least = durable.min(first - 1);
                    match result {
                        Ok(()) => {
                            model.batches.truncate(keep);
                            at_least = first - 1;
                        }
                        Err(Error::Poisoned(_)) => {
                            assert!(matches!(log.state(), LogState::Poisoned(_)), "{context}");
                        }
                        // Nothing has changed: it goes on, and what was durable is.
                        Err(_) => {
                            assert_eq!(log.appended(), model.last_seq(), "{context}");
                            model.append(&log);
                            log.truncate_from(first).unwrap_or_else(|e| panic!("{context}, again: {e}"));
                            model.batches.truncate(keep);
                            at_least = first - 1;
                        }
                    }
                    drop(log);
                    let copy = vfs.process_crash();
                    for disk in [vfs.crash(n), copy] {
                        let (log, mut found) = model.check(&disk, at_least, &context);
                        // It goes on from wherever it ended.
                        found.append(&log);
                        log.close().expect("closed");
                        found.check(&disk, found.last_seq(), &context);
                    }
                }
            }
        }
    }
}

/// The first sequence number behind the first `keep` batches.
fn first_behind(model: &Model, keep: usize) -> Seq {
    model.batches[..keep].last().map_or(0, |&(_, last)| last) + 1
}

/// The machine stops at every call in turn; whatever it had to say by then, the rest is not done.
#[test]
fn a_power_cut_at_any_call_leaves_a_log_that_ends_between() {
    for seed in 0..cases(120) {
        let mut rng = Rng::new(seed);
        let vfs = SimVfs::new();
        let (mut log, model) = filled(&vfs);
        let keep = rng.below(60) as usize;
        let durable = log.durable();
        let first = first_behind(&model, keep);
        vfs.fail(FaultPlan::from(1 + rng.below(30), FaultKind::Io));
        // Refused, half done, or done: each may be.
        let _ = log.truncate_from(first);
        drop(log);
        let disk = vfs.crash(rng.next());
        model.check(&disk, durable.min(first - 1), &format!("seed {seed}"));
    }
}

#[test]
fn a_place_that_is_none_is_refused_and_changes_nothing() {
    let vfs = SimVfs::new();
    let (mut log, model) = filled(&vfs);
    let wide = model.batches.windows(2).find(|pair| pair[1].1 > pair[0].1 + 1).expect("a batch with two");
    for first in [0, wide[1].1, log.appended() + 2, u64::MAX] {
        let error = log.truncate_from(first).expect_err("refused");
        assert!(matches!(error, Error::Invalid(_)), "{first}: {error}");
    }
    let end = log.appended();
    log.truncate_from(end + 1).expect("nothing to take back");
    assert_eq!((log.appended(), log.durable()), (end, end));

    // What was let go of at the front is not there to be cut.
    let (segment, ()) = log.rotate(|_| ()).expect("rotated");
    log.sync().expect("synced");
    log.remove_before(segment);
    assert!(matches!(log.truncate_from(5), Err(Error::Invalid(_))));
    log.close().expect("closed");
}

#[test]
fn the_first_entry_may_be_taken_back_and_no_file_is_left_over() {
    let vfs = SimVfs::new();
    let (mut log, _) = filled(&vfs);
    log.truncate_from(1).expect("taken back");
    assert_eq!(log.appended(), 0);
    assert_eq!(log.stats().segments, 2);
    assert!(vfs.exists(&segment_file(1)).expect("asked") && vfs.exists(&segment_file(2)).expect("asked"));
    let (seq, ()) = log.append(&batch(7), |_| ()).expect("appended");
    assert!(log.sync().expect("synced") >= seq);
    drop(log);
    let (log, found) = read(&vfs.crash(3), "after a crash");
    assert_eq!(found.batches, [(7, seq)]);
    log.close().expect("closed");
    let names = vfs.list(Path::new(DIR)).expect("listed");
    assert!(names.iter().all(|name| !name.ends_with(".wal.tmp")), "{names:?}");
}

/// With a thread that syncs meanwhile: a sync of before must not make what was taken back durable.
#[test]
fn a_running_sync_does_not_raise_the_mark_again() {
    let vfs = SimVfs::new();
    let options = LogOptions { manual: false, ..options(&vfs, SyncPolicy::Always) };
    let (mut log, ..) = open(options).expect("fresh");
    let mut model = Model::default();
    for round in 0..cases(200) {
        for _ in 0..5 {
            model.append(&log);
        }
        log.write_out(log.appended()).expect("written");
        log.request_sync();
        model.batches.truncate(model.batches.len() - 3);
        log.truncate_from(model.last_seq() + 1).expect("taken back");
        assert_eq!(log.durable(), model.last_seq(), "round {round}");
        model.append(&log);
        assert!(log.durable() <= log.appended());
    }
    log.close().expect("closed");
    let (_, found) = read(&vfs, "in the end");
    assert_eq!(found.batches, model.batches);
}
