//! Connections whose command waits for a key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use kvdb_commands::blocking::{CallOff, Served, Wait, Wake};
use kvdb_commands::exec::Missing;
use kvdb_commands::families::wait::Acks;
use kvdb_resp::{Protocol, Reply};
use kvdb_store::{Store, Waiter};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::clock::unix_millis;
use crate::node::Node;
use crate::worker::Worker;

/// How long at a time is waited for a moment of the wall clock, which may be set back meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// What a client is told whose wait CLIENT UNBLOCK has ended with an error.
const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// What CLIENT UNBLOCK has asked for.
const NOTHING: u8 = 0;
const BLOCKED: u8 = 1;
const BY_TIMEOUT: u8 = 2;
const WITH_ERROR: u8 = 3;

/// How another connection ends a wait.
#[derive(Debug, Default)]
pub struct Unblock {
    state: AtomicU8,
    changed: Notify,
    /// Ends the wait for a key, while there is one.
    call_off: Mutex<Option<CallOff>>,
}

impl Unblock {
    /// Whether the connection waits.
    pub fn is_blocked(&self) -> bool {
        self.state.load(Ordering::Relaxed) != NOTHING
    }

    /// Says how the wait ends that is about to begin.
    pub fn begins(&self, wait: &Wait) {
        *self.call_off.lock() = Some(wait.call_off());
    }

    /// Has what the connection waits for not happen any more: it is to be closed.
    pub fn call_off(&self) {
        if let Some(call_off) = &*self.call_off.lock() {
            call_off.call_off();
        }
    }

    /// Ends the wait; tells whether there was one to end.
    pub fn ask(&self, with_error: bool) -> bool {
        // Not while this is locked: what the command runs may come here too.
        let call_off = self.call_off.lock().clone();
        if call_off.is_some_and(|call_off| !call_off.call_off_waiting()) {
            // What it has waited for is on its way.
            return false;
        }
        let wanted = if with_error { WITH_ERROR } else { BY_TIMEOUT };
        let asked =
            self.state.compare_exchange(BLOCKED, wanted, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if asked {
            self.changed.notify_one();
        }
        asked
    }
}

/// A connection that waits, for as long as this lives.
struct Blocked<'n> {
    node: &'n Node,
    unblock: Arc<Unblock>,
    is_timed: bool,
}

impl<'n> Blocked<'n> {
    fn new(node: &'n Node, unblock: Arc<Unblock>, deadline: Option<u64>) -> Self {
        let is_timed = deadline.is_some();
        unblock.state.store(BLOCKED, Ordering::Relaxed);
        node.blocked_clients.fetch_add(1, Ordering::Relaxed);
        node.timed_clients.fetch_add(usize::from(is_timed), Ordering::Relaxed);
        Self { node, unblock, is_timed }
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        *self.unblock.call_off.lock() = None;
        self.unblock.state.store(NOTHING, Ordering::Relaxed);
        self.node.blocked_clients.fetch_sub(1, Ordering::Relaxed);
        self.node.timed_clients.fetch_sub(usize::from(self.is_timed), Ordering::Relaxed);
    }
}

/// Waits until the command has run, its time is over or somebody ends the wait; returns the reply.
pub async fn wait(
    wait: Wait,
    node: &Arc<Node>,
    unblock: Arc<Unblock>,
    protocol: Protocol,
    worker: &std::cell::RefCell<Worker>,
) -> Served {
    let blocked = Blocked::new(node, unblock, wait.deadline);
    loop {
        let (done, woken) = oneshot::channel();
        let wake = move || {
            // The only listener is below.
            let _: Result<(), ()> = done.send(());
        };
        match wait.look(wake) {
            Wake::Served(served) => return served,
            wake @ (Wake::Cold(_) | Wake::Held) => {
                match wake {
                    Wake::Cold(missing) => load(&node.store, missing).await,
                    _ => node.until_not_busy().await,
                }
                let worker = &mut *worker.borrow_mut();
                let env = worker.env(false);
                wait.try_again(env, &mut worker.scratch);
                // It may have moved an element to where others wait.
                kvdb_commands::blocking::serve(&node.store, env, &mut worker.scratch);
                continue;
            }
            Wake::Nothing => {}
        }
        tokio::select! {
            _ = woken => continue,
            () = until(wait.deadline) => {}
            () = blocked.unblock.changed.notified() => {}
        }
        let state = blocked.unblock.state.load(Ordering::Relaxed);
        if state == BLOCKED && wait.deadline.is_none_or(|deadline| deadline > unix_millis()) {
            // A permit left over from an earlier wait.
            continue;
        }
        if let Some(served) = wait.give_up() {
            return served;
        }
        let mut bytes = Vec::new();
        let mut reply = Reply::new(&mut bytes, protocol);
        if state == WITH_ERROR {
            reply.error(UNBLOCKED);
        } else {
            reply.null_array();
        }
        return Served::replied(bytes, 0);
    }
}

/// Waits until what a connection has seen is on disk and with as many replicas as it asks for, its time is over or somebody
/// ends the wait; returns the reply.
pub async fn wait_for_acks(
    acks: Acks,
    seen: u64,
    node: &Node,
    unblock: Arc<Unblock>,
    protocol: Protocol,
) -> Vec<u8> {
    let blocked = Blocked::new(node, unblock, acks.deadline);
    let mut bytes = Vec::new();
    loop {
        let moved = node.log_moved.notified();
        tokio::pin!(moved);
        // From here on nothing that the log tells is missed.
        moved.as_mut().enable();
        let is_durable = node.rows.log().durable() >= seen;
        let state = blocked.unblock.state.load(Ordering::Relaxed);
        let is_late = acks.deadline.is_some_and(|deadline| deadline <= unix_millis());
        if acks.are_there(is_durable) || is_late || state != BLOCKED {
            let mut reply = Reply::new(&mut bytes, protocol);
            if state == WITH_ERROR {
                reply.error(UNBLOCKED);
            } else {
                acks.reply(is_durable, &mut reply);
            }
            return bytes;
        }
        tokio::select! {
            () = moved => {}
            () = until(acks.deadline) => {}
            () = blocked.unblock.changed.notified() => {}
        }
    }
}

/// Waits for a moment in Unix milliseconds, or for ever.
async fn until(deadline: Option<u64>) {
    loop {
        let now = unix_millis();
        match deadline {
            None => std::future::pending().await,
            Some(deadline) if deadline <= now => return,
            Some(deadline) => {
                let left = Duration::from_millis(deadline - now).min(LONGEST_SLEEP);
                sleep_until(Instant::now() + left).await;
            }
        }
    }
}

async fn load(store: &Arc<Store>, missing: Missing) {
    let Missing { db, key, others, pins: _pins } = missing;
    for (db, key) in others {
        store.request_load(db, &key, unix_millis(), Waiter::new(|_| ()));
    }
    let (done, loaded) = oneshot::channel();
    let waiter = Waiter::new(move |result| drop(done.send(result)));
    store.request_load(db, &key, unix_millis(), waiter);
    // Whether it could be loaded shows when the command runs again.
    let _: Result<_, _> = loaded.await;
}
