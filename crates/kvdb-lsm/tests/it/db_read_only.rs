//! Reading without writing: what is seen, what is refused, and that no file changes.

use crate::db_support::{DB, History, KEYS, files, key, random_batch, small};
use crate::hooked::{Hooked, Hooks};
use crate::support::Rng;
use kvdb_lsm::error::Error;
use kvdb_lsm::vfs::{SimVfs, Vfs, VfsFileExt};
use kvdb_lsm::{Db, Options, ReadOnlyDb, unwatched};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A database with tables and a log, as a power cut left it.
fn crashed(seed: u64) -> (SimVfs, History) {
    let vfs = SimVfs::new();
    let db = Db::open(small(&vfs)).expect("open");
    let (mut history, mut rng) = (History::default(), Rng::new(seed));
    for n in 0..120 {
        let batch = random_batch(&mut rng);
        let seq = db.append(&batch).expect("append");
        history.push(batch, seq);
        match n {
            40 => db.compact().expect("compact"),
            80 => db.flush().expect("flush"),
            100 => drop(db.log().sync().expect("sync")),
            _ => drop(db.log().write_out(seq)),
        }
    }
    (vfs.crash(seed), history)
}

fn contents(vfs: &SimVfs) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: &PathBuf| {
        let file = vfs.open_read(path).expect("open");
        let mut bytes = vec![0; file.len().expect("length") as usize];
        file.read_exact_at(&mut bytes, 0).expect("read");
        bytes
    };
    files(vfs).into_iter().map(|path| (path.clone(), read(&path))).collect()
}

#[test]
fn it_shows_what_an_opening_would_and_changes_nothing() {
    for seed in 0..40 {
        let context = format!("seed {seed}");
        let (vfs, history) = crashed(seed);
        let before = contents(&vfs);
        let reader = ReadOnlyDb::open(&small(&vfs)).unwrap_or_else(|e| panic!("{context}: {e}"));
        let second = ReadOnlyDb::open(&small(&vfs)).expect("many may read");
        let seq = reader.seq();
        let mut kept = history.clone();
        kept.cut(seq, &context);
        for n in 0..KEYS {
            let found = reader.get(&key(n)).expect("get");
            assert_eq!(found.as_ref(), kept.model.rows.get(&key(n)), "{context}");
        }
        let rows: BTreeMap<_, _> = second.iter_all().collect::<Result<_, _>>().expect("iterate");
        assert_eq!(rows, kept.model.rows, "{context}");
        let (from, to) = (key(3), key(9));
        let bounds = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
        let some: Vec<_> = second.iter(bounds).collect::<Result<_, _>>().expect("iterate");
        let expected = kept.model.rows.range(key(3)..key(9)).map(|(k, v)| (k.clone(), v.clone()));
        assert!(some.into_iter().eq(expected), "{context}");
        for id in crate::db_support::COUNTERS {
            assert_eq!(reader.counter(id), kept.model.counters.get(&id).copied().unwrap_or(0), "{context}");
        }
        assert!(reader.verify(&mut unwatched).expect("verify").problems.is_empty());
        let locked = Db::open(small(&vfs));
        assert!(matches!(locked, Err(Error::Io { action: "lock", .. })), "{context}: {locked:?}");
        drop((reader, second));
        assert_eq!(contents(&vfs), before, "{context}: a file changed");
        let db = Db::open(small(&vfs)).expect("open");
        assert_eq!(db.log().appended(), seq, "{context}");
        let writer = ReadOnlyDb::open(&small(&vfs));
        assert!(matches!(writer, Err(Error::Io { action: "lock", .. })), "{context}: {writer:?}");
    }
}

#[test]
fn a_directory_without_a_database_is_refused_and_stays_empty() {
    let vfs = SimVfs::new();
    vfs.create_dir_all(Path::new(DB)).expect("create");
    let error = ReadOnlyDb::open(&small(&vfs)).expect_err("there is nothing");
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert_eq!(vfs.list(Path::new(DB)).expect("list"), Vec::<String>::new());
}

/// A disk that returns one wrong byte in one read.
#[derive(Default)]
struct Reads {
    count: AtomicU64,
    bad: u64,
}

impl Hooks for Reads {
    fn after_read(&self, read: &mut [u8]) {
        let middle = read.len() / 2;
        if let Some(byte) = read.get_mut(middle)
            && self.count.fetch_add(1, Ordering::Relaxed) + 1 == self.bad
        {
            *byte ^= 0x40;
        }
    }
}

#[test]
fn one_bad_transfer_changes_no_answer_and_is_no_damage() {
    let (vfs, history) = crashed(5);
    let mut bad = 0;
    loop {
        bad += 1;
        let reads = Arc::new(Reads { bad, ..Reads::default() });
        let flaky = Hooked { disk: vfs.process_crash(), hooks: Arc::clone(&reads) };
        let options = Options { vfs: Arc::new(flaky), ..small(&vfs) };
        let reader = ReadOnlyDb::open(&options).unwrap_or_else(|e| panic!("read {bad}: {e}"));
        let mut kept = history.clone();
        kept.cut(reader.seq(), &format!("read {bad}"));
        let rows: BTreeMap<_, _> = reader.iter_all().collect::<Result<_, _>>().expect("iterate");
        assert!(rows == kept.model.rows, "read {bad}: the rows differ");
        for n in 0..KEYS {
            let found = reader.get(&key(n)).unwrap_or_else(|e| panic!("read {bad}: {e}"));
            assert_eq!(found.as_ref(), kept.model.rows.get(&key(n)), "read {bad}");
        }
        let full = history.last_seq();
        assert!(reader.seq() <= full);
        if reads.count.load(Ordering::Relaxed) < bad {
            assert!(bad > 20, "only {bad} reads");
            return;
        }
    }
}
