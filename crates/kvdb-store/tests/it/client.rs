//! What a client of the store does: commands of one key, with the loads that they need.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use kvdb_store::io::Waiter;
use kvdb_store::{
    Effect, Env, Object, Place, ReadCx, Refusal, Residency, Scratch, Store, StringValue, Type, Walk, WriteCx,
    testing, text_of,
};

/// A value and the moment it dies.
pub(crate) type Held = (Vec<u8>, Option<u64>);

/// The bytes of a string, or of a collection its rows one after the other, in order.
pub(crate) fn bytes_of(object: &Object<'_>) -> Vec<u8> {
    match object.collection() {
        None => text_of(object.string().expect("it is a string or a collection")),
        Some(collection) => {
            let mut rows = BTreeMap::new();
            collection.rows(&mut |element, value| {
                assert!(rows.insert(element.to_vec(), value.to_vec()).is_none(), "an element has one row");
            });
            assert_eq!(rows.len(), collection.len());
            bytes_of_rows(object.kind(), &rows)
        }
    }
}

/// The bytes that stand for a collection of a type and these rows.
pub(crate) fn bytes_of_rows(kind: Type, rows: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<u8> {
    format!("{kind:?} {rows:?}").into_bytes()
}

/// A user of a store.
pub(crate) struct Client {
    pub(crate) store: Arc<Store>,
    pub(crate) scratch: Scratch,
}

impl Client {
    /// A user of the store in a directory.
    pub(crate) fn open(dir: &Path) -> Self {
        Self::of(testing::open_store(dir))
    }

    /// A user of this store.
    pub(crate) fn of(store: Arc<Store>) -> Self {
        Self { store, scratch: Scratch::default() }
    }

    /// Writes everything to the disk and closes the store.
    pub(crate) fn close(self) {
        self.store.close();
        self.store.rows().log().sync().expect("the log can be synced");
        assert_eq!(Arc::strong_count(&self.store), 1, "nobody else uses the store");
    }

    /// The value of a key.
    pub(crate) fn get(&mut self, db: u16, key: &[u8], now: u64) -> Option<Held> {
        self.get_and_seq(db, key, now).0
    }

    /// The value of a key, and what the reply depends on.
    pub(crate) fn get_and_seq(&mut self, db: u16, key: &[u8], now: u64) -> (Option<Held>, u64) {
        loop {
            let mut guards = self.store.latch(self.store.place(key));
            if self.store.ensure_resident(&mut guards, db, key, &Env::at(now)).expect("rows are sound")
                == Residency::NeedIo
            {
                drop(guards);
                self.load(db, key, now);
                continue;
            }
            let mut cx = ReadCx::new(&self.store, guards, &mut self.scratch, Env::at(now), db);
            let held = cx.get(key).map(|object| (bytes_of(&object), object.deadline()));
            let seq = cx.depends_on();
            drop(cx);
            self.scratch.dead.clear();
            return (held, seq);
        }
    }

    /// Changes a key; returns whether there was one to change, and the sequence.
    pub(crate) fn apply(&mut self, db: u16, key: &[u8], effect: Effect<'_>, now: u64) -> (bool, u64) {
        self.try_apply(db, key, effect, now).expect("the log takes everything")
    }

    /// Changes a key, unless the log refuses.
    pub(crate) fn try_apply(
        &mut self,
        db: u16,
        key: &[u8],
        effect: Effect<'_>,
        now: u64,
    ) -> Result<(bool, u64), Refusal> {
        self.run(db, &[key], now, |cx| cx.apply(key, effect))
    }

    /// Does something with keys that are resident, unless the log refuses it.
    pub(crate) fn run<R>(
        &mut self,
        db: u16,
        keys: &[&[u8]],
        now: u64,
        change: impl FnOnce(&mut WriteCx<'_>) -> R,
    ) -> Result<(R, u64), Refusal> {
        let places: Vec<Place> = keys.iter().map(|key| self.store.place(key)).collect();
        loop {
            let mut guards = self.store.latch_many(&places);
            let cold = keys.iter().find(|key| {
                self.store.ensure_resident(&mut guards, db, key, &Env::at(now)).expect("rows are sound")
                    == Residency::NeedIo
            });
            if let Some(cold) = cold {
                drop(guards);
                self.load(db, cold, now);
                continue;
            }
            let mut cx = WriteCx::new(&self.store, guards, &mut self.scratch, Env::at(now), db);
            let done = change(&mut cx);
            return cx.commit().map(|seq| (done, seq));
        }
    }

    /// Does something with whole databases, unless the log refuses it.
    pub(crate) fn run_over_all<R>(
        &mut self,
        now: u64,
        change: impl FnOnce(&mut WriteCx<'_>) -> R,
    ) -> Result<(R, u64), Refusal> {
        let mut cx = WriteCx::new(&self.store, self.store.latch_all(), &mut self.scratch, Env::at(now), 0);
        let done = change(&mut cx);
        cx.commit().map(|seq| (done, seq))
    }

    /// Empties databases, unless the log refuses.
    pub(crate) fn try_empty(&mut self, dbs: &[u16]) -> Result<u64, Refusal> {
        self.run_over_all(1, |cx| cx.empty(dbs).expect("there are more spaces")).map(|((), seq)| seq)
    }

    /// Empties databases.
    pub(crate) fn empty(&mut self, dbs: &[u16]) -> u64 {
        self.try_empty(dbs).expect("the log takes everything")
    }

    /// Exchanges two databases.
    pub(crate) fn exchange(&mut self, a: u16, b: u16) -> u64 {
        self.run_over_all(0, |cx| cx.exchange(a, b)).expect("the log takes everything").1
    }

    /// Gives a key a value.
    pub(crate) fn put(&mut self, db: u16, key: &[u8], value: &[u8], deadline: Option<u64>, now: u64) -> u64 {
        self.apply(db, key, Effect::PutString { value: StringValue::Bytes(value), deadline }, now).1
    }

    /// Deletes a key.
    pub(crate) fn delete(&mut self, db: u16, key: &[u8], now: u64) -> (bool, u64) {
        self.apply(db, key, Effect::Delete, now)
    }

    /// Waits until a key is loaded.
    pub(crate) fn load(&self, db: u16, key: &[u8], now: u64) {
        let (done, loaded) = mpsc::channel();
        self.store.request_load(
            db,
            key,
            now,
            Waiter::new(move |result| done.send(result).expect("the client waits")),
        );
        loaded.recv().expect("a load ends").expect("rows are sound");
    }

    /// Drops everything from memory.
    pub(crate) fn evict_all(&self, now: u64) {
        let mut random = 1;
        while self.store.resident_keys() > 0 {
            self.store.evict_to_disk(0, self.store.appended(), now, random);
            random += 1;
        }
    }

    /// All keys of a database as a walk finds them, in its order, by steps of `count`.
    pub(crate) fn walk(&self, db: u16, count: usize, now: u64) -> Vec<Vec<u8>> {
        let (mut all, mut cursor) = (Vec::new(), 0);
        loop {
            match self.store.walk(db, cursor, count, now, true).expect("rows are sound") {
                Walk::NeedIo => panic!("a walk that may wait does not ask to"),
                Walk::Keys(keys, next) => {
                    all.extend(keys.into_iter().map(|(key, _)| key));
                    if next == 0 {
                        return all;
                    }
                    assert!(next > cursor, "a cursor goes forward");
                    cursor = next;
                }
            }
        }
    }
}

/// A generator of random numbers, the same for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Keys of one slot in pairs of one tag, which a table and a walk tell apart by the key alone.
pub(crate) fn twins(client: &Client) -> Vec<Vec<u8>> {
    let mut by_tag: HashMap<u32, Vec<u8>> = HashMap::new();
    let mut twins = Vec::new();
    for i in 0..20_000 {
        let key = format!("{{t}}{i}").into_bytes();
        if let Some(twin) = by_tag.insert(client.store.place(&key).tag(), key.clone()) {
            twins.extend([twin, key]);
        }
    }
    assert!(twins.len() > 100, "there are enough pairs among so many keys");
    twins
}
