//! A filter at work: an owner whose databases are emptied by giving them a new space, and whose
//! rows have deadlines. What is alive is never lost, what was dropped stays dead through crashes,
//! views keep what they saw, and what is dead frees its space.

use crate::db_support::small;
use crate::support::{Rng, cases};
use kvdb_lsm::batch::{Seq, WriteBatch};
use kvdb_lsm::error::Error;
use kvdb_lsm::filter::{CompactionFilter, Judge};
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs, Vfs};
use kvdb_lsm::{Compression, Db, Options, ReadView, SstWriter};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DATABASES: usize = 3;
/// The row that says which space each database has.
const SPACES: &[u8] = b"~spaces";

const HELD: &str = "nobody panics while holding it";

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;
type Spaces = [u8; DATABASES];

/// Keys are a space and a number; values begin with a deadline, 0 for none.
#[derive(Debug, Default)]
struct Owner {
    /// Spaces in use, once they are known.
    spaces: Mutex<Option<Spaces>>,
    now: AtomicU64,
}

struct Now {
    spaces: Option<Spaces>,
    horizon: u64,
}

impl CompactionFilter for Owner {
    fn begin(&self) -> Box<dyn Judge> {
        Box::new(Now { spaces: *self.spaces.lock().expect(HELD), horizon: self.now.load(Ordering::SeqCst) })
    }

    fn class(&self, key: &[u8]) -> Option<u32> {
        (key != SPACES).then(|| u32::from(key[0]))
    }

    fn deadline(&self, key: &[u8], value: &[u8]) -> Option<u64> {
        (key != SPACES && value[0] > 0).then(|| u64::from(value[0]))
    }
}

impl Judge for Now {
    fn is_class_dead(&self, class: u32) -> bool {
        self.spaces.is_some_and(|spaces| spaces.iter().all(|&space| u32::from(space) != class))
    }

    fn horizon(&self) -> u64 {
        self.horizon
    }
}

fn options(vfs: &SimVfs, owner: &Arc<Owner>) -> Options {
    // Several levels, so that rows are dropped while older versions lie further down.
    let small = Options { base_level_bytes: 1 << 10, table_bytes: 1 << 10, fan_out: 3, ..small(vfs) };
    Options { filter: Some(Arc::clone(owner) as _), min_tombstones: 8, ..small }
}

/// What the owner has done, and what must be there.
#[derive(Debug, Clone, Default)]
struct History {
    /// The state after each sequence at which a batch ended.
    states: BTreeMap<Seq, (Spaces, Rows)>,
    spaces: Spaces,
    rows: Rows,
    next_space: u8,
}

impl History {
    fn push(&mut self, seq: Seq) {
        self.states.insert(seq, (self.spaces, self.rows.clone()));
    }

    /// Goes back to the state at `seq`, or to the beginning.
    fn cut(&mut self, seq: Seq, context: &str) {
        self.states.split_off(&(seq + 1));
        let (spaces, rows) = match self.states.last_key_value() {
            Some((&last, state)) => {
                assert_eq!(last, seq, "{context}: sequence {seq} is inside a batch");
                state.clone()
            }
            None => (Spaces::default(), Rows::new()),
        };
        (self.spaces, self.rows) = (spaces, rows);
    }
}

fn content(db: &Db, view: &ReadView) -> Rows {
    db.iter_all(view).collect::<Result<_, _>>().expect("iterate")
}

/// Asserts that what is alive is there as it should be, and that what is past its deadline is there
/// as it was written last, or not at all.
fn check(db: &Db, history: &History, now: u64, context: &str) {
    let mut found = content(db, &db.view());
    found.remove(SPACES);
    found.retain(|key, _| history.spaces.contains(&key[0]));
    let is_past = |value: &Vec<u8>| value[0] > 0 && u64::from(value[0]) <= now;
    for (key, value) in &history.rows {
        match found.remove(key) {
            Some(held) => assert_eq!(&held, value, "{context}: {key:?}"),
            None => assert!(is_past(value), "{context}: {key:?} is lost"),
        }
        let got = db.get(key).expect("get");
        assert!(got.as_ref() == Some(value) || got.is_none() && is_past(value), "{context}: {key:?}");
    }
    assert!(found.is_empty(), "{context}: rows came back: {:?}", found.keys());
}

struct Run {
    owner: Arc<Owner>,
    db: Db,
    history: History,
}

impl Run {
    fn open(vfs: &SimVfs, owner: Arc<Owner>, history: History) -> Result<Self, Error> {
        let db = Db::open(options(vfs, &owner))?;
        let mut run = Self { owner, db, history };
        if run.history.states.is_empty() {
            (run.history.spaces, run.history.next_space) = ([0, 1, 2], 3);
            run.put_spaces();
        }
        *run.owner.spaces.lock().expect(HELD) = Some(run.history.spaces);
        Ok(run)
    }

    fn put_spaces(&mut self) -> bool {
        let mut batch = WriteBatch::new();
        batch.put(SPACES, &self.history.spaces);
        let Ok(seq) = self.db.append(&batch) else {
            return false;
        };
        self.history.push(seq);
        // Only now: what the filter knows has been appended.
        *self.owner.spaces.lock().expect(HELD) = Some(self.history.spaces);
        true
    }

    /// Empties a database.
    fn empty(&mut self, db: usize) {
        let before = (self.history.spaces, self.history.rows.clone());
        let old = std::mem::replace(&mut self.history.spaces[db], self.history.next_space);
        self.history.next_space += 1;
        self.history.rows.retain(|key, _| key[0] != old);
        if !self.put_spaces() {
            (self.history.spaces, self.history.rows) = before;
        }
    }

    fn step(&mut self, rng: &mut Rng) {
        match rng.below(30) {
            0..=17 => self.write(rng),
            18 if rng.one_in(3) && self.history.next_space < u8::MAX => {
                self.empty(rng.below(DATABASES as u64) as usize);
            }
            19 => self.history.spaces.swap(0, 1),
            20 => drop(self.owner.now.fetch_add(rng.below(3), Ordering::SeqCst)),
            21 | 22 => drop(self.db.flush()),
            23..=26 => drop(self.db.compact_step()),
            27 if rng.one_in(8) => drop(self.db.compact()),
            28 => drop(self.db.log().sync()),
            _ => self.db.log().tick(Duration::from_millis(rng.below(5000))),
        }
    }

    fn write(&mut self, rng: &mut Rng) {
        let mut batch = WriteBatch::new();
        let mut rows = self.history.rows.clone();
        for _ in 0..=rng.below(3) {
            let space = self.history.spaces[rng.below(DATABASES as u64) as usize];
            let key = vec![space, b'k', rng.below(30) as u8];
            if rng.one_in(4) {
                batch.delete(&key);
                rows.remove(&key);
            } else {
                let now = self.owner.now.load(Ordering::SeqCst);
                let deadline = if rng.one_in(2) { (now + rng.below(6)).min(255) as u8 } else { 0 };
                let mut value = vec![deadline, rng.next() as u8];
                value.resize(2 + rng.below(100) as usize, 7);
                batch.put(&key, &value);
                rows.insert(key, value);
            }
        }
        if let Ok(seq) = self.db.append(&batch) {
            self.history.rows = rows;
            self.history.push(seq);
        }
    }
}

#[test]
fn what_is_alive_stays_and_views_keep_what_they_saw() {
    let (mut dropped, mut removed) = (0, 0);
    for seed in 0..cases(60) {
        let mut rng = Rng::new(seed);
        let vfs = SimVfs::new();
        let mut run = Run::open(&vfs, Arc::default(), History::default()).expect("open");
        let mut views: Vec<(ReadView, Rows)> = Vec::new();
        for step in 0..400 {
            run.step(&mut rng);
            let context = format!("seed {seed}, step {step}");
            if rng.one_in(25) {
                let view = run.db.view();
                let rows = content(&run.db, &view);
                views.push((view, rows));
                if views.len() > 4 {
                    drop(views.swap_remove(rng.below(4) as usize));
                }
            }
            if rng.one_in(10) {
                check(&run.db, &run.history, run.owner.now.load(Ordering::SeqCst), &context);
                for (view, rows) in &views {
                    assert!(content(&run.db, view) == *rows, "{context}: a view changed");
                }
            }
        }
        let report = run.db.verify().expect("verify");
        assert!(report.problems.is_empty(), "seed {seed}: {:?}", report.problems);
        let stats = run.db.stats();
        dropped += stats.filtered_entries;
        removed += stats.removed_tables;
    }
    assert!(dropped > 1000 && removed > 0, "the filter had nothing to do: {dropped}, {removed}");
}

#[test]
fn what_was_dropped_does_not_come_alive_in_a_crash() {
    for seed in 0..cases(100) {
        let mut rng = Rng::new(seed);
        let mut vfs = SimVfs::new();
        let owner: Arc<Owner> = Arc::default();
        let mut history = History::default();
        for life in 0..4 {
            let mut run = Run::open(&vfs, Arc::clone(&owner), history).expect("open");
            for _ in 0..rng.below(300) {
                run.step(&mut rng);
            }
            let context = format!("seed {seed}, life {life}");
            let cut = vfs.crash(rng.next());
            let known: Arc<Owner> = Arc::default();
            // Opened by an owner that knows nothing: it must find a state that is whole.
            let db = Db::open(options(&cut, &known)).unwrap_or_else(|e| panic!("{context}: {e}"));
            let mut kept = run.history.clone();
            kept.cut(db.log().appended(), &context);
            let stored = db.get(SPACES).expect("get");
            // A swap is not stored by this owner; it changes which database a space belongs to only.
            let sorted = |mut spaces: Vec<u8>| {
                spaces.sort_unstable();
                spaces
            };
            if !kept.states.is_empty() {
                assert_eq!(stored.map(sorted), Some(sorted(kept.spaces.to_vec())), "{context}");
            }
            check(&db, &kept, owner.now.load(Ordering::SeqCst), &context);
            drop(db);
            (vfs, history) = (cut, kept);
        }
    }
}

#[test]
fn an_emptied_database_frees_its_tables_unread_and_the_rest_by_rewriting() {
    let vfs = SimVfs::new();
    let mut run = Run::open(&vfs, Arc::default(), History::default()).expect("open");
    let fill = |db: &Db, space: u8, numbers: std::ops::Range<u16>| {
        for n in numbers {
            let mut batch = WriteBatch::new();
            let mut key = vec![space, b'k'];
            key.extend_from_slice(&n.to_be_bytes());
            batch.put(&key, &[0; 60]);
            db.append(&batch).expect("append");
        }
        db.flush().expect("flush");
    };
    let settle = |db: &Db| while db.compact_step().expect("compact") {};
    fill(&run.db, 0, 0..400);
    fill(&run.db, 1, 0..400);
    settle(&run.db);
    let full = run.db.stats().table_bytes.iter().sum::<u64>();
    run.empty(0);
    settle(&run.db);
    let stats = run.db.stats();
    assert!(stats.removed_tables > 5, "{}", stats.removed_tables);
    let half = stats.table_bytes.iter().sum::<u64>();
    assert!(half < full * 6 / 10, "{half} of {full} bytes are left");
    let rows = content(&run.db, &run.db.view());
    assert_eq!(rows.keys().filter(|key| key[0] == 1).count(), 400);
    // Tables of which little is dead are left for when they are merged anyway.
    let dead = rows.keys().filter(|key| key[0] == 0).count();
    assert!(dead < 40, "{dead} dead rows are left");
    run.empty(1);
    run.db.flush().expect("flush");
    settle(&run.db);
    run.db.compact().expect("compact");
    let left = run.db.stats();
    assert_eq!(left.table_entries, 1, "only the row of the spaces is left");
}

#[test]
fn what_was_ingested_dies_with_its_class_and_unread() {
    let (vfs, owner) = (SimVfs::new(), Arc::new(Owner::default()));
    let db = Db::open(options(&vfs, &owner)).expect("open");
    vfs.create_dir_all(Path::new("/in")).expect("create");
    let mut files = Vec::new();
    for space in [7, 8u8] {
        let path = Path::new("/in").join(format!("{space}.sst"));
        let mut writer = SstWriter::create(&vfs, &path, Compression::None).expect("create");
        (0..100u8).for_each(|n| writer.put(&[space, n], &[0, n]).expect("put"));
        writer.finish().expect("finish");
        files.push(path);
    }
    db.ingest(&files).expect("ingest");
    *owner.spaces.lock().expect(HELD) = Some([8; DATABASES]);
    assert!(db.compact_step().expect("compact"));
    let stats = db.stats();
    assert_eq!((stats.removed_tables, stats.compaction_read_bytes), (1, 0));
    assert_eq!(db.get(&[7, 5]).expect("get"), None);
    assert_eq!(db.get(&[8, 5]).expect("get"), Some(vec![0, 5]));
}

/// What a merge that is due would need is not there, and what it would free neither.
#[test]
fn on_a_disk_without_room_for_a_merge_what_is_dead_goes_nevertheless() {
    let (vfs, owner) = (SimVfs::new(), Arc::new(Owner::default()));
    *owner.spaces.lock().expect(HELD) = Some([7, 8, 8]);
    let db = Db::open(Options { blob_threshold: usize::MAX, ..options(&vfs, &owner) }).expect("open");
    for space in [7, 8u8] {
        for round in 0..4u8 {
            let mut batch = WriteBatch::new();
            // Space 8 is due for a compaction, space 7 lies beside it.
            (0..60u8).for_each(|n| batch.put(&[space, n], &[[0, round].as_slice(), &[n; 40]].concat()));
            db.append(&batch).expect("append");
            db.flush().expect("flush");
        }
    }
    *owner.spaces.lock().expect(HELD) = Some([8; DATABASES]);
    let before = db.stats();
    assert!(before.tables[0] >= 3, "{before:?}");
    vfs.set_capacity(Some(vfs.used_bytes() + 4000));
    assert!(db.compact_step().expect("it takes no space"));
    let after = db.stats();
    assert!(after.removed_tables >= 4 && after.compactions == before.compactions, "{after:?}");
    let bytes = |tables: [u64; 7]| tables.iter().sum::<u64>();
    assert!(bytes(after.table_bytes) < bytes(before.table_bytes) * 6 / 10);
    for n in 0..60 {
        assert_eq!(db.get(&[7, n]).expect("get"), None);
        assert!(db.get(&[8, n]).expect("get").is_some());
    }
}

#[test]
fn a_log_that_cannot_be_synced_keeps_what_the_filter_would_drop() {
    let vfs = SimVfs::new();
    let mut run = Run::open(&vfs, Arc::default(), History::default()).expect("open");
    let mut batch = WriteBatch::new();
    batch.put(&[0, b'k', 1], &[0; 50]);
    run.db.append(&batch).expect("append");
    run.db.flush().expect("flush");
    run.empty(0);
    vfs.fail(FaultPlan::from(1, FaultKind::Io));
    run.db.compact_step().expect_err("the log cannot be synced");
    vfs.heal();
    let db = Db::open(small(&vfs.crash(1))).expect("open");
    assert!(db.get(&[0, b'k', 1]).expect("get").is_some());
}

#[test]
fn a_fault_at_any_call_loses_nothing_that_is_alive() {
    let mut nth = 0;
    loop {
        nth += 1;
        let context = format!("fault at call {nth}");
        let vfs = SimVfs::new();
        vfs.fail(FaultPlan::once(nth, FaultKind::Io));
        let owner: Arc<Owner> = Arc::default();
        let mut rng = Rng::new(4);
        let mut history = History::default();
        if let Ok(mut run) = Run::open(&vfs, Arc::clone(&owner), History::default()) {
            for _ in 0..150 {
                run.step(&mut rng);
            }
            history = run.history;
        }
        if vfs.heal() == 0 {
            assert!(nth > 100, "the life is shorter than it should be");
            return;
        }
        let cut = vfs.crash(nth);
        let db = Db::open(options(&cut, &Arc::default())).unwrap_or_else(|e| panic!("{context}: {e}"));
        history.cut(db.log().appended(), &context);
        check(&db, &history, owner.now.load(Ordering::SeqCst), &context);
    }
}

#[test]
fn a_checkpoint_has_the_reason_for_what_was_dropped() {
    const ROWS: usize = 40;
    let vfs = SimVfs::new();
    let owner: Arc<Owner> = Arc::default();
    let db = Db::open(options(&vfs, &owner)).expect("open");
    let done = AtomicBool::new(false);
    // Each batch gives the database a new space and fills it, so whatever sequence a copy has, the
    // space that it names has all its rows.
    let switch = |space: u8| {
        let mut batch = WriteBatch::new();
        batch.put(SPACES, &[space; DATABASES]);
        (0..ROWS).for_each(|n| batch.put(&[space, b'k', n as u8], &[0; 50]));
        db.append(&batch).expect("append");
        *owner.spaces.lock().expect(HELD) = Some([space; DATABASES]);
    };
    switch(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for space in 1..=u8::MAX {
                switch(space);
                while db.compact_step().expect("compact") {}
                if space % 3 == 0 {
                    db.flush().expect("flush");
                }
                std::thread::yield_now();
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut copies = 0;
        while !done.load(Ordering::SeqCst) || copies == 0 {
            copies += 1;
            let dir = format!("/copy{copies}");
            db.checkpoint(Path::new(&dir)).expect("checkpoint");
            let copy = Db::open(Options { dir: dir.into(), ..small(&vfs) }).expect("open the copy");
            let spaces = copy.get(SPACES).expect("get").expect("it is in every batch");
            let rows = content(&copy, &copy.view());
            let alive = rows.keys().filter(|key| *key != SPACES && key[0] == spaces[0]).count();
            assert_eq!(alive, ROWS, "copy {copies}: rows of space {} are missing", spaces[0]);
        }
    });
}
