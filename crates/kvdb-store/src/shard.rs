//! A shard: the resident objects of sixty-four slots, of every database, behind one latch.
//!
//! The shard knows which of its slots are *complete*: a slot is complete in a database when every key of it is resident,
//! so that a key that is not found does not exist and nobody needs to ask the LSM. All slots of a new database are
//! complete; a slot stops being so when an entry is evicted, and is so again when it has been warmed up.

use std::collections::HashMap;

use kvdb_ttl::ExpiryIndex;

use crate::entry::{Entry, NewValue, ValueRef};
use crate::io::Waiter;
use crate::key::{Place, SLOTS_PER_SHARD};
use crate::table::SlotTable;

/// The resident part of a database in one shard.
///
/// # Invariants
///
/// * When bit `t` of `complete` is set, table `t` holds every key of its slot.
#[derive(Debug)]
pub struct DbShard {
    /// Made when the first key comes: most databases of most nodes are never used.
    tables: Option<Box<[SlotTable; SLOTS_PER_SHARD]>>,
    /// One bit for each slot.
    complete: u64,
}

static NO_KEYS: SlotTable = SlotTable::new();

impl DbShard {
    fn new(complete: bool) -> Self {
        Self { tables: None, complete: if complete { u64::MAX } else { 0 } }
    }

    /// The table of a slot, by its index in the shard.
    #[inline]
    pub fn table(&self, index: usize) -> &SlotTable {
        self.tables.as_ref().map_or(&NO_KEYS, |tables| &tables[index])
    }

    /// The table of a slot, for change.
    #[inline]
    pub fn table_mut(&mut self, index: usize) -> &mut SlotTable {
        let tables = self.tables.get_or_insert_with(|| Box::new(std::array::from_fn(|_| SlotTable::new())));
        &mut tables[index]
    }

    /// The tables of all slots that have ever had a key, with their indexes.
    pub fn tables(&self) -> impl Iterator<Item = (usize, &SlotTable)> {
        self.tables.iter().flat_map(|tables| tables.iter().enumerate())
    }

    /// Whether every key of the slot is resident.
    pub fn is_complete(&self, index: usize) -> bool {
        self.complete & (1 << index) != 0
    }
}

/// Resident objects and what is known about them; see the module's text.
///
/// # Invariants
///
/// * `bytes` is the sum of `memory_bytes` of all entries.
/// * `expiring` counts, for each database, the resident entries with a deadline.
/// * An entry whose `has_token` is set has a token in `expiry`; a token may outlive its entry.
/// * A key in `loading` is not resident, and nobody changes it until the load ends.
#[derive(Debug)]
pub struct Shard {
    dbs: Vec<DbShard>,
    /// Keys that are there, resident or not, by database, as a change since the store was opened.
    pub keys_delta: Vec<i64>,
    /// Keys with a deadline, likewise.
    pub expires_delta: Vec<i64>,
    /// Whether some slot of some database is not complete.
    pub incomplete: bool,
    /// Bytes held by entries.
    pub bytes: usize,
    /// When to look at keys with a deadline.
    pub expiry: ExpiryIndex,
    /// Loads under way, with those who wait for them.
    pub loading: HashMap<(u16, Place), Vec<Waiter>>,
    /// Entries dropped from memory so far; a warm-up compares it before and after.
    pub evictions: u64,
    /// Resident entries with a deadline.
    pub resident_expiring: usize,
}

/// A token of the expiry index: database, slot in the shard and tag of the entry.
pub fn token(db: u16, place: Place) -> u64 {
    (u64::from(db) << 32) | ((place.table() as u64) << 24) | u64::from(place.tag())
}

/// Database, index of the table and tag of a token.
pub fn split_token(token: u64) -> (u16, usize, u32) {
    ((token >> 32) as u16, (token >> 24) as usize & 0xff, token as u32 & 0xff_ffff)
}

impl Shard {
    /// A shard for databases of which `complete` says whether they are known to be empty on disk.
    pub fn new(complete: &[bool]) -> Self {
        Self {
            dbs: complete.iter().map(|&c| DbShard::new(c)).collect(),
            keys_delta: vec![0; complete.len()],
            expires_delta: vec![0; complete.len()],
            incomplete: complete.iter().any(|&c| !c),
            bytes: 0,
            expiry: ExpiryIndex::new(),
            loading: HashMap::new(),
            evictions: 0,
            resident_expiring: 0,
        }
    }

    /// The shard's part of a database.
    #[inline]
    pub fn db(&self, db: u16) -> &DbShard {
        &self.dbs[usize::from(db)]
    }

    /// The table in which a place belongs.
    #[inline]
    pub fn table(&self, db: u16, place: Place) -> &SlotTable {
        self.dbs[usize::from(db)].table(place.table())
    }

    /// The table in which a place belongs, for change.
    #[inline]
    pub fn table_mut(&mut self, db: u16, place: Place) -> &mut SlotTable {
        self.dbs[usize::from(db)].table_mut(place.table())
    }

    /// Marks a slot complete or not.
    pub fn set_complete(&mut self, db: u16, table: usize, complete: bool) {
        let shard = &mut self.dbs[usize::from(db)];
        if complete {
            shard.complete |= 1 << table;
            self.incomplete = self.dbs.iter().any(|d| d.complete != u64::MAX);
        } else {
            shard.complete &= !(1 << table);
            self.incomplete = true;
        }
    }

    /// Puts an entry where its key stood, or adds it; returns the position. The caller sees to counts and rows.
    pub fn put(&mut self, db: u16, place: Place, at: Option<usize>, key: &[u8], value: NewValue<'_>, deadline: Option<u64>) -> usize {
        let table = self.dbs[usize::from(db)].table_mut(place.table());
        match at {
            Some(at) => {
                let old = table.at_mut(at);
                if old.overwrite(&value, deadline) {
                    return at;
                }
                let mut new = Entry::new(place.tag(), key, value, deadline);
                new.set_access(old.access());
                new.set_token(old.has_token());
                self.bytes = self.bytes + new.memory_bytes() - old.memory_bytes();
                self.resident_expiring += usize::from(deadline.is_some());
                self.resident_expiring -= usize::from(old.deadline().is_some());
                table.replace(at, new);
                at
            }
            None => {
                let new = Entry::new(place.tag(), key, value, deadline);
                self.bytes += new.memory_bytes();
                self.resident_expiring += usize::from(deadline.is_some());
                table.insert(new)
            }
        }
    }

    /// Gives an entry a deadline that had none, or takes it away: the value stays, the allocation changes.
    pub fn reshape(&mut self, db: u16, place: Place, at: usize, deadline: Option<u64>) {
        let old = self.dbs[usize::from(db)].table_mut(place.table()).at_mut(at);
        self.bytes -= old.memory_bytes();
        self.resident_expiring -= usize::from(old.deadline().is_some());
        let big = old.big_mut().map(std::mem::take);
        let value = match (big, old.value()) {
            (Some(big), _) => NewValue::Big(Box::new(big)),
            (None, ValueRef::Int(i)) => NewValue::Int(i),
            (None, ValueRef::Bytes(b)) => NewValue::Bytes(b),
        };
        let mut new = Entry::new(place.tag(), old.key(), value, deadline);
        new.set_access(old.access());
        new.set_token(old.has_token());
        if old.is_piecewise() {
            new.set_piecewise();
        }
        self.bytes += new.memory_bytes();
        self.resident_expiring += usize::from(deadline.is_some());
        *old = new;
    }

    /// Takes an entry out.
    pub fn remove(&mut self, db: u16, place: Place, at: usize) -> Entry {
        let entry = self.dbs[usize::from(db)].table_mut(place.table()).remove(at);
        self.bytes -= entry.memory_bytes();
        self.resident_expiring -= usize::from(entry.deadline().is_some());
        entry
    }

    /// Drops the entries at a place that a refused run has changed; their rows are the truth.
    pub fn forget_pending(&mut self, db: u16, place: Place) {
        self.set_complete(db, place.table(), false);
        loop {
            let table = self.table(db, place);
            let from = table.lower_bound(place.tag());
            let pending = table.iter_from(from).take_while(|(_, e)| e.tag() == place.tag()).find(|(_, e)| e.is_pending());
            let Some((at, _)) = pending else { return };
            drop(self.remove(db, place, at));
        }
    }

    /// Makes sure that the expiry index will look at an entry with a deadline in time.
    ///
    /// An entry that has a token already gets another only when its deadline has moved forward: a token is a hint, and
    /// one that fires early schedules itself again.
    pub fn schedule(&mut self, db: u16, place: Place, at: usize, sooner_than: Option<u64>, now: u64) {
        let entry = self.dbs[usize::from(db)].table_mut(place.table()).at_mut(at);
        let Some(deadline) = entry.deadline() else { return };
        if entry.has_token() && sooner_than.is_some_and(|before| before <= deadline) {
            return;
        }
        entry.set_token(true);
        self.expiry.schedule(deadline, now, token(db, place));
        if self.expiry.len() > 2 * self.resident_expiring + 1024 {
            self.forget_stale_tokens(now);
        }
    }

    /// Puts a token back that came before the deadline of its entry, or forgets it when the entry has none any more.
    pub fn reschedule(&mut self, db: u16, table: usize, at: usize, deadline: Option<u64>, token: u64, now: u64) {
        self.dbs[usize::from(db)].table_mut(table).at_mut(at).set_token(deadline.is_some());
        if let Some(deadline) = deadline {
            self.expiry.schedule(deadline, now, token);
        }
    }

    /// Rebuilds the expiry index from the entries, when most of its tokens are those of keys that are gone.
    fn forget_stale_tokens(&mut self, now: u64) {
        self.expiry.clear();
        for (db, shard) in self.dbs.iter_mut().enumerate() {
            let tables = shard.tables.iter_mut().flat_map(|tables| tables.iter_mut().enumerate());
            for (index, table) in tables {
                for entry in table.iter_mut() {
                    entry.set_token(entry.deadline().is_some());
                    if let Some(deadline) = entry.deadline() {
                        let token = ((db as u64) << 32) | ((index as u64) << 24) | u64::from(entry.tag());
                        self.expiry.schedule(deadline, now, token);
                    }
                }
            }
        }
    }

    /// Takes everything of a database out and leaves it empty and complete; the caller drops what is returned outside
    /// the latch.
    pub fn clear_db(&mut self, db: u16) -> DbShard {
        let old = std::mem::replace(&mut self.dbs[usize::from(db)], DbShard::new(true));
        for entry in old.tables().flat_map(|(_, table)| table.iter()) {
            self.bytes -= entry.memory_bytes();
            self.resident_expiring -= usize::from(entry.deadline().is_some());
        }
        self.incomplete = self.dbs.iter().any(|d| d.complete != u64::MAX);
        old
    }

    /// Exchanges two databases.
    pub fn swap_dbs(&mut self, a: u16, b: u16, now: u64) {
        let (a, b) = (usize::from(a), usize::from(b));
        self.dbs.swap(a, b);
        self.keys_delta.swap(a, b);
        self.expires_delta.swap(a, b);
        self.forget_stale_tokens(now);
    }

    /// Bytes of memory of the tables and of the expiry index, beside `bytes`.
    pub fn overhead_bytes(&self) -> usize {
        let tables = self.dbs.iter().flat_map(DbShard::tables);
        let tables: usize = tables.map(|(_, table)| table.memory_bytes() + size_of::<SlotTable>()).sum();
        tables + self.expiry.memory_bytes()
    }
}
