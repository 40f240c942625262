//! The workloads, by the names that db_bench and YCSB gave them.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::{Engine, Failure};
use crate::measure::{Measured, Recorder, Totals};

/// Entries that a range scan reads (YCSB E takes up to a hundred, evenly spread).
const SCAN: u64 = 100;
/// Entries that a seek reads.
const SEEK: usize = 10;
/// Keys of which the first half is deleted at once.
const STRETCH: u64 = 2000;
/// Writes a second of the writer beside readers.
const BESIDE: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// Every key once, in order.
    Fillseq,
    /// As many writes as there are keys, each to a random one.
    Fillrandom,
    /// Every key once in random order, in batches: a data set for the workloads that follow; not a measurement.
    Load,
    /// Reads everything once, so that what fits into memory is there; not a measurement.
    Warm,
    /// Random keys are written again, as many as there are keys and that several times over; what is left to compact
    /// counts. Bounded by number and not by time, because more writes mean more to compact for each.
    Overwrite,
    /// Random keys that exist.
    Readrandom,
    /// Keys that do not exist, between those that do.
    Readmissing,
    /// As `readrandom`, beside a writer of 10 000 writes a second.
    Readwhilewriting,
    /// Finds a random place and reads ten entries.
    Seekrandom,
    /// Deletes every other thousand of keys, and scans over each when it is gone.
    Deletescan,
    /// YCSB A: half reads, half updates, of keys by a zipfian distribution.
    YcsbA,
    /// YCSB B: 95 % reads, 5 % updates.
    YcsbB,
    /// YCSB C: reads.
    YcsbC,
    /// YCSB D: 95 % reads of what is newest, 5 % insertions.
    YcsbD,
    /// YCSB E: 95 % short scans, 5 % insertions.
    YcsbE,
    /// YCSB F: half reads, half read-modify-writes.
    YcsbF,
}

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Self::Fillseq => "fillseq",
            Self::Fillrandom => "fillrandom",
            Self::Load => "load",
            Self::Warm => "warm",
            Self::Overwrite => "overwrite",
            Self::Readrandom => "readrandom",
            Self::Readmissing => "readmissing",
            Self::Readwhilewriting => "readwhilewriting",
            Self::Seekrandom => "seekrandom",
            Self::Deletescan => "deletescan",
            Self::YcsbA => "ycsb-a",
            Self::YcsbB => "ycsb-b",
            Self::YcsbC => "ycsb-c",
            Self::YcsbD => "ycsb-d",
            Self::YcsbE => "ycsb-e",
            Self::YcsbF => "ycsb-f",
        }
    }
}

/// The sizes of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub entries: u64,
    pub key_bytes: usize,
    pub value_bytes: usize,
    pub seconds: f64,
    pub overwrite_rounds: u64,
    pub threads: usize,
    pub seed: u64,
}

impl Plan {
    const fn entry_bytes(&self) -> u64 {
        (self.key_bytes + self.value_bytes) as u64
    }

    /// The key of a number: decimal digits, so that the order of keys is that of numbers. Even numbers exist; the odd
    /// ones between them are missing.
    fn write_key(&self, number: u64, key: &mut Vec<u8>) {
        key.clear();
        let mut digits = [b'0'; 20];
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        if self.key_bytes >= 20 {
            key.resize(self.key_bytes - 20, b'k');
            key.extend_from_slice(&digits);
        } else {
            key.extend_from_slice(&digits[20 - self.key_bytes..]);
        }
    }

    fn present(number: u64) -> u64 {
        number * 2
    }
}

/// A small generator of random numbers: speed matters more than quality here.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The zipfian distribution of YCSB (Gray et al., "Quickly generating billion-record synthetic databases", 1994), its
/// ranks scattered over the keys.
struct Zipf {
    entries: u64,
    zeta: f64,
    eta: f64,
}

const THETA: f64 = 0.99;

impl Zipf {
    fn new(entries: u64) -> Self {
        let sum = |range: Range<u64>| range.map(|n| 1.0 / (n as f64).powf(THETA)).sum::<f64>();
        let zeta = sum(1..entries + 1);
        let eta = (1.0 - (2.0 / entries as f64).powf(1.0 - THETA)) / (1.0 - sum(1..3) / zeta);
        Self { entries, zeta, eta }
    }

    fn rank(&self, random: &mut Random) -> u64 {
        let u = random.unit();
        let uz = u * self.zeta;
        if uz < 1.0 {
            return 0;
        }
        if uz < 1.0 + 0.5f64.powf(THETA) {
            return 1;
        }
        let rank = self.entries as f64 * (self.eta * u - self.eta + 1.0).powf(1.0 / (1.0 - THETA));
        (rank as u64).min(self.entries - 1)
    }

    fn scattered(&self, random: &mut Random) -> u64 {
        self.rank(random).wrapping_mul(0xC6A4_A793_5BD1_E995) % self.entries
    }
}

/// Values that compress to about a half, as those of db_bench do.
struct Values {
    pool: Vec<u8>,
    at: usize,
}

impl Values {
    fn new(random: &mut Random) -> Self {
        let mut pool = Vec::with_capacity(1 << 20);
        while pool.len() < 1 << 20 {
            let piece: Vec<u8> = (0..50).map(|_| b' ' + random.below(95) as u8).collect();
            pool.extend_from_slice(&piece);
            pool.extend_from_slice(&piece);
        }
        Self { pool, at: 0 }
    }

    fn next(&mut self, len: usize) -> &[u8] {
        if self.at + len > self.pool.len() {
            self.at = 0;
        }
        let at = self.at;
        self.at += len;
        &self.pool[at..at + len]
    }
}

/// What one client thread does its operations with.
struct Client<'a> {
    plan: &'a Plan,
    engine: &'a dyn Engine,
    random: Random,
    values: Values,
    key: Vec<u8>,
    recorder: Recorder,
    user_bytes: u64,
}

impl<'a> Client<'a> {
    fn new(plan: &'a Plan, engine: &'a dyn Engine, started: Instant, number: u64) -> Self {
        let mut random = Random::new(plan.seed + 1000 * number + 7);
        let values = Values::new(&mut random);
        Self {
            plan,
            engine,
            random,
            values,
            key: Vec::new(),
            recorder: Recorder::new(started),
            user_bytes: 0,
        }
    }

    fn put(&mut self, number: u64) -> Result<(), Failure> {
        self.plan.write_key(Plan::present(number), &mut self.key);
        self.user_bytes += self.plan.entry_bytes();
        self.engine.put(&self.key, self.values.next(self.plan.value_bytes))
    }

    fn get(&mut self, number: u64, expect: Option<bool>) -> Result<(), Failure> {
        self.plan.write_key(number, &mut self.key);
        let found = self.engine.get(&self.key)?;
        match expect {
            Some(expected) if expected != found.is_some() => {
                Err(Failure(format!("key {number} was expected to be there: {expected}")))
            }
            _ => Ok(()),
        }
    }

    fn scan(&mut self, number: u64, count: usize) -> Result<(), Failure> {
        self.plan.write_key(Plan::present(number), &mut self.key);
        self.engine.scan(&self.key, count).map(|_| ())
    }

    /// Does `operation` again and again until the time is over.
    fn repeat(
        &mut self,
        until: Instant,
        mut operation: impl FnMut(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut began = Instant::now();
        while began < until {
            operation(self)?;
            began = self.recorder.note(began);
        }
        Ok(())
    }

    fn each(
        &mut self,
        numbers: Range<u64>,
        mut operation: impl FnMut(&mut Self, u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut began = Instant::now();
        for number in numbers {
            operation(self, number)?;
            began = self.recorder.note(began);
        }
        Ok(())
    }
}

/// Runs a workload to its end, background work included.
pub fn run(workload: Workload, plan: &Plan, engine: &dyn Engine, dir: &Path) -> Result<Measured, Failure> {
    let zipf = matches!(
        workload,
        Workload::YcsbA | Workload::YcsbB | Workload::YcsbC | Workload::YcsbE | Workload::YcsbF
    )
    .then(|| Zipf::new(plan.entries));
    let latest = matches!(workload, Workload::YcsbD).then(|| Zipf::new(plan.entries));
    let reads_only = matches!(
        workload,
        Workload::Readrandom
            | Workload::Readmissing
            | Workload::Seekrandom
            | Workload::YcsbC
            | Workload::Readwhilewriting
    );
    match workload {
        Workload::Load => load(plan, engine)?,
        Workload::Warm => drop(engine.scan(&[], plan.entries as usize)?),
        _ => {}
    }
    let inserted = AtomicU64::new(plan.entries);
    let before = Totals::now()?;
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(plan.seconds);
    let entries = plan.entries;
    let client = |number: u64| -> Result<(Recorder, u64), Failure> {
        let mut client = Client::new(plan, engine, started, number);
        let c = &mut client;
        match workload {
            Workload::Load | Workload::Warm => {}
            Workload::Fillseq => c.each(0..entries, |c, n| c.put(n))?,
            Workload::Fillrandom => c.each(0..entries, |c, _| {
                let n = c.random.below(entries);
                c.put(n)
            })?,
            Workload::Overwrite => c.each(0..entries * plan.overwrite_rounds, |c, _| {
                let n = c.random.below(entries);
                c.put(n)
            })?,
            Workload::Readrandom | Workload::Readwhilewriting => c.repeat(until, |c| {
                let n = c.random.below(entries);
                c.get(Plan::present(n), Some(true))
            })?,
            Workload::Readmissing => c.repeat(until, |c| {
                let n = c.random.below(entries);
                c.get(Plan::present(n) + 1, Some(false))
            })?,
            Workload::Seekrandom => c.repeat(until, |c| {
                let n = c.random.below(entries);
                c.scan(n, SEEK)
            })?,
            Workload::Deletescan => c.each(0..entries.div_ceil(STRETCH), |c, stretch| {
                let from = stretch * STRETCH;
                for n in from..(from + STRETCH / 2).min(entries) {
                    c.plan.write_key(Plan::present(n), &mut c.key);
                    c.user_bytes += c.plan.key_bytes as u64;
                    c.engine.delete(&c.key)?;
                }
                c.scan(from, SEEK)
            })?,
            Workload::YcsbA | Workload::YcsbB | Workload::YcsbC | Workload::YcsbF => {
                let zipf = zipf.as_ref().expect("made above for these workloads");
                let reads = match workload {
                    Workload::YcsbA | Workload::YcsbF => 50,
                    Workload::YcsbB => 95,
                    _ => 100,
                };
                c.repeat(until, |c| {
                    let n = zipf.scattered(&mut c.random);
                    if c.random.below(100) < reads {
                        return c.get(Plan::present(n), Some(true));
                    }
                    if workload == Workload::YcsbF {
                        c.get(Plan::present(n), Some(true))?;
                    }
                    c.put(n)
                })?;
            }
            Workload::YcsbD => {
                let latest = latest.as_ref().expect("made above for this workload");
                c.repeat(until, |c| {
                    if c.random.below(100) < 95 {
                        let newest = inserted.load(Ordering::Acquire) - 1;
                        let n = newest.saturating_sub(latest.rank(&mut c.random));
                        return c.get(Plan::present(n), None);
                    }
                    let n = inserted.fetch_add(1, Ordering::AcqRel);
                    c.put(n)
                })?;
            }
            Workload::YcsbE => {
                let zipf = zipf.as_ref().expect("made above for these workloads");
                c.repeat(until, |c| {
                    if c.random.below(100) < 95 {
                        let n = zipf.scattered(&mut c.random);
                        let count = 1 + c.random.below(SCAN);
                        return c.scan(n, count as usize);
                    }
                    let n = inserted.fetch_add(1, Ordering::AcqRel);
                    c.put(n)
                })?;
            }
        }
        Ok((client.recorder, client.user_bytes))
    };

    let threads = if reads_only { plan.threads.max(1) as u64 } else { 1 };
    let readers_done = AtomicBool::new(false);
    let (recorder, mut user_bytes) = thread::scope(|scope| {
        let beside = (workload == Workload::Readwhilewriting)
            .then(|| scope.spawn(|| write_beside(plan, engine, &readers_done)));
        let clients: Vec<_> = (0..threads).map(|n| scope.spawn(move || client(n))).collect();
        let mut all = Recorder::new(started);
        let mut bytes = 0;
        let mut failure = None;
        for client in clients {
            match client.join().expect("a client thread does not panic") {
                Ok((recorder, written)) => {
                    all.merge(&recorder);
                    bytes += written;
                }
                Err(error) => failure = Some(error),
            }
        }
        readers_done.store(true, Ordering::Release);
        if let Some(beside) = beside {
            bytes += beside.join().expect("the writer does not panic")?;
        }
        failure.map_or(Ok((all, bytes)), Err)
    })?;
    let elapsed = started.elapsed();
    engine.settle()?;
    let settled = started.elapsed() - elapsed;
    if workload == Workload::Load {
        user_bytes = entries * plan.entry_bytes();
    }
    let live = match workload {
        Workload::Deletescan => entries / 2,
        _ => inserted.into_inner(),
    };
    Measured::new(recorder, elapsed, settled, before, user_bytes, live * plan.entry_bytes(), dir)
}

/// Every key once, in an order that is random enough, in batches.
fn load(plan: &Plan, engine: &dyn Engine) -> Result<(), Failure> {
    let mut random = Random::new(plan.seed);
    let mut values = Values::new(&mut random);
    // A multiplication by a unit modulo a power of two is a permutation.
    let space = plan.entries.next_power_of_two();
    let mut pairs = Vec::new();
    for n in 0..space {
        let n = (n.wrapping_mul(0x9E37_79B1).wrapping_add(12_345)) % space;
        if n < plan.entries {
            let mut key = Vec::new();
            plan.write_key(Plan::present(n), &mut key);
            pairs.push((key, values.next(plan.value_bytes).to_vec()));
        }
        if pairs.len() == 500 {
            engine.put_all(&pairs)?;
            pairs.clear();
        }
    }
    engine.put_all(&pairs)
}

/// Writes random keys at a fixed rate until the readers are done.
fn write_beside(plan: &Plan, engine: &dyn Engine, done: &AtomicBool) -> Result<u64, Failure> {
    let started = Instant::now();
    let mut client = Client::new(plan, engine, started, 99);
    let mut written = 0;
    while !done.load(Ordering::Acquire) {
        let due = (started.elapsed().as_secs_f64() * BESIDE as f64) as u64;
        while written < due && !done.load(Ordering::Acquire) {
            let n = client.random.below(plan.entries);
            client.put(n)?;
            written += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(client.user_bytes)
}
