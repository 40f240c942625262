//! Whole repairs of a damaged database: what comes out can be opened, read and repaired again, and has
//! nothing that was never written.
//!
//! The input is a list of harms: a file, what happens to it, where and how long.

#![no_main]

use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::error::Error;
use kvdb_lsm::repair::repair;
use kvdb_lsm::vfs::{SimVfs, Vfs, VfsFileExt};
use kvdb_lsm::{Db, Options, probe, unwatched};
use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Every value that a key ever had.
type Written = BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>;

fn options(vfs: &SimVfs) -> Options {
    let mut options = Options::new("/db");
    options.vfs = Arc::new(vfs.clone());
    options.segment_bytes = 4 << 10;
    options.block_bytes = 128;
    options.table_bytes = 1 << 10;
    options.level0_depth = 2;
    options.base_level_bytes = 2 << 10;
    options.blob_threshold = 60;
    options.block_cache_bytes = 1 << 20;
    options.background = false;
    options
}

/// A database with tables on some levels, blob files and a log, as the death of its process left it.
fn database() -> &'static (SimVfs, Written, Vec<PathBuf>) {
    static DATABASE: OnceLock<(SimVfs, Written, Vec<PathBuf>)> = OnceLock::new();
    DATABASE.get_or_init(|| {
        let (vfs, mut written) = (SimVfs::new(), Written::new());
        let db = Db::open(options(&vfs)).expect("open");
        for n in 0..60u32 {
            let key = format!("key{:02}", n * 7 % 25).into_bytes();
            let value = format!("{n}:").repeat(1 + (n as usize * 5) % 30).into_bytes();
            let mut batch = WriteBatch::new();
            if n % 9 == 8 {
                batch.delete(&key);
            } else {
                batch.put(&key, &value);
                written.entry(key).or_default().insert(value);
            }
            batch.add_counter(1, 1);
            db.append(&batch).expect("append");
            if n % 12 == 11 && n < 50 {
                db.flush().expect("flush");
                db.compact_step().expect("compact");
            }
        }
        db.log().sync().expect("sync");
        let files = ["", "blob", "sst", "wal"].iter().flat_map(|sub| {
            let dir = Path::new("/db").join(sub);
            let names = vfs.list(&dir).expect("listed");
            names.into_iter().map(move |name| dir.join(name))
        });
        let files = files.filter(|path| vfs.open_read(path).is_ok()).collect();
        drop(db);
        (vfs.process_crash(), written, files)
    })
}

/// Does one harm; whether something was forged, with checksums that match.
fn harm(vfs: &SimVfs, path: &Path, kind: u8, at: u64, bytes: &[u8]) -> bool {
    if kind % 8 == 7 {
        // What a manifest says then is anything.
        let forged = probe::manifest_of(&[bytes], at);
        let _ = vfs.remove(path);
        let file = vfs.create(path).expect("created");
        file.write_all_at(&forged, 0).expect("written");
        return true;
    }
    let Ok(file) = vfs.open(path) else { return false };
    match kind % 8 {
        0 => vfs.remove(path).expect("removed"),
        1 => file.truncate(at).expect("cut"),
        2 => file.write_all_at(&vec![0; bytes.len() * 16], at).expect("written"),
        3 => drop(vfs.flip_byte(path, at)),
        _ => file.write_all_at(bytes, at).expect("written"),
    }
    false
}

// Of each harm: file, kind, place (two bytes), length of what follows.
fuzz_target!(|data: &[u8]| {
    let (original, written, files) = database();
    let vfs = original.process_crash();
    let (mut rest, mut is_forged) = (data, false);
    while let [file, kind, low, high, len, tail @ ..] = rest {
        let (bytes, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        let at = u64::from(u16::from_le_bytes([*low, *high]));
        is_forged |= harm(&vfs, &files[usize::from(*file) % files.len()], *kind, at, bytes);
        rest = tail;
    }
    let vfs = vfs.process_crash();
    let report = match repair(&options(&vfs), &mut unwatched) {
        Ok(report) => report,
        // A manifest may ask for what this version does not know.
        Err(Error::Invalid(_) | Error::Corruption { .. }) if is_forged => return,
        Err(error) => panic!("{error}"),
    };
    let db = match Db::open(options(&vfs)) {
        Ok(db) => db,
        Err(_) if is_forged => return,
        Err(error) => panic!("what was repaired cannot be opened: {error}\n{report:?}"),
    };
    let view = db.view();
    for row in db.iter_all(&view) {
        let (key, value) = match row {
            Ok(row) => row,
            Err(_) if is_forged => return,
            Err(error) => panic!("what was repaired cannot be read: {error}\n{report:?}"),
        };
        let known = written.get(&key).is_some_and(|values| values.contains(&value));
        assert!(known, "{key:?} has {value:?}, which was never written\n{report:?}");
    }
    let problems = db.verify().expect("verified").problems;
    assert!(problems.is_empty() || is_forged, "{problems:?}\n{report:?}");
    drop(view);
    drop(db);
    let again = repair(&options(&vfs), &mut unwatched);
    match again {
        Ok(again) => assert!(again.losses.is_empty() || is_forged, "{again:?} after {report:?}"),
        Err(error) => assert!(is_forged, "{error}"),
    }
});
