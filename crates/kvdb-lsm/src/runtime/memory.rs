//! The memory of the memtables of all databases.
//!
//! What is limited is what flushes can free. A flushed memtable that a reader holds on to is only
//! counted: to refuse appends for it would let a view stop all writing.
//!
//! A database reports after every quarter of a mebibyte, so that an append almost never writes what
//! others read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// A database reports when its active memtable has changed by this many bytes.
const STEP: usize = 256 << 10;

/// What the memtables of a database take, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MemtableBytes {
    /// The one that takes writes.
    pub(crate) active: usize,
    /// Those that wait for their flush.
    pub(crate) frozen: usize,
    /// Those that are flushed, and that readers hold on to.
    pub(crate) retired: usize,
}

/// The part of one database.
///
/// # Invariants
/// `active` and `last` are what was last reported, and `last` is part of the sums.
pub(crate) struct Member {
    active: AtomicUsize,
    last: Mutex<MemtableBytes>,
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
/// `used` is the sum of what `members` have active and frozen, `retired` of what they have retired.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: usize,
    used: AtomicUsize,
    retired: AtomicUsize,
    members: Mutex<Vec<Arc<Member>>>,
}

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        let (used, retired) = Default::default();
        Self { limit, used, retired, members: Mutex::default() }
    }

    /// Adds a database; `relieve` asks it for a flush, and is called on any thread.
    pub(crate) fn join(&self, relieve: impl Fn() + Send + Sync + 'static) -> Arc<Member> {
        let member = Arc::new(Member {
            active: AtomicUsize::new(0),
            last: Mutex::default(),
            relieve: Box::new(relieve),
        });
        self.members.lock().push(Arc::clone(&member));
        member
    }

    /// Removes a database.
    pub(crate) fn leave(&self, member: &Arc<Member>) {
        self.members.lock().retain(|other| !Arc::ptr_eq(other, member));
        self.set(member, MemtableBytes::default());
    }

    /// The bytes of the memtables that are not flushed yet, as last reported.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The bytes of the flushed memtables that readers hold on to, as last reported.
    pub(crate) fn retired(&self) -> usize {
        self.retired.load(Ordering::Relaxed)
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

    /// Takes the report of a database. Asks the database with the largest memtable for a flush, if it
    /// is time.
    pub(crate) fn report(&self, member: &Member, bytes: MemtableBytes) {
        member.active.store(bytes.active, Ordering::Relaxed);
        self.set(member, bytes);
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

    fn set(&self, member: &Member, bytes: MemtableBytes) {
        let mut last = member.last.lock();
        let change = |sum: &AtomicUsize, from: usize, to: usize| {
            sum.fetch_add(to.wrapping_sub(from), Ordering::Relaxed);
        };
        change(&self.used, last.active + last.frozen, bytes.active + bytes.frozen);
        change(&self.retired, last.retired, bytes.retired);
        *last = bytes;
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

    fn bytes(active: usize, frozen: usize, retired: usize) -> MemtableBytes {
        MemtableBytes { active, frozen, retired }
    }

    #[test]
    fn the_largest_memtable_is_flushed_when_all_take_half() {
        let memory = Memory::new(1000);
        let (small, small_asked) = join(&memory);
        let (large, large_asked) = join(&memory);
        memory.report(&large, bytes(300, 0, 0));
        memory.report(&small, bytes(199, 0, 0));
        assert!(!memory.should_flush(&large));
        memory.report(&small, bytes(200, 0, 0));
        assert!(memory.should_flush(&large) && !memory.should_flush(&small));
        let asked = || (small_asked.load(Ordering::Relaxed), large_asked.load(Ordering::Relaxed));
        assert_eq!(asked(), (0, 1));
        // Frozen, it takes its memory still, but asking for more flushes would not help.
        memory.report(&large, bytes(0, 300, 0));
        assert!(!memory.should_flush(&small) && memory.used() == 500);
        assert_eq!(asked(), (0, 1));
    }

    #[test]
    fn the_sum_follows_the_reports_and_those_who_leave() {
        let memory = Memory::new(1000);
        let (one, _) = join(&memory);
        let (two, _) = join(&memory);
        memory.report(&one, bytes(100, 600, 0));
        memory.report(&two, bytes(50, 250, 30));
        assert!(memory.is_exhausted());
        // A reader keeps some of what was flushed, and nobody is refused for it.
        memory.report(&one, bytes(0, 200, 900));
        assert_eq!((memory.used(), memory.retired()), (500, 930));
        assert!(!memory.is_exhausted());
        memory.leave(&two);
        assert_eq!((memory.used(), memory.retired()), (200, 900));
    }

    #[test]
    fn small_changes_are_no_news() {
        let memory = Memory::new(1 << 30);
        let (member, _) = join(&memory);
        assert!(!member.is_news(STEP - 1) && member.is_news(STEP));
        memory.report(&member, bytes(STEP, 0, 0));
        assert!(!member.is_news(STEP + 1) && member.is_news(0));
    }
}
