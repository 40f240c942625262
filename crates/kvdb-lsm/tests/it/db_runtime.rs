//! Databases that share a runtime: one cache, one memory, one set of threads, and nobody waits for
//! somebody else's broken disk.

use crate::db_support::{History, Model, random_batch, small};
use crate::support::{Rng, cases};
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::filter::{CompactionFilter, Judge};
use kvdb_lsm::log::FullReason;
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs};
use kvdb_lsm::{AppendError, Db, DbStats, Options, Pressure, Runtime, RuntimeOptions};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

fn shared(vfs: &SimVfs, runtime: &Runtime) -> Options {
    Options { runtime: Some(runtime.clone()), ..small(vfs) }
}

#[test]
fn two_databases_share_a_cache_and_never_see_each_others_blocks() {
    for seed in 0..cases(20) {
        let mut rng = Rng::new(seed);
        let runtime =
            Runtime::new(RuntimeOptions { block_cache_bytes: 64 << 10, ..RuntimeOptions::default() });
        let mut pairs: Vec<(SimVfs, Db, History)> = (0..2)
            .map(|_| {
                let vfs = SimVfs::new();
                let db = Db::open(shared(&vfs, &runtime)).expect("open");
                (vfs, db, History::default())
            })
            .collect();
        for step in 0..300 {
            let context = format!("seed {seed}, step {step}");
            let (vfs, db, history) = &mut pairs[rng.below(2) as usize];
            match rng.below(20) {
                0..=13 => {
                    let batch = random_batch(&mut rng);
                    let seq = db.append(&batch).expect("append");
                    history.push(batch, seq);
                }
                14 => drop(db.flush_if_due().expect("flush")),
                15 => db.flush().expect("flush"),
                16 | 17 => drop(db.compact_step().expect("compact")),
                18 if rng.one_in(5) => {
                    db.log().sync().expect("sync");
                    *vfs = vfs.process_crash();
                    *db = Db::open(shared(vfs, &runtime)).expect("open again");
                }
                // Both have files of the same numbers, and ask the same cache.
                _ => history.model.assert_equals(db, &context),
            }
        }
        for (_, db, history) in &pairs {
            history.model.assert_equals(db, &format!("seed {seed}"));
        }
        drop(pairs);
        assert_eq!(runtime.memtable_bytes(), 0, "seed {seed}: memory of closed databases counts");
    }
}

fn put(db: &Db, n: u64, bytes: usize) -> Result<u64, AppendError> {
    let mut batch = WriteBatch::new();
    batch.put(&n.to_be_bytes(), &vec![7; bytes]);
    let appended = db.append(&batch);
    let _ = db.log().write_out(db.log().appended());
    appended
}

#[test]
fn the_largest_memtable_gives_way_and_the_limit_holds_for_all() {
    const LIMIT: usize = 8 << 20;
    let runtime = Runtime::new(RuntimeOptions { memtable_bytes: LIMIT, ..RuntimeOptions::default() });
    let open = || {
        let options = shared(&SimVfs::new(), &runtime);
        Db::open(Options { write_buffer_bytes: 1 << 30, wal_limit_bytes: 1 << 40, ..options }).expect("open")
    };
    let (small, large) = (open(), open());
    for n in 0..1500 {
        put(&large, n, 2000).expect("there is room");
    }
    assert!(!large.flush_if_due().expect("flush"), "half of the limit is not reached");
    let mut n = 0;
    while runtime.memtable_bytes() < LIMIT / 2 + (512 << 10) {
        put(&small, n, 2000).expect("there is room");
        n += 1;
    }
    assert!(!small.flush_if_due().expect("flush"), "the other one is larger");
    assert!(large.flush_if_due().expect("flush"), "the largest makes room");
    assert!(runtime.memtable_bytes() < LIMIT / 2);
    // Without flushes, the limit ends it.
    let refused = (0..100_000).find_map(|n| put(&small, n, 2000).err());
    assert_eq!(refused, Some(AppendError::Backlog));
    assert!(runtime.memtable_bytes() < LIMIT + (1 << 20));
    assert!(matches!(large.pressure(), Pressure::Hard(_)), "it is felt by all");
    assert_eq!(put(&large, 0, 1), Err(AppendError::Backlog));
    assert!(small.stats().refused_appends > 0);
    small.flush().expect("flush");
    put(&large, 0, 1).expect("there is room again");
}

/// A filter that holds work up, until what [`brake`] gave with it is dropped.
struct Brake {
    compactions: Mutex<Receiver<()>>,
    flushes: Mutex<Receiver<()>>,
}

/// The brake of the compactions, and that of the flushes, which are held up before their first row.
fn brake() -> (Sender<()>, Sender<()>, Arc<Brake>) {
    let (compaction, compactions) = channel();
    let (flush, flushes) = channel();
    (
        compaction,
        flush,
        Arc::new(Brake { compactions: Mutex::new(compactions), flushes: Mutex::new(flushes) }),
    )
}

struct EverythingLives;

impl Judge for EverythingLives {}

impl CompactionFilter for Brake {
    fn begin(&self) -> Box<dyn Judge> {
        let _ = self.compactions.lock().expect("nobody panics while holding it").recv();
        Box::new(EverythingLives)
    }

    fn class(&self, _key: &[u8]) -> Option<u32> {
        let _ = self.flushes.lock().expect("nobody panics while holding it").recv();
        None
    }
}

const BUFFER: usize = 128 << 10;
/// What memtables may take with the options of [`braked`].
const MEMTABLES: usize = 3 * BUFFER;

fn braked(runtime: &Runtime, brake: &Arc<Brake>) -> Options {
    let mut options = shared(&SimVfs::new(), runtime);
    (options.write_buffer_bytes, options.max_frozen) = (BUFFER, 1);
    (options.wal_limit_bytes, options.segment_bytes) = (1 << 40, 1 << 20);
    (options.table_bytes, options.blob_threshold) = (64 << 10, 0);
    options.filter = Some(Arc::clone(brake) as _);
    options
}

fn memtable_bytes(stats: &DbStats) -> usize {
    stats.active_bytes + stats.frozen_bytes + stats.retired_bytes
}

#[test]
fn memtables_are_freed_while_a_compaction_takes_long() {
    let (compaction, _, brake) = brake();
    let options = RuntimeOptions { flush_threads: 1, compaction_threads: 1, ..RuntimeOptions::default() };
    let runtime = Runtime::new(options);
    let db = Db::open(Options { background: true, ..braked(&runtime, &brake) }).expect("open");
    // Dropped before the database is, which waits for the compaction.
    let compaction = compaction;
    let mut n = 0;
    while n < 20 * BUFFER as u64 / 1000 {
        match put(&db, n, 1000) {
            Ok(_) => n += 1,
            Err(AppendError::Backlog | AppendError::Full(_)) => std::thread::yield_now(),
            Err(other) => panic!("{other}"),
        }
        if n % 16 == 0 {
            let stats = db.stats();
            assert!(memtable_bytes(&stats) <= MEMTABLES + 2 * BUFFER, "{stats:?}");
        }
    }
    while db.stats().retired_bytes > 0 {
        std::thread::yield_now();
    }
    assert_eq!(db.stats().compactions, 0);
    drop(compaction);
    db.close().expect("close");
}

#[test]
fn memory_of_memtables_is_refused_beyond_the_limit_whichever_they_are() {
    let (_, flush, brake) = brake();
    let runtime = Runtime::new(RuntimeOptions::default());
    let db = Db::open(braked(&runtime, &brake)).expect("open");
    let refused = |from: u64| (from..10_000).find_map(|n| put(&db, n, 1000).err());
    std::thread::scope(|scope| {
        let flush = flush;
        assert_eq!(refused(0), Some(AppendError::Backlog));
        assert!(db.stats().active_bytes > MEMTABLES);
        scope.spawn(|| db.flush().expect("flush"));
        while db.stats().frozen == 0 {
            std::thread::yield_now();
        }
        // A new memtable makes no room.
        assert_eq!(put(&db, 0, 1000), Err(AppendError::Backlog));
        assert!(memtable_bytes(&db.stats()) < MEMTABLES + BUFFER / 2);
        drop(flush);
    });
    put(&db, 0, 1000).expect("there is room again");
}

#[test]
fn a_view_keeps_flushed_memtables_and_refuses_nobody() {
    let (_, _, brake) = brake();
    let runtime = Runtime::new(RuntimeOptions { memtable_bytes: 2 * MEMTABLES, ..RuntimeOptions::default() });
    let db = Db::open(braked(&runtime, &brake)).expect("open");
    let mut views = Vec::new();
    while db.stats().retired_bytes < 3 * MEMTABLES {
        for n in 0..100 {
            put(&db, n, 1000).expect("views refuse nobody");
        }
        views.push(db.view());
        db.flush().expect("flush");
    }
    assert!(!matches!(db.pressure(), Pressure::Hard(_)));
    let stats = db.stats();
    assert_eq!(runtime.memtable_bytes(), memtable_bytes(&stats));
    views.clear();
    assert_eq!(db.stats().retired_bytes, stats.retired_bytes, "a reader frees nothing");
    assert!(!db.flush_if_due().expect("flush"));
    assert_eq!((db.stats().retired_bytes, runtime.memtable_bytes()), (0, 0));
}

#[test]
fn what_waits_for_the_log_takes_no_more_than_a_memtable_or_one_batch() {
    let options = Options { write_buffer_bytes: 2 << 20, ..small(&SimVfs::new()) };
    let db = Db::open(options).expect("open");
    let mut large = WriteBatch::new();
    large.put(b"key", &vec![7; 3 << 20]);
    for _ in 0..3 {
        db.append(&large).expect("a batch of any size");
        assert_eq!(db.append(&large), Err(AppendError::Full(FullReason::Backlog)));
        db.log().write_out(db.log().appended()).expect("written");
    }
}

/// A database with threads.
fn with_threads(vfs: &SimVfs, runtime: &Runtime) -> Db {
    Db::open(Options { background: true, ..shared(vfs, runtime) }).expect("open")
}

/// Writes until so many more flushes and compactions have been done in the background.
fn write_until_worked(db: &Db, model: &mut Model, rng: &mut Rng) {
    let before = db.stats();
    loop {
        let batch = random_batch(rng);
        match db.append(&batch) {
            Ok(_) => model.apply(&batch),
            Err(AppendError::Backlog | AppendError::Full(_)) => std::thread::yield_now(),
            Err(other) => panic!("{other}"),
        }
        let _ = db.log().write_out(db.log().appended());
        let now = db.stats();
        if now.flushes > before.flushes + 3 && now.compactions > before.compactions {
            return;
        }
    }
}

#[test]
fn a_database_whose_disk_fails_does_not_stop_the_others() {
    let runtime = Runtime::new(RuntimeOptions::default());
    let (broken_disk, sound_disk) = (SimVfs::new(), SimVfs::new());
    let (broken, sound) = (with_threads(&broken_disk, &runtime), with_threads(&sound_disk, &runtime));
    let mut rng = Rng::new(1);
    let (mut broken_model, mut sound_model) = (Model::default(), Model::default());
    write_until_worked(&broken, &mut broken_model, &mut rng);
    write_until_worked(&sound, &mut sound_model, &mut rng);
    broken_disk.fail(FaultPlan::from(1, FaultKind::Io));
    loop {
        match broken.append(&random_batch(&mut rng)) {
            Err(AppendError::Stopped(_)) => break,
            _ => drop(broken.log().write_out(broken.log().appended())),
        }
    }
    for _ in 0..3 {
        write_until_worked(&sound, &mut sound_model, &mut rng);
    }
    sound_model.assert_equals(&sound, "beside a broken one");
    assert!(matches!(broken.pressure(), Pressure::Hard(_)));
    assert_eq!(sound.pressure(), sound.pressure());
    drop(broken);
    write_until_worked(&sound, &mut sound_model, &mut rng);
    sound.close().expect("close");
    let sound = Db::open(small(&sound_disk)).expect("open");
    sound_model.assert_equals(&sound, "reopened");
}

#[test]
fn paced_work_is_done_all_the_same_and_closing_does_not_wait_for_a_compaction() {
    let runtime = Runtime::new(RuntimeOptions {
        write_bytes_per_second: 4 << 20,
        compaction_cpu_share: 0.2,
        ..RuntimeOptions::default()
    });
    let vfs = SimVfs::new();
    let db = with_threads(&vfs, &runtime);
    let mut model = Model::default();
    let mut rng = Rng::new(8);
    for _ in 0..3 {
        write_until_worked(&db, &mut model, &mut rng);
    }
    model.assert_equals(&db, "paced");
    runtime.set_write_bytes_per_second(0);
    db.close().expect("close");
    drop(runtime);
    let db = Db::open(small(&vfs)).expect("open");
    model.assert_equals(&db, "reopened");
}

#[test]
fn syncs_of_tables_and_of_the_manifest_are_measured_where_there_are_threads() {
    for background in [true, false] {
        let db = Db::open(Options { background, ..small(&SimVfs::new()) }).expect("open");
        put(&db, 1, 60).expect("append");
        put(&db, 2, 600).expect("append");
        db.flush().expect("flush");
        let stats = db.stats();
        let counts = (stats.table_syncs.syncs, stats.manifest_syncs.syncs);
        // A table and a blob file with their directories, and one edit.
        let least = if background { (4, 1) } else { (0, 0) };
        assert!(counts.0 >= least.0 && counts.1 >= least.1, "{counts:?}");
        assert_eq!(counts == (0, 0), !background);
        assert!(stats.table_syncs.longest_micros <= stats.table_syncs.micros);
        assert_eq!((stats.table_syncs.delayed, stats.manifest_syncs.delayed), (0, 0));
    }
}
