//! Reading what is on the disk, a little at a time, to find damage while there are copies to restore from.
//!
//! Bytes that a disk has lost are otherwise found by the client that asks for them, which may be years later. The whole
//! database is read once in the time that `storage-scrub-days` says, by an I/O thread, past the cache.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kvdb_lsm::{Db, Scrub};
use parking_lot::Mutex;

use crate::node::Node;

/// The time from one look to the next.
const EVERY: Duration = Duration::from_secs(1);
/// Less is not worth a read, unless the database is smaller.
const UNIT: f64 = (256 << 10) as f64;
/// The most that is read in one go: an I/O thread is not to be kept from clients for longer.
const AT_MOST: f64 = (4 << 20) as f64;

/// What scrubbing has done since the start.
#[derive(Debug, Default)]
pub struct Scrubbed {
    /// Bytes read.
    pub bytes: AtomicU64,
    /// How often everything had been read.
    pub passes: AtomicU64,
}

/// Where it stands.
#[derive(Default)]
pub(crate) struct Scrubbing {
    /// Whether a step is queued or being run.
    is_busy: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    scrub: Option<Scrub>,
    looked: Option<Instant>,
    /// Bytes that should have been read by now and were not.
    owed: f64,
    /// Damaged files that the log has been told of.
    told: BTreeSet<u64>,
}

impl Scrubbing {
    /// Has an I/O thread read on, if that is due. `random` says where to begin, the first time.
    pub(crate) fn tend(self: &Arc<Self>, node: &Arc<Node>, random: u64) {
        let days = node.config.lock().settings().storage_scrub_days;
        {
            let mut progress = self.progress.lock();
            let now = Instant::now();
            let elapsed = now.saturating_duration_since(*progress.looked.get_or_insert(now));
            if elapsed < EVERY || self.is_busy.load(Ordering::Acquire) {
                return;
            }
            progress.looked = Some(now);
            progress.tell_of_damage(&node.rows);
            let stats = node.rows.stats();
            let total = stats.table_bytes.iter().sum::<u64>() + stats.blob_bytes;
            if !progress.is_due(total, elapsed, days) {
                return;
            }
        }
        self.is_busy.store(true, Ordering::Release);
        let (scrubbing, node) = (self.clone(), node.clone());
        node.clone().store.io().submit(move || {
            scrubbing.progress.lock().read(&node.rows, random, &node.scrubbed);
            scrubbing.is_busy.store(false, Ordering::Release);
        });
    }
}

impl Progress {
    /// Notes that time has passed; whether so much is owed that it should be read now.
    fn is_due(&mut self, total: u64, elapsed: Duration, days: u32) -> bool {
        if days == 0 || total == 0 {
            self.owed = 0.0;
            return false;
        }
        let period = Duration::from_secs(24 * 3600) * days;
        self.owed += total as f64 * elapsed.as_secs_f64() / period.as_secs_f64();
        self.owed >= UNIT.min(total as f64)
    }

    /// Reads what is owed.
    fn read(&mut self, rows: &Db, random: u64, scrubbed: &Scrubbed) {
        let share = (random >> 11) as f64 / (1u64 << 53) as f64;
        let scrub = self.scrub.get_or_insert_with(|| rows.scrub_from(share));
        // What was missed, because the server was held up for long, is not made good all at once.
        let budget = self.owed.min(AT_MOST);
        self.owed = 0.0;
        let step = rows.scrub_step(scrub, budget as u64);
        scrubbed.bytes.fetch_add(step.bytes, Ordering::Relaxed);
        for problem in &step.problems {
            tracing::warn!(%problem, "a file of the data is damaged: restore it from a backup, see docs/runbook.md");
        }
        if step.pass_complete {
            let passes = 1 + scrubbed.passes.fetch_add(1, Ordering::Relaxed);
            tracing::info!(
                passes,
                damaged = rows.quarantined().len(),
                "every file of the data has been read"
            );
        }
        self.tell_of_damage(rows);
    }

    /// Tells the log of files that others have met.
    fn tell_of_damage(&mut self, rows: &Db) {
        for file in rows.quarantined() {
            if self.told.insert(file) {
                let name = format!("{file:06}");
                tracing::warn!(
                    file = name,
                    "a file of the data cannot be read and is left out of compactions"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvdb_lsm::Options;
    use kvdb_lsm::batch::WriteBatch;
    use kvdb_lsm::vfs::{SimVfs, Vfs};
    use std::path::Path;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A database of about a megabyte in several tables.
    fn database(vfs: &SimVfs) -> Db {
        let mut options = Options::new("/data");
        options.vfs = Arc::new(vfs.clone());
        options.background = false;
        options.table_bytes = 100 << 10;
        options.compression = kvdb_lsm::Compression::None;
        let db = Db::open(options).expect("open");
        let mut batch = WriteBatch::new();
        (0..1000u32).for_each(|n| batch.put(&n.to_be_bytes(), &[n as u8; 1000]));
        db.append(&batch).expect("append");
        db.compact().expect("compact");
        db
    }

    fn total(db: &Db) -> u64 {
        db.stats().table_bytes.iter().sum()
    }

    /// Lets hours pass until everything has been read; how many.
    fn hours_to_a_pass(db: &Db, progress: &mut Progress, days: u32) -> u32 {
        let scrubbed = Scrubbed::default();
        for hours in 1..10_000 {
            if progress.is_due(total(db), HOUR, days) {
                progress.read(db, 0, &scrubbed);
            }
            if scrubbed.passes.load(Ordering::Relaxed) > 0 {
                assert_eq!(scrubbed.bytes.load(Ordering::Relaxed), total(db));
                return hours;
            }
        }
        panic!("no pass comes to its end");
    }

    #[test]
    fn everything_is_read_once_in_the_time_that_is_set() {
        let vfs = SimVfs::new();
        let db = database(&vfs);
        assert!(total(&db) > 900 << 10);
        for days in [1, 7, 30] {
            let hours = hours_to_a_pass(&db, &mut Progress::default(), days);
            let expected = days * 24;
            assert!(hours >= expected && hours <= expected * 3 / 2, "{hours} hours for {days} days");
        }
        let mut never = Progress::default();
        assert!(!never.is_due(total(&db), HOUR * 1_000_000, 0));
        assert!(!never.is_due(0, HOUR * 1_000_000, 7), "there is nothing to read");
    }

    #[test]
    fn damage_is_found_and_told_once() {
        let vfs = SimVfs::new();
        let db = database(&vfs);
        let dir = Path::new("/data/sst");
        let table = vfs.list(dir).expect("list").pop().expect("there are tables");
        vfs.flip_byte(&dir.join(table), 5000).expect("flip");
        let mut progress = Progress::default();
        hours_to_a_pass(&db, &mut progress, 7);
        assert_eq!(db.stats().damaged_tables, 1);
        assert_eq!(progress.told.len(), 1);
        assert_eq!(progress.told.iter().copied().collect::<Vec<_>>(), db.quarantined());
    }

    #[test]
    fn a_large_debt_is_not_paid_in_one_go() {
        let mut progress = Progress::default();
        assert!(progress.is_due(1 << 40, HOUR, 1));
        let (vfs, scrubbed) = (SimVfs::new(), Scrubbed::default());
        progress.read(&database(&vfs), u64::MAX, &scrubbed);
        assert!(scrubbed.bytes.load(Ordering::Relaxed) <= AT_MOST as u64);
        assert!(progress.owed < 1.0);
    }
}
