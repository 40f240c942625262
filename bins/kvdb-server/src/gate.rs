//! The gate: connections whose replies wait for the log.
//!
//! Under `everysec` and `no` a reply waits until its command has been handed to the system; under `always` until it is on
//! the disk. Either way the worker first runs everything that is ready and then pays once for all: the gate's task comes
//! to its turn behind the connections that were ready with it, writes the log (or asks the log's thread to sync it), and
//! sends what has become safe.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use tokio::sync::Notify;

use crate::connection::Connection;
use crate::worker::Worker;

/// How a gate is told, by its own worker that a connection has begun to wait, and by the log's thread that the log has got
/// further. A worker without waiting connections is not woken for that.
#[derive(Default)]
pub struct Progress {
    told: Notify,
    awaited: AtomicBool,
}

impl Progress {
    /// Tells that the log has got further, which can be seen by now.
    pub fn tell(&self) {
        // Against the fence in `await_it`: either this sees that somebody waits, or who waits sees how far the log is.
        fence(Ordering::SeqCst);
        if self.awaited.load(Ordering::Relaxed) {
            self.told.notify_one();
        }
    }

    /// Has whoever makes the log get further from now on tell it.
    fn await_it(&self) {
        if !self.awaited.load(Ordering::Relaxed) {
            self.awaited.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
    }
}

/// The waiting connections of one worker.
pub struct Gate {
    waiting: RefCell<Vec<Rc<Connection>>>,
    progress: Arc<Progress>,
}

impl Gate {
    /// A gate that is told of the log's progress through `progress`.
    pub fn new(progress: Arc<Progress>) -> Self {
        Self { waiting: RefCell::default(), progress }
    }

    /// Lets a connection wait.
    pub fn wait(&self, connection: Rc<Connection>) {
        self.waiting.borrow_mut().push(connection);
        self.progress.await_it();
        self.progress.told.notify_one();
    }

    /// Serves the gate for as long as the worker lives.
    pub async fn serve(&self, worker: &RefCell<Worker>) {
        let node = worker.borrow().node.clone();
        loop {
            self.progress.told.notified().await;
            if self.waiting.borrow().is_empty() {
                continue;
            }
            node.push_log();
            self.release(&worker.borrow());
        }
    }

    /// As [`Self::serve`] does, once: while its task does not get its turn.
    pub fn serve_once(&self, worker: &Worker) {
        if !self.waiting.borrow().is_empty() {
            worker.node.push_log();
            self.release(worker);
        }
    }

    /// Sends what is safe now.
    pub fn release(&self, worker: &Worker) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for connection in waiting {
            if connection.release(worker) {
                self.waiting.borrow_mut().push(connection);
            } else {
                connection.gated.set(false);
            }
        }
        if self.waiting.borrow().is_empty() {
            self.progress.awaited.store(false, Ordering::Relaxed);
        }
    }
}
