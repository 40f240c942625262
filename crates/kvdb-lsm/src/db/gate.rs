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

use crate::sabotage::{self, Bug};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, thread_number};

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
    _stripes: [Option<RwLockWriteGuard<'a, ()>>; STRIPES],
}

impl Gate {
    /// Enters for an append; waits while the gate is closed.
    #[inline]
    pub(super) fn enter(&self) -> Pass<'_> {
        let stripe = &self.stripes[thread_number() % STRIPES];
        Pass { stripe, _inside: stripe.lock.read() }
    }

    /// Closes the gate: waits for the appends under way, holds up new ones.
    pub(super) fn close(&self) -> Closed<'_> {
        // In order, so that two that close do not wait for each other.
        let close = |n: usize| (!sabotage::has(Bug::OpenGate)).then(|| self.stripes[n].lock.write());
        Closed { _stripes: std::array::from_fn(close) }
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
