//! What the log's tests share: a scripted workload whose batches can be recognised one by one.

use kvdb_lsm::batch::{Op, Seq, WriteBatch};
use kvdb_lsm::error::Error;
use kvdb_lsm::log::{Log, LogOptions, Recovered, SegmentNumber, SyncPolicy};
use kvdb_lsm::vfs::SimVfs;
use std::path::Path;
use std::sync::Arc;

/// A small deterministic generator (xorshift).
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 33) % limit
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A number of cases that an environment variable can raise.
pub(crate) fn cases(default: u64) -> u64 {
    let raised = std::env::var("KVDB_TEST_CASES").ok().and_then(|value| value.parse().ok());
    raised.unwrap_or(1) * default
}

/// The seeds of a random test: as many as [`cases`] says, from 0 or from where an environment
/// variable says. Named alone, that seed is the only one.
pub(crate) fn seeds(default: u64) -> std::ops::Range<u64> {
    let first = std::env::var("KVDB_TEST_SEED").ok().and_then(|value| value.parse().ok());
    match first {
        Some(first) if std::env::var_os("KVDB_TEST_CASES").is_none() => first..first + 1,
        first => {
            let first = first.unwrap_or_default();
            first..first + cases(default)
        }
    }
}

pub(crate) const DIR: &str = "/db/wal";

/// Options of a small log without a thread.
pub(crate) fn options(vfs: &SimVfs, policy: SyncPolicy) -> LogOptions {
    LogOptions {
        policy,
        segment_bytes: 16 << 10,
        max_buffered_bytes: 256 << 10,
        manual: true,
        ..LogOptions::new(Arc::new(vfs.clone()), DIR)
    }
}

/// The batch number `n` of a workload: its content follows from `n` alone.
pub(crate) fn batch(n: u64) -> WriteBatch {
    let mut rng = Rng::new(n + 1);
    let mut batch = WriteBatch::new();
    batch.put(format!("batch-{n}").as_bytes(), &n.to_le_bytes());
    for _ in 0..rng.below(4) {
        let len = if rng.one_in(40) { rng.below(40_000) } else { rng.below(200) };
        let value: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(n as u8) ^ 0x5a).collect();
        match rng.below(3) {
            0 => batch.put(&rng.next().to_le_bytes(), &value),
            1 => batch.delete(&rng.next().to_be_bytes()),
            _ => batch.add_counter(rng.below(9) as u16, rng.next() as i64),
        }
    }
    batch
}

/// What a log gave back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    pub(crate) batches: Vec<(Seq, WriteBatch)>,
    pub(crate) segments: Vec<SegmentNumber>,
}

impl Replayed {
    pub(crate) fn last_seq(&self) -> Seq {
        self.batches.last().map_or(0, |(first, batch)| first + u64::from(batch.count()) - 1)
    }

    /// Asserts that these are the batches 0, 1, 2, … of the workload, whole and without a gap.
    pub(crate) fn assert_prefix(&self, context: &str) {
        let mut seq = 1;
        for (n, (first, found)) in self.batches.iter().enumerate() {
            assert_eq!(*first, seq, "{context}: sequence of batch {n}");
            let expected = batch(n as u64);
            assert_eq!(*found, expected, "{context}: batch {n}");
            assert!(matches!(found.iter().next(), Some(Op::Put { .. })));
            seq += u64::from(expected.count());
        }
    }
}

/// Opens a log and collects what it replays.
pub(crate) fn open(options: LogOptions) -> Result<(Log, Recovered, Replayed), Error> {
    let mut replayed = Replayed::default();
    let (log, recovered) = Log::open(options, |segment, batch| {
        replayed.batches.push((batch.first_seq(), batch.to_batch()));
        replayed.segments.push(segment);
        Ok(())
    })?;
    Ok((log, recovered, replayed))
}

pub(crate) fn segment_file(number: SegmentNumber) -> std::path::PathBuf {
    Path::new(DIR).join(format!("{number:06}.wal"))
}
