//! What other connections see of a connection: the lines of CLIENT LIST, and how CLIENT KILL reaches it.

mod all;

use std::fmt::Write;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::task::Waker;

use kvdb_commands::Session;
use kvdb_commands::acl::Account;
use kvdb_commands::server::{ClientFilter, ClientKind, ClientProperty};
use kvdb_commands::tracking::{Mode, Tracking};
use kvdb_pubsub::Kind;
use kvdb_resp::Protocol;
use parking_lot::Mutex;

pub use self::all::Clients;
use crate::blocked::Unblock;
use crate::stats::command_name;

/// What is seldom set: kept out of line, since most connections have none of it.
#[derive(Debug, Default)]
struct Names {
    name: String,
    lib_name: String,
    lib_version: String,
    /// `default` where nothing was said.
    user: Option<Arc<Account>>,
}

/// What others have sent to a connection and it has not taken yet.
#[derive(Debug, Default)]
pub struct Mailbox {
    /// Whole frames.
    pub text: Vec<u8>,
    /// The sequence that must be safe before they may leave.
    pub depends_on: u64,
    /// How much there was when it was taken last: there may be as much again.
    taken: usize,
}

/// Room for so much is made in a mailbox before it is there.
const EXPECTED_MAX: usize = 64 * 1024;

/// One connection as others see it. Its worker writes most of it once a turn, anybody reads it.
#[derive(Debug)]
pub struct ClientInfo {
    /// The number of the connection.
    pub id: u64,
    /// The client's address, or the path of the unix socket.
    pub addr: Box<str>,
    /// The server's address that it is connected to.
    pub laddr: Box<str>,
    /// Whether it came over the unix socket.
    pub unix: bool,
    /// The descriptor of its socket; -1 where there is none.
    pub fd: i32,
    /// When it was connected, in Unix milliseconds.
    pub created: u64,
    last_seen: AtomicU64,
    last_command: AtomicUsize,
    db: AtomicU16,
    protocol: AtomicU8,
    flags: AtomicU8,
    /// Bytes received that have not been run, with the command that asks.
    pub query_bytes: AtomicUsize,
    /// Bytes of replies that wait to be sent.
    pub output_bytes: AtomicUsize,
    /// Commands queued since MULTI; -1 where there was none.
    queued: AtomicI32,
    /// Bytes of them, and of watched keys.
    queued_bytes: AtomicUsize,
    /// How many keys it watches.
    watched: AtomicU32,
    /// Since when more output waits than the soft limit allows, in Unix milliseconds; 0 when it does not.
    over_soft_limit: AtomicU64,
    names: OnceLock<Box<Mutex<Names>>>,
    killed: AtomicBool,
    /// Of the task that serves it.
    waker: Mutex<Option<Waker>>,
    mailbox: OnceLock<Box<Mutex<Mailbox>>>,
    unblock: OnceLock<Arc<Unblock>>,
    /// Subscriptions to channels, patterns and shard channels.
    subscriptions: [AtomicU32; 3],
    /// The client that is told of changes of keys in this one's place; 0 for none.
    redirect: AtomicU64,
}

/// The kinds of subscriptions, in the order of CLIENT LIST.
const SUBSCRIPTIONS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::ShardChannel];

const MONITOR: u8 = 1;
const NO_EVICT: u8 = 2;
const NO_TOUCH: u8 = 4;
const CLOSING: u8 = 8;
const TRACKING: u8 = 16;
const BROADCAST: u8 = 32;
const BROKEN_REDIRECT: u8 = 64;

impl ClientInfo {
    /// A fresh connection.
    pub fn new(id: u64, addr: String, laddr: String, unix: bool, now: u64) -> Self {
        Self {
            id,
            addr: addr.into(),
            laddr: laddr.into(),
            unix,
            fd: -1,
            created: now,
            last_seen: AtomicU64::new(now),
            last_command: AtomicUsize::new(usize::MAX),
            db: AtomicU16::new(0),
            protocol: AtomicU8::new(2),
            flags: AtomicU8::new(0),
            query_bytes: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            queued: AtomicI32::new(-1),
            queued_bytes: AtomicUsize::new(0),
            watched: AtomicU32::new(0),
            over_soft_limit: AtomicU64::new(0),
            names: OnceLock::new(),
            killed: AtomicBool::new(false),
            waker: Mutex::new(None),
            mailbox: OnceLock::new(),
            unblock: OnceLock::new(),
            subscriptions: Default::default(),
            redirect: AtomicU64::new(0),
        }
    }

    /// As this one, over a socket with this descriptor.
    pub fn over(self, fd: i32) -> Self {
        Self { fd, ..self }
    }

    /// Whether more than `soft` bytes of output have been waiting, at every look, for `millis`. To be asked by one thread,
    /// often.
    pub fn is_behind(&self, soft: usize, millis: u64, now: u64) -> bool {
        if self.output_bytes.load(Ordering::Relaxed) <= soft {
            self.over_soft_limit.store(0, Ordering::Relaxed);
            return false;
        }
        match self.over_soft_limit.load(Ordering::Relaxed) {
            0 => {
                self.over_soft_limit.store(now, Ordering::Relaxed);
                false
            }
            since => now.saturating_sub(since) > millis,
        }
    }

    /// Notes a turn.
    #[inline]
    pub fn seen(&self, session: &Session, now: u64, last_command: Option<usize>) {
        self.last_seen.store(now, Ordering::Relaxed);
        if let Some(index) = last_command {
            self.last_command.store(index, Ordering::Relaxed);
        }
        self.db.store(session.db, Ordering::Relaxed);
        let transaction = session.transaction.as_deref();
        let queued = transaction.map_or(-1, |transaction| transaction.queue().len() as i32);
        let watches = session.watches.as_ref();
        let watched = watches.map_or(0, |watches| watches.memory_bytes());
        self.watched.store(watches.map_or(0, |watches| watches.len() as u32), Ordering::Relaxed);
        self.queued.store(queued, Ordering::Relaxed);
        let bytes = transaction.map_or(0, |transaction| transaction.memory_bytes()) + watched;
        self.queued_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Notes which command is about to run, and how much of what was received begins with it.
    #[inline]
    pub fn runs(&self, command: usize, query_bytes: usize) {
        self.last_command.store(command, Ordering::Relaxed);
        self.query_bytes.store(query_bytes, Ordering::Relaxed);
    }

    /// Takes over what a session command may have changed.
    pub fn mirror(&self, session: &Session) {
        self.db.store(session.db, Ordering::Relaxed);
        self.protocol.store(if session.protocol == Protocol::Resp3 { 3 } else { 2 }, Ordering::Relaxed);
        let subscriber = session.subscriber.as_deref();
        for (kind, count) in SUBSCRIPTIONS.into_iter().zip(&self.subscriptions) {
            count.store(subscriber.map_or(0, |s| s.len(kind) as u32), Ordering::Relaxed);
        }
        self.set_flag(MONITOR, session.monitor);
        self.set_flag(NO_TOUCH, session.no_touch);
    }

    fn set_flag(&self, flag: u8, on: bool) {
        if on {
            self.flags.fetch_or(flag, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flag, Ordering::Relaxed);
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    fn names(&self) -> &Mutex<Names> {
        self.names.get_or_init(Box::default)
    }

    /// Changes a property.
    pub fn set(&self, property: ClientProperty) {
        match property {
            ClientProperty::Name(name) => self.names().lock().name = name,
            ClientProperty::LibName(name) => self.names().lock().lib_name = name,
            ClientProperty::LibVersion(version) => self.names().lock().lib_version = version,
            ClientProperty::User(user) => self.names().lock().user = Some(user),
            ClientProperty::NoEvict(on) => self.set_flag(NO_EVICT, on),
            ClientProperty::NoTouch(on) => self.set_flag(NO_TOUCH, on),
            ClientProperty::Monitor(on) => self.set_flag(MONITOR, on),
            ClientProperty::Db(db) => self.db.store(db, Ordering::Relaxed),
            ClientProperty::Protocol(protocol) => self.protocol.store(protocol, Ordering::Relaxed),
        }
    }

    /// Notes what it is told of changes of keys.
    pub fn tracks(&self, tracking: Option<&Tracking>) {
        self.set_flag(TRACKING, tracking.is_some());
        self.set_flag(BROADCAST, tracking.is_some_and(|tracking| tracking.mode == Mode::Broadcast));
        self.set_flag(BROKEN_REDIRECT, false);
        let redirect = tracking.and_then(|tracking| tracking.redirect);
        self.redirect.store(redirect.unwrap_or(0), Ordering::Relaxed);
    }

    /// Notes that the client is gone that was told in this one's place.
    pub fn redirect_is_broken(&self) {
        self.set_flag(BROKEN_REDIRECT, true);
    }

    /// Whether the client is gone that was told in this one's place, as far as was noticed.
    pub fn is_redirect_broken(&self) -> bool {
        self.has(BROKEN_REDIRECT)
    }

    /// The name that CLIENT SETNAME gave; empty when none.
    pub fn name(&self) -> String {
        self.names.get().map_or_else(String::new, |names| names.lock().name.clone())
    }

    fn user(&self) -> String {
        let user = self.names.get().and_then(|names| names.lock().user.clone());
        user.map_or_else(|| "default".into(), |user| String::from_utf8_lossy(user.name()).into_owned())
    }

    /// Whether it is authenticated as this user.
    fn belongs_to(&self, account: &Arc<Account>) -> bool {
        match self.names.get().and_then(|names| names.lock().user.clone()) {
            Some(own) => Arc::ptr_eq(&own, account),
            None => account.name() == b"default",
        }
    }

    /// When the connection last sent something, in Unix milliseconds.
    pub fn last_seen(&self) -> u64 {
        self.last_seen.load(Ordering::Relaxed)
    }

    /// Gives the task that serves the connection from now on, so that it can be woken. Whatever the connection was to be
    /// told before is to be looked for after this.
    pub fn set_waker(&self, waker: &Waker) {
        *self.waker.lock() = Some(waker.clone());
    }

    /// Wakes the task that serves the connection.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }

    /// Has the connection closed by its worker.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        if let Some(unblock) = self.unblock.get() {
            unblock.call_off();
        }
        self.wake();
    }

    /// Has the connection closed when the command that it is running has been answered.
    pub fn close_after_reply(&self) {
        self.set_flag(CLOSING, true);
    }

    /// Whether it ends with the command that it is running.
    pub fn is_closing(&self) -> bool {
        self.has(CLOSING)
    }

    /// Whether it is to be closed.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Sends text to the connection from another one, to leave when a sequence is safe; one that would have more than
    /// `limit` bytes waiting is closed. Tells whether this has closed it.
    #[must_use]
    pub fn push(&self, text: &[u8], depends_on: u64, limit: usize) -> bool {
        let waiting = self.output_bytes.load(Ordering::Relaxed);
        let mut mailbox = self.mailbox.get_or_init(Box::default).lock();
        if mailbox.text.len() + waiting + text.len() > limit {
            *mailbox = Mailbox::default();
            // Under the lock, so that one of two who come at once has closed it.
            let was_killed = self.killed.swap(true, Ordering::AcqRel);
            drop(mailbox);
            self.kill();
            return !was_killed;
        }
        // Whoever put the first text there wakes the task, which takes all that there is.
        let is_first = mailbox.text.is_empty();
        if is_first {
            let expected = mailbox.taken.min(EXPECTED_MAX);
            mailbox.text.reserve(expected.max(text.len()));
        }
        mailbox.text.extend_from_slice(text);
        mailbox.depends_on = mailbox.depends_on.max(depends_on);
        drop(mailbox);
        if is_first {
            self.wake();
        }
        false
    }

    /// Takes the text that was pushed.
    #[inline]
    pub fn take_pushed(&self) -> Option<Mailbox> {
        let mut mailbox = self.mailbox.get()?.lock();
        if mailbox.text.is_empty() {
            return None;
        }
        let next = Mailbox { taken: mailbox.text.len(), ..Mailbox::default() };
        Some(std::mem::replace(&mut *mailbox, next))
    }

    /// Whether a filter means it. One that is killed is gone for everybody, though its worker may not have closed it yet.
    fn matches(&self, filter: &ClientFilter, now: u64) -> bool {
        !self.is_killed()
            && filter.ids.as_ref().is_none_or(|ids| ids.contains(&self.id))
            && filter.addr.as_ref().is_none_or(|addr| **addr == *self.addr)
            && filter.laddr.as_ref().is_none_or(|laddr| **laddr == *self.laddr)
            && filter.user.as_ref().is_none_or(|account| self.belongs_to(account))
            && filter.kind.is_none_or(|kind| kind == self.kind())
            && filter.not.is_none_or(|id| id != self.id)
            && filter.min_age_seconds.is_none_or(|age| now.saturating_sub(self.created) / 1000 >= age)
    }

    /// The protocol of its replies.
    pub fn speaks(&self) -> Protocol {
        if self.protocol.load(Ordering::Relaxed) == 3 { Protocol::Resp3 } else { Protocol::Resp2 }
    }

    /// Its kind, by which limits on output differ.
    pub fn kind(&self) -> ClientKind {
        let listens = self.subscriptions.iter().any(|count| count.load(Ordering::Relaxed) > 0);
        if listens { ClientKind::PubSub } else { ClientKind::Normal }
    }

    /// Whether it watches keys.
    pub fn watches(&self) -> bool {
        self.watched.load(Ordering::Relaxed) > 0
    }

    /// How another connection ends a wait of this one.
    pub fn unblock(&self) -> &Arc<Unblock> {
        self.unblock.get_or_init(Arc::default)
    }

    /// Whether its command waits for a key.
    pub fn is_blocked(&self) -> bool {
        self.unblock.get().is_some_and(|unblock| unblock.is_blocked())
    }

    /// Bytes that it takes: itself, what it has sent and not had run, queued commands among it, and what it has not been
    /// sent.
    pub fn memory_bytes(&self) -> usize {
        let pushed = self.mailbox.get().map_or(0, |mailbox| mailbox.lock().text.len());
        let waiting = [&self.query_bytes, &self.output_bytes, &self.queued_bytes];
        let waiting: usize = waiting.into_iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum();
        size_of::<Self>() + waiting + pushed
    }

    /// Whether it may be closed where clients take too much memory.
    pub fn is_evictable(&self) -> bool {
        !self.has(NO_EVICT) && !self.is_killed()
    }

    /// Whether it watches every command.
    pub fn is_monitor(&self) -> bool {
        self.has(MONITOR)
    }

    /// The line of CLIENT LIST.
    pub fn line(&self, now: u64) -> String {
        let mut flags = String::new();
        if self.has(MONITOR) {
            flags.push('O');
        }
        if self.kind() == ClientKind::PubSub {
            flags.push('P');
        }
        let queued = self.queued.load(Ordering::Relaxed);
        if queued >= 0 {
            flags.push('x');
        }
        if self.is_blocked() {
            flags.push('b');
        }
        for (flag, letter) in [(TRACKING, 't'), (BROKEN_REDIRECT, 'R'), (BROADCAST, 'B')] {
            if self.has(flag) {
                flags.push(letter);
            }
        }
        if self.unix {
            flags.push('U');
        }
        if self.has(NO_EVICT) {
            flags.push('e');
        }
        if self.has(NO_TOUCH) {
            flags.push('T');
        }
        if flags.is_empty() {
            flags.push('N');
        }
        let (name, lib_name, lib_version) = self.names.get().map_or_else(Default::default, |names| {
            let names = names.lock();
            (names.name.clone(), names.lib_name.clone(), names.lib_version.clone())
        });
        let command = self.last_command.load(Ordering::Relaxed);
        let command = if command == usize::MAX { "NULL" } else { command_name(command) };
        let pushed = self.mailbox.get().map_or(0, |mailbox| mailbox.lock().text.len());
        let output = self.output_bytes.load(Ordering::Relaxed) + pushed;
        let events = if output > 0 { "rw" } else { "r" };
        let query = self.query_bytes.load(Ordering::Relaxed);
        let [sub, psub, ssub] = self.subscriptions.each_ref().map(|count| count.load(Ordering::Relaxed));
        let redirect = i128::from(self.redirect.load(Ordering::Relaxed));
        let redirect = if self.has(TRACKING) { redirect } else { -1 };
        let mut line = String::with_capacity(320);
        let _ = write!(
            line,
            "id={} addr={} laddr={} fd={} name={name} age={} idle={} flags={flags} db={} sub={sub} psub={psub} ssub={ssub} multi={queued} \
             qbuf={query} qbuf-free=0 argv-mem=0 multi-mem={} rbs=0 rbp=0 obl={output} oll=0 omem={output} \
             tot-mem={} events={events} cmd={command} user={} redir={redirect} resp={} lib-name={lib_name} lib-ver={lib_version}",
            self.id,
            self.addr,
            self.laddr,
            self.fd,
            now.saturating_sub(self.created) / 1000,
            now.saturating_sub(self.last_seen()) / 1000,
            self.db.load(Ordering::Relaxed),
            self.queued_bytes.load(Ordering::Relaxed),
            self.memory_bytes(),
            self.user(),
            self.protocol.load(Ordering::Relaxed),
        );
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_behind_when_it_was_so_all_the_time() {
        let client = ClientInfo::new(1, String::new(), String::new(), false, 0);
        client.output_bytes.store(101, Ordering::Relaxed);
        assert!(!client.is_behind(100, 1000, 1));
        assert!(!client.is_behind(100, 1000, 1001));
        assert!(client.is_behind(100, 1000, 1002));
        client.output_bytes.store(100, Ordering::Relaxed);
        assert!(!client.is_behind(100, 1000, 1500), "it has caught up");
        client.output_bytes.store(101, Ordering::Relaxed);
        assert!(!client.is_behind(100, 1000, 2000));
        assert!(!client.is_behind(100, 1000, 3000));
        assert!(client.is_behind(100, 1000, 3001));
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_first_text_of_several_wakes_whoever_takes_them() {
        let client = ClientInfo::new(1, String::new(), String::new(), false, 0);
        let woken = Arc::new(Woken::default());
        client.set_waker(&Waker::from(woken.clone()));
        for round in 1..=2 {
            assert!(!client.push(b"one ", 7, 100) && !client.push(b"two", 5, 100));
            assert_eq!(woken.0.load(Ordering::Relaxed), round);
            let pushed = client.take_pushed().expect("something was pushed");
            assert_eq!((&pushed.text[..], pushed.depends_on), (&b"one two"[..], 7));
            assert!(client.take_pushed().is_none());
        }
        assert!(!client.push(&[b'x'; 60], 0, 100));
        assert!(client.push(&[b'x'; 60], 0, 100) && client.is_killed(), "that was too much");
        assert_eq!(woken.0.load(Ordering::Relaxed), 4);
        assert!(client.take_pushed().is_none());
    }
}
