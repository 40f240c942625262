//! Databases that earlier versions wrote: they are opened, read to the last key, written to, and
//! compacted into today's format.
//!
//! `tests/fixtures/format-N` is the directory of a database as the writer of table format N left
//! it (`blobs-N`, of blob file format N), made by [`write_fixture`] of that time. A fixture is never made again; a new format gets a
//! new one.

use crate::db_support::Model;
use crate::support::Rng;
use kvdb_lsm::batch::{MAX_KEY_LEN, WriteBatch};
use kvdb_lsm::error::Error;
use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::probe;
use kvdb_lsm::repair::repair;
use kvdb_lsm::vfs::{OsVfs, SimVfs, Vfs, VfsFileExt};
use kvdb_lsm::{AppendError, Compression, Db, Options, ReadOnlyDb, unwatched};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DB: &str = "/db";

fn options(vfs: Arc<dyn Vfs>, dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.vfs = vfs;
    options.sync = SyncPolicy::Always;
    options.segment_bytes = 16 << 10;
    options.write_buffer_bytes = 64 << 10;
    options.block_bytes = 512;
    options.table_bytes = 8 << 10;
    options.level0_depth = 3;
    options.base_level_bytes = 12 << 10;
    options.compression = Compression::Lz4;
    options.blob_threshold = BLOB_THRESHOLD;
    options.blob_file_bytes = 8 << 10;
    options.blob_garbage_ratio = 0.9;
    options.blob_age_cutoff = 0.0;
    options.background = false;
    options
}

/// The rows of the fixtures have few values that are longer.
const BLOB_THRESHOLD: usize = 50;

fn key(n: u64) -> Vec<u8> {
    match n % 7 {
        0 => format!("{n:03}").into_bytes(),
        1 => n.to_be_bytes().to_vec(),
        2 => [&[0xff; 9], &n.to_le_bytes()[..2]].concat(),
        _ => format!("user/{:03}/profile/{n}", n % 40).into_bytes(),
    }
}

/// The batch number `n` of every fixture: what it holds follows from `n` alone, for ever.
fn batch(n: u64) -> WriteBatch {
    let mut rng = Rng::new(1000 + n);
    let mut batch = WriteBatch::new();
    batch.add_counter((n % 3) as u16, n as i64 - 50);
    for _ in 0..4 {
        let key = key(rng.below(300));
        if rng.one_in(4) {
            batch.delete(&key);
        } else {
            let len = if rng.one_in(25) { rng.below(1500) } else { rng.below(60) };
            let tag = rng.next() as u8;
            let value: Vec<u8> = (0..len).map(|i| if i % 5 == 0 { tag ^ i as u8 } else { 3 }).collect();
            batch.put(&key, &value);
        }
    }
    batch
}

/// How many batches a fixture has, and after which of them it was compacted and flushed.
const BATCHES: u64 = 260;
const COMPACTED: u64 = 170;
const FLUSHED: u64 = 230;

/// The rows and counters of a fixture.
fn model() -> Model {
    let mut model = Model::default();
    for n in 0..BATCHES {
        model.apply(&batch(n));
    }
    model
}

/// Writes a fixture into an empty directory. It is called by hand, when a format is new.
fn write_fixture(dir: &Path) {
    let db = Db::open(options(Arc::new(OsVfs), dir)).expect("open");
    for n in 0..BATCHES {
        db.append(&batch(n)).expect("append");
        if n == COMPACTED / 2 || n == FLUSHED {
            db.flush().expect("flush");
        }
        if n == COMPACTED {
            db.flush().expect("flush");
            while db.compact_step().expect("compact") {}
        }
    }
    db.log().sync().expect("sync");
    let stats = db.stats();
    assert!(stats.tables[0] > 0 && stats.tables[1..].iter().sum::<usize>() > 0, "{stats:?}");
    assert!(stats.blob_files > 1 && stats.blob_garbage_bytes > 0, "{stats:?}");
    std::mem::forget(db);
}

#[test]
#[ignore = "makes a fixture in the directory KVDB_FIXTURE; run when the format changes"]
fn make_a_fixture() {
    let dir = std::env::var_os("KVDB_FIXTURE").expect("KVDB_FIXTURE names the directory");
    write_fixture(Path::new(&dir));
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Copies a fixture into a simulated file system.
fn load(name: &str) -> SimVfs {
    let vfs = SimVfs::new();
    for sub in ["", "blob", "sst", "wal"] {
        let (from, to) = (fixtures().join(name).join(sub), Path::new(DB).join(sub));
        vfs.create_dir_all(&to).expect("create");
        if sub == "blob" && !from.exists() {
            continue;
        }
        for entry in std::fs::read_dir(&from).expect("the fixture is there") {
            let path = entry.expect("list").path();
            if path.is_file() {
                let file = vfs.create(&to.join(path.file_name().expect("a name"))).expect("create");
                file.write_all_at(&std::fs::read(&path).expect("read"), 0).expect("write");
                file.sync_all().expect("sync");
            }
        }
        vfs.sync_dir(&to).expect("sync");
    }
    vfs
}

fn assert_is(db: &Db, model: &Model, context: &str) {
    let view = db.view();
    let rows = db.iter_all(&view).collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{context}: {e}"));
    assert!(model.rows == rows, "{context}: the rows differ");
    for n in 0..310 {
        let found = db.get(&key(n)).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert_eq!(found.as_ref(), model.rows.get(&key(n)), "{context}: key {n}");
    }
    for (&id, &total) in &model.counters {
        assert_eq!(db.counter(id), total, "{context}: counter {id}");
    }
    let report = db.verify().expect("verify");
    assert!(report.problems.is_empty(), "{context}: {:?}", report.problems);
}

#[test]
fn a_key_that_no_table_could_carry_is_refused() {
    let db = Db::open(options(Arc::new(SimVfs::new()), Path::new(DB))).expect("open");
    let mut key = vec![b'k'; MAX_KEY_LEN];
    let mut batch = WriteBatch::new();
    batch.put(b"before", b"value");
    batch.put(&key, b"value");
    db.append(&batch).expect("the longest key is taken");
    key.push(b'k');
    batch.clear();
    batch.put(&key, b"value");
    assert_eq!(db.append(&batch), Err(AppendError::TooLarge));
    batch.clear();
    batch.delete(&key);
    assert_eq!(db.append(&batch), Err(AppendError::TooLarge));
    db.flush().expect("flush");
    key.pop();
    assert_eq!(db.get(&key).expect("get"), Some(b"value".to_vec()));
    assert!(db.verify().expect("verify").problems.is_empty());
}

#[test]
fn databases_of_every_format_are_read_and_written_on() {
    for name in ["format-1", "format-2", "blobs-1"] {
        let (vfs, mut expected) = (load(name), model());
        let db = Db::open(options(Arc::new(vfs.clone()), Path::new(DB))).expect("open");
        assert_eq!(db.log().appended(), BATCHES * 4, "{name}");
        assert_is(&db, &expected, name);
        for n in BATCHES..BATCHES + 60 {
            db.append(&batch(n)).expect("append");
            expected.apply(&batch(n));
        }
        db.flush().expect("flush");
        assert_is(&db, &expected, "tables of both formats");
        db.compact().expect("compact");
        assert_is(&db, &expected, "compacted");
        assert!(db.stats().blob_files > 0, "{name}: large values go to blob files");
        db.close().expect("close");
        let db = Db::open(options(Arc::new(vfs), Path::new(DB))).expect("open");
        assert_is(&db, &expected, "opened again");
    }
}

/// A directory whose manifest states features.
fn with_features(ro_compat: u8, incompat: u8) -> SimVfs {
    let vfs = SimVfs::new();
    vfs.create_dir_all(Path::new(DB)).expect("create");
    let state = [7, 3, 0, ro_compat, incompat, 4, 1, 9, 5, 1, 0, 3, 1, 0];
    let name = "MANIFEST-000007";
    let current = format!("{name}\n{:08x}\n", crc32fast::hash(name.as_bytes()));
    for (name, bytes) in [(name, probe::manifest_of(&[&state], 7)), ("CURRENT", current.into_bytes())] {
        let file = vfs.create(&Path::new(DB).join(name)).expect("create");
        file.write_all_at(&bytes, 0).expect("write");
    }
    vfs
}

#[test]
fn a_database_with_features_from_the_future_is_refused_by_their_name() {
    for (ro_compat, incompat, expected) in [(0, 0x11, Some("0x10")), (0x20, 1, Some("0x20")), (0, 1, None)] {
        let vfs = with_features(ro_compat, incompat);
        let before = vfs.list(Path::new(DB)).expect("list");
        // What forbids only writing lets it be read.
        vfs.create_dir_all(&Path::new(DB).join("wal")).expect("create");
        vfs.create_dir_all(&Path::new(DB).join("sst")).expect("create");
        match ReadOnlyDb::open(&options(Arc::new(vfs.clone()), Path::new(DB))) {
            Ok(db) => assert!(incompat == 1 && db.get(b"key").expect("get").is_none()),
            Err(Error::Invalid(what)) => assert!(incompat != 1 && what.contains("0x10"), "{what}"),
            Err(error) => panic!("{ro_compat:#x} {incompat:#x}: {error}"),
        }
        if let Some(bits) = expected {
            let repaired = repair(&options(Arc::new(vfs.clone()), Path::new(DB)), &mut unwatched);
            assert!(matches!(&repaired, Err(Error::Invalid(what)) if what.contains(bits)), "{repaired:?}");
        }
        match (Db::open(options(Arc::new(vfs.clone()), Path::new(DB))), expected) {
            (Ok(db), None) => assert_eq!(db.get(b"key").expect("get"), None),
            (Err(Error::Invalid(what)), Some(bits)) => {
                assert!(what.contains(bits), "{what}");
                let kept = before.iter().all(|name| vfs.exists(&Path::new(DB).join(name)).expect("look"));
                assert!(kept, "a refused database was changed");
            }
            (result, _) => panic!("{ro_compat:#x} {incompat:#x}: {result:?}"),
        }
    }
}
