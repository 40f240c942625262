//! Worker threads: each runs its connections on a runtime of its own. A connection may move from one to another
//! ([`crate::placement`]) while nothing of it is under way.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kvdb_commands::acl::Context;
use kvdb_commands::session::Offload;
use kvdb_commands::{Handler, KeyspaceCx, KeyspaceOutcome, Session};
use kvdb_resp::{Decoder, Protocol, Reply};
use kvdb_store::{Env, Waiter};
use rustix::thread::gettid;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::attendant::{self, Attendant};
use crate::blocked;
use crate::clients::ClientInfo;
use crate::clock::unix_millis;
use crate::connection::{Connection, Step, Stream};
use crate::gate::Gate;
use crate::node::{Node, Stop};
use crate::turn::{Conn, Park, Running};
use crate::worker::Worker;
use crate::yielding;

/// A client that has been accepted, on its way to a worker.
pub struct Accepted {
    /// Its socket, non-blocking.
    pub socket: Socket,
    /// Its address.
    pub addr: String,
    /// The address it connected to.
    pub laddr: String,
    /// The plan by which its worker was chosen.
    pub plan: u64,
}

/// A connection on its way to a worker.
pub enum Arrival {
    /// A client that has been accepted.
    Accepted(Accepted),
    /// A connection that another worker has served.
    Moved(Box<Moved>),
}

/// A connection that no worker serves for the moment, with nothing under way.
pub struct Moved {
    /// The connection.
    pub conn: Conn,
    /// Its socket.
    pub socket: Socket,
    /// Bytes received that are not a whole command.
    pub partial: Vec<u8>,
    /// The plan that it follows with this.
    pub plan: u64,
}

/// A socket that belongs to no runtime.
pub enum Socket {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(socket) => socket.as_raw_fd(),
            Self::Unix(socket) => socket.as_raw_fd(),
        }
    }
}

/// What a worker's thread is started with.
pub struct WorkerStart {
    /// The server.
    pub node: Arc<Node>,
    /// Which worker this is.
    pub index: usize,
    /// Makes its random numbers its own.
    pub seed: u64,
    /// Where its connections come from.
    pub accepted: mpsc::UnboundedReceiver<Arrival>,
}

/// Runs a worker until the server stops.
///
/// # Errors
/// When the runtime cannot be built.
pub fn run(start: WorkerStart) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(yielding::before_sleep)
        .build_local(Default::default())?;
    runtime.block_on(work(start));
    Ok(())
}

async fn work(start: WorkerStart) {
    let WorkerStart { node, index, seed, accepted } = start;
    node.workers[index].task.store(gettid().as_raw_nonzero().get(), Ordering::Relaxed);
    let gate = Rc::new(Gate::new(node.progress[index].clone()));
    let worker = Rc::new(RefCell::new(Worker::new(node.clone(), index, seed)));
    let serving = {
        let (gate, worker) = (gate.clone(), worker.clone());
        tokio::task::spawn_local(async move { gate.serve(&worker).await })
    };
    let attendant = Attendant::install(node.clone(), index, worker.clone(), gate.clone(), accepted);
    let mut stopping = node.stopping();
    loop {
        tokio::select! {
            Some(client) = poll_fn(|cx| attendant.poll_accepted(cx)) => attendant.welcome(client),
            _ = stopping.wait_for(|stop| *stop != Stop::No) => break,
            else => break,
        }
    }
    attendant::dismiss();
    // What was acknowledged to nobody may be dropped; what is waiting for the log gets its reply if the log can still
    // give it. A log that failed gives no more.
    if *stopping.borrow() != Stop::Fatal && node.rows.log().sync().is_ok() {
        gate.release(&worker.borrow());
    }
    serving.abort();
}

/// Registers a connection with this worker's runtime, and with the list of clients if it is a new one.
///
/// # Errors
/// When the runtime does not take the socket. Then nobody knows of the connection any more.
pub fn adopt(node: &Node, arrival: Arrival) -> io::Result<Rc<Connection>> {
    let (mut conn, socket, partial, plan) = match arrival {
        Arrival::Accepted(client) => {
            let id = node.clients.next_id();
            let unix = matches!(client.socket, Socket::Unix(_));
            let info = ClientInfo::new(id, client.addr, client.laddr, unix, unix_millis())
                .over(client.socket.as_raw_fd());
            let info = Arc::new(info);
            node.clients.add(info.clone());
            let conn = Conn { session: Session::new(id, &node.accounts), decoder: Decoder::default(), info };
            (conn, client.socket, Vec::new(), client.plan)
        }
        Arrival::Moved(moved) => (moved.conn, moved.socket, moved.partial, moved.plan),
    };
    match Stream::register(socket) {
        Ok(stream) => Ok(Rc::new(Connection::new(conn, stream, partial, plan))),
        Err(error) => {
            farewell(node, &mut conn);
            Err(error)
        }
    }
}

/// Ends what others know of a connection.
pub fn farewell(node: &Node, conn: &mut Conn) {
    conn.session.end();
    let id = conn.info.id;
    node.clients.remove(id);
    node.tracking.end(id, &node.store);
    node.count_monitors_if_needed();
}

/// Serves one connection to its end.
pub async fn serve(mut connection: Rc<Connection>, worker: Rc<RefCell<Worker>>, gate: Rc<Gate>) {
    loop {
        match poll_fn(|cx| connection.poll(cx, &worker, &gate)).await {
            Step::Yield => tokio::task::yield_now().await,
            // A connection that is killed meanwhile is not waited for, and what it was told before leaves.
            Step::Park(park) => {
                let reads = matches!(park, Park::Blocked(..));
                tokio::select! {
                    // The reply comes first, and then what the client is told besides.
                    biased;
                    // Out of line: it is large, and most connections never wait for anything but their client.
                    () = Box::pin(wait_for(park, &connection, &worker, &gate)) => {}
                    () = poll_fn(|cx| connection.poll_parked(cx, &worker, &gate, reads)) => {}
                }
            }
            Step::Move(to) => match Rc::try_unwrap(connection) {
                Ok(connection) => return depart(connection, to, &worker.borrow()),
                // Somebody holds it for a moment. It stays until the next plan.
                Err(held) => connection = held,
            },
            Step::Closed => break,
        }
    }
    let worker = worker.borrow();
    connection.end(&worker.node);
    worker.stats.connections.fetch_sub(1, Ordering::Relaxed);
}

/// Sends a connection to another worker.
fn depart(connection: Connection, to: usize, worker: &Worker) {
    let node = &worker.node;
    match connection.depart() {
        Ok(moved) => {
            let refused = node.placement.relocate(to, Arrival::Moved(Box::new(moved)));
            if let Err(Arrival::Moved(mut moved)) = refused {
                farewell(node, &mut moved.conn);
            }
        }
        Err(mut conn) => farewell(node, &mut conn),
    }
    // Not before the other worker counts it: at no moment are there fewer than there are.
    worker.stats.connections.fetch_sub(1, Ordering::Relaxed);
}

/// Waits for what a turn stopped for; where that makes a reply, delivers it.
async fn wait_for(park: Park, connection: &Rc<Connection>, worker: &RefCell<Worker>, gate: &Gate) {
    let node = worker.borrow().node.clone();
    let (db, protocol, no_touch) = connection.terms();
    let mut bytes = Vec::new();
    let mut depends_on = 0;
    match park {
        Park::Load(db, key) => {
            let (done, wait) = oneshot::channel();
            let waiter = Waiter::new(move |result| {
                // The connection may be gone; then nobody wants to know.
                let _ = done.send(result);
            });
            node.store.request_load(db, &key, unix_millis(), waiter);
            match wait.await {
                Ok(Ok(())) => return,
                Ok(Err(message)) => {
                    // Without its key the command cannot run: the client is told and the connection ends, since what
                    // was sent behind it may count on it.
                    Reply::new(&mut bytes, protocol).error(format!("ERR {message}"));
                    connection.deliver(&bytes, 0, worker, gate);
                    connection.close();
                    return;
                }
                Err(_) => return,
            }
        }
        Park::Paused => return paused(&node).await,
        Park::Busy => return node.until_not_busy().await,
        Park::Blocked(running, wait) => {
            let info = connection.info();
            let served = blocked::wait(wait, &node, info.unblock().clone(), protocol, worker).await;
            if let Some(denied) = served.denied {
                let (spec, args) = (running.spec, running.args.as_args());
                node.note_denied(&connection.account(), Some(&info), Context::TopLevel, spec, args, denied);
            }
            worker.borrow_mut().finished(&running, &served.reply, &info);
            (bytes, depends_on) = (served.reply, served.depends_on);
        }
        Park::Acks(running, acks, seen) => {
            let info = connection.info();
            bytes = blocked::wait_for_acks(acks, seen, &node, info.unblock().clone(), protocol).await;
            worker.borrow_mut().finished(&running, &bytes, &info);
        }
        Park::Sleep(running, micros) => {
            let until = Instant::now() + Duration::from_micros(micros);
            sleep_until(until).await;
            Reply::new(&mut bytes, protocol).ok();
            worker.borrow_mut().finished(&running, &bytes, &connection.info());
        }
        Park::Offload(running, Offload(job)) => {
            let (done, wait) = oneshot::channel();
            node.store.io().submit(move || {
                let _ = done.send(job());
            });
            match wait.await {
                Ok(Ok(status)) => Reply::new(&mut bytes, protocol).simple(&status),
                Ok(Err(message)) => Reply::new(&mut bytes, protocol).error(message),
                // The server is ending. The next reply must not be taken for this one.
                Err(_) => return connection.close(),
            }
            worker.borrow_mut().finished(&running, &bytes, &connection.info());
        }
        Park::Keyspace(running) => {
            let env = worker.borrow_mut().env(no_touch);
            let (done, wait) = oneshot::channel();
            let store = node.store.clone();
            let job = KeyspaceJob { running, db, env, protocol };
            node.store.io().submit(move || {
                let (reply, seq) = job.run(&store);
                let _ = done.send((job.running, reply, seq));
            });
            let Ok((running, reply, seq)) = wait.await else { return connection.close() };
            worker.borrow_mut().finished(&running, &reply, &connection.info());
            (bytes, depends_on) = (reply, seq);
        }
    }
    connection.deliver(&bytes, depends_on, worker, gate);
    if connection.info().is_closing() {
        connection.close();
    }
}

/// Waits until a pause is over or another one has been asked for.
async fn paused(node: &Node) {
    let _waiting = Waiting::new(&node.paused_clients);
    let changed = node.unpaused.notified();
    let until = node.pause.until();
    let wait = Duration::from_millis(until.saturating_sub(unix_millis()));
    tokio::select! {
        () = changed => {}
        () = sleep_until(Instant::now() + wait) => {}
    }
}

/// Counts as one for as long as it lives, however the wait ends.
struct Waiting<'n>(&'n AtomicUsize);

impl<'n> Waiting<'n> {
    fn new(count: &'n AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A keyspace command on its way to a thread that may wait.
struct KeyspaceJob {
    running: Running,
    db: u16,
    env: Env,
    protocol: Protocol,
}

impl KeyspaceJob {
    fn run(&self, store: &Arc<kvdb_store::Store>) -> (Vec<u8>, u64) {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, self.protocol);
        let mut cx = KeyspaceCx::alone(store, self.db, self.env, true);
        let Handler::Keyspace(handler) = self.running.spec.handler else {
            unreachable!("only keyspace commands are sent here")
        };
        let seq = match handler(&mut cx, self.running.args.as_args(), &mut reply) {
            Ok(KeyspaceOutcome::Done(seq)) => seq,
            Ok(KeyspaceOutcome::NeedIo) => {
                reply.truncate(0);
                reply.error("ERR the command asked to wait where it may already; this is a fault in KVDB");
                0
            }
            Err(error) => {
                reply.truncate(0);
                reply.error(error.text());
                0
            }
        };
        (out, seq)
    }
}
