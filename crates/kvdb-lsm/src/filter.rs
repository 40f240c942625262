//! Compaction filters: the owner tells compactions what nobody needs any more.
//!
//! A compaction reads every row anyway, so it is the cheapest place to let go of rows that are dead
//! without having been deleted one by one. There are three ways to be dead:
//!
//! * by *class*: the owner sorts keys into classes (a database, a tenant, a generation) and a class
//!   dies as a whole, for ever. Nobody reads or writes its keys any more, so its rows, tombstones
//!   too, are dropped wherever they are; a table that has no others is removed unread;
//! * by *deadline*: a row carries a number, and is dead when the [horizon](Judge::horizon) has
//!   reached it;
//! * by the judge's word, row by row.
//!
//! A row that is dead in one of the last two ways hides older versions of its key until it is
//! dropped, and must go on doing so: it becomes a tombstone, unless no older version can lie below.
//!
//! What is dropped is gone, so what the judge knows must not be lost: a crash would bring back a
//! state in which the dropped rows are alive. Everything appended before
//! [`begin`](CompactionFilter::begin) returned is durable before anything is dropped on the judge's
//! word. Without a log ([`Options::log`](crate::Options::log)) that is the owner's business.
//!
//! A filter never changes what a [view](crate::ReadView) sees that was made before the compaction
//! was installed: a view holds on to the tables it was made over.

use std::fmt;

/// Tells what is dead. See the [module documentation](self).
///
/// The methods are called on background threads, and `class` and `deadline` once for every row
/// that is written to a table: they must be quick, and must not call the database.
pub trait CompactionFilter: Send + Sync + 'static {
    /// What is known now, for one compaction.
    fn begin(&self) -> Box<dyn Judge>;

    /// The class of a key: always the same for the same key. `None` for a key that does not die
    /// with others.
    fn class(&self, key: &[u8]) -> Option<u32> {
        let _ = key;
        None
    }

    /// Whether [`deadline`](Self::deadline) and [`Judge::is_dead`] look at values. If they do,
    /// compactions read the values in blob files for them, which is most of the work that blob files
    /// spare. If not, they are given an empty value in place of one in a blob file.
    fn reads_values(&self) -> bool {
        true
    }

    /// When the row dies, in the unit of [`Judge::horizon`]; `None` for never. Always the same for
    /// the same row.
    fn deadline(&self, key: &[u8], value: &[u8]) -> Option<u64> {
        let _ = (key, value);
        None
    }
}

/// What one compaction goes by. It answers the same throughout.
pub trait Judge: Send {
    /// Whether nobody reads or writes keys of the class any more.
    fn is_class_dead(&self, class: u32) -> bool {
        let _ = class;
        false
    }

    /// Rows with a deadline up to this are dead.
    fn horizon(&self) -> u64 {
        0
    }

    /// Whether the newest version of a key, which this is, may be dropped.
    fn is_dead(&self, key: &[u8], value: &[u8]) -> bool {
        let _ = (key, value);
        false
    }
}

impl fmt::Debug for dyn CompactionFilter + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompactionFilter")
    }
}

impl fmt::Debug for dyn Judge + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judge")
    }
}
