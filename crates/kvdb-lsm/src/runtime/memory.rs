//! The memory of the memtables of all databases.
//!
//! A database reports after every quarter of a mebibyte, so that an append almost never writes what
//! others read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// A database reports when its active memtable has changed by this many bytes.
const STEP: usize = 256 << 10;

/// The part of one database.
///
/// # Invariants
/// `active` and `total` are what was last reported, and `total` is part of the sum.
pub(crate) struct Member {
    active: AtomicUsize,
    total: Mutex<usize>,
    /// Asks the database for a flush.
    relieve: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("active", &self.active).finish_non_exhaustive()
    }
}

impl Member {
    /// Whether an active memtable of so many bytes is worth a report.
    #[inline]
    pub(crate) fn is_news(&self, active: usize) -> bool {
        self.active.load(Ordering::Relaxed).abs_diff(active) >= STEP
    }
}

/// # Invariants
/// `used` is the sum of the totals of `members`.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: usize,
    used: AtomicUsize,
    members: Mutex<Vec<Arc<Member>>>,
}

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0), members: Mutex::default() }
    }

    /// Adds a database; `relieve` asks it for a flush, and is called on any thread.
    pub(crate) fn join(&self, relieve: impl Fn() + Send + Sync + 'static) -> Arc<Member> {
        let member = Arc::new(Member {
            active: AtomicUsize::new(0),
            total: Mutex::new(0),
            relieve: Box::new(relieve),
        });
        self.members.lock().push(Arc::clone(&member));
        member
    }

    /// Removes a database.
    pub(crate) fn leave(&self, member: &Arc<Member>) {
        self.members.lock().retain(|other| !Arc::ptr_eq(other, member));
        self.set_total(member, 0);
    }

    /// The bytes of all memtables, as last reported.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether no database may take more.
    #[inline]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.used() >= self.limit
    }

    /// The share of the limit that is taken.
    pub(crate) fn share(&self) -> f32 {
        self.used() as f32 / self.limit.max(1) as f32
    }

    /// Takes a report: the bytes of the active memtable and of all memtables of a database. Asks
    /// the database with the largest memtable for a flush, if it is time.
    pub(crate) fn report(&self, member: &Member, active: usize, total: usize) {
        member.active.store(active, Ordering::Relaxed);
        self.set_total(member, total);
        if self.is_tight()
            && let Some(largest) = self.largest()
        {
            (largest.relieve)();
        }
    }

    /// Whether this database should flush its memtable for the sake of all.
    pub(crate) fn should_flush(&self, member: &Arc<Member>) -> bool {
        self.is_tight() && self.largest().is_some_and(|largest| Arc::ptr_eq(&largest, member))
    }

    /// Whether the active memtables take half of what is allowed. Those that are being flushed do
    /// not count: flushing a further one would not free them sooner.
    fn is_tight(&self) -> bool {
        if self.used() < self.limit / 2 {
            return false;
        }
        let members = self.members.lock();
        let active: usize = members.iter().map(|member| member.active.load(Ordering::Relaxed)).sum();
        active >= self.limit / 2
    }

    fn largest(&self) -> Option<Arc<Member>> {
        let members = self.members.lock();
        members.iter().max_by_key(|member| member.active.load(Ordering::Relaxed)).cloned()
    }

    fn set_total(&self, member: &Member, total: usize) {
        let mut last = member.total.lock();
        self.used.fetch_add(total.wrapping_sub(*last), Ordering::Relaxed);
        *last = total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database that counts how often it is asked for a flush.
    fn join(memory: &Memory) -> (Arc<Member>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let member = memory.join(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        (member, asked)
    }

    #[test]
    fn the_largest_memtable_is_flushed_when_all_take_half() {
        let memory = Memory::new(1000);
        let (small, small_asked) = join(&memory);
        let (large, large_asked) = join(&memory);
        memory.report(&large, 300, 300);
        memory.report(&small, 199, 199);
        assert!(!memory.should_flush(&large));
        memory.report(&small, 200, 200);
        assert!(memory.should_flush(&large) && !memory.should_flush(&small));
        let asked = || (small_asked.load(Ordering::Relaxed), large_asked.load(Ordering::Relaxed));
        assert_eq!(asked(), (0, 1));
        // Frozen, it takes its memory still, but asking for more flushes would not help.
        memory.report(&large, 0, 300);
        assert!(!memory.should_flush(&small) && memory.used() == 500);
        assert_eq!(asked(), (0, 1));
    }

    #[test]
    fn the_sum_follows_the_reports_and_those_who_leave() {
        let memory = Memory::new(1000);
        let (one, _) = join(&memory);
        let (two, _) = join(&memory);
        memory.report(&one, 100, 700);
        memory.report(&two, 50, 300);
        assert!(memory.is_exhausted());
        memory.report(&one, 0, 200);
        assert_eq!(memory.used(), 500);
        memory.leave(&two);
        assert_eq!(memory.used(), 200);
    }

    #[test]
    fn small_changes_are_no_news() {
        let memory = Memory::new(1 << 30);
        let (member, _) = join(&memory);
        assert!(!member.is_news(STEP - 1) && member.is_news(STEP));
        memory.report(&member, STEP, STEP);
        assert!(!member.is_news(STEP + 1) && member.is_news(0));
    }
}
