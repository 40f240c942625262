//! One trace of operations under many options: whatever the sizes, the filters, the compression
//! and the cache are, every read of the trace gives the same answer.
//!
//! There is no model here, so a bug that the model shares is seen as well, unless all options
//! share it.

use crate::db_ingest::{build, random_rows};
use crate::db_support::{COUNTERS, KEYS, key, random_batch, small};
use crate::db_walks::{Range, Walk, bound, slice};
use crate::support::{Rng, seeds};
use kvdb_lsm::backup::Backups;
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::filter::{CompactionFilter, Judge};
use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::vfs::SimVfs;
use kvdb_lsm::{Compression, Db, Options, Partitioning, ReadView, Runtime, RuntimeOptions, Scrub, unwatched};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

/// An operation of a trace. What is chosen at random in it follows from its seed.
#[derive(Debug, Clone, Copy)]
enum Action {
    Append(u64),
    Get(u64),
    GetMany(u64),
    Walk(u64),
    Counter(u64),
    View,
    DropView(u64),
    GetAt(u64),
    WalkAt(u64),
    Flush,
    FlushIfDue,
    CompactStep,
    Compact,
    Tick(u64),
    Reopen,
    Checkpoint(u64),
    CompactRange(u64),
    DropRange(u64),
    Ingest(u64),
    BackUp(u64),
    Scrub(u64),
}

fn trace(rng: &mut Rng, len: usize) -> Vec<Action> {
    let step = |_| {
        let seed = rng.next();
        match rng.below(54) {
            0..=25 => Action::Append(seed),
            26 | 27 => Action::Get(seed),
            28 => Action::GetMany(seed),
            29 => Action::Walk(seed),
            30 => Action::Counter(seed),
            31 | 32 => Action::View,
            33 => Action::DropView(seed),
            34 => Action::GetAt(seed),
            35 | 36 => Action::WalkAt(seed),
            37 => Action::Flush,
            38 | 39 => Action::FlushIfDue,
            40..=42 => Action::CompactStep,
            43 if seed.is_multiple_of(4) => Action::Compact,
            44 => Action::Reopen,
            45 if seed.is_multiple_of(3) => Action::Checkpoint(seed),
            46 | 47 => Action::CompactRange(seed),
            48 if seed.is_multiple_of(3) => Action::DropRange(seed),
            49 | 50 => Action::Ingest(seed),
            51 if seed.is_multiple_of(3) => Action::BackUp(seed),
            52 => Action::Scrub(seed),
            _ => Action::Tick(seed),
        }
    };
    (0..len).map(step).collect()
}

/// One of the codecs that this build has.
fn one_of_compressions(one_of: &mut impl FnMut(&[usize]) -> usize) -> Compression {
    match one_of(&[0, 1, 2]) {
        0 => Compression::None,
        1 => Compression::Lz4,
        #[cfg(feature = "zstd")]
        _ => Compression::Zstd,
        #[cfg(not(feature = "zstd"))]
        _ => Compression::Lz4,
    }
}

/// Options from the smallest to the largest that make sense, each for itself.
fn random_options(rng: &mut Rng, vfs: &SimVfs, runtime: &Runtime) -> Options {
    let mut options = small(vfs);
    let mut one_of = |choices: &[usize]| choices[rng.below(choices.len() as u64) as usize];
    options.block_bytes = one_of(&[64, 100, 512, 4 << 10, 64 << 10]);
    options.write_buffer_bytes = one_of(&[2 << 10, 10 << 10, 64 << 10, 4 << 20]);
    options.max_frozen = 10_000;
    options.segment_bytes = one_of(&[8 << 10, 16 << 10, 256 << 10]) as u64;
    options.wal_limit_bytes = one_of(&[16 << 10, 100 << 10, 16 << 20]) as u64;
    options.table_bytes = one_of(&[1, 2 << 10, 16 << 10, 1 << 20]) as u64;
    options.level0_depth = one_of(&[1, 2, 4, 20]);
    options.base_level_bytes = one_of(&[1, 4 << 10, 32 << 10, 1 << 20]) as u64;
    options.fan_out = one_of(&[2, 3, 10]) as u64;
    options.blob_threshold = one_of(&[0, 1, 30, 100, 4 << 10]);
    options.blob_file_bytes = one_of(&[1, 3 << 10, 256 << 20]) as u64;
    options.blob_garbage_ratio = [0.01, 0.3, 0.5, 1.0][one_of(&[0, 1, 2, 3])];
    options.blob_age_cutoff = [0.0, 0.25, 1.0][one_of(&[0, 1, 2])];
    options.min_tombstones = one_of(&[1, 20, 1000]) as u64;
    options.restart_interval = one_of(&[1, 4, 16, 100]);
    for level in &mut options.levels {
        if one_of(&[0, 1, 2]) == 0 {
            level.compression = [None, Some(one_of_compressions(&mut one_of))][one_of(&[0, 1])];
            level.block_bytes = [None, Some(64), Some(2 << 10)][one_of(&[0, 1, 2])];
            level.bloom_bits_per_key = [None, Some(0), Some(16)][one_of(&[0, 1, 2])];
        }
    }
    options.whole_index_bytes = one_of(&[0, 300, 2 << 20]);
    options.bloom_bits_per_key = one_of(&[0, 1, 10, 20]);
    options.block_cache_bytes = one_of(&[0, 1 << 10, 16 << 10, 8 << 20]) as u64;
    options.compression = one_of_compressions(&mut one_of);
    options.sync = [SyncPolicy::Always, SyncPolicy::EverySec, SyncPolicy::No][one_of(&[0, 1, 2])];
    options.partitioning = match one_of(&[0, 1, 2]) {
        0 => Partitioning { count: 1, of: |_| 0 },
        1 => options.partitioning,
        _ => Partitioning::default(),
    };
    options.log = one_of(&[0, 1, 2]) > 0;
    options.runtime = (one_of(&[0, 1]) > 0).then(|| runtime.clone());
    options.filter = (one_of(&[0, 1]) > 0).then(|| Arc::new(KeepsAll) as Arc<dyn CompactionFilter>);
    options
}

/// A filter that knows a class and a deadline of every row, and calls none of them dead.
#[derive(Debug)]
struct KeepsAll;

impl CompactionFilter for KeepsAll {
    fn begin(&self) -> Box<dyn Judge> {
        Box::new(Self)
    }

    fn class(&self, key: &[u8]) -> Option<u32> {
        key.get(1).map(|&digit| u32::from(digit / 2))
    }

    fn deadline(&self, _key: &[u8], value: &[u8]) -> Option<u64> {
        Some(1 + value.len() as u64).filter(|deadline| deadline % 3 > 0)
    }
}

impl Judge for KeepsAll {}

struct Player {
    vfs: SimVfs,
    options: Options,
    db: Db,
    views: Vec<ReadView>,
    /// Of the last batch, in the log of whoever applies to a database without one.
    index: u64,
    scrub: Scrub,
}

impl Player {
    fn new(options: Options, vfs: SimVfs) -> Self {
        let db = Db::open(options.clone()).expect("open");
        Self { vfs, db, options, views: Vec::new(), index: 0, scrub: Scrub::default() }
    }

    fn append(&mut self, batch: &WriteBatch) -> String {
        if !self.options.log {
            self.index += 1;
            return self.db.apply(batch, self.index).expect("nothing fails here").to_string();
        }
        loop {
            match self.db.append(batch) {
                Ok(seq) => return seq.to_string(),
                // How full the log is depends on the options; what it takes does not.
                Err(kvdb_lsm::AppendError::Full(_)) => drop(self.db.log().sync().expect("sync")),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Carries a step out; what it answers, as text.
    fn play(&mut self, step: Action) -> String {
        let any = |seed: u64, views: &[ReadView]| views.get(seed as usize % views.len().max(1)).cloned();
        match step {
            Action::Append(seed) => return self.append(&random_batch(&mut Rng::new(seed))),
            Action::Get(seed) => {
                let key = key(seed % (KEYS + 10));
                return format!("{:?}", self.db.get(&key).expect("get"));
            }
            Action::GetMany(seed) => {
                let mut rng = Rng::new(seed);
                let keys: Vec<_> = (0..rng.below(40)).map(|_| key(rng.below(KEYS + 10))).collect();
                return format!("{:?}", self.db.multi_get(&keys).expect("get"));
            }
            Action::Walk(seed) => return walk(&self.db, &self.db.view(), seed),
            Action::Counter(seed) => return self.db.counter(COUNTERS[seed as usize % 3]).to_string(),
            Action::View if self.views.len() < 5 => self.views.push(self.db.view()),
            Action::DropView(seed) if !self.views.is_empty() => {
                drop(self.views.swap_remove(seed as usize % self.views.len()));
            }
            Action::GetAt(seed) => {
                if let Some(view) = any(seed, &self.views) {
                    return format!("{:?}", self.db.get_at(&key(seed % KEYS), &view).expect("get"));
                }
            }
            Action::WalkAt(seed) => {
                if let Some(view) = any(seed, &self.views) {
                    return walk(&self.db, &view, seed);
                }
            }
            Action::View | Action::DropView(_) => {}
            Action::Flush => self.db.flush().expect("flush"),
            Action::FlushIfDue => drop(self.db.flush_if_due().expect("flush")),
            Action::CompactStep => drop(self.db.compact_step().expect("compact")),
            Action::Compact => self.db.compact().expect("compact"),
            Action::Tick(_) if !self.options.log => {}
            Action::Tick(seed) => self.db.log().tick(std::time::Duration::from_millis(seed % 9000)),
            Action::Reopen => self.reopen(),
            Action::Checkpoint(seed) => return self.checkpoint(seed),
            Action::CompactRange(seed) => {
                let (lower, upper) = random_bounds(seed);
                self.db.compact_range((slice(&lower), slice(&upper))).expect("compact a range");
            }
            Action::DropRange(seed) => return self.drop_range(seed),
            Action::Ingest(seed) => {
                let mut rng = Rng::new(seed);
                let from = rng.below(KEYS);
                let rows = random_rows(&mut rng, from, from + 20);
                let path = build(&self.vfs, &format!("{seed}.sst"), &rows);
                return self.db.ingest(&[path]).expect("ingest").to_string();
            }
            Action::BackUp(seed) => return self.back_up(seed),
            Action::Scrub(seed) => {
                let step = self.db.scrub_step(&mut self.scrub, 1 + seed % 5000);
                assert!(step.problems.is_empty(), "{:?}", step.problems);
            }
        }
        String::new()
    }

    fn reopen(&mut self) {
        self.views.clear();
        if self.options.log {
            self.db.log().sync().expect("sync");
        } else {
            self.db.flush().expect("flush");
        }
        self.vfs = self.vfs.process_crash();
        self.options.vfs = Arc::new(self.vfs.clone());
        self.db = Db::open(self.options.clone()).expect("open again");
    }

    fn checkpoint(&self, seed: u64) -> String {
        let dir = format!("/copy{seed}");
        let seq = self.db.checkpoint(Path::new(&dir)).expect("checkpoint");
        format!("{seq} {}", self.content_of(&dir))
    }

    fn back_up(&self, seed: u64) -> String {
        let backups = Backups::open(Arc::new(self.vfs.clone()), "/backups").expect("open the backups");
        let made = backups.create(&self.db, seed, &mut unwatched).expect("back up");
        let dir = format!("/restored{seed}");
        backups.restore(made.backup.id, &self.vfs, Path::new(&dir), &mut unwatched).expect("restore");
        format!("{} {}", made.backup.seq, self.content_of(&dir))
    }

    /// Opens a copy of the database; what is in it, as text.
    fn content_of(&self, dir: &str) -> String {
        let copy = Db::open(Options { dir: dir.into(), ..self.options.clone() }).expect("open the copy");
        let rows: Vec<_> = copy.iter_all(&copy.view()).collect::<Result<_, _>>().expect("iterate");
        format!("{:?} {rows:?}", COUNTERS.map(|id| copy.counter(id)))
    }

    /// Lets go of a range: the tables inside it, and then whatever has one of its keys. Which tables are
    /// inside follows from the options, so the deletions must not follow from what is left.
    fn drop_range(&mut self, seed: u64) -> String {
        let (lower, upper) = random_bounds(seed);
        self.db.drop_range_files((slice(&lower), slice(&upper))).expect("drop tables");
        let range = Range::Between(lower, upper);
        let mut batch = WriteBatch::new();
        // As far as ingested keys go.
        let keys = (0..KEYS + 20).map(key);
        keys.filter(|key| range.contains(key)).for_each(|key| batch.delete(&key));
        if batch.is_empty() { String::new() } else { self.append(&batch) }
    }
}

fn random_bounds(seed: u64) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let mut rng = Rng::new(seed);
    (bound(&mut rng), bound(&mut rng))
}

fn walk(db: &Db, view: &ReadView, seed: u64) -> String {
    let walk = Walk::random(&mut Rng::new(seed));
    format!("{} {:?}", view.seq(), walk.run(db, view, "a walk"))
}

#[test]
fn options_change_no_answer() {
    for seed in seeds(25) {
        let mut rng = Rng::new(seed);
        let trace = trace(&mut rng, 250);
        let runtime =
            Runtime::new(RuntimeOptions { block_cache_bytes: 20 << 10, ..RuntimeOptions::default() });
        let players = (0..6).map(|_| {
            let vfs = SimVfs::new();
            Player::new(random_options(&mut rng, &vfs, &runtime), vfs)
        });
        let mut players: Vec<Player> = players.collect();
        for (n, &step) in trace.iter().enumerate() {
            let (first, others) = players.split_first_mut().expect("there are players");
            let answer = first.play(step);
            for other in others {
                let again = other.play(step);
                assert!(
                    answer == again,
                    "seed {seed}, step {n}, {step:?}: {} with\n{:?}\nbut {} with\n{:?}",
                    shortened(&answer),
                    Shown(&first.options),
                    shortened(&again),
                    Shown(&other.options),
                );
            }
        }
        for player in players {
            let report = player.db.verify().expect("verify");
            assert!(report.problems.is_empty(), "seed {seed}: {:?}", report.problems);
        }
    }
}

fn shortened(answer: &str) -> &str {
    answer.get(..300).unwrap_or(answer)
}

/// The options that a trace is played under, for the message.
struct Shown<'a>(&'a Options);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let options = self.0;
        f.debug_struct("Options")
            .field("block_bytes", &options.block_bytes)
            .field("write_buffer_bytes", &options.write_buffer_bytes)
            .field("segment_bytes", &options.segment_bytes)
            .field("wal_limit_bytes", &options.wal_limit_bytes)
            .field("table_bytes", &options.table_bytes)
            .field("level0_depth", &options.level0_depth)
            .field("base_level_bytes", &options.base_level_bytes)
            .field("fan_out", &options.fan_out)
            .field("min_tombstones", &options.min_tombstones)
            .field("blob_threshold", &options.blob_threshold)
            .field("blob_file_bytes", &options.blob_file_bytes)
            .field("blob_garbage_ratio", &options.blob_garbage_ratio)
            .field("blob_age_cutoff", &options.blob_age_cutoff)
            .field("restart_interval", &options.restart_interval)
            .field("levels", &options.levels)
            .field("whole_index_bytes", &options.whole_index_bytes)
            .field("bloom_bits_per_key", &options.bloom_bits_per_key)
            .field("block_cache_bytes", &options.block_cache_bytes)
            .field("compression", &options.compression)
            .field("sync", &options.sync)
            .field("partitioning", &options.partitioning)
            .field("log", &options.log)
            .field("runtime", &options.runtime.is_some())
            .field("filter", &options.filter.is_some())
            .finish()
    }
}
