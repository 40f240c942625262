//! What the database's tests share: a workload over few keys, and the model it is judged by.

use crate::support::Rng;
use kvdb_lsm::batch::{Op, Seq, WriteBatch};
use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::vfs::{SimVfs, Vfs};
use kvdb_lsm::{Cached, Compression, Db, Options, Partitioning, ReadView};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub(crate) const DB: &str = "/db";
/// The counters the workload uses: some with a slot of their own, one without.
pub(crate) const COUNTERS: [u16; 3] = [0, 5, 4000];

/// Options of a database so small that everything happens often, without threads.
pub(crate) fn small(vfs: &SimVfs) -> Options {
    let mut options = Options::new(DB);
    options.vfs = Arc::new(vfs.clone());
    options.sync = SyncPolicy::Always;
    options.segment_bytes = 16 << 10;
    options.write_buffer_bytes = 12 << 10;
    options.max_frozen = 64;
    options.wal_limit_bytes = 40 << 10;
    options.block_bytes = 256;
    options.block_cache_bytes = 8 << 10;
    options.table_bytes = 3 << 10;
    options.level0_depth = 3;
    options.base_level_bytes = 6 << 10;
    options.compression = Compression::Lz4;
    options.blob_threshold = 70;
    options.blob_file_bytes = 2 << 10;
    options.blob_age_cutoff = 0.25;
    options.partitioning = Partitioning { count: 5, of: partition_of };
    options.background = false;
    options
}

/// Two digits to a partition. Monotone for other keys too, which iterators may be sent to.
fn partition_of(key: &[u8]) -> usize {
    match key {
        [first, ..] if *first > b'k' => 4,
        [b'k', digit, ..] => usize::from(digit.saturating_sub(b'0') / 2),
        _ => 0,
    }
}

/// A key of the workload: "k" and three digits.
pub(crate) fn key(n: u64) -> Vec<u8> {
    format!("k{n:03}").into_bytes()
}

/// How many keys the workload has.
pub(crate) const KEYS: u64 = 120;

/// A random batch that takes at least one sequence number.
pub(crate) fn random_batch(rng: &mut Rng) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for n in 0..=rng.below(4) {
        // Some keys are hot.
        let key = key(if rng.one_in(3) { rng.below(8) } else { rng.below(KEYS) });
        if n > 0 && rng.one_in(4) {
            batch.add_counter(COUNTERS[rng.below(3) as usize], rng.next() as i64 >> 8);
        } else if rng.one_in(4) {
            batch.delete(&key);
        } else {
            let len = if rng.one_in(30) { rng.below(3000) } else { rng.below(120) };
            let tag = rng.next() as u8;
            let value: Vec<u8> = (0..len).map(|i| if i % 3 == 0 { tag } else { 7 }).collect();
            batch.put(&key, &value);
        }
    }
    batch
}

/// What a database must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) rows: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) counters: BTreeMap<u16, i64>,
}

impl Model {
    pub(crate) fn apply(&mut self, batch: &WriteBatch) {
        for op in batch.iter() {
            match op {
                Op::Put { key, value } => {
                    self.rows.insert(key.to_vec(), value.to_vec());
                }
                Op::Delete { key } => {
                    self.rows.remove(key);
                }
                Op::Counter { id, delta } => {
                    let total = self.counters.entry(id).or_default();
                    *total = total.wrapping_add(delta);
                }
            }
        }
    }

    /// Asserts that the database holds this and nothing else, whichever way it is asked.
    pub(crate) fn assert_equals(&self, db: &Db, context: &str) {
        let view = db.view();
        let rows: BTreeMap<_, _> =
            db.iter_all(&view).collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{context}: {e}"));
        assert!(rows == self.rows, "{context}: the rows differ: {:?}", difference(&rows, &self.rows));
        for n in 0..KEYS {
            self.assert_key(db, &key(n), context);
        }
        for id in COUNTERS {
            let expected = self.counters.get(&id).copied().unwrap_or_default();
            assert_eq!(db.counter(id), expected, "{context}: counter {id}");
        }
    }

    pub(crate) fn assert_key(&self, db: &Db, key: &[u8], context: &str) {
        let expected = self.rows.get(key);
        match db.get_cached(key).unwrap_or_else(|e| panic!("{context}: {e}")) {
            Cached::Found(value) => assert_eq!(Some(&value), expected, "{context}: {key:?}"),
            Cached::Absent => assert_eq!(None, expected, "{context}: {key:?}"),
            Cached::NeedIo(pending) => {
                let found = pending.finish().unwrap_or_else(|e| panic!("{context}: {e}"));
                assert_eq!(found.as_ref(), expected, "{context}: {key:?}, finished");
            }
        }
        let found = db.get(key).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert_eq!(found.as_ref(), expected, "{context}: {key:?}");
        // What is in the buffer before must not come back.
        let mut buffer = b"stale".to_vec();
        let exists = db.get_into(key, &mut buffer).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert_eq!(exists.then_some(&buffer), expected, "{context}: {key:?}, into a buffer");
        assert!(exists || buffer.is_empty(), "{context}: {key:?}: a stale buffer");
    }

    /// Asserts the answers to many keys at once, in any order, some of them asked twice.
    pub(crate) fn assert_many(&self, db: &Db, view: Option<&ReadView>, rng: &mut Rng, context: &str) {
        let keys: Vec<Vec<u8>> = (0..rng.below(30)).map(|_| key(rng.below(KEYS + 10))).collect();
        let found = match view {
            Some(view) => db.multi_get_at(&keys, view),
            None => db.multi_get(&keys),
        };
        let found = found.unwrap_or_else(|e| panic!("{context}: {e}"));
        let expected: Vec<_> = keys.iter().map(|key| self.rows.get(key).cloned()).collect();
        assert!(found == expected, "{context}: the values of {keys:?} differ");
    }
}

pub(crate) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The first key that differs, for the message.
fn difference(found: &Rows, expected: &Rows) -> Option<String> {
    let keys = found.keys().chain(expected.keys());
    let key = keys.filter(|key| found.get(*key) != expected.get(*key)).min()?;
    let len = |rows: &Rows| rows.get(key).map(Vec::len);
    Some(format!("{}: length {:?}, not {:?}", String::from_utf8_lossy(key), len(found), len(expected)))
}

/// The batches appended, with the sequence at which each ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) batches: Vec<(WriteBatch, Seq)>,
    pub(crate) model: Model,
}

impl History {
    pub(crate) fn push(&mut self, batch: WriteBatch, end: Seq) {
        self.model.apply(&batch);
        self.batches.push((batch, end));
    }

    pub(crate) fn last_seq(&self) -> Seq {
        self.batches.last().map_or(0, |(_, end)| *end)
    }

    /// Forgets what came after `seq`, which must be the end of a batch.
    pub(crate) fn cut(&mut self, seq: Seq, context: &str) {
        self.batches.retain(|(_, end)| *end <= seq);
        assert_eq!(self.last_seq(), seq, "{context}: sequence {seq} is inside a batch");
        self.model = Model::default();
        for (batch, _) in &self.batches {
            self.model.apply(batch);
        }
    }
}

/// Every file below the directory of the database.
pub(crate) fn files(vfs: &SimVfs) -> Vec<std::path::PathBuf> {
    ["", "blob", "sst", "wal"]
        .iter()
        .flat_map(|sub| {
            let dir = Path::new(DB).join(sub);
            let names = vfs.list(&dir).expect("the directory exists");
            names.into_iter().map(move |name| dir.join(name))
        })
        .filter(|path| vfs.open_read(path).is_ok_and(|file| file.len().is_ok()))
        .collect()
}
