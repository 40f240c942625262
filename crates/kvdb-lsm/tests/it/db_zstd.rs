//! A database whose tables and blob files are compressed with Zstandard: the same answers, less space,
//! and whatever reads files without the database reads them too.

use crate::db_support::{History, key, random_batch, small};
use crate::support::Rng;
use kvdb_lsm::backup::Backups;
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::repair::repair;
use kvdb_lsm::vfs::{SimVfs, Vfs};
use kvdb_lsm::{Compression, Db, Options, SstWriter, unwatched};
use std::path::Path;
use std::sync::Arc;

fn zstd(vfs: &SimVfs) -> Options {
    Options { compression: Compression::Zstd, block_bytes: 1 << 10, ..small(vfs) }
}

/// A database with tables on some levels and blob files.
fn grown(options: Options) -> (Db, History) {
    let db = Db::open(options).expect("open");
    let (mut history, mut rng) = (History::default(), Rng::new(12));
    for n in 0..400 {
        let batch = random_batch(&mut rng);
        let seq = db.append(&batch).expect("append");
        history.push(batch, seq);
        if n % 50 == 49 {
            db.flush().expect("flush");
            while db.compact_step().expect("compact") {}
        }
    }
    (db, history)
}

#[test]
fn a_database_with_zstd_is_read_moved_and_repaired_like_any_other() {
    let vfs = SimVfs::new();
    let (db, history) = grown(zstd(&vfs));
    assert!(db.stats().blob_files > 0);
    history.model.assert_equals(&db, "grown");
    let report = db.verify().expect("verify");
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let backups = Backups::open(Arc::new(vfs.clone()), "/backups").expect("open the backups");
    let made = backups.create(&db, 1, &mut unwatched).expect("back up");
    backups.restore(made.backup.id, &vfs, Path::new("/restored"), &mut unwatched).expect("restore");
    let restored = Db::open(Options { dir: "/restored".into(), ..zstd(&vfs) }).expect("open");
    history.model.assert_equals(&restored, "restored");
    // What one codec wrote is read, and written again, under another.
    db.close().expect("close");
    let db = Db::open(small(&vfs)).expect("open");
    history.model.assert_equals(&db, "under lz4");
    db.compact().expect("compact");
    history.model.assert_equals(&db, "compacted under lz4");
    db.close().expect("close");
    let db = Db::open(zstd(&vfs)).expect("open");
    db.compact().expect("compact");
    db.close().expect("close");
    repair(&zstd(&vfs), &mut unwatched).expect("repair");
    let db = Db::open(zstd(&vfs)).expect("open");
    history.model.assert_equals(&db, "repaired");
}

#[test]
fn tables_made_elsewhere_with_zstd_are_ingested() {
    let vfs = SimVfs::new();
    let db = Db::open(zstd(&vfs)).expect("open");
    vfs.create_dir_all(Path::new("/in")).expect("create");
    let path = Path::new("/in/a.sst");
    let mut writer = SstWriter::create(&vfs, path, Compression::Zstd).expect("create");
    for n in 0..100 {
        writer.put(&key(n), &[n as u8; 50]).expect("put");
    }
    writer.finish().expect("finish");
    db.ingest(&[path]).expect("ingest");
    for n in 0..100 {
        assert_eq!(db.get(&key(n)).expect("get"), Some(vec![n as u8; 50]));
    }
}

#[test]
fn it_takes_less_space_than_lz4_for_text() {
    let bytes = |compression| {
        let options = Options {
            compression,
            block_bytes: 16 << 10,
            table_bytes: 1 << 20,
            blob_threshold: 0,
            ..small(&SimVfs::new())
        };
        let db = Db::open(options).expect("open");
        let mut batch = WriteBatch::new();
        for n in 0..120 {
            let text: String = (0..20).map(|i| format!("field {i} of row {n}: {}; ", n * i)).collect();
            batch.put(&key(n), text.as_bytes());
        }
        db.append(&batch).expect("append");
        db.compact().expect("compact");
        db.stats().table_bytes.iter().sum::<u64>()
    };
    let [lz4, zstd] = [Compression::Lz4, Compression::Zstd].map(bytes);
    assert!(zstd * 10 < lz4 * 9, "{zstd} bytes, {lz4} with lz4");
}
