//! The commands: one table row and one handler each, one file for each family.
//!
//! A row ([`CommandSpec`]) holds what is known about a command: its name, how many arguments it takes, where its keys
//! stand, and the handler. Everything else is derived from the table: what COMMAND INFO and COMMAND DOCS reply, the ACL
//! categories, the API reference, and what a worker has to latch before it calls the handler.
//!
//! What a handler may do is in its type ([`Handler`]). A `Read` sees objects and cannot change them; a `Write` changes
//! them by effects; a `Keyspace` command walks databases and may have to wait for the disk; a `Session` command concerns
//! the connection or the server. A handler checks everything first and changes last, writes its reply through
//! [`kvdb_resp::Reply`], and returns an error text from [`errors`] instead where it cannot.
//!
//! Commands know no sockets, no threads and no storage; time and randomness are given to them.

pub mod acl;
pub mod blocking;
pub mod errors;
pub mod events;
pub mod exec;
pub mod families;
pub mod keyspace_cx;
pub mod reference;
pub mod server;
pub mod session;
pub mod spec;
pub mod syntax;
pub mod table;
pub mod tracking;
pub mod transaction;
pub mod values;

pub use errors::{CmdResult, CommandError};
pub use keyspace_cx::KeyspaceCx;
pub use server::Server;
pub use session::{ReplyMode, Session, SessionCx, Then};
pub use spec::{CommandSpec, Flags, Group, Handler, KeyPlace, KeySpec, KeyspaceOutcome, KeyspaceResult};
pub use table::{find, find_subcommand};
