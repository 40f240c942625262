//! What commands need to know and do about the server around them. The server implements it; tests may too.

use std::sync::Arc;

use kvdb_pubsub::Registry;
use kvdb_resp::{Args, Reply};

use crate::acl::{Account, Accounts, Change};
use crate::errors::CommandError;
use crate::tracking::Tracking;

/// Which clients CLIENT LIST and CLIENT KILL mean; `None` means any.
#[derive(Debug, Clone, Default)]
pub struct ClientFilter {
    /// These connections.
    pub ids: Option<Vec<u64>>,
    /// The client's address, `ip:port`.
    pub addr: Option<String>,
    /// The server's address that it is connected to.
    pub laddr: Option<String>,
    /// The user it is authenticated as: that account, and no other one that has or had its name.
    pub user: Option<Arc<Account>>,
    /// Its kind.
    pub kind: Option<ClientKind>,
    /// Not this connection (SKIPME).
    pub not: Option<u64>,
    /// Connected for at least so many seconds (MAXAGE).
    pub min_age_seconds: Option<u64>,
}

/// Kinds of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// An ordinary one.
    Normal,
    /// A primary that replicates to us; KVDB has none.
    Primary,
    /// A replica that reads from us; KVDB has none.
    Replica,
    /// A subscriber.
    PubSub,
}

/// A property of the connection that CLIENT changes and CLIENT LIST shows.
#[derive(Debug, Clone)]
pub enum ClientProperty {
    /// Its name.
    Name(String),
    /// The name of its library.
    LibName(String),
    /// The version of its library.
    LibVersion(String),
    /// Whether it is spared when clients are evicted for memory.
    NoEvict(bool),
    /// Whether its commands do not count as use of keys.
    NoTouch(bool),
    /// The user it is authenticated as.
    User(Arc<Account>),
    /// The database it has selected.
    Db(u16),
    /// The protocol it speaks, 2 or 3.
    Protocol(u8),
    /// Whether it is shown every command.
    Monitor(bool),
}

/// What a checkpoint in the background is asked for as. The work is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointKind {
    /// BGSAVE.
    Save,
    /// BGREWRITEAOF.
    Rewrite,
}

/// What became of the wish for a checkpoint in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It has begun.
    Started,
    /// It begins when one of the other kind has ended.
    Scheduled,
    /// One of this kind is running.
    AlreadyRuns,
    /// One of the other kind is running, and it was not to wait.
    OtherRuns,
}

/// How to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShutdownMode {
    /// At once, without waiting for anything but the log.
    pub now: bool,
    /// Even where the log cannot be synced.
    pub force: bool,
    /// Without a flush to tables.
    pub nosave: bool,
}

/// Work that may take long, run on a thread that may wait: returns a status, or an error with its code.
pub type Job = Box<dyn FnOnce() -> Result<String, String> + Send>;

/// The server as commands see it.
pub trait Server {
    /// Now, in Unix microseconds.
    fn now_micros(&self) -> u64;
    /// The users.
    fn accounts(&self) -> &Accounts;
    /// Closes the connections that what has changed leaves no room for. The caller's own is closed after its reply.
    fn access_changed(&self, changes: &[Change], caller: u64);
    /// Fills a buffer with random bytes that nobody can guess.
    fn draw_secret(&self, bytes: &mut [u8]) -> Result<(), CommandError>;
    /// A function that replaces the users by those of the file of users, for this caller; `None` when there is no file.
    fn load_users(&self, caller: u64) -> Option<Job>;
    /// A function that writes the users to the file of users; `None` when there is no file.
    fn save_users(&self) -> Option<Job>;

    /// The settings whose names match a glob pattern, with their values.
    fn config_get(&self, patterns: &[&[u8]]) -> Vec<(String, String)>;
    /// Changes settings, all of them or none.
    fn config_set(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), CommandError>;
    /// Writes the settings back to their file.
    fn config_rewrite(&self) -> Result<(), CommandError>;
    /// Sets the statistics of INFO to zero.
    fn reset_stats(&self);

    /// Who listens to what.
    fn registry(&self) -> &Arc<Registry>;
    /// Sends a message to those who listen to a channel, or a shard channel, when this sequence is safe; returns how often.
    fn publish(&self, channel: &[u8], payload: &[u8], shard: bool, depends_on: u64) -> usize;

    /// How often a message to a channel, or a shard channel, would be sent.
    fn receivers(&self, channel: &[u8], shard: bool) -> usize;
    /// Runs a subcommand of SCRIPT other than HELP.
    fn script(&self, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError>;
    /// Runs a subcommand of FUNCTION other than HELP; returns the sequence that the reply depends on.
    fn function(&self, args: Args<'_>, reply: &mut Reply<'_>) -> Result<u64, CommandError>;
    /// Begins, changes or ends what a client is told of changes of keys.
    fn track(&self, client: u64, tracking: Option<&Tracking>);
    /// Whether the client is gone that was to be told in this one's place.
    fn is_redirect_broken(&self, client: u64) -> bool;
    /// Whether there is a connection with this number.
    fn has_client(&self, id: u64) -> bool;

    /// The text of INFO for these sections (lower case; `default`, `all` and `everything` among them).
    fn info(&self, sections: &[String]) -> String;
    /// The lines of CLIENT LIST, without line ends.
    fn clients(&self, filter: &ClientFilter) -> Vec<String>;
    /// Closes connections; returns how many. The caller's own is closed after its reply.
    fn kill_clients(&self, filter: &ClientFilter, caller: u64) -> usize;
    /// The name of a connection; empty when it has none.
    fn client_name(&self, id: u64) -> String;
    /// Changes what CLIENT LIST shows of a connection.
    fn set_client_property(&self, id: u64, property: ClientProperty);
    /// Makes commands (or only writes) wait until a moment, in Unix milliseconds; 0 ends the pause. A pause that is in force
    /// is made neither shorter nor weaker by another one.
    fn pause_clients(&self, until_ms: u64, writes_only: bool);
    /// Ends the wait of a blocked client; `with_error` tells how. Returns whether it was blocked.
    fn unblock_client(&self, id: u64, with_error: bool) -> bool;

    /// Writes the newest `count` entries of the slow log (all when `None`), as SLOWLOG GET replies.
    fn slowlog_get(&self, count: Option<usize>, reply: &mut Reply<'_>);
    /// The number of entries of the slow log.
    fn slowlog_len(&self) -> usize;
    /// Empties the slow log.
    fn slowlog_reset(&self);
    /// Writes the reply of a LATENCY subcommand other than HELP: `latest`, `history`, `reset`, `graph`, `doctor` or
    /// `histogram`, with its arguments.
    fn latency(&self, subcommand: &str, args: &[&[u8]], reply: &mut Reply<'_>) -> Result<(), CommandError>;

    /// Memory figures for MEMORY STATS, in the order of the reply.
    fn memory_stats(&self) -> Vec<(String, MemoryFigure)>;
    /// Gives unused memory back to the system.
    fn memory_purge(&self);

    /// When the last checkpoint was made, in Unix seconds.
    fn last_save(&self) -> u64;
    /// A function that makes a checkpoint and may take long; called on a thread that may wait.
    fn checkpoint(&self) -> Box<dyn FnOnce() -> Result<(), String> + Send>;
    /// Begins a checkpoint in the background, or, where one of the other kind is running and this one may wait, has it
    /// begin behind that.
    fn background_checkpoint(&self, kind: CheckpointKind, may_wait: bool) -> Begun;
    /// Ends the server; `None` takes a shutdown back that has not begun to close.
    fn shutdown(&self, mode: Option<ShutdownMode>) -> Result<(), CommandError>;

    /// Whether DEBUG may be used by this connection (`enable-debug-command`).
    fn debug_allowed(&self, client: u64) -> bool;
    /// Turns active expiry off or on (DEBUG SET-ACTIVE-EXPIRE).
    fn set_active_expiry(&self, on: bool);
    /// Lets the work that is done regularly rest, or go on.
    fn pause_upkeep(&self, on: bool);
    /// Lets scripts run DEBUG PROTOCOL, or not any more.
    fn set_debug_in_scripts(&self, on: bool);
    /// The version of Redis that clients are told.
    fn redis_version(&self) -> String;
    /// Text for LOG lines by commands.
    fn log(&self, message: &str);
}

/// A figure of MEMORY STATS.
#[derive(Debug, Clone, PartialEq)]
pub enum MemoryFigure {
    /// A number of bytes or things.
    Integer(i64),
    /// A ratio or percentage.
    Double(f64),
    /// Numbers of bytes or things with names of their own.
    Parts(Vec<(&'static str, i64)>),
}
