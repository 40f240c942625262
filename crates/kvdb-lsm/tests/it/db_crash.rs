//! Power cuts at random moments of the life of a database, judged by the prefix oracle: what comes
//! back is the state after the first n batches, for some n that covers everything durable, with
//! exact counters.

use crate::db_support::{History, KEYS, key, random_batch, small};
use crate::support::{Rng, seeds};
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs, Vfs};
use kvdb_lsm::{Db, Options, Pressure};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Lives a while on `vfs`; returns what was durable at the end. `history` is kept up to date.
fn live(db: &Db, rng: &mut Rng, history: &mut History, durable: &mut u64) {
    for _ in 0..rng.below(250) {
        match rng.below(30) {
            0..=18 => {
                let batch = random_batch(rng);
                // The log may wait for a segment; then nothing was taken.
                if let Ok(seq) = db.append(&batch) {
                    history.push(batch, seq);
                }
            }
            19 => drop(db.log().write_out(db.log().appended())),
            20 => drop(db.log().sync()),
            21 => drop(db.flush()),
            22 => drop(db.flush_if_due()),
            23 | 24 => drop(db.compact_step()),
            25 if rng.one_in(6) => drop(db.compact()),
            26 if rng.one_in(4) => {
                let (from, to) = (key(rng.below(60)), key(60));
                drop(db.compact_range((Bound::Included(&from[..]), Bound::Excluded(&to[..]))));
            }
            27 if rng.one_in(12) => drop_everything(db, history),
            _ => db.log().tick(Duration::from_millis(rng.below(100_000))),
        }
        *durable = db.log().durable().max(*durable);
    }
}

/// Deletes every key, and then lets go of all tables at once.
fn drop_everything(db: &Db, history: &mut History) {
    let mut batch = WriteBatch::new();
    (0..KEYS).for_each(|n| batch.delete(&key(n)));
    if let Ok(seq) = db.append(&batch) {
        history.push(batch, seq);
        let _ = db.drop_range_files(..);
    }
}

/// A way to look at a disk: as it is, or through something that lies about it.
pub(crate) type Disk<'a> = &'a dyn Fn(&SimVfs) -> Arc<dyn Vfs>;

/// The life of one seed on such a disk, with power cuts. Panics when a promise is broken.
pub(crate) fn live_through_power_cuts(seed: u64, disk: Disk<'_>) {
    const POLICIES: [SyncPolicy; 3] = [SyncPolicy::Always, SyncPolicy::EverySec, SyncPolicy::No];
    let mut rng = Rng::new(seed);
    let policy = POLICIES[rng.below(3) as usize];
    let options = |vfs: &SimVfs| Options { sync: policy, vfs: disk(vfs), ..small(vfs) };
    let mut vfs = SimVfs::new();
    let mut history = History::default();
    for life in 0..4 {
        let context = format!("seed {seed}, life {life}, {policy:?}");
        let db = Db::open(options(&vfs)).unwrap_or_else(|e| panic!("{context}: {e}"));
        let mut durable = db.log().durable();
        live(&db, &mut rng, &mut history, &mut durable);
        // Several futures of the same moment; the last is lived on.
        for future in 0..3 {
            let cut = vfs.crash(rng.next());
            let context = format!("{context}, future {future}");
            let db = Db::open(options(&cut)).unwrap_or_else(|e| panic!("{context}: {e}"));
            let seq = db.log().appended();
            assert!(seq >= durable, "{context}: {seq} came back, {durable} was durable");
            assert!(seq <= history.last_seq(), "{context}");
            let mut kept = history.clone();
            kept.cut(seq, &context);
            kept.model.assert_equals(&db, &context);
            let report = db.verify().expect("verify");
            assert!(report.problems.is_empty(), "{context}: {:?}", report.problems);
            if future == 2 {
                drop(db);
                vfs = cut;
                history = kept;
                break;
            }
        }
    }
}

#[test]
fn a_power_cut_keeps_a_prefix_with_everything_durable() {
    for seed in seeds(150) {
        live_through_power_cuts(seed, &|vfs| Arc::new(vfs.clone()));
    }
}

#[test]
fn a_power_cut_after_every_operation_of_a_small_life() {
    // The moments between any two operations of opening, writing, flushing, compacting, closing.
    let mut total = u64::MAX;
    let mut stop_at = 1;
    while stop_at <= total {
        let vfs = SimVfs::new();
        // From some operation on everything fails: the disk is as it was at that moment.
        vfs.fail(FaultPlan::from(stop_at, FaultKind::Io));
        let mut history = History::default();
        let mut durable = 0;
        let mut rng = Rng::new(11);
        for _ in 0..2 {
            let Ok(db) = Db::open(small(&vfs)) else {
                break;
            };
            for n in 0..40 {
                let batch = random_batch(&mut rng);
                if let Ok(seq) = db.append(&batch) {
                    history.push(batch, seq);
                }
                if n % 8 == 7 {
                    let _ = db.flush();
                }
                if n % 16 == 15 {
                    let _ = db.compact();
                }
                durable = durable.max(db.log().durable());
            }
            let _ = db.close();
        }
        if total == u64::MAX && vfs.operations() < stop_at {
            total = vfs.operations();
        }
        for seed in 0..4 {
            let context = format!("stopped at {stop_at}, seed {seed}");
            let cut = vfs.crash(stop_at * 31 + seed);
            let db = Db::open(small(&cut)).unwrap_or_else(|e| panic!("{context}: {e}"));
            let seq = db.log().appended();
            assert!(seq >= durable && seq <= history.last_seq(), "{context}: {seq}, {durable}");
            let mut kept = history.clone();
            kept.cut(seq, &context);
            kept.model.assert_equals(&db, &context);
        }
        stop_at += 1;
    }
}

#[test]
fn a_new_database_is_there_with_every_directory_above_it() {
    for (seed, dir) in (0..40).flat_map(|seed| ["/a/b/c", "a/b", "a"].map(|dir| (seed, dir))) {
        let vfs = SimVfs::new();
        let at = |vfs: &SimVfs, dir: &str| Options { dir: dir.into(), ..small(vfs) };
        if seed % 2 == 0 {
            // An opening before died half way.
            vfs.fail(FaultPlan::from(1 + seed / 2, FaultKind::Io));
            drop(Db::open(at(&vfs, dir)));
            vfs.heal();
        }
        let vfs = vfs.process_crash();
        let db = Db::open(at(&vfs, dir)).expect("open");
        let mut batch = WriteBatch::new();
        batch.put(b"k001", b"v");
        db.append(&batch).expect("appended");
        db.log().sync().expect("synced");
        let copy = format!("{dir}/copies/1");
        db.checkpoint(Path::new(&copy)).expect("copied");
        let cut = vfs.crash(seed);
        for dir in [dir, &copy] {
            let db = Db::open(at(&cut, dir)).unwrap_or_else(|e| panic!("{dir}: {e}"));
            assert_eq!(db.get(b"k001").expect("get").as_deref(), Some(&b"v"[..]), "{dir}, seed {seed}");
        }
    }
}

/// A sync fails during a flush, the next process finds in the cache what may not be on the disk,
/// and the power fails while it opens the database.
#[test]
fn a_power_cut_during_the_opening_after_a_failed_sync_loses_nothing() {
    let mut died = 0;
    for nth in 1.. {
        let vfs = SimVfs::new();
        let db = Db::open(small(&vfs)).expect("open");
        let mut history = History::default();
        let mut rng = Rng::new(3);
        for n in 0..12 {
            let batch = random_batch(&mut rng);
            let seq = db.append(&batch).expect("appended");
            history.push(batch, seq);
            if n == 5 {
                db.flush().expect("flush");
            }
        }
        db.log().sync().expect("synced");
        vfs.fail(FaultPlan::once(nth, FaultKind::Io));
        let _ = db.flush();
        if vfs.heal() == 0 {
            break;
        }
        if !matches!(db.pressure(), Pressure::Hard(_)) {
            continue;
        }
        drop(db);
        let left = vfs.process_crash();
        for stop_at in 1.. {
            let again = left.process_crash();
            again.fail(FaultPlan::from(stop_at, FaultKind::Io));
            drop(Db::open(small(&again)));
            let whole = again.heal() == 0;
            for seed in 0..6 {
                let context = format!("fault {nth}, stopped at {stop_at}, seed {seed}");
                let cut = again.crash(seed);
                let db = Db::open(small(&cut)).unwrap_or_else(|e| panic!("{context}: {e}"));
                history.model.assert_equals(&db, &context);
            }
            died += 1;
            if whole {
                break;
            }
        }
    }
    assert!(died > 50, "{died}");
}
