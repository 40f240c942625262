//! A store behaves as a few maps do, whatever is in memory, on disk, flushed, exchanged or reopened, and whoever else is
//! at work.
//!
//! `KVDB_STORE_SEEDS` says how many histories are tried (4 by default), `KVDB_STORE_STEPS` how long each is.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use kvdb_lsm::Db;
use kvdb_lsm::batch::WriteBatch;
use kvdb_store::types::hash::FieldDeadline;
use kvdb_store::types::{Hash, Set, SortedSet};
use kvdb_store::{
    CommitLog, Draw, Edit, Effect, Env, LocalLog, Refusal, Scratch, Store, StoreOptions, StringValue, Type,
    Walk, WriteCx, testing,
};
use tempfile::TempDir;

use crate::client::{Client, Held, Random, bytes_of, bytes_of_rows};

/// Databases that are used.
const DATABASES: u16 = 3;
/// Keys that are used, of which half share a slot.
const KEYS: u64 = 24;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn key(number: u64) -> Vec<u8> {
    if number.is_multiple_of(2) {
        format!("k{number}").into_bytes()
    } else {
        format!("{{tag}}{number}").into_bytes()
    }
}

/// A log that refuses every third batch while it is moody.
struct MoodyLog {
    log: LocalLog,
    moody: Arc<AtomicBool>,
    asked: AtomicU64,
}

impl CommitLog for MoodyLog {
    fn append(&self, batch: &WriteBatch) -> Result<u64, Refusal> {
        if self.moody.load(Ordering::Relaxed) && self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(3)
        {
            return Err(Refusal::Unavailable("moody".into()));
        }
        self.log.append(batch)
    }

    fn appended(&self) -> u64 {
        self.log.appended()
    }
}

/// Opens a store whose log is moody while `moody` is set.
fn open(dir: &Path, moody: &Arc<AtomicBool>) -> Client {
    let (rows, dead_rows) = testing::open_filtered_rows(dir);
    let rows: Arc<Db> = Arc::new(rows);
    let log = MoodyLog { log: LocalLog::new(rows.clone()), moody: moody.clone(), asked: AtomicU64::new(0) };
    let options = StoreOptions { databases: 16, fresh_seed: 42, io_threads: 2 };
    let store = Store::open(rows, Arc::new(log), &options).expect("a sound database opens");
    store.tell(dead_rows).expect("rows can be read");
    Client::of(Arc::new(store))
}

/// A store beside the maps that it should be equal to.
struct Pair {
    dir: TempDir,
    client: Client,
    model: Vec<BTreeMap<Vec<u8>, Held>>,
    /// Type and rows of those values that have elements.
    collections: HashMap<Vec<u8>, (Type, Rows)>,
    clock: Arc<AtomicU64>,
    random: Random,
    moody: Arc<AtomicBool>,
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

impl Pair {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let moody = Arc::default();
        let client = open(dir.path(), &moody);
        let model = vec![BTreeMap::new(); usize::from(DATABASES)];
        let clock = Arc::new(AtomicU64::new(1_000_000));
        Self { dir, client, model, collections: HashMap::new(), clock, random: Random(seed), moody }
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    fn held(&self, db: u16, key: &[u8]) -> Option<&Held> {
        let now = self.now();
        self.model[usize::from(db)]
            .get(key)
            .filter(|(_, deadline)| deadline.is_none_or(|deadline| deadline > now))
    }

    fn value(&mut self) -> Vec<u8> {
        let byte = self.random.next() as u8;
        match self.random.below(10) {
            0 | 1 => self.random.below(1_000_000).to_string().into_bytes(),
            2 => vec![byte; 20_000],
            3 => vec![byte; 70_000 + self.random.below(30_000) as usize],
            4 => vec![0; 80_000],
            _ => vec![byte; self.random.below(40) as usize],
        }
    }

    /// One random change or look, made to both; a change that the log refuses is made to neither.
    fn step(&mut self) {
        let (db, number) = (self.random.below(u64::from(DATABASES)) as u16, self.random.below(KEYS));
        let at = usize::from(db);
        let (key, now) = (key(number), self.now());
        let soon = Some(now + 1 + self.random.below(300));
        match self.random.below(100) {
            0..25 => {
                let (value, deadline) = (self.value(), soon.filter(|_| self.random.below(3) == 0));
                let effect = Effect::PutString { value: StringValue::Bytes(&value), deadline };
                if self.apply(db, &key, effect).is_some() {
                    self.model[at].insert(key, (value, deadline));
                }
            }
            25..32 => self.write_range(db, key),
            32..41 => self.edit(db, key),
            41..45 => self.carry(db, key),
            45..60 => {
                let deadline = soon.filter(|_| self.random.below(3) > 0);
                let there = self.held(db, &key).is_some();
                if let Some(done) = self.apply(db, &key, Effect::SetDeadline(deadline)) {
                    assert_eq!(done, there);
                    if let Some(held) = self.model[at].get_mut(&key).filter(|_| there) {
                        held.1 = deadline;
                    }
                }
            }
            60..72 => {
                let there = self.held(db, &key).is_some();
                if let Some(done) = self.apply(db, &key, Effect::Delete) {
                    assert_eq!(done, there);
                    self.model[at].remove(&key);
                }
            }
            72..90 => {
                assert_eq!(self.client.get(db, &key, now).as_ref(), self.held(db, &key), "{db} {number}")
            }
            90..94 => {
                self.clock.fetch_add(self.random.below(100), Ordering::SeqCst);
            }
            94 => {
                if self.client.try_empty(&[db]).is_ok() {
                    self.model[at].clear();
                    if self.random.below(2) == 0 {
                        self.client.store.rows().compact_step().expect("the disk is sound");
                    }
                }
            }
            95 | 96 => {
                let other = self.random.below(u64::from(DATABASES)) as u16;
                if self.client.run_over_all(now, |cx| cx.exchange(db, other)).is_ok() {
                    self.model.swap(at, usize::from(other));
                }
            }
            97 if self.random.below(2) == 0 => self.run_over_all(),
            97 => self.check_walk(db),
            98 => self.check_random_key(db),
            _ => {
                let result =
                    self.client.store.expire_due(now, number as usize, &mut self.client.scratch, || true);
                assert!(result.is_ok() || self.moody.load(Ordering::Relaxed));
            }
        }
    }

    /// Changes, walks, empties and exchanges in one run, which ends well, or comes to nothing.
    fn run_over_all(&mut self) {
        let (now, seed) = (self.now(), self.random.next());
        let ends = self.random.below(3) > 0;
        let before = self.model.clone();
        let (store, mut scratch) = (self.client.store.clone(), Scratch::default());
        let mut cx = WriteCx::new(&store, store.latch_all(), &mut scratch, Env::at(now), 0);
        let mut random = Random(seed);
        for _ in 0..1 + random.below(30) {
            let db = random.below(u64::from(DATABASES)) as u16;
            let (at, key) = (usize::from(db), key(random.below(KEYS)));
            cx.select(db);
            match random.below(16) {
                0 => {
                    cx.empty(&[db]).expect("there are more spaces");
                    self.model[at].clear();
                }
                1 | 2 => {
                    let other = random.below(u64::from(DATABASES)) as u16;
                    cx.exchange(db, other);
                    self.model.swap(at, usize::from(other));
                }
                3..6 => {
                    let count = 1 + random.below(7) as usize;
                    let mut found = walk_within(&mut cx, count);
                    found.sort();
                    assert_eq!(found, self.alive(db));
                }
                6 => match cx.random_key().expect("rows are sound") {
                    Draw::Key(key) => assert!(self.held(db, &key).is_some()),
                    Draw::Empty => assert_eq!(self.alive(db), Vec::<Vec<u8>>::new()),
                    Draw::NeedIo => panic!("a draw that may wait does not ask to"),
                },
                // Where databases have been exchanged it is read at once, and else the run would have to begin again.
                _ if cx.reach(db, &key) != Ok(true) => assert!(cx.lack().is_some()),
                7..9 => {
                    let there = cx.get(&key).map(|object| (bytes_of(&object), object.deadline()));
                    assert_eq!(there.as_ref(), self.held(db, &key));
                }
                9..12 => {
                    assert_eq!(cx.apply(&key, Effect::Delete), self.held(db, &key).is_some());
                    self.model[at].remove(&key);
                }
                _ => {
                    let deadline = Some(now + 1 + random.below(300)).filter(|_| random.below(3) == 0);
                    let value = vec![random.next() as u8; random.below(40) as usize];
                    let effect = Effect::PutString { value: StringValue::Bytes(&value), deadline };
                    cx.apply(&key, effect);
                    self.model[at].insert(key, (value, deadline));
                }
            }
        }
        if !ends {
            cx.abandon();
            self.model = before;
        } else if cx.commit().is_err() {
            assert!(self.moody.load(Ordering::Relaxed));
            self.model = before;
        }
    }

    /// Changes a key; nothing when the log refused.
    fn apply(&mut self, db: u16, key: &[u8], effect: Effect<'_>) -> Option<bool> {
        match self.client.try_apply(db, key, effect, self.now()) {
            Ok((done, _)) => Some(done),
            Err(refusal) => {
                assert!(self.moody.load(Ordering::Relaxed), "{refusal}");
                None
            }
        }
    }

    /// Type and rows of a key that holds a collection.
    fn collection_at(&self, db: u16, key: &[u8]) -> Option<(Type, Rows)> {
        self.held(db, key).and_then(|(value, _)| self.collections.get(value).cloned())
    }

    /// Writes and removes elements, few or many, or all of them.
    fn edit(&mut self, db: u16, key: Vec<u8>) {
        let there = self.collection_at(db, &key);
        let is_string = self.held(db, &key).is_some() && there.is_none();
        let any = [Type::Hash, Type::Set, Type::SortedSet][self.random.below(3) as usize];
        // Mostly of the type that is there.
        let kind = there.as_ref().map_or(any, |(kind, _)| if self.random.below(8) > 0 { *kind } else { any });
        let is_other = is_string || there.as_ref().is_some_and(|(there, _)| *there != kind);
        let mut rows = there.map(|(_, rows)| rows).unwrap_or_default();
        let (from, len) = (self.random.below(200), [1, 3, 150][self.random.below(3) as usize]);
        let (adds, size, byte) =
            (self.random.below(3) > 0, self.random.below(80) as usize, self.random.next() as u8);
        let names: Vec<Vec<u8>> = (from..from + len).map(|n| format!("field{n}").into_bytes()).collect();
        let (value, score) = (vec![byte; size], f64::from(byte));
        let names = if adds || self.random.below(4) > 0 { names } else { rows.keys().cloned().collect() };
        let (now, moody) = (self.now(), self.moody.load(Ordering::Relaxed));
        let edited = self.client.run(db, &[&key], now, |cx| match kind {
            Type::Hash => cx.edit(&key, |hash: &mut Edit<'_, Hash>| {
                for name in &names {
                    if adds {
                        hash.put(name, &value, FieldDeadline::Clear)
                    } else {
                        hash.remove(name)
                    };
                }
            }),
            Type::Set => cx.edit(&key, |set: &mut Edit<'_, Set>| {
                for name in &names {
                    if adds {
                        set.add(name)
                    } else {
                        set.remove(name)
                    };
                }
            }),
            _ => cx.edit(&key, |set: &mut Edit<'_, SortedSet>| {
                for name in &names {
                    if adds {
                        set.put(name, score)
                    } else {
                        set.remove(name)
                    };
                }
            }),
        });
        let Ok((result, _)) = edited else { return assert!(moody) };
        assert_eq!(result.is_err(), is_other);
        if is_other {
            return;
        }
        for name in names {
            if !adds {
                rows.remove(&name);
                continue;
            }
            let row = match kind {
                Type::Hash => [&[0], &value[..]].concat(),
                Type::Set => Vec::new(),
                _ => score.to_le_bytes().to_vec(),
            };
            rows.insert(name, row);
        }
        let deadline = self.held(db, &key).and_then(|held| held.1);
        if rows.is_empty() {
            self.model[usize::from(db)].remove(&key);
        } else {
            let bytes = bytes_of_rows(kind, &rows);
            self.collections.insert(bytes.clone(), (kind, rows));
            self.model[usize::from(db)].insert(key, (bytes, deadline));
        }
    }

    /// Renames or copies a key to another of the database, whatever that was.
    fn carry(&mut self, db: u16, from: Vec<u8>) {
        let (to, takes) = (key(self.random.below(KEYS)), self.random.below(2) == 0);
        if from == to {
            return;
        }
        let (now, moody) = (self.now(), self.moody.load(Ordering::Relaxed));
        let carried = self.client.run(db, &[&from, &to], now, |cx| {
            let carried = if takes { cx.take(&from) } else { cx.get(&from).map(|object| object.copy()) };
            let there = carried.is_some();
            carried.into_iter().for_each(|carried| cx.put(&to, carried));
            there
        });
        let held = self.held(db, &from).cloned();
        match carried {
            Ok((there, _)) => assert_eq!(there, held.is_some()),
            Err(_) => return assert!(moody),
        }
        let Some(held) = held else { return };
        if takes {
            self.model[usize::from(db)].remove(&from);
        }
        self.model[usize::from(db)].insert(to, held);
    }

    fn write_range(&mut self, db: u16, key: Vec<u8>) {
        if self.collection_at(db, &key).is_some() {
            return;
        }
        let reach = [10, 100, 20_000, 150_000][self.random.below(4) as usize];
        let offset = self.random.below(reach) as usize;
        let bytes = vec![self.random.below(3) as u8; 1 + self.random.below(5000) as usize];
        if self.apply(db, &key, Effect::WriteRange { offset, bytes: &bytes }).is_none() {
            return;
        }
        let (mut value, deadline) = self.held(db, &key).cloned().unwrap_or_default();
        let end = offset + bytes.len();
        value.resize(value.len().max(end), 0);
        value[offset..end].copy_from_slice(&bytes);
        self.model[usize::from(db)].insert(key, (value, deadline));
    }

    fn alive(&self, db: u16) -> Vec<Vec<u8>> {
        self.model[usize::from(db)].keys().filter(|key| self.held(db, key).is_some()).cloned().collect()
    }

    fn check_walk(&mut self, db: u16) {
        let count = 1 + self.random.below(7) as usize;
        let mut found = self.client.walk(db, count, self.now());
        found.sort();
        assert_eq!(found, self.alive(db));
    }

    fn check_random_key(&mut self, db: u16) {
        let random = self.random.next();
        match self.client.store.random_key(db, self.now(), random, true).expect("rows are sound") {
            Draw::Key(key) => assert!(self.held(db, &key).is_some()),
            Draw::Empty => assert_eq!(self.alive(db), Vec::<Vec<u8>>::new()),
            Draw::NeedIo => panic!("a draw that may wait does not ask to"),
        }
    }

    /// Compares everything, the counts too, once the dead have been deleted.
    fn check_all(&mut self) {
        let moody = self.moody.swap(false, Ordering::Relaxed);
        let now = self.now();
        for db in 0..DATABASES {
            for number in 0..KEYS {
                let key = key(number);
                // Not a change to anything that is there, but a look by a writer, which deletes the dead.
                if self.held(db, &key).is_none() {
                    assert!(!self.client.delete(db, &key, now).0);
                    self.model[usize::from(db)].remove(&key);
                }
                assert_eq!(self.client.get(db, &key, now).as_ref(), self.held(db, &key), "{db} {number}");
            }
            let counts = self.client.store.counts(db);
            let model = &self.model[usize::from(db)];
            assert_eq!(counts.keys, model.len() as u64, "keys of {db}");
            assert_eq!(counts.expires, model.values().filter(|held| held.1.is_some()).count() as u64);
            self.check_walk(db);
        }
        self.moody.store(moody, Ordering::Relaxed);
    }

    fn reopen(mut self) -> Self {
        self.client.close();
        self.client = open(self.dir.path(), &self.moody);
        self
    }
}

/// All keys of the selected database as a run that has all latches finds them.
fn walk_within(cx: &mut WriteCx<'_>, count: usize) -> Vec<Vec<u8>> {
    let (mut all, mut cursor) = (Vec::new(), 0);
    loop {
        let Walk::Keys(keys, next) = cx.walk(cursor, count).expect("rows are sound") else {
            panic!("a walk that may wait does not ask to")
        };
        all.extend(keys.into_iter().map(|(key, _)| key));
        if next == 0 {
            return all;
        }
        assert!(next > cursor, "a cursor goes forward");
        cursor = next;
    }
}

#[test]
fn a_store_is_a_few_maps() {
    let steps = setting("KVDB_STORE_STEPS", 1500);
    for seed in 0..setting("KVDB_STORE_SEEDS", 4) {
        println!("seed {seed}");
        let mut pair = Pair::new(seed);
        for step in 0..steps {
            pair.step();
            match pair.random.below(70) {
                0 => pair.client.evict_all(pair.now()),
                1 => {
                    let half = pair.client.store.census() / 2;
                    pair.client.store.evict_to_disk(half, pair.client.store.appended(), pair.now(), step);
                }
                2 if step % 2 == 0 => pair.client.store.rows().flush().expect("the disk is sound"),
                3 if step % 4 == 0 => pair.client.store.rows().compact().expect("the disk is sound"),
                4 => {
                    let now = pair.now();
                    pair.client.store.warm_up(usize::MAX, || now).expect("rows are sound");
                }
                5 if step % 2 == 0 => pair.check_all(),
                11 => {
                    // The log may be moody.
                    let _: Result<usize, String> = pair.client.store.bury(100);
                }
                6..10 => {
                    let moody = pair.random.below(2) == 0;
                    pair.moody.store(moody, Ordering::Relaxed);
                }
                10 => {
                    pair.check_all();
                    pair = pair.reopen();
                    pair.check_all();
                }
                _ => {}
            }
        }
        pair.check_all();
    }
}

/// Evicts, loads and walks at random: nothing of which a client may notice anything.
fn disturb(store: &Arc<Store>, clock: &AtomicU64, stop: &AtomicBool, seed: u64) {
    let mut random = Random(seed);
    let mut client = Client::of(store.clone());
    while !stop.load(Ordering::Relaxed) {
        let now = clock.load(Ordering::SeqCst);
        let (db, key) = (random.below(u64::from(DATABASES)) as u16, key(random.below(KEYS)));
        match random.below(16) {
            0..4 => {
                store.evict_to_disk(0, store.appended(), now, random.next());
            }
            4..10 => client.load(db, &key, now),
            10..13 => {
                client.get(db, &key, now);
            }
            13 => {
                let (walk, keys) = (client.walk(db, 3, now), KEYS as usize);
                assert!(walk.len() <= keys, "no key is found twice: {walk:?}");
            }
            14 => {
                // The log may be moody.
                let _: Result<_, Refusal> = store.expire_due(now, 0, &mut client.scratch, || true);
            }
            _ => {
                store.warm_up(usize::MAX, || now).expect("rows are sound");
                assert!(store.counts(db).keys <= KEYS, "counts hold at every moment");
            }
        }
    }
}

#[test]
fn a_store_is_a_few_maps_whoever_else_is_at_work() {
    let steps = setting("KVDB_STORE_STEPS", 1500);
    for seed in 0..setting("KVDB_STORE_SEEDS", 2).div_ceil(2) {
        println!("seed {seed}");
        let mut pair = Pair::new(seed + 1000);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for n in 0..3 {
                let (store, clock, stop) = (pair.client.store.clone(), pair.clock.clone(), &stop);
                scope.spawn(move || disturb(&store, &clock, stop, seed * 10 + n));
            }
            let stops = Stop(&stop);
            for step in 0..steps {
                pair.moody.store(step % 512 > 384, Ordering::Relaxed);
                pair.step();
            }
            drop(stops);
            pair.moody.store(false, Ordering::Relaxed);
        });
        pair.check_all();
        pair.reopen().check_all();
    }
}

/// Ends the disturbers, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
