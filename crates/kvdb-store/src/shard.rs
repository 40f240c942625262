//! A shard: the resident objects of sixty-four slots, of every database, behind one latch.
//!
//! The shard knows which of its slots are *complete*: a slot is complete in a database when every key of it is resident,
//! so that a key that is not found does not exist and nobody needs to ask the LSM. All slots of a new database are
//! complete; a slot stops being so when an entry is evicted, and is so again when it has been warmed up.

use std::collections::HashMap;

use kvdb_ttl::{ExpiryIndex, is_dead};

use crate::entry::{Entry, NewValue, ValueRef};
use crate::io::Waiter;
use crate::key::{Place, SLOTS_PER_SHARD};
use crate::object::Object;
use crate::pins::ShardPins;
use crate::readers::ShardReaders;
use crate::sleepers::ShardSleepers;
use crate::table::SlotTable;
use crate::types::Held;
use crate::watch::{Presence, ShardWatches};

/// The resident part of a database in one shard.
///
/// # Invariants
///
/// * When bit `t` of `complete` is set, table `t` holds every key of its slot.
#[derive(Debug)]
pub struct DbShard {
    /// Made when the first key comes: most databases of most nodes are never used.
    resident: Option<Box<Resident>>,
    /// One bit for each slot.
    complete: u64,
}

/// The entries of a database in one shard, with what is known about all of them. It belongs to the entries, not to the
/// database's number, so emptying and exchanging databases moves it as a whole and looks at no entry.
///
/// # Invariants
///
/// * `keys` is the number of entries, `bytes` the sum of their `memory_bytes`, `expiring` the number of those with a
///   deadline, `fading` of those with elements that die.
/// * An entry whose `has_token` is set has a token in `expiry`; a token may outlive its entry.
#[derive(Debug)]
struct Resident {
    tables: [SlotTable; SLOTS_PER_SHARD],
    keys: usize,
    bytes: usize,
    expiring: usize,
    fading: usize,
    expiry: ExpiryIndex,
}

static NO_KEYS: SlotTable = SlotTable::new();

impl DbShard {
    /// A part that has no keys, on disk neither.
    pub(crate) fn empty() -> Self {
        Self::new(true)
    }

    /// Whether it is as [`Self::empty`] makes it.
    pub(crate) fn is_known_empty(&self) -> bool {
        self.is_all_complete() && !self.has_ever_held_keys()
    }

    fn new(complete: bool) -> Self {
        Self { resident: None, complete: if complete { u64::MAX } else { 0 } }
    }

    fn resident(&mut self) -> &mut Resident {
        self.resident.get_or_insert_with(|| {
            let tables = std::array::from_fn(|_| SlotTable::new());
            Box::new(Resident {
                tables,
                keys: 0,
                bytes: 0,
                expiring: 0,
                fading: 0,
                expiry: ExpiryIndex::new(),
            })
        })
    }

    /// The table of a slot, by its index in the shard.
    #[inline]
    pub fn table(&self, index: usize) -> &SlotTable {
        self.resident.as_ref().map_or(&NO_KEYS, |resident| &resident.tables[index])
    }

    /// The table of a slot, for change.
    #[inline]
    pub fn table_mut(&mut self, index: usize) -> &mut SlotTable {
        &mut self.resident().tables[index]
    }

    /// The tables of all slots that have ever had a key, with their indexes.
    pub fn tables(&self) -> impl Iterator<Item = (usize, &SlotTable)> {
        self.resident.iter().flat_map(|resident| resident.tables.iter().enumerate())
    }

    /// Whether there is memory to give back, even if no key is left in it.
    pub fn has_ever_held_keys(&self) -> bool {
        self.resident.is_some()
    }

    /// Whether every key of the slot is resident.
    pub fn is_complete(&self, index: usize) -> bool {
        self.complete & (1 << index) != 0
    }

    /// Whether every key of every slot is resident.
    pub fn is_all_complete(&self) -> bool {
        self.complete == u64::MAX
    }

    /// The number of resident keys.
    pub fn keys(&self) -> usize {
        self.resident.as_ref().map_or(0, |resident| resident.keys)
    }

    /// The number of resident keys with a deadline.
    pub fn expiring(&self) -> usize {
        self.resident.as_ref().map_or(0, |resident| resident.expiring)
    }

    /// The number of resident keys with [elements that die](Entry::fades).
    pub fn fading(&self) -> usize {
        self.resident.as_ref().map_or(0, |resident| resident.fading)
    }

    /// Bytes held by entries.
    pub fn bytes(&self) -> usize {
        self.resident.as_ref().map_or(0, |resident| resident.bytes)
    }

    /// Bytes of memory of the tables and of the expiry index, beside [`Self::bytes`].
    fn overhead_bytes(&self) -> usize {
        let (tables, expiry) = self.overhead();
        tables + expiry
    }

    /// The two parts of it.
    pub fn overhead(&self) -> (usize, usize) {
        let Some(resident) = &self.resident else { return (0, 0) };
        let tables: usize = resident.tables.iter().map(SlotTable::memory_bytes).sum();
        (tables + size_of::<Resident>(), resident.expiry.memory_bytes())
    }

    /// Some tokens of the expiry index, from a random one on: index of the table and tag of an entry that may be gone.
    pub fn expiring_tokens(&self, random: u64, count: usize) -> impl Iterator<Item = (usize, u32)> {
        let tokens = self.resident.iter().flat_map(move |resident| resident.expiry.near(random));
        tokens.take(count).map(split_token)
    }

    /// See [`ExpiryIndex::left`].
    pub fn left(&self, now: u64) -> (usize, u128) {
        self.resident.as_ref().map_or((0, 0), |resident| resident.expiry.left(now))
    }

    /// When the expiry index will next have a token to look at.
    pub fn next_due(&self) -> Option<u64> {
        self.resident.as_ref()?.expiry.next_due()
    }

    /// Takes the next token that is to be looked at now: index of the table and tag of an entry.
    pub fn due(&mut self, now: u64) -> Option<(usize, u32)> {
        self.resident.as_mut()?.expiry.due(now).map(split_token)
    }
}

impl Resident {
    /// See [`Shard::put`].
    fn put(
        &mut self,
        place: Place,
        at: Option<usize>,
        key: &[u8],
        value: NewValue<'_>,
        deadline: Option<u64>,
    ) -> usize {
        let table = &mut self.tables[place.table()];
        if let Some(at) = at
            && table.at_mut(at).overwrite(&value, deadline)
        {
            return at;
        }
        let mut new = Entry::new(place.tag(), key, value, deadline);
        self.bytes += new.memory_bytes();
        self.expiring += usize::from(deadline.is_some());
        self.fading += usize::from(new.fades());
        let Some(at) = at else {
            self.keys += 1;
            return table.insert(new);
        };
        let old = table.at(at);
        self.bytes -= old.memory_bytes();
        self.expiring -= usize::from(old.deadline().is_some());
        self.fading -= usize::from(old.fades());
        new.set_access(old.access());
        new.set_token(old.has_token());
        table.replace(at, new);
        at
    }

    /// See [`Shard::reshape`].
    fn reshape(&mut self, place: Place, at: usize, deadline: Option<u64>) {
        let old = self.tables[place.table()].at_mut(at);
        self.bytes -= old.memory_bytes();
        self.expiring -= usize::from(old.deadline().is_some());
        let big = old.big_mut().map(std::mem::take);
        let mut held = old.held_mut().map(Held::take);
        let value = match (big, &mut held, old.string()) {
            (Some(big), ..) => NewValue::Big(Box::new(big)),
            (_, Some(held), _) => NewValue::Collection(held),
            (.., Some(ValueRef::Int(i))) => NewValue::Int(i),
            (.., Some(ValueRef::Bytes(b))) => NewValue::Bytes(b),
            (None, None, None) => unreachable!("an entry is a string or a collection"),
        };
        let mut new = Entry::new(place.tag(), old.key(), value, deadline);
        new.set_access(old.access());
        new.set_token(old.has_token());
        if old.is_piecewise() {
            new.set_piecewise();
        }
        self.bytes += new.memory_bytes();
        self.expiring += usize::from(deadline.is_some());
        *old = new;
    }

    /// See [`Shard::remove`].
    fn remove(&mut self, place: Place, at: usize) -> Entry {
        let entry = self.tables[place.table()].remove(at);
        self.keys -= 1;
        self.bytes -= entry.memory_bytes();
        self.expiring -= usize::from(entry.deadline().is_some());
        self.fading -= usize::from(entry.fades());
        entry
    }

    /// See [`Shard::schedule`].
    fn schedule(&mut self, place: Place, at: usize, sooner_than: Option<u64>, now: u64) {
        let entry = self.tables[place.table()].at_mut(at);
        let Some(deadline) = entry.deadline() else { return };
        if entry.has_token() && sooner_than.is_some_and(|before| before <= deadline) {
            return;
        }
        entry.set_token(true);
        self.expiry.schedule(deadline, now, token(place.table(), place.tag()));
        // Every entry is looked at for it, so it has to be paid for by about as many tokens.
        if self.expiry.len() > 2 * (self.expiring + self.fading) + 1024 + self.keys / 8 {
            self.forget_stale_tokens(now);
        }
    }

    /// See [`Shard::tell_deadline`].
    fn tell_deadline(&mut self, place: Place, at: usize) -> bool {
        let entry = self.tables[place.table()].at_mut(at);
        let before = entry.fades();
        let differs = entry.held_mut().is_some_and(|held| held.collection.tell_deadline());
        self.fading = self.fading + usize::from(entry.fades()) - usize::from(before);
        differs
    }

    /// Rebuilds the expiry index from the entries, when most of its tokens are those of keys that are gone.
    fn forget_stale_tokens(&mut self, now: u64) {
        self.expiry.clear();
        for (index, table) in self.tables.iter_mut().enumerate() {
            for entry in table.iter_mut() {
                entry.set_token(entry.deadline().is_some());
                let elements = entry.held().and_then(|held| held.collection.next_deadline());
                for deadline in entry.deadline().into_iter().chain(elements) {
                    self.expiry.schedule(deadline, now, token(index, entry.tag()));
                }
            }
        }
    }
}

/// A token of the expiry index: the slot in the shard and the tag of an entry.
fn token(table: usize, tag: u32) -> u64 {
    ((table as u64) << 32) | u64::from(tag)
}

/// Index of the table and tag of a token.
fn split_token(token: u64) -> (usize, u32) {
    ((token >> 32) as usize, token as u32)
}

/// Resident objects and what is known about them; see the module's text.
///
/// # Invariants
///
/// * A key in `loading` is not resident, and nobody changes it until the load ends. (A flush or an exchange of databases
///   between the two makes the load worthless, and the loader notices.)
#[derive(Debug)]
pub struct Shard {
    dbs: Vec<DbShard>,
    /// Keys that are there, resident or not, by database, as a change since the store was opened.
    pub keys_delta: Vec<i64>,
    /// Keys with a deadline, likewise.
    pub expires_delta: Vec<i64>,
    /// Keys with [elements that die](Entry::fades), likewise.
    pub fading_delta: Vec<i64>,
    /// Whether some slot of some database is not complete.
    pub incomplete: bool,
    /// Loads under way, with those who wait for them.
    pub loading: HashMap<(u16, Place), Vec<Waiter>>,
    /// Keys that commands wait for: they are not evicted.
    pub(crate) pins: ShardPins,
    /// Keys that clients watch.
    pub(crate) watches: ShardWatches,
    /// Clients that keep what they have read of keys.
    pub(crate) readers: ShardReaders,
    /// Commands that wait for keys.
    pub(crate) sleepers: ShardSleepers,
    /// Entries dropped from memory so far; a warm-up compares it before and after.
    pub evictions: u64,
    /// The bytes of entries with which the store has counted it.
    pub(crate) counted: usize,
    /// Whether the run under way has removed an entry.
    pub removing: bool,
    /// The sequence of the last run that removed an entry: who finds a key absent depends on it.
    removed_seq: u64,
    /// A sequence that everything seen here depends on: of the last flush or exchange of databases, or of what a refused
    /// run has thrown out of memory.
    moved_seq: u64,
}

impl Shard {
    /// A shard for databases of which `complete` says whether they are known to be empty on disk.
    pub fn new(complete: &[bool]) -> Self {
        Self {
            dbs: complete.iter().map(|&c| DbShard::new(c)).collect(),
            keys_delta: vec![0; complete.len()],
            expires_delta: vec![0; complete.len()],
            fading_delta: vec![0; complete.len()],
            incomplete: complete.iter().any(|&c| !c),
            loading: HashMap::new(),
            pins: ShardPins::default(),
            watches: ShardWatches::default(),
            readers: ShardReaders::default(),
            sleepers: ShardSleepers::default(),
            evictions: 0,
            counted: 0,
            removing: false,
            removed_seq: 0,
            moved_seq: 0,
        }
    }

    /// The shard's part of a database.
    #[inline]
    pub fn db(&self, db: u16) -> &DbShard {
        &self.dbs[usize::from(db)]
    }

    /// The shard's part of a database, for change.
    pub fn db_mut(&mut self, db: u16) -> &mut DbShard {
        &mut self.dbs[usize::from(db)]
    }

    /// The table in which a place belongs.
    #[inline]
    pub fn table(&self, db: u16, place: Place) -> &SlotTable {
        self.dbs[usize::from(db)].table(place.table())
    }

    /// The object of a key at its place.
    #[inline]
    pub fn object(&self, db: u16, place: Place, key: &[u8]) -> Option<Object<'_>> {
        let table = self.table(db, place);
        table.find(place.tag(), key).map(|at| Object(table.at(at)))
    }

    /// The table in which a place belongs, for change.
    #[inline]
    pub fn table_mut(&mut self, db: u16, place: Place) -> &mut SlotTable {
        self.dbs[usize::from(db)].table_mut(place.table())
    }

    /// Whether a key is resident or known to be absent.
    pub fn knows(&self, db: u16, place: Place, key: &[u8]) -> bool {
        self.db(db).is_complete(place.table())
            || self.table(db, place).find(place.tag(), key).is_some()
            || self.pins.knows(db, key)
    }

    /// The sequence that seeing this entry depends on.
    #[inline]
    pub fn seen(&self, entry: &Entry) -> u64 {
        entry.seq().max(self.moved_seq)
    }

    /// The sequence that finding a key absent depends on.
    #[inline]
    pub fn missed(&self) -> u64 {
        self.removed_seq.max(self.moved_seq)
    }

    /// Notes that a run got this sequence, before its entries are told.
    #[inline]
    pub fn committed(&mut self, seq: u64) {
        if std::mem::take(&mut self.removing) {
            self.removed_seq = seq;
        }
    }

    /// Gives the entries at a place that the run under way has changed its sequence.
    #[inline]
    pub(crate) fn settle(&mut self, db: u16, place: Place, seq: u64) {
        if self.table(db, place).is_empty() {
            return;
        }
        for entry in self.table_mut(db, place).pending_mut(place.tag()) {
            entry.commit(seq);
        }
    }

    /// Makes everything seen from now on depend on a sequence.
    pub fn moved(&mut self, seq: u64) {
        self.moved_seq = self.moved_seq.max(seq);
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
    #[inline]
    pub fn put(
        &mut self,
        db: u16,
        place: Place,
        at: Option<usize>,
        key: &[u8],
        value: NewValue<'_>,
        deadline: Option<u64>,
    ) -> usize {
        self.dbs[usize::from(db)].resident().put(place, at, key, value, deadline)
    }

    /// Gives an entry a deadline that had none, or takes it away: the value stays, the allocation changes.
    pub fn reshape(&mut self, db: u16, place: Place, at: usize, deadline: Option<u64>) {
        self.dbs[usize::from(db)].resident().reshape(place, at, deadline);
    }

    /// Notes that the meta row of an entry is written, and says what is true of deadlines of its elements; tells whether it
    /// said something else.
    pub(crate) fn tell_deadline(&mut self, db: u16, place: Place, at: usize) -> bool {
        self.dbs[usize::from(db)].resident().tell_deadline(place, at)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, db: u16, place: Place, at: usize) -> Entry {
        self.dbs[usize::from(db)].resident().remove(place, at)
    }

    /// Notes that an entry which held `before` bytes was changed in place and holds `after`.
    pub fn resized(&mut self, db: u16, before: usize, after: usize) {
        let resident = self.dbs[usize::from(db)].resident();
        resident.bytes = resident.bytes + after - before;
    }

    /// Drops the entries at a place that a refused run has changed; their rows are the truth. `appended` is the last
    /// sequence given out: what they had been before may not be safe yet.
    pub fn forget_pending(&mut self, db: u16, place: Place, appended: u64) {
        self.set_complete(db, place.table(), false);
        self.pins.forget();
        self.evictions += 1;
        self.removing = false;
        self.moved(appended);
        loop {
            let table = self.table(db, place);
            let from = table.lower_bound(place.tag());
            let pending = table
                .iter_from(from)
                .take_while(|(_, e)| e.tag() == place.tag())
                .find(|(_, e)| e.is_pending());
            let Some((at, _)) = pending else { return };
            drop(self.remove(db, place, at));
        }
    }

    /// Makes sure that the expiry index will look at an entry with a deadline in time.
    ///
    /// An entry that has a token already gets another only when its deadline has moved forward: a token is a hint, and
    /// one that fires early schedules itself again.
    #[inline]
    pub fn schedule(&mut self, db: u16, place: Place, at: usize, sooner_than: Option<u64>, now: u64) {
        self.dbs[usize::from(db)].resident().schedule(place, at, sooner_than, now);
    }

    /// Lets the expiry index look at the entries of a tag again at a moment.
    pub fn look_again(&mut self, db: u16, table: usize, tag: u32, deadline: u64, now: u64) {
        self.dbs[usize::from(db)].resident().expiry.schedule(deadline, now, token(table, tag));
    }

    /// Takes everything of a database out and leaves it empty and complete; the caller drops what is returned outside
    /// the latch.
    pub fn clear_db(&mut self, db: u16) -> DbShard {
        self.exchange_watches(db, None, 0);
        let old = std::mem::replace(&mut self.dbs[usize::from(db)], DbShard::new(true));
        self.incomplete = self.dbs.iter().any(|d| d.complete != u64::MAX);
        self.pins.forget();
        old
    }

    /// Puts back what [`Self::clear_db`] took out.
    pub(crate) fn put_back(&mut self, db: u16, old: DbShard) {
        self.dbs[usize::from(db)] = old;
        self.incomplete = self.dbs.iter().any(|d| d.complete != u64::MAX);
        self.pins.forget();
    }

    /// Exchanges two databases, the counts aside.
    pub fn swap_dbs(&mut self, a: u16, b: u16, now: u64) {
        for (db, other) in [(a, b), (b, a)] {
            self.exchange_watches(db, Some(other), now);
        }
        self.exchange(a, b);
    }

    /// As [`Self::swap_dbs`], unnoticed by those who watch keys.
    pub(crate) fn exchange(&mut self, a: u16, b: u16) {
        self.dbs.swap(usize::from(a), usize::from(b));
        self.pins.forget();
    }

    /// What is at a place at this moment, or, without one, whether anything is.
    pub(crate) fn presence(&self, db: u16, place: Place, now: Option<u64>) -> Presence {
        let table = self.table(db, place);
        let here = table.iter_from(table.lower_bound(place.tag())).next();
        match here.filter(|(_, entry)| entry.tag() == place.tag()) {
            Some((_, entry)) => {
                let dies = entry.deadline().zip(now).is_some_and(|(deadline, now)| is_dead(deadline, now));
                if dies { Presence::Dead } else { Presence::Living }
            }
            None if self.db(db).is_complete(place.table()) => Presence::Absent,
            None => Presence::Living,
        }
    }

    /// Marks the watches of a database that is about to give way to another one, or to nothing.
    fn exchange_watches(&mut self, db: u16, other: Option<u16>, now: u64) {
        let mut watches = std::mem::take(&mut self.watches);
        watches.exchange(
            db,
            |place| self.presence(db, place, None),
            |place| other.map_or(Presence::Absent, |other| self.presence(other, place, Some(now))),
        );
        self.watches = watches;
    }

    /// Bytes held by entries.
    pub fn bytes(&self) -> usize {
        self.dbs.iter().map(DbShard::bytes).sum()
    }

    /// Bytes of memory of the tables and of the expiry index, beside [`Self::bytes`].
    pub fn overhead_bytes(&self) -> usize {
        self.dbs.iter().map(DbShard::overhead_bytes).sum()
    }
}
