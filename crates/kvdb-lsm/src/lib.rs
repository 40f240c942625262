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
//! * A *blob file* holds large values, to which tables only *refer*, so that compactions do not copy
//!   them. What no table refers to in it is *garbage*.
//! * A [*filter*](filter) tells compactions which rows nobody needs any more.
//! * A [*runtime*](Runtime) is what the databases of a process share: cache, memory, threads.
//! * A *version* is the set of tables and blob files at one moment. A *version edit* changes it; the *manifest* is
//!   the log of edits, and `CURRENT` names the manifest.
//! * A *view* ([`ReadView`]) is the database as it was at one moment. It holds on to the memtables
//!   and tables it was made over, so neither flush nor compaction has to know about views, and a
//!   table never needs more than one version of a key.
//! * A *counter* is a number that batches add to, exact across crashes.
//!
//! # Reading
//!
//! A *point read* asks the memtables and then the tables that can hold the key, newest first, and
//! stops at the first that knows it. [`Db::get`] may wait for the disk; [`Db::get_into`] does so
//! into a buffer of the caller's; [`Db::multi_get`] goes through every table once for many keys,
//! its filter first. [`Db::get_cached`] never touches a file: where only the disk can tell, it
//! answers with a [`Pending`] that another thread finishes from the block that was missing. A value in
//! a blob file is read like a further block, and the cache keeps it if it is not very large.
//!
//! A *scan* ([`Iter`]) merges all of them, and is a position rather than a stream: it is sent to a
//! key or to an end, moved on or back in any order, and bounded by a range or a prefix. The merge
//! is a heap of the sources. On the way forward every source stands on its first key that is not
//! below the current one, on the way back on its last that is not above it. So to turn around is to
//! move *every* source by one, across the current key: to move only the one that is on top would
//! skip what the others hold between. A step allocates nothing and compares eight bytes of the keys
//! before it compares the keys.
//!
//! Reads of a memtable in a scan are copies of short runs of entries, so that no lock is held while
//! the caller thinks, and writes go on meanwhile. What keeps such a scan exact is its view: writes
//! after it are skipped, and what they replace is kept as long as the view lives.
//!
//! Only reads of the memtable write to memory that is shared between cores (the lock of a
//! partition); state and version are found without.
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
//! let Cached::NeedIo(pending) = db.get_cached(b"pear")? else { panic!("nothing is cached yet") };
//! assert_eq!(pending.finish()?, Some(b"green".to_vec()));
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
//! the old one), and no expiry but what the filter says. It never repairs anything by itself:
//! [`repair`] is a call. It never holds a write back: [`Db::pressure`] is a number, and what to do
//! about it is the owner's business.
//!
//! A state machine that is fed from a replicated log needs no second log: see [`Options::log`] and
//! [`Db::apply`].

mod apart;
pub mod backup;
pub mod batch;
mod blob;
mod cache;
mod checkpoint;
#[cfg(feature = "cli")]
pub mod cli;
mod compaction;
mod compression;
mod db;
pub mod dump;
mod entry;
pub mod error;
mod file_copy;
mod file_header;
pub mod filter;
mod flush;
mod ingest;
pub mod log;
mod memtable;
mod merge;
#[doc(hidden)]
pub mod probe;
mod progress;
pub mod repair;
mod runtime;
mod sabotage;
mod scrub;
mod sst_writer;
mod sync;
mod table;
pub mod varint;
mod verify;
mod version;
pub mod vfs;
mod wal;

pub use crate::compression::Compression;
pub use crate::db::{
    AppendError, Cached, Db, DbStats, Descending, Iter, Keys, LevelOptions, LevelStats, Options, Pending,
    Pressure, ReadOnlyDb, ReadView, Row,
};
pub use crate::memtable::Partitioning;
pub use crate::progress::{OnProgress, Progress, unwatched};
pub use crate::runtime::{Runtime, RuntimeOptions, SyncStats};
pub use crate::scrub::{Scrub, ScrubStep};
pub use crate::sst_writer::{SstWriter, WrittenTable};
pub use crate::verify::Report;

/// The number of levels that tables are arranged in. The last one holds most of the data.
pub const LEVELS: usize = version::LEVELS;

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
