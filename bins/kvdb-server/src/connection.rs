//! A connection with its socket: receiving, the turns, and sending what may leave.
//!
//! Replies wait for the log. A turn says up to which sequence its replies depend on; what is safe already is sent at
//! once from the worker's buffer, the rest is kept here with a mark and leaves when the [gate](crate::gate) is told that
//! the log has got so far. Replies leave in the order of their commands, so one that waits holds those behind it.

mod outbox;
mod stream;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use kvdb_commands::ReplyMode;
use kvdb_commands::acl::Account;
use tokio::io::ReadBuf;

pub use self::stream::Stream;

use self::outbox::Outbox;
use crate::gate::Gate;
use crate::node::Node;
use crate::serve::{Moved, farewell};
use crate::turn::{Conn, Park, Turn, turn};
use crate::worker::{READ_BUFFER, Worker};

/// A buffer that is larger than this is given back when it is empty, so that idle connections hold next to nothing.
const KEPT_BUFFER: usize = 512;
/// Turns after which a client that sends without a pause lets others have theirs.
const TURNS_AT_A_TIME: usize = 4;
/// Part of a request up to this size is moved to the front of the receive buffer instead of being kept apart.
const JOINED_MAX: usize = 4096;

/// How a TLS handshake begins: a record of that type, version 3. No request begins so.
const TLS_HANDSHAKE: &[u8] = &[0x16, 0x03];

/// What a connection's task does next.
pub enum Step {
    /// Waits for this, then goes on.
    Park(Park),
    /// Lets others run first.
    Yield,
    /// Goes to this worker.
    Move(usize),
    /// Ends.
    Closed,
}

struct State {
    conn: Conn,
    stream: Stream,
    /// Bytes received that are not a whole command.
    partial: Vec<u8>,
    outbox: Outbox,
    /// Bytes of the outbox that may leave but that the socket did not take.
    blocked: usize,
    /// Whether no more is received: the connection ends when everything is sent.
    closing: bool,
    /// Whether `partial` may hold whole commands.
    resume: bool,
    /// Whether a command waits elsewhere.
    parked: bool,
    /// What a turn inside a script stopped for, until the connection's task has its turn.
    park: Option<Park>,
}

/// A connection of a worker.
pub struct Connection {
    state: RefCell<State>,
    /// Whether the gate knows that this connection waits.
    pub gated: Cell<bool>,
    /// Whether others know how to wake the task that serves this.
    is_known: Cell<bool>,
    /// The last plan that this has followed.
    plan: Cell<u64>,
}

impl Connection {
    /// A connection of this worker, of which so much of a command has been received; it follows a plan from now on.
    pub fn new(conn: Conn, stream: Stream, partial: Vec<u8>, plan: u64) -> Self {
        let state = State {
            conn,
            stream,
            partial,
            outbox: Outbox::default(),
            blocked: 0,
            closing: false,
            resume: false,
            parked: false,
            park: None,
        };
        Self {
            state: RefCell::new(state),
            gated: Cell::new(false),
            is_known: Cell::new(false),
            plan: Cell::new(plan),
        }
    }

    /// What is left of the connection when it leaves its worker, at rest.
    ///
    /// # Errors
    /// With the connection, which is lost, when the runtime does not let go of the socket.
    pub fn depart(self) -> Result<Moved, Box<Conn>> {
        let State { conn, stream, partial, .. } = self.state.into_inner();
        match stream.deregister() {
            Ok(socket) => Ok(Moved { conn, socket, partial, plan: self.plan.get() }),
            Err(_) => Err(Box::new(conn)),
        }
    }

    /// Where the connection goes, if it is at rest and there is a plan that it has not followed.
    #[inline]
    fn moves(&self, state: &State, worker: &mut Worker) -> Option<usize> {
        let plan = worker.node.placement.plan();
        if plan == self.plan.get() || self.gated.get() || !state.is_at_rest() {
            return None;
        }
        worker.follow(plan, self.plan.replace(plan))
    }

    /// Receives, runs turns and sends until there is something to wait for.
    pub fn poll(self: &Rc<Self>, cx: &mut Context<'_>, worker: &RefCell<Worker>, gate: &Gate) -> Poll<Step> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let worker = &mut *worker.borrow_mut();
        if !self.is_known.replace(true) {
            state.conn.info.set_waker(cx.waker());
        }
        state.parked = state.park.is_some();
        if let Some(park) = state.park.take() {
            return Poll::Ready(Step::Park(park));
        }
        if let Some(to) = self.moves(state, worker) {
            return Poll::Ready(Step::Move(to));
        }
        let mut turns = 0;
        loop {
            if state.conn.info.is_killed() {
                return Poll::Ready(Step::Closed);
            }
            if let Some(pushed) = state.conn.info.take_pushed() {
                state.reply(self, &pushed.text, pushed.depends_on, worker, gate);
            }
            // Until everything has left or the socket has promised to tell when it takes more.
            while state.blocked > 0 && !state.conn.info.is_killed() {
                match state.stream.poll_write_ready(cx) {
                    Poll::Ready(Ok(())) => state.send(worker),
                    Poll::Ready(Err(_)) => return Poll::Ready(Step::Closed),
                    Poll::Pending => break,
                }
            }
            if state.outbox.len() > worker.node.hot.output_buffer.load(Ordering::Relaxed) {
                worker.node.closes_slow_client(&state.conn.info);
                return Poll::Ready(Step::Closed);
            }
            if state.closing {
                return if state.outbox.is_empty() { Poll::Ready(Step::Closed) } else { Poll::Pending };
            }
            let turn = match state.receive_and_run(cx, worker) {
                Poll::Ready(Ok(Some(turn))) => turn,
                Poll::Ready(Ok(None)) => {
                    state.closing = true;
                    continue;
                }
                Poll::Ready(Err(_)) => {
                    // What a turn replied before its connection failed is nobody else's.
                    worker.out.clear();
                    return Poll::Ready(Step::Closed);
                }
                Poll::Pending => return Poll::Pending,
            };
            if turn.close {
                // Who reads the last reply finds the client gone.
                state.conn.info.close_after_reply();
            }
            let out = std::mem::take(&mut worker.out);
            state.reply(self, &out, turn.gate, worker, gate);
            worker.out = out;
            worker.out.clear();
            if worker.out.capacity() > 4 * READ_BUFFER {
                worker.out.shrink_to(READ_BUFFER);
            }
            state.closing |= turn.close;
            if let Some(park) = turn.park {
                (state.resume, state.parked) = (true, true);
                return Poll::Ready(Step::Park(park));
            }
            if turn.more {
                state.resume = true;
                return Poll::Ready(Step::Yield);
            }
            turns += 1;
            if turns == TURNS_AT_A_TIME {
                return Poll::Ready(Step::Yield);
            }
        }
    }

    /// While a command waits elsewhere: sends what may leave, and is ready when the connection has been killed. With
    /// `reads`, what the client sends meanwhile is kept, and the end of it is the end of the connection: nobody is left to
    /// wait for.
    pub fn poll_parked(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        worker: &RefCell<Worker>,
        gate: &Gate,
        reads: bool,
    ) -> Poll<()> {
        let state = &mut *self.state.borrow_mut();
        if let Some(pushed) = state.conn.info.take_pushed() {
            state.reply(self, &pushed.text, pushed.depends_on, &worker.borrow(), gate);
        }
        if reads {
            state.read_ahead(cx, &mut worker.borrow_mut());
        }
        while state.blocked > 0 && !state.conn.info.is_killed() {
            match state.stream.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => state.send(&worker.borrow()),
                Poll::Ready(Err(_)) => state.conn.info.kill(),
                Poll::Pending => break,
            }
        }
        if state.conn.info.is_killed() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Hears the client while the worker is inside a script, whose own connection is left alone, as is one that waits for
    /// something or has not been sent everything. What cannot be done in here is left to the connection's task.
    pub fn attend(self: &Rc<Self>, worker: &mut Worker, gate: &Gate) {
        let Ok(mut state) = self.state.try_borrow_mut() else { return };
        let state = &mut *state;
        if state.parked || state.resume || state.closing || state.blocked > 0 || state.conn.info.is_killed() {
            return;
        }
        let mut buffer = std::mem::take(&mut worker.read_buffer);
        let turn = match state.stream.receive_now(&mut buffer) {
            Ok(0) => {
                state.closing = true;
                None
            }
            Ok(n) => {
                worker.stats.received(n);
                // Nothing was joined, so an input behind a part of a request is put behind it.
                Some(state.run(&buffer[..n], 0, worker))
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                worker.read_buffer = buffer;
                return;
            }
            Err(e) => Some(Err(e)),
        };
        worker.read_buffer = buffer;
        let out = std::mem::take(&mut worker.out);
        match turn {
            Some(Ok(turn)) => {
                let mut rest = &out[..];
                if state.outbox.is_empty() && turn.gate <= worker.node.settled() && !rest.is_empty() {
                    // What fails here fails again when the runtime sends it.
                    let sent = state.stream.send_now(rest).unwrap_or(0);
                    worker.stats.sent(sent);
                    rest = &rest[sent..];
                }
                state.reply(self, rest, turn.gate, worker, gate);
                state.closing |= turn.close;
                state.resume = turn.more || turn.park.is_some();
                (state.parked, state.park) = (turn.park.is_some(), turn.park);
            }
            Some(Err(_)) => state.conn.info.kill(),
            None => {}
        }
        worker.out = out;
        worker.out.clear();
        if state.closing || state.resume || state.blocked > 0 {
            state.conn.info.wake();
        }
    }

    /// Forgets what was not sent, and ends what others know of the connection: the gate may hold an ended one for as long
    /// as the log stalls.
    pub fn end(&self, node: &Node) {
        let state = &mut *self.state.borrow_mut();
        (state.outbox, state.blocked) = (Outbox::default(), 0);
        farewell(node, &mut state.conn);
    }

    /// Has the connection end when everything it was told has left.
    pub fn close(&self) {
        self.state.borrow_mut().closing = true;
    }

    /// Appends a reply that was made elsewhere.
    pub fn deliver(self: &Rc<Self>, bytes: &[u8], depends_on: u64, worker: &RefCell<Worker>, gate: &Gate) {
        let mut state = self.state.borrow_mut();
        let worker = &mut *worker.borrow_mut();
        state.conn.session.seen = state.conn.session.seen.max(depends_on);
        match state.conn.session.reply_mode {
            ReplyMode::On => state.reply(self, bytes, depends_on, worker, gate),
            ReplyMode::Skip => state.conn.session.reply_mode = ReplyMode::On,
            ReplyMode::Off | ReplyMode::SkipNext => {}
        }
    }

    /// Sends what has become safe; tells whether there is more that is not, or may be, since a turn of the connection is
    /// under way further up the stack. Called by the gate.
    pub fn release(&self, worker: &Worker) -> bool {
        let Ok(mut state) = self.state.try_borrow_mut() else { return true };
        state.send(worker);
        if state.blocked > 0 || state.closing {
            state.conn.info.wake();
        }
        state.outbox.waits()
    }

    /// What is needed to finish a command elsewhere: database, protocol, and whether its lookups count.
    pub fn terms(&self) -> (u16, kvdb_resp::Protocol, bool) {
        let state = self.state.borrow();
        let session = &state.conn.session;
        (session.db, session.protocol, session.no_touch)
    }

    /// The user that it is.
    pub fn account(&self) -> std::sync::Arc<Account> {
        self.state.borrow().conn.session.account.clone()
    }

    /// The connection as others see it.
    pub fn info(&self) -> std::sync::Arc<crate::clients::ClientInfo> {
        self.state.borrow().conn.info.clone()
    }
}

impl State {
    /// Whether nothing is under way: everything that was received has been run or is a part of a command, and everything
    /// that was replied has been sent.
    fn is_at_rest(&self) -> bool {
        let busy = self.parked || self.park.is_some() || self.resume || self.closing || self.blocked > 0;
        !busy && self.outbox.is_empty() && !self.conn.info.is_killed()
    }

    /// Receives bytes, unless there are some left from before, and runs a turn on them. `None` at the end of the stream.
    fn receive_and_run(
        &mut self,
        cx: &mut Context<'_>,
        worker: &mut Worker,
    ) -> Poll<io::Result<Option<Turn>>> {
        if std::mem::take(&mut self.resume) && !self.partial.is_empty() {
            let input = std::mem::take(&mut self.partial);
            let done = turn(&mut self.conn, &input, worker);
            self.partial = input;
            self.consumed(done.consumed);
            return Poll::Ready(self.noted(worker).map(|()| Some(done)));
        }
        let mut buffer = std::mem::take(&mut worker.read_buffer);
        let joined = if self.partial.len() <= JOINED_MAX { self.partial.len() } else { 0 };
        buffer[..joined].copy_from_slice(&self.partial[..joined]);
        let mut read = ReadBuf::new(&mut buffer[joined..]);
        let polled = self.stream.poll_read(cx, &mut read);
        let received = read.filled().len();
        let result = match polled {
            Poll::Pending => {
                self.idle();
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) if received == 0 => Poll::Ready(Ok(None)),
            Poll::Ready(Ok(()))
                if joined == self.partial.len() && buffer[..joined + received].starts_with(TLS_HANDSHAKE) =>
            {
                worker.node.warn_of_tls(&self.conn.info);
                Poll::Ready(Ok(None))
            }
            Poll::Ready(Ok(())) => {
                worker.stats.received(received);
                Poll::Ready(self.run(&buffer[..joined + received], joined, worker).map(Some))
            }
        };
        worker.read_buffer = buffer;
        result
    }

    /// Receives without running anything.
    fn read_ahead(&mut self, cx: &mut Context<'_>, worker: &mut Worker) {
        while !self.conn.info.is_killed() {
            let mut read = ReadBuf::new(&mut worker.read_buffer);
            match self.stream.poll_read(cx, &mut read) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    self.partial.extend_from_slice(read.filled());
                    worker.stats.received(read.filled().len());
                    self.resume = true;
                    if self.noted(worker).is_err() {
                        self.conn.info.kill();
                    }
                }
                Poll::Ready(_) => self.conn.info.kill(),
            }
        }
    }

    /// Runs a turn on received bytes; the first `joined` of them are those of `partial`.
    fn run(&mut self, input: &[u8], joined: usize, worker: &mut Worker) -> io::Result<Turn> {
        if joined == self.partial.len() {
            let done = turn(&mut self.conn, input, worker);
            self.partial.clear();
            self.partial.extend_from_slice(&input[done.consumed..]);
            self.noted(worker)?;
            return Ok(done);
        }
        self.partial.extend_from_slice(input);
        let input = std::mem::take(&mut self.partial);
        let done = turn(&mut self.conn, &input, worker);
        self.partial = input;
        self.consumed(done.consumed);
        self.noted(worker)?;
        Ok(done)
    }

    fn consumed(&mut self, n: usize) {
        self.partial.drain(..n);
        if self.partial.is_empty() && self.partial.capacity() > KEPT_BUFFER {
            self.partial = Vec::new();
        }
    }

    fn noted(&self, worker: &Worker) -> io::Result<()> {
        let waiting = self.partial.len();
        self.conn.info.query_bytes.store(waiting, Ordering::Relaxed);
        if waiting > worker.node.hot.query_buffer.load(Ordering::Relaxed) {
            worker.node.closes_large_query(&self.conn.info);
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(())
    }

    /// Gives back what an idle connection does not need.
    fn idle(&mut self) {
        self.conn.decoder.shrink();
        if self.partial.is_empty() && self.partial.capacity() > 0 {
            self.partial = Vec::new();
        }
        self.outbox.shrink();
    }

    /// Sends a reply, or keeps it until it may leave.
    fn reply(
        &mut self,
        connection: &Rc<Connection>,
        bytes: &[u8],
        depends_on: u64,
        worker: &Worker,
        gate: &Gate,
    ) {
        let settled = worker.node.settled();
        if bytes.is_empty() {
            // Nobody waits for what a client without replies has written, but it must not lie about either.
            if depends_on > settled {
                worker.node.push_log();
            }
            return;
        }
        let mut rest = bytes;
        if self.outbox.is_empty() && depends_on <= settled {
            while !rest.is_empty() {
                match self.stream.try_write(rest) {
                    Ok(n) => {
                        worker.stats.sent(n);
                        rest = &rest[n..];
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => {
                        self.conn.info.kill();
                        return;
                    }
                }
            }
            if rest.is_empty() {
                return;
            }
        }
        self.outbox.push(rest, depends_on, settled);
        if self.outbox.waits() {
            if !connection.gated.replace(true) {
                gate.wait(connection.clone());
            }
        } else {
            self.blocked = self.outbox.len();
        }
        self.conn.info.output_bytes.store(self.outbox.len(), Ordering::Relaxed);
    }

    /// Sends what may leave.
    fn send(&mut self, worker: &Worker) {
        self.blocked = self.outbox.free(worker.node.settled()).max(self.blocked);
        while self.blocked > 0 {
            match self.stream.try_write(self.outbox.front(self.blocked)) {
                Ok(n) => {
                    worker.stats.sent(n);
                    self.outbox.sent(n);
                    self.blocked -= n;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.conn.info.kill();
                    break;
                }
            }
        }
        self.conn.info.output_bytes.store(self.outbox.len(), Ordering::Relaxed);
    }
}
