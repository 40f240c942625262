//! An embeddable, crash-safe log-structured merge tree.
//!
//! # The idea
//!
//! A write is appended to a log and put into a hash table in memory, and that is all: it costs a
//! memcpy, a probe and another memcpy. Everything else happens later and elsewhere. When the
//! memory is used up, its content is sorted and written out as an immutable *table*; tables are
//! merged into fewer and larger ones in the background; the log is cut where the tables begin. A
//! read asks memory first, then the tables from new to old, and filters in memory tell it which
//! tables not to ask.
//!
//! # Vocabulary
//!
//! * A *batch* ([`batch::WriteBatch`]) is a group of operations that is applied as a whole. Every
//!   operation has a *sequence*: its place in the one order of all writes.
//! * The *log* ([`log::Log`]) makes batches durable, in order, many with one sync.
//! * The *memtable* holds what is newer than the tables. It is *frozen* when it is full, and a
//!   *flush* writes it out.
//! * A *table* holds sorted entries in checksummed *blocks*. Tables are arranged in *levels*;
//!   *compaction* merges tables of one level into the next. The last level holds most of the data,
//!   level 0 the flushed memtables, and the levels between are used when the data needs them.
//! * A [*filter*](filter) tells compactions which rows nobody needs any more.
//! * A [*runtime*](Runtime) is what the databases of a process share: cache, memory, threads.
//! * A *version* is the set of tables at one moment. A *version edit* changes it; the *manifest* is
//!   the log of edits, and `CURRENT` names the manifest.
//! * A *view* ([`ReadView`]) is the database as it was at one moment. It holds on to the memtables
//!   and tables it was made over, so neither flush nor compaction has to know about views, and a
//!   table never needs more than one version of a key.
//! * A *counter* is a number that batches add to, exact across crashes.
//!
//! # What holds after a crash
//!
//! What is recovered is exactly the batches up to some point, no hole among them and no half of
//! one, and that point is not before what the log reported as durable. Damage that a crash cannot
//! explain is refused with file and offset; nothing is repaired silently, and no read ever returns
//! something that was not written.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use kvdb_lsm::batch::WriteBatch;
//! use kvdb_lsm::vfs::SimVfs;
//! use kvdb_lsm::{Cached, Db, Options};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk = Arc::new(SimVfs::new());
//! let mut options = Options::new("/data");
//! options.vfs = disk;
//! let db = Db::open(options.clone())?;
//!
//! let mut batch = WriteBatch::new();
//! batch.put(b"apple", b"red");
//! batch.put(b"pear", b"green");
//! batch.add_counter(1, 2);
//! let seq = db.append(&batch)?;       // visible now,
//! assert!(db.log().sync()? >= seq);   // durable now
//!
//! let view = db.view();
//! batch.clear();
//! batch.delete(b"apple");
//! db.append(&batch)?;
//! assert_eq!(db.get(b"apple")?, None);
//! assert_eq!(db.get_at(b"apple", &view)?, Some(b"red".to_vec()));
//! assert_eq!(db.iter_all(&view).count(), 2);
//! drop(view);
//!
//! db.flush()?;
//! db.close()?;
//! let db = Db::open(options)?;
//! assert_eq!(db.get_cached(b"pear")?, Cached::NeedIo);
//! assert_eq!(db.get(b"pear")?, Some(b"green".to_vec()));
//! assert_eq!(db.counter(1), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # What it deliberately does not do
//!
//! It knows nothing of Redis, of networks, of time or of chance, and it has no async: what may
//! block says so, and [`Db::get_cached`] and [`Db::append`] never do. Clocks pace its threads, and
//! no result depends on one. It has no transactions (a layer above validates and appends one
//! batch), no range deletions (a layer above changes a prefix instead, and a filter drops what had
//! the old one), no repair tool, and no expiry but what the filter says. It never holds a write
//! back: [`Db::pressure`] is a number, and what to do about it is the owner's business.
//!
//! A state machine that is fed from a replicated log needs no second log: see [`Options::log`] and
//! [`Db::apply`].

mod apart;
pub mod batch;
mod cache;
mod checkpoint;
mod compaction;
mod db;
mod entry;
pub mod error;
mod file_header;
pub mod filter;
mod flush;
pub mod log;
mod memtable;
mod merge;
#[doc(hidden)]
pub mod probe;
mod runtime;
mod table;
pub mod varint;
mod verify;
mod version;
pub mod vfs;
mod wal;

pub use crate::db::{AppendError, Cached, Db, DbStats, Iter, LevelStats, Options, Pressure, ReadView, Row};
pub use crate::memtable::Partitioning;
pub use crate::runtime::{Runtime, RuntimeOptions};
pub use crate::table::Compression;
pub use crate::verify::Report;
