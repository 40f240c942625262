//! The state of a connection, and what a command about the connection or the server may touch.

use std::sync::Arc;

use kvdb_pubsub::Subscriber;
use kvdb_resp::Protocol;
use kvdb_store::{Env, Pins, Store, Watches};

use crate::acl::{Account, Accounts};
use crate::families::wait::Acks;
use crate::server::Server;
use crate::tracking::Tracking;
use crate::transaction::Transaction;

/// Whether replies are sent (CLIENT REPLY).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// Yes.
    #[default]
    On,
    /// Not until it is turned on again.
    Off,
    /// Not the reply to the command that is running (CLIENT REPLY SKIP itself) nor to the next one.
    SkipNext,
    /// Not the reply to this command.
    Skip,
}

/// What a connection remembers between commands.
#[derive(Debug)]
pub struct Session {
    /// The number of the connection, unique while the server runs.
    pub id: u64,
    /// The selected database.
    pub db: u16,
    /// The protocol of replies.
    pub protocol: Protocol,
    /// Whether it may run commands other than AUTH, HELLO, QUIT and RESET.
    pub authenticated: bool,
    /// The user that it is.
    pub account: Arc<Account>,
    /// What the command that waits has had loaded so far; nothing between commands.
    pub pins: Option<Pins>,
    /// How often the command that waits for keys has asked for loads.
    rounds: u8,
    /// What has been queued since MULTI.
    pub transaction: Option<Box<Transaction>>,
    /// The keys that are watched.
    pub watches: Option<Watches>,
    /// What it listens to, if anything.
    pub subscriber: Option<Box<Subscriber>>,
    /// What it is told of changes of keys, if anything.
    pub tracking: Option<Box<Tracking>>,
    /// Whether replies are sent.
    pub reply_mode: ReplyMode,
    /// Whether its commands do not count as use of keys.
    pub no_touch: bool,
    /// Whether every command of the server is shown to it.
    pub monitor: bool,
    /// The highest sequence that a reply to it has depended on: its own writes are at or below it.
    pub seen: u64,
    /// Whether the connection is closed when what has been replied is sent.
    pub close: bool,
}

impl Session {
    /// A fresh connection.
    pub fn new(id: u64, accounts: &Accounts) -> Self {
        Self {
            id,
            db: 0,
            protocol: Protocol::Resp2,
            authenticated: !accounts.requires_auth(),
            account: accounts.default_account().clone(),
            pins: None,
            rounds: 0,
            transaction: None,
            watches: None,
            subscriber: None,
            tracking: None,
            reply_mode: ReplyMode::On,
            no_touch: false,
            monitor: false,
            seen: 0,
            close: false,
        }
    }

    /// Keeps what a command waits for in memory until [`Self::unpin`].
    #[cold]
    pub fn pin(&mut self, pins: Pins) {
        self.rounds = self.rounds.saturating_add(1);
        match &mut self.pins {
            Some(before) => before.extend(pins),
            None => self.pins = Some(pins),
        }
    }

    /// Ends what others know of: the connection has ended.
    pub fn end(&mut self) {
        (self.pins, self.transaction, self.watches, self.subscriber) = (None, None, None, None);
        self.tracking = None;
    }

    /// Whether it keeps what the next command reads.
    #[inline]
    pub fn keeps(&self) -> bool {
        self.tracking.as_ref().is_some_and(|tracking| tracking.keeps())
    }

    /// Whether it may run only what is about subscriptions: a RESP2 client could not tell replies from messages.
    #[inline]
    pub fn only_listens(&self) -> bool {
        self.subscriber.is_some() && self.protocol == Protocol::Resp2
    }

    /// The command has run.
    #[inline]
    pub fn unpin(&mut self) {
        if self.pins.is_some() {
            (self.pins, self.rounds) = (None, 0);
        }
    }

    /// How often the command has asked for loads so far.
    #[inline]
    pub fn rounds(&self) -> u8 {
        self.rounds
    }

    /// Puts everything back as it was when the connection was made (RESET).
    pub fn reset(&mut self, accounts: &Accounts) {
        *self = Self { close: self.close, seen: self.seen, ..Self::new(self.id, accounts) };
    }
}

/// A run that concerns the connection or the server.
pub struct SessionCx<'r> {
    /// The connection.
    pub session: &'r mut Session,
    /// The server around it.
    pub server: &'r dyn Server,
    /// The keyspace.
    pub store: &'r Arc<Store>,
    /// Time, randomness and limits.
    pub env: Env,
    /// The highest sequence that the client has seen, or is about to see with the replies before this one: what it tells
    /// others may not be known to them earlier.
    pub seen: u64,
    /// Whether the command is one of a transaction that is carried out.
    pub in_transaction: bool,
    /// Set by a handler whose command has to go on elsewhere: the worker carries it out and the connection waits.
    pub then: Option<Then>,
    /// Set by a handler that shows what is stored: the sequence that must be safe before the reply may leave.
    pub depends_on: u64,
}

/// What a worker does after a session command, before the connection's next one.
#[derive(Debug)]
pub enum Then {
    /// Waits (DEBUG SLEEP).
    Sleep {
        /// For how long, in microseconds.
        micros: u64,
    },
    /// Waits until what the connection has written is safe (WAIT, WAITAOF).
    Acks(Acks),
    /// Has this key of this database loaded from the disk, and runs the command again.
    Load(u16, Vec<u8>),
    /// Runs this on a thread that may wait for the disk and replies with what it returns: a status, or an error with its code.
    Offload(Offload),
}

/// Work that waits for the disk.
pub struct Offload(pub Box<dyn FnOnce() -> Result<String, String> + Send>);

impl std::fmt::Debug for Offload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Offload")
    }
}
