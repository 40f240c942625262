//! How much memory is in use, and for what.
//!
//! The figures are sums of what each part says about itself, not what the allocator has handed out: they cost next to
//! nothing, so that eviction can go by them, and they can be told apart by purpose. What they leave out (stacks,
//! code, rounding up by the allocator) is seen in the difference to the resident set.

mod eviction;
mod system;

use std::sync::atomic::Ordering;

use kvdb_commands::server::{ClientFilter, MemoryFigure};
use kvdb_lsm::DbStats;

pub use self::eviction::{Room, eviction};
pub use self::system::{ResidentSet, machine_bytes, resident_set_bytes};
use crate::node::Node;
use crate::worker::READ_BUFFER;

/// Bytes in use, by purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident objects and the tables that find them, as of the last census.
    pub objects: usize,
    /// Memtables: the active one, those that wait for their flush, and those that readers hold on to.
    pub memtables: usize,
    /// Indexes and filters of tables.
    pub table_indexes: usize,
    /// The block cache.
    pub block_cache: usize,
    /// Connections with what they have received and not sent.
    pub clients: usize,
    /// The buffers of the workers.
    pub workers: usize,
}

impl Usage {
    /// What a node uses, with the statistics of its database.
    pub fn of(node: &Node, rows: &DbStats) -> Self {
        let clients = node.clients.matching(&ClientFilter::default(), 0);
        Self {
            objects: node.store.resident_bytes(),
            memtables: [rows.active_bytes, rows.frozen_bytes, rows.retired_bytes]
                .into_iter()
                .fold(0, usize::saturating_add),
            table_indexes: rows.pinned_bytes,
            block_cache: usize::try_from(rows.block_cache_bytes).unwrap_or(usize::MAX),
            clients: clients.iter().map(|client| client.memory_bytes()).sum(),
            workers: node.workers.len() * 2 * READ_BUFFER,
        }
    }

    /// All of it.
    pub fn total(&self) -> usize {
        [self.objects, self.memtables, self.table_indexes, self.block_cache, self.clients, self.workers]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    /// All but the data that is kept in memory to be fast.
    pub fn overhead(&self) -> usize {
        self.total() - self.objects
    }

    /// What counts where keys are deleted above `maxmemory`: the data, and what clients have sent or are to get.
    pub fn of_cache(&self) -> usize {
        self.objects.saturating_add(self.clients)
    }

    /// What a server without data and clients uses.
    pub fn startup(&self) -> usize {
        self.workers
    }

    /// The share of the data in what is used beyond [`startup`](Self::startup), as a percentage.
    pub fn objects_percent(&self) -> f64 {
        percent(self.objects, self.total() - self.startup())
    }
}

/// A share as a percentage; 0 of nothing.
pub fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// How many times as large; 1 of nothing, so that an idle server does not look fragmented.
pub fn ratio(bytes: usize, of: usize) -> f64 {
    if of == 0 { 1.0 } else { bytes as f64 / of as f64 }
}

/// Bytes that a node uses.
pub fn used(node: &Node) -> usize {
    let usage = Usage::of(node, &node.rows.stats());
    node.client_bytes.store(usage.clients, Ordering::Relaxed);
    usage.total()
}

/// The most bytes that a node has used, what it uses now included.
pub fn peak(node: &Node, used: usize) -> usize {
    node.peak_memory.fetch_max(used, Ordering::Relaxed).max(used)
}

/// MEMORY PURGE: accepted, and changes nothing, as in a Redis whose allocator has nothing to purge.
///
/// The allocator gives free pages back to the system by itself, a moment after they have become free, and has no safe
/// call to hurry that; and what KVDB caches is bounded by its settings and would only be read from the disk again.
pub fn purge() {}

/// The figures of MEMORY STATS: those of Redis that have a meaning here, then those of KVDB.
pub fn stats(node: &Node) -> Vec<(String, MemoryFigure)> {
    // Whoever asks wants to see the write before.
    node.store.census();
    let usage = Usage::of(node, &node.rows.stats());
    let databases = (0..node.store.databases()).map(|db| (db, node.store.counts(db).keys));
    let databases: Vec<Database> = databases
        .filter(|&(_, keys)| keys > 0)
        .map(|(number, keys)| Database { number, keys, overhead: node.store.overhead(number) })
        .collect();
    figures(&usage, peak(node, usage.total()), &databases, ResidentSet::now())
}

/// A database with keys.
struct Database {
    number: u16,
    keys: u64,
    /// Bytes of the tables that find keys, and of the index of deadlines.
    overhead: (usize, usize),
}

fn figures(
    usage: &Usage,
    peak: usize,
    databases: &[Database],
    resident: ResidentSet,
) -> Vec<(String, MemoryFigure)> {
    let keys = databases.iter().map(|database| database.keys).sum::<u64>();
    let int = |n: usize| MemoryFigure::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let beyond = |a: usize, b: usize| MemoryFigure::Integer(a as i64 - b as i64);
    let double = MemoryFigure::Double;
    let used = usage.total();
    let allocated = resident.allocated();
    let each = ((used - usage.startup()) as u64).checked_div(keys).unwrap_or(0);
    let of_database = |database: &Database| {
        let part = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        let (tables, expiry) = (part(database.overhead.0), part(database.overhead.1));
        let parts = vec![("overhead.hashtable.main", tables), ("overhead.hashtable.expires", expiry)];
        (format!("db.{}", database.number), MemoryFigure::Parts(parts))
    };
    let before = [
        ("peak.allocated", int(peak)),
        ("total.allocated", int(used)),
        ("startup.allocated", int(usage.startup())),
        ("replication.backlog", int(0)),
        ("clients.slaves", int(0)),
        ("clients.normal", int(usage.clients)),
        ("cluster.links", int(0)),
        ("aof.buffer", int(0)),
        ("lua.caches", int(0)),
        ("functions.caches", int(0)),
    ];
    let behind = [
        ("overhead.total", int(usage.overhead())),
        ("keys.count", int(usize::try_from(keys).unwrap_or(usize::MAX))),
        ("keys.bytes-per-key", int(usize::try_from(each).unwrap_or(usize::MAX))),
        ("dataset.bytes", int(usage.objects)),
        ("dataset.percentage", double(usage.objects_percent())),
        ("peak.percentage", double(percent(used, peak))),
        ("allocator.allocated", int(used)),
        ("allocator.active", int(allocated)),
        ("allocator.resident", int(allocated)),
        ("allocator-fragmentation.ratio", double(ratio(allocated, used))),
        ("allocator-fragmentation.bytes", beyond(allocated, used)),
        ("allocator-rss.ratio", double(1.0)),
        ("allocator-rss.bytes", int(0)),
        ("rss-overhead.ratio", double(ratio(resident.bytes, allocated))),
        ("rss-overhead.bytes", beyond(resident.bytes, allocated)),
        ("fragmentation", double(ratio(resident.bytes, used))),
        ("fragmentation.bytes", beyond(resident.bytes, used)),
        ("memtables.bytes", int(usage.memtables)),
        ("table-indexes.bytes", int(usage.table_indexes)),
        ("block-cache.bytes", int(usage.block_cache)),
        ("workers.bytes", int(usage.workers)),
    ];
    let named = |(name, figure): (&str, MemoryFigure)| (name.to_owned(), figure);
    let before = before.into_iter().map(named).chain(databases.iter().map(of_database));
    before.chain(behind.into_iter().map(named)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage =
        Usage { objects: 600, memtables: 200, table_indexes: 50, block_cache: 100, clients: 30, workers: 20 };

    #[test]
    fn the_parts_make_the_whole() {
        assert_eq!(USAGE.total(), 1000);
        assert_eq!(USAGE.overhead(), 400);
        assert_eq!(USAGE.startup(), 20);
        assert!((USAGE.objects_percent() - 61.22).abs() < 0.01);
        assert_eq!(Usage::default().objects_percent(), 0.0);
        assert_eq!(Usage { objects: usize::MAX, clients: 9, ..USAGE }.total(), usize::MAX);
    }

    #[test]
    fn no_figure_divides_by_nothing() {
        let empty = figures(&Usage::default(), 0, &[], ResidentSet::default());
        for (name, figure) in &empty {
            assert!(!matches!(figure, MemoryFigure::Double(x) if !x.is_finite()), "{name} is {figure:?}");
        }
        let databases = [(0, 7, (70, 0)), (3, 3, (30, 5))].map(|(number, keys, overhead)| Database {
            number,
            keys,
            overhead,
        });
        let full = figures(&USAGE, 2000, &databases, ResidentSet { bytes: 4000, of_files: 1000 });
        let figure =
            |wanted: &str| full.iter().find(|(name, _)| name == wanted).map(|(_, figure)| figure.clone());
        assert_eq!(figure("keys.bytes-per-key"), Some(MemoryFigure::Integer(98)));
        let parts = vec![("overhead.hashtable.main", 30), ("overhead.hashtable.expires", 5)];
        assert_eq!(figure("db.3"), Some(MemoryFigure::Parts(parts)));
        assert_eq!(figure("peak.percentage"), Some(MemoryFigure::Double(50.0)));
        assert_eq!(figure("fragmentation"), Some(MemoryFigure::Double(4.0)));
        assert_eq!(figure("allocator-fragmentation.bytes"), Some(MemoryFigure::Integer(2000)));
    }
}
