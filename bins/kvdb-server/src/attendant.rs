//! Clients of a worker that is inside a script which takes long, or waits for a latch that such a script holds.
//!
//! A script runs on its worker's thread, so that a short one costs no switch of threads. When it has run for
//! `busy-reply-threshold`, the connections of that worker must be heard all the same: to be told BUSY, and to end the script.
//! The script's hook then [attends](attend) to them from within: what they have sent is received past the runtime, and
//! ordinary turns run on it with a second set of the worker's buffers, since the first is in use further down the stack.
//! Nothing that needs a key is run meanwhile (`Run::while_busy`), so no turn waits for what the script holds.
//!
//! A worker that waits for a latch, for a command that cannot be refused any more, hears its clients in the same way
//! while a script of another worker is busy ([`Store::set_pastime`](kvdb_store::Store::set_pastime)): the one who would
//! end that script may be among them.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::sync::mpsc;

use crate::connection::Connection;
use crate::gate::Gate;
use crate::node::Node;
use crate::serve::{self, Arrival};
use crate::worker::Worker;

/// The least time between two rounds. A round also rests for four times as long as it took.
const REST: Duration = Duration::from_millis(2);

thread_local! {
    static HERE: RefCell<Option<Rc<Attendant>>> = const { RefCell::new(None) };
}

/// What a worker's thread knows of its connections.
pub struct Attendant {
    node: Arc<Node>,
    index: usize,
    worker: Rc<RefCell<Worker>>,
    gate: Rc<Gate>,
    accepted: RefCell<mpsc::UnboundedReceiver<Arrival>>,
    connections: RefCell<HashMap<u64, Weak<Connection>>>,
    /// The buffers of turns that run inside a script.
    inner: OnceCell<RefCell<Worker>>,
    next_round: Cell<Option<Instant>>,
}

impl Attendant {
    /// The attendant of this thread.
    pub fn install(
        node: Arc<Node>,
        index: usize,
        worker: Rc<RefCell<Worker>>,
        gate: Rc<Gate>,
        accepted: mpsc::UnboundedReceiver<Arrival>,
    ) -> Rc<Self> {
        let attendant = Rc::new(Self {
            node,
            index,
            worker,
            gate,
            accepted: RefCell::new(accepted),
            connections: RefCell::default(),
            inner: OnceCell::new(),
            next_round: Cell::new(None),
        });
        HERE.set(Some(attendant.clone()));
        attendant
    }

    /// Ready with the next connection for this worker, or with `None` when there will be no more.
    pub fn poll_accepted(&self, cx: &mut Context<'_>) -> Poll<Option<Arrival>> {
        self.accepted.borrow_mut().poll_recv(cx)
    }

    /// Begins to serve a connection. Runs on the worker's runtime.
    pub fn welcome(self: &Rc<Self>, arrival: Arrival) {
        match serve::adopt(&self.node, arrival) {
            Ok(connection) => {
                let id = connection.info().id;
                self.connections.borrow_mut().insert(id, Rc::downgrade(&connection));
                let (this, gate, worker) = (self.clone(), self.gate.clone(), self.worker.clone());
                tokio::task::spawn_local(async move {
                    serve::serve(connection, worker, gate).await;
                    this.connections.borrow_mut().remove(&id);
                });
            }
            Err(error) => {
                self.node.workers[self.index].connections.fetch_sub(1, Ordering::Relaxed);
                tracing::debug!(%error, "a connection was lost before it was served");
            }
        }
    }

    fn round(self: &Rc<Self>) {
        loop {
            // Not in the head of the loop, where the borrow would last.
            let Ok(arrival) = self.accepted.borrow_mut().try_recv() else { break };
            self.welcome(arrival);
        }
        let inner = self.inner.get_or_init(|| {
            let seed = self.index as u64 ^ 0x9e37_79b9_7f4a_7c15;
            let mut worker = Worker::new(self.node.clone(), self.index, seed);
            worker.is_inside = true;
            RefCell::new(worker)
        });
        // Whatever waits within a turn that runs in here must not begin a round within the round.
        let Ok(mut inner) = inner.try_borrow_mut() else { return };
        let connections: Vec<_> = self.connections.borrow().values().filter_map(Weak::upgrade).collect();
        for connection in connections {
            connection.attend(&mut inner, &self.gate);
        }
        // What was replied before, and what is replied here, leaves when it is safe, as ever.
        self.gate.serve_once(&inner);
    }
}

/// Called from a script that takes long, and where a latch is waited for, often: hears the clients of this thread's worker
/// when it is time to.
pub fn attend() {
    let Some(attendant) = HERE.with_borrow(Clone::clone) else { return };
    let began = Instant::now();
    if attendant.next_round.get().is_some_and(|next| began < next) {
        return;
    }
    attendant.round();
    let now = Instant::now();
    attendant.next_round.set(Some(now + REST.max(4 * (now - began))));
}

/// Ends what [`Attendant::install`] began: the thread serves nobody any more.
pub fn dismiss() {
    HERE.set(None);
}

/// Receives what has come on a socket that the runtime watches too, without asking the runtime.
///
/// # Errors
/// As the system says; `WouldBlock` when nothing has come.
pub fn receive_now<S: AsFd>(socket: &S, buffer: &mut [u8]) -> io::Result<usize> {
    use std::io::Read;
    (&*SockRef::from(socket)).read(buffer)
}

/// As [`receive_now`], the other way: the runtime does not know of a new socket that it takes bytes.
///
/// # Errors
/// As the system says; `WouldBlock` when the socket takes nothing.
pub fn send_now<S: AsFd>(socket: &S, bytes: &[u8]) -> io::Result<usize> {
    use std::io::Write;
    (&*SockRef::from(socket)).write(bytes)
}
