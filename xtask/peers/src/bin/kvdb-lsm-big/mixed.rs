//! Reads, scans and writes at once, while copies are made.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kvdb_lsm::backup::Backups;
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::vfs::OsVfs;
use kvdb_lsm::{AppendError, Db, Options, Pressure, unwatched};

use crate::data::{Data, Versions, mix, write_versions};
use crate::{Outcome, Place, gigabytes, say};

/// Rows of a write.
const BATCH: usize = 8;
/// Rows of a scan.
const SCAN: usize = 100;
/// Writes go to a stretch of one in so many rows, as those of one customer or one month would: then a second backup has
/// something that it need not copy.
const HOT_SHARE: u64 = 10;

/// What the writer and the readers did so far.
#[derive(Debug, Default)]
struct Work {
    stop: AtomicBool,
    writes: AtomicU64,
    reads: AtomicU64,
    scanned: AtomicU64,
    /// The longest that a write took, since it was last asked for, in microseconds.
    slowest: AtomicU64,
}

struct Load<'a> {
    data: &'a Data,
    db: &'a Db,
    versions: &'a Versions,
    work: &'a Work,
}

pub fn run(data: &Data, place: &Place, options: Options, seconds: u64) -> Outcome {
    let db = Db::open(options)?;
    let versions = data.read_versions(&place.versions)?;
    let work = Work::default();
    let load = Load { data, db: &db, versions: &versions, work: &work };
    let began = Instant::now();
    let part = Duration::from_secs(seconds) / 4;
    thread::scope(|scope| -> Outcome {
        let threads =
            [scope.spawn(|| load.writing()), scope.spawn(|| load.reading()), scope.spawn(|| load.scanning())];
        let phases = || -> Outcome {
            load.during("mixed load alone", || Ok(thread::sleep(part)))?;
            load.during("during a backup", || back_up(place, &db, "first backup"))?;
            load.during("mixed load alone", || Ok(thread::sleep(part)))?;
            write_versions(&versions, &place.around[0])?;
            load.during("during a checkpoint", || {
                let began = Instant::now();
                db.checkpoint(&place.checkpoint)?;
                say("checkpoint", format_args!("made in {:.2} s under load", began.elapsed().as_secs_f64()));
                Ok(())
            })?;
            write_versions(&versions, &place.around[1])?;
            let rest = Duration::from_secs(seconds).saturating_sub(began.elapsed());
            load.during("mixed load alone", || Ok(thread::sleep(rest.max(part))))
        };
        let result = phases();
        work.stop.store(true, Ordering::Release);
        for thread in threads {
            thread.join().expect("no thread of the load panics")?;
        }
        result
    })?;
    write_versions(&versions, &place.versions)?;
    let stats = db.stats();
    say(
        "mixed load",
        format_args!(
            "{:.0} s; {} flushed, {} written by compactions, {} tables, {} on disk",
            began.elapsed().as_secs_f64(),
            gigabytes(stats.flushed_bytes),
            gigabytes(stats.compaction_written_bytes),
            stats.tables.iter().sum::<usize>(),
            gigabytes(stats.table_bytes.iter().sum()),
        ),
    );
    // As if the process were killed: the log is not closed, and what is in memory is lost.
    std::process::exit(0);
}

impl Load<'_> {
    /// Does `work` while the load goes on, and says what became of the load.
    fn during(&self, what: &str, work: impl FnOnce() -> Outcome) -> Outcome {
        let counts =
            || [&self.work.writes, &self.work.reads, &self.work.scanned].map(|c| c.load(Ordering::Relaxed));
        self.work.slowest.store(0, Ordering::Relaxed);
        let (began, before) = (Instant::now(), counts());
        work()?;
        let (seconds, after) = (began.elapsed().as_secs_f64().max(1e-3), counts());
        let rate = |n: usize| (after[n] - before[n]) as f64 / seconds;
        say(
            what,
            format_args!(
                "{seconds:.1} s: {:.0} rows written, {:.0} read, {:.0} scanned a second; slowest write {:.0} ms",
                rate(0),
                rate(1),
                rate(2),
                self.work.slowest.load(Ordering::Relaxed) as f64 / 1e3
            ),
        );
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.work.stop.load(Ordering::Acquire)
    }

    /// New versions of rows in the hot stretch.
    fn writing(&self) -> Outcome {
        let hot = (self.data.entries / HOT_SHARE).max(1);
        let (mut batch, mut value) = (WriteBatch::new(), Vec::new());
        let mut state = 1;
        while !self.is_over() {
            batch.clear();
            let mut numbers = [0; BATCH];
            for number in &mut numbers {
                state += 1;
                *number = mix(state) % hot;
            }
            numbers.sort_unstable();
            for (n, &number) in numbers.iter().enumerate() {
                let repeated = numbers[..n].contains(&number);
                if !repeated {
                    let version = self.versions[number as usize].load(Ordering::Relaxed).wrapping_add(1);
                    self.data.value(number, version, &mut value);
                    batch.put(&Data::key(number), &value);
                }
            }
            let began = Instant::now();
            self.append(&batch)?;
            for (n, &number) in numbers.iter().enumerate() {
                if !numbers[..n].contains(&number) {
                    self.versions[number as usize].fetch_add(1, Ordering::Release);
                }
            }
            self.work.slowest.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
            self.work.writes.fetch_add(BATCH as u64, Ordering::Relaxed);
            // The engine only says how far it is behind; to slow down is the caller's part.
            if let Pressure::Soft(pressure) = self.db.pressure() {
                thread::sleep(Duration::from_micros((pressure * 2000.0) as u64));
            }
        }
        Ok(())
    }

    fn append(&self, batch: &WriteBatch) -> Outcome {
        loop {
            match self.db.append(batch) {
                Ok(seq) => return Ok(self.db.log().write_out(seq)?),
                Err(AppendError::Backlog | AppendError::Full(_)) => thread::sleep(Duration::from_millis(1)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A version that a reader finds is at least what was there before it looked, and at most what is there afterwards,
    /// but for one that is being written.
    fn expect(&self, number: u64, before: u8, value: Option<&[u8]>, buffer: &mut Vec<u8>) -> Outcome {
        let found = value.and_then(|value| self.data.version(number, value, buffer));
        let after = self.versions[number as usize].load(Ordering::Acquire).wrapping_add(1);
        match found {
            Some(version) if version.wrapping_sub(before) <= after.wrapping_sub(before) => Ok(()),
            _ => Err(format!("row {number} was read as {found:?}, not as {before} to {after}").into()),
        }
    }

    /// Half of the reads go to the hot stretch.
    fn reading(&self) -> Outcome {
        let (mut buffer, mut state) = (Vec::new(), 1 << 40);
        while !self.is_over() {
            state += 1;
            let random = mix(state);
            let range = if random & 1 == 0 { self.data.entries } else { self.data.entries / HOT_SHARE };
            let number = (random >> 1) % range.max(1);
            let before = self.versions[number as usize].load(Ordering::Acquire);
            let value = self.db.get(&Data::key(number))?;
            self.expect(number, before, value.as_deref(), &mut buffer)?;
            self.work.reads.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn scanning(&self) -> Outcome {
        let (mut buffer, mut state) = (Vec::new(), 1 << 50);
        while !self.is_over() {
            state += 1;
            let first = mix(state) % self.data.entries;
            let last = self.data.entries.min(first + SCAN as u64);
            let before: Vec<u8> =
                (first..last).map(|n| self.versions[n as usize].load(Ordering::Acquire)).collect();
            let view = self.db.view();
            let from = Data::key(first);
            let mut rows = self.db.iter((Bound::Included(&from[..]), Bound::Unbounded), &view);
            for (number, before) in (first..last).zip(before) {
                let Some((key, value)) = rows.next_entry()? else {
                    return Err(format!("the rows end before {number}").into());
                };
                if Data::number(key) != Some(number) {
                    return Err(format!("row {number} is missing: {key:?}").into());
                }
                self.expect(number, before, Some(value), &mut buffer)?;
            }
            self.work.scanned.fetch_add(last - first, Ordering::Relaxed);
            // Reads of single rows should not stand behind scans all the time.
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Makes a backup, and says what it copied.
pub fn back_up(place: &Place, db: &Db, what: &str) -> Outcome {
    let began = Instant::now();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let made = Backups::open(Arc::new(OsVfs), &place.backups)?.create(db, now, &mut unwatched)?;
    say(
        what,
        format_args!(
            "copied {} of {}, {} of {} tables, in {:.1} s",
            gigabytes(made.copied_bytes),
            gigabytes(made.backup.bytes),
            made.copied_tables,
            made.backup.tables,
            began.elapsed().as_secs_f64()
        ),
    );
    Ok(())
}
