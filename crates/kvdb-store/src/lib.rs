//! The keyspace: resident objects over rows.
//!
//! Everything a client stores is kept twice. The truth is *rows* in the LSM ([`row`]): ordered, versioned, on disk. The
//! speed is *objects* ([`entry`], [`table`]): native values in memory, found by a hash. An object is nothing but a view of
//! its rows at the newest sequence; it can be dropped from memory at any time and is rebuilt by reading the rows
//! ([`cold`]). So data may exceed memory, a restart loads nothing, and a key in memory is as fast as in a cache.
//!
//! # Vocabulary
//!
//! * A *slot* is one of 16384 parts of the keyspace, by CRC16, as in Redis Cluster. A *shard* is 64 slots behind one latch.
//! * A *place* is slot and hash of a key ([`key::Place`]): the order of tables, rows and SCAN cursors.
//! * An *effect* is a change to one key ([`Effect`]), the only way to change it.
//! * A *run* is a command (or several) executed under its latches: [`ReadCx`] or [`WriteCx`]. Its effects are appended to
//!   the log as one batch before the latches are given back, so the log orders changes as they were evaluated.
//! * A *space* is one incarnation of a database; FLUSHDB is a new space.
//!
//! # A run
//!
//! ```
//! # use std::sync::Arc;
//! # use kvdb_store::*;
//! # let dir = tempfile::tempdir().unwrap();
//! # let rows = Arc::new(testing::open_rows(dir.path()));
//! let log = Arc::new(LocalLog::new(rows.clone()));
//! let store = Store::open(rows, log, &StoreOptions { databases: 16, fresh_seed: 1, io_threads: 1 }).unwrap();
//! let (mut scratch, env) = (Scratch::default(), Env::at(1_000));
//!
//! let guards = store.latch(store.place(b"greeting"));
//! let mut run = WriteCx::new(&store, guards, &mut scratch, env, 0);
//! run.apply(b"greeting", Effect::PutString { value: StringValue::Bytes(b"hello"), deadline: None });
//! let seq = run.commit().unwrap();
//!
//! let guards = store.latch(store.place(b"greeting"));
//! let mut run = ReadCx::new(&store, guards, &mut scratch, env, 0);
//! assert_eq!(run.get(b"greeting").unwrap().string(), Some(ValueRef::Bytes(b"hello")));
//! assert_eq!(run.depends_on(), seq, "the reply must not leave before the write is safe");
//! ```
//!
//! # What it does not do
//!
//! It knows no protocol, no sockets and no settings; commands are another crate's. It never asks for the time. It does not
//! wait for the disk while a latch is held, but for runs that walk over whole databases or cannot begin again ([`reach`]),
//! and holds no latch while a write becomes durable: the reply waits, not the key.

pub mod carried;
pub mod cold;
pub mod cold_expiry;
pub mod collections;
pub mod commit_log;
pub mod context;
mod dead_rows;
pub mod edit;
pub mod effect;
pub mod emptying;
pub mod entry;
pub mod error;
pub mod events;
pub mod eviction;
pub mod expiry;
mod identity;
pub mod io;
pub mod key;
pub mod keyspace;
mod latches;
pub mod news;
pub mod object;
pub mod own_rows;
mod pending;
pub mod pins;
mod prefetch;
pub mod random;
pub mod reach;
pub mod read;
mod readers;
pub mod row;
mod several;
pub mod shard;
mod size_class;
pub mod sleepers;
pub mod slot;
pub mod store;
mod strings;
pub mod table;
pub mod testing;
pub mod types;
pub mod usage;
pub mod watch;
pub mod write;

pub use carried::{Carried, CarriedValue};
pub use cold::Residency;
pub use cold_expiry::ColdWalk;
pub use collections::WrongType;
pub use commit_log::{CommitLog, LocalLog, Refusal};
pub use context::{Env, Scratch, ValueLimits, text_of};
pub use dead_rows::DeadRows;
pub use edit::Edit;
pub use effect::{Effect, StringValue};
pub use entry::ValueRef;
pub use error::StoreError;
pub use events::{Event, EventClasses};
pub use eviction::{Evicted, Eviction, Order};
pub use expiry::Dead;
pub use io::{IoPool, Waiter};
pub use key::{Located, Place};
pub use keyspace::{DbCounts, Draw, Walk};
pub use latches::Guards;
pub use news::{Audience, News, Readers};
pub use object::Object;
pub use pins::Pins;
pub use random::Random;
pub use reach::Lack;
pub use read::ReadCx;
pub use row::Type;
pub use sleepers::Sleeper;
pub use store::{Store, StoreOptions};
pub use usage::Usage;
pub use watch::Watches;
pub use write::WriteCx;
