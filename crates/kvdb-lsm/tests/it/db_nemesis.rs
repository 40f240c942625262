//! Faults, full disks, changes of the policy and power cuts at once, in one life after the other;
//! the openings fail and are repeated too. And power cuts of a database with all its threads at
//! work. Judged by the prefix oracle.

use crate::db_support::{COUNTERS, History, Model, key, random_batch, small};
use crate::support::{Rng, cases};
use kvdb_lsm::batch::{Seq, WriteBatch};
use kvdb_lsm::error::Error;
use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs};
use kvdb_lsm::{AppendError, Db, Options, ReadView};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const POLICIES: [SyncPolicy; 3] = [SyncPolicy::Always, SyncPolicy::EverySec, SyncPolicy::No];
const KINDS: [FaultKind; 3] = [FaultKind::Io, FaultKind::NoSpace, FaultKind::Short];

fn plan(rng: &mut Rng, within: u64) -> FaultPlan {
    let kind = KINDS[rng.below(3) as usize];
    let nth = 1 + rng.below(within);
    if rng.one_in(4) { FaultPlan::from(nth, kind) } else { FaultPlan::once(nth, kind) }
}

/// What was promised, and by whom.
#[derive(Default)]
struct Promised {
    history: History,
    /// Survives the machine.
    durable: Seq,
    /// The batches that a sync has covered: unlike the sequence, it counts those that take none.
    synced: usize,
    /// Survives the process.
    written: Seq,
}

impl Promised {
    /// Cuts the history to what came back. Batches of counters alone take no sequence: which of
    /// them came back, the counters tell.
    fn settle(&mut self, db: &Db, context: &str) {
        let seq = db.log().appended();
        assert!(seq >= self.durable, "{context}: {seq} came back, {} was durable", self.durable);
        let mut model = Model::default();
        let found = |id| db.counter(id);
        let batches = &self.history.batches;
        let mut kept = None;
        for n in 0..=batches.len() {
            let end = n.checked_sub(1).map_or(0, |n| batches[n].1);
            let counters = || {
                COUNTERS.iter().all(|&id| found(id) == model.counters.get(&id).copied().unwrap_or_default())
            };
            if n >= self.synced && end == seq && counters() {
                kept = Some(n);
                break;
            }
            if let Some((batch, _)) = batches.get(n) {
                model.apply(batch);
            }
        }
        let Some(kept) = kept else {
            panic!("{context}: no prefix of {} batches that ends at {seq} has these counters", batches.len())
        };
        self.history.batches.truncate(kept);
        self.history.model = model;
        self.history.model.assert_equals(db, context);
        let report = db.verify().expect("verify");
        assert!(report.problems.is_empty(), "{context}: {:?}", report.problems);
        (self.durable, self.written, self.synced) = (seq, seq, kept);
    }
}

fn no_damage<T>(result: Result<T, Error>, context: &str) {
    if let Err(error @ Error::Corruption { .. }) = result {
        panic!("{context}: a fault was taken for damage: {error}");
    }
}

fn live(db: &Db, vfs: &SimVfs, rng: &mut Rng, promised: &mut Promised, now: &mut Duration, context: &str) {
    let mut views: Vec<(ReadView, Model)> = Vec::new();
    for _ in 0..rng.below(200) {
        match rng.below(40) {
            0..=19 => {
                let mut batch = random_batch(rng);
                if rng.one_in(6) {
                    batch.clear();
                    batch.add_counter(COUNTERS[rng.below(3) as usize], rng.next() as i64 >> 8);
                }
                match db.append(&batch) {
                    Ok(seq) => promised.history.push(batch, seq),
                    Err(AppendError::TooLarge) => panic!("{context}: too large"),
                    Err(_) => {}
                }
            }
            20 => drop(db.log().write_out(db.log().appended())),
            21 => {
                if let Ok(seq) = db.log().sync() {
                    assert!(db.log().durable() >= seq, "{context}");
                    promised.synced = promised.history.batches.len();
                }
            }
            22 => no_damage(db.flush(), context),
            23 => no_damage(db.flush_if_due(), context),
            24 | 25 => no_damage(db.compact_step(), context),
            26 if rng.one_in(6) => no_damage(db.compact(), context),
            27 => db.log().set_policy(POLICIES[rng.below(3) as usize]),
            28 if rng.one_in(3) => vfs.fail(plan(rng, 60)),
            29 | 30 => drop(vfs.heal()),
            31 if rng.one_in(3) => vfs.set_capacity(Some(vfs.used_bytes() + rng.below(40_000))),
            32 => vfs.set_capacity(None),
            33 if views.len() < 3 => views.push((db.view(), promised.history.model.clone())),
            34 if !views.is_empty() => {
                let (view, model) = views.swap_remove(rng.below(views.len() as u64) as usize);
                match db.iter_all(&view).collect::<Result<Vec<_>, _>>() {
                    Ok(found) => assert!(found.into_iter().eq(model.rows), "{context}: a view changed"),
                    Err(error) => no_damage::<()>(Err(error), context),
                }
            }
            35 => {
                let key = key(rng.below(20));
                match db.get(&key) {
                    Ok(found) => {
                        assert_eq!(found.as_ref(), promised.history.model.rows.get(&key), "{context}")
                    }
                    Err(error) => no_damage::<()>(Err(error), context),
                }
            }
            _ => {
                *now += Duration::from_millis(rng.below(400));
                db.log().tick(*now);
            }
        }
        promised.durable = promised.durable.max(db.log().durable());
        promised.written = promised.written.max(db.log().written());
    }
}

/// Opens what is left, after some attempts that fail.
fn reopen(vfs: &mut SimVfs, policy: SyncPolicy, rng: &mut Rng, promised: &mut Promised, context: &str) -> Db {
    for _ in 0..rng.below(4) {
        vfs.fail(plan(rng, 60));
        if rng.one_in(4) {
            vfs.set_capacity(Some(vfs.used_bytes() + rng.below(40_000)));
        }
        match Db::open(Options { sync: policy, ..small(vfs) }) {
            Ok(db) => {
                // What an opening has found is durable.
                promised.durable = promised.durable.max(db.log().durable());
                if rng.one_in(2) {
                    let _ = db.close();
                }
            }
            Err(error) => no_damage::<()>(Err(error), context),
        }
        vfs.heal();
        vfs.set_capacity(None);
        match rng.below(3) {
            0 => *vfs = vfs.crash(rng.next()),
            1 => *vfs = vfs.process_crash(),
            _ => {}
        }
    }
    Db::open(Options { sync: policy, ..small(vfs) }).unwrap_or_else(|e| panic!("{context}: {e}"))
}

#[test]
fn no_mix_of_faults_and_crashes_breaks_the_prefix() {
    for seed in 0..cases(60) {
        let mut rng = Rng::new(seed + 0x5eed);
        let mut vfs = SimVfs::new();
        let mut promised = Promised::default();
        let mut now = Duration::ZERO;
        for life in 0..6 {
            let policy = POLICIES[rng.below(3) as usize];
            let context = format!("seed {seed}, life {life}, {policy:?}");
            let db = reopen(&mut vfs, policy, &mut rng, &mut promised, &context);
            promised.settle(&db, &context);
            live(&db, &vfs, &mut rng, &mut promised, &mut now, &context);
            vfs.heal();
            vfs.set_capacity(None);
            let appended = db.log().appended();
            if rng.one_in(4) {
                if db.close().is_ok() {
                    (promised.durable, promised.synced) = (appended, promised.history.batches.len());
                }
            } else {
                drop(db);
            }
            if rng.one_in(3) {
                // Only the process died.
                promised.durable = promised.durable.max(promised.written);
                vfs = vfs.process_crash();
                let db = Db::open(Options { sync: policy, ..small(&vfs) })
                    .unwrap_or_else(|e| panic!("{context}: {e}"));
                promised.settle(&db, &format!("{context}, only the process died"));
            }
            vfs = vfs.crash(rng.next());
        }
    }
}

/// The batch that a writer appends in a round: it follows from both.
fn numbered(writer: u64, round: u64) -> WriteBatch {
    let mut rng = Rng::new(writer << 32 | round);
    let mut batch = random_batch(&mut rng);
    batch.add_counter(COUNTERS[rng.below(3) as usize], 1);
    batch
}

#[test]
fn a_power_cut_with_every_thread_at_work_keeps_a_prefix() {
    const WRITERS: u64 = 3;
    for seed in 0..cases(12) {
        let mut rng = Rng::new(seed + 77);
        let policy = POLICIES[rng.below(3) as usize];
        let vfs = SimVfs::new();
        let options = |vfs: &SimVfs| Options { sync: policy, background: true, ..small(vfs) };
        let db = Db::open(options(&vfs)).expect("open");
        let batches: Mutex<BTreeMap<Seq, WriteBatch>> = Mutex::default();
        let done = AtomicBool::new(false);
        let appended = AtomicU64::new(0);
        let mut cuts = Vec::new();
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (db, batches, done, appended) = (&db, &batches, &done, &appended);
                scope.spawn(move || {
                    let mut round = 0;
                    while !done.load(Ordering::Acquire) {
                        let batch = numbered(writer, round);
                        match db.append(&batch) {
                            Ok(seq) => {
                                batches.lock().expect("no panic").insert(seq, batch);
                                appended.fetch_add(1, Ordering::Release);
                                round += 1;
                                match round % 5 {
                                    0 => drop(db.log().sync()),
                                    1 => db.log().request_sync(),
                                    2 => drop(db.log().write_out(seq)),
                                    _ => {}
                                }
                            }
                            Err(AppendError::Stopped(cause)) => panic!("{cause}"),
                            Err(_) => {
                                let _ = db.log().sync();
                            }
                        }
                    }
                });
            }
            scope.spawn(|| {
                let mut n = 0;
                while !done.load(Ordering::Acquire) {
                    n += 1;
                    let view = db.view();
                    assert!(db.iter_all(&view).all(|row| row.is_ok()));
                    db.log().set_policy(POLICIES[n % 3]);
                }
            });
            let mut at = 0;
            for _ in 0..8 {
                at += rng.below(150);
                while appended.load(Ordering::Acquire) < at {
                    std::thread::yield_now();
                }
                let durable = db.log().durable();
                cuts.push((durable, vfs.crash(rng.next())));
            }
            done.store(true, Ordering::Release);
        });
        let batches = batches.into_inner().expect("no panic");
        let last = *batches.keys().next_back().expect("some were appended");
        let check = |db: &Db, context: &str| {
            let seq = db.log().appended();
            let mut history = History::default();
            for (&end, batch) in batches.range(..=seq) {
                history.push(batch.clone(), end);
            }
            assert_eq!(history.last_seq(), seq, "{context}: inside a batch");
            history.model.assert_equals(db, context);
            seq
        };
        for (n, (durable, cut)) in cuts.iter().enumerate() {
            let context = format!("seed {seed}, cut {n}, {policy:?}");
            let db = Db::open(Options { background: false, ..options(cut) })
                .unwrap_or_else(|e| panic!("{context}: {e}"));
            let seq = check(&db, &context);
            assert!(seq >= *durable, "{context}: {seq} came back, {durable} was durable");
        }
        assert_eq!(check(&db, "alive"), last);
        db.close().expect("close");
        let db = Db::open(options(&vfs)).expect("open");
        assert_eq!(check(&db, "after close"), last);
    }
}
