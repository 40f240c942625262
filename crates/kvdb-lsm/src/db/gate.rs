//! The gate: lets many appends through at once, or one operation that needs that none is under
//! way.
//!
//! An append gets its place in the log and then puts its operations into the memtable. Between the
//! two, the newest sequence is in the log and not yet readable. Whoever makes a view or freezes
//! the memtable must not fall into that gap: it closes the gate, which waits for the appends inside.
//!
//! A read-write lock would do, but its counter would be a cache line that every append on every
//! core writes twice. So the gate is striped: an append takes the lock of its thread's stripe, and
//! closing takes all of them.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

const STRIPES: usize = 16;

/// Two cache lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    lock: RwLock<()>,
    /// Bytes appended through this stripe since the last report.
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Gate {
    stripes: [Stripe; STRIPES],
}

/// An append under way.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    stripe: &'a Stripe,
    _inside: RwLockReadGuard<'a, ()>,
}

/// A closed gate.
#[derive(Debug)]
pub(super) struct Closed<'a> {
    _stripes: [RwLockWriteGuard<'a, ()>; STRIPES],
}

/// The stripe of the calling thread.
fn stripe_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    STRIPE.with(|stripe| {
        if stripe.get() == usize::MAX {
            stripe.set(NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES);
        }
        stripe.get()
    })
}

impl Gate {
    /// Enters for an append; waits while the gate is closed.
    #[inline]
    pub(super) fn enter(&self) -> Pass<'_> {
        let stripe = &self.stripes[stripe_of_thread()];
        Pass { stripe, _inside: stripe.lock.read() }
    }

    /// Closes the gate: waits for the appends under way, holds up new ones.
    pub(super) fn close(&self) -> Closed<'_> {
        // In order, so that two that close do not wait for each other.
        Closed { _stripes: std::array::from_fn(|n| self.stripes[n].lock.write()) }
    }
}

impl Pass<'_> {
    /// Counts appended bytes; returns true once in about `report` bytes per stripe.
    #[inline]
    pub(super) fn count(&self, bytes: u64, report: u64) -> bool {
        let sum = self.stripe.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if sum < report {
            return false;
        }
        self.stripe.bytes.store(0, Ordering::Relaxed);
        true
    }
}
