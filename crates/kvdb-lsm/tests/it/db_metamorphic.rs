//! One trace of operations under many options: whatever the sizes, the filters, the compression
//! and the cache are, every read of the trace gives the same answer.
//!
//! There is no model here, so a bug that the model shares is seen as well, unless all options
//! share it.

use crate::db_support::{COUNTERS, KEYS, key, random_batch, small};
use crate::db_walks::Walk;
use crate::support::{Rng, seeds};
use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::vfs::SimVfs;
use kvdb_lsm::{Compression, Db, Options, Partitioning, ReadView};
use std::path::Path;

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
}

fn trace(rng: &mut Rng, len: usize) -> Vec<Action> {
    let step = |_| {
        let seed = rng.next();
        match rng.below(48) {
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
            _ => Action::Tick(seed),
        }
    };
    (0..len).map(step).collect()
}

/// Options from the smallest to the largest that make sense, each for itself.
fn random_options(rng: &mut Rng, vfs: &SimVfs) -> Options {
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
    options.last_level_compression =
        [None, Some(Compression::None), Some(Compression::Lz4)][one_of(&[0, 1, 2])];
    options.bloom_bits_per_key = one_of(&[0, 1, 10, 20]);
    options.block_cache_bytes = one_of(&[0, 1 << 10, 16 << 10, 8 << 20]) as u64;
    options.compression = [Compression::None, Compression::Lz4][one_of(&[0, 1])];
    options.sync = [SyncPolicy::Always, SyncPolicy::EverySec, SyncPolicy::No][one_of(&[0, 1, 2])];
    options.partitioning = match one_of(&[0, 1, 2]) {
        0 => Partitioning { count: 1, of: |_| 0 },
        1 => options.partitioning,
        _ => Partitioning::default(),
    };
    options
}

struct Player {
    vfs: SimVfs,
    options: Options,
    db: Db,
    views: Vec<ReadView>,
}

impl Player {
    fn new(options: Options, vfs: SimVfs) -> Self {
        Self { vfs, db: Db::open(options.clone()).expect("open"), options, views: Vec::new() }
    }

    fn append(&self, seed: u64) -> String {
        let batch = random_batch(&mut Rng::new(seed));
        loop {
            match self.db.append(&batch) {
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
            Action::Append(seed) => return self.append(seed),
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
            Action::Tick(seed) => self.db.log().tick(std::time::Duration::from_millis(seed % 9000)),
            Action::Reopen => self.reopen(),
            Action::Checkpoint(seed) => return self.checkpoint(seed),
        }
        String::new()
    }

    fn reopen(&mut self) {
        self.views.clear();
        self.db.log().sync().expect("sync");
        self.vfs = self.vfs.process_crash();
        self.options.vfs = std::sync::Arc::new(self.vfs.clone());
        self.db = Db::open(self.options.clone()).expect("open again");
    }

    fn checkpoint(&self, seed: u64) -> String {
        let dir = format!("/copy{seed}");
        let seq = self.db.checkpoint(Path::new(&dir)).expect("checkpoint");
        let copy = Db::open(Options { dir: dir.into(), ..self.options.clone() }).expect("open the copy");
        let rows: Vec<_> = copy.iter_all(&copy.view()).collect::<Result<_, _>>().expect("iterate");
        format!("{seq} {rows:?}")
    }
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
        let players = (0..6).map(|_| {
            let vfs = SimVfs::new();
            Player::new(random_options(&mut rng, &vfs), vfs)
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
            .field("last_level_compression", &options.last_level_compression)
            .field("bloom_bits_per_key", &options.bloom_bits_per_key)
            .field("block_cache_bytes", &options.block_cache_bytes)
            .field("compression", &options.compression)
            .field("sync", &options.sync)
            .field("partitioning", &options.partitioning)
            .finish()
    }
}
