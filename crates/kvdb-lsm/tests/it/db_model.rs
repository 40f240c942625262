//! Random operations on a database against a `BTreeMap`: every way to read gives the same answer
//! whatever flushes, compactions, ingestions, backups, reopenings and views came in between.

use crate::db_ingest::{apply, build, random_rows};
use crate::db_support::{History, KEYS, Model, key, random_batch, small};
use crate::db_walks::{Range, Walk, bound, slice};
use crate::support::{Rng, seeds};
use kvdb_lsm::backup::Backups;
use kvdb_lsm::vfs::{SimVfs, Vfs};
use kvdb_lsm::{Db, Options, ReadView, Scrub, unwatched};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

/// Several levels, so that there is something below most compactions.
fn options(vfs: &SimVfs) -> Options {
    Options { base_level_bytes: 1 << 10, table_bytes: 1 << 10, fan_out: 3, ..small(vfs) }
}

struct Run {
    vfs: SimVfs,
    db: Db,
    history: History,
    /// Views, with what they must show.
    views: Vec<(ReadView, Model)>,
    /// Where backups are kept, and what each must bring back.
    store: SimVfs,
    backups: Vec<(u64, Model)>,
    scrub: Scrub,
}

impl Run {
    fn step(&mut self, rng: &mut Rng, context: &str) {
        match rng.below(43) {
            0..=23 => {
                let batch = random_batch(rng);
                let seq = self.db.append(&batch).expect("nothing fails here");
                self.history.push(batch, seq);
            }
            24 => self.history.model.assert_key(&self.db, &key(rng.below(KEYS)), context),
            25 => self.history.model.assert_many(&self.db, None, rng, context),
            26 => drop(self.db.flush_if_due().expect("flush")),
            27 => self.db.flush().expect("flush"),
            28 | 29 => drop(self.db.compact_step().expect("compact")),
            30 if rng.one_in(4) => self.db.compact().expect("compact"),
            31 if self.views.len() < 6 => {
                let view = self.db.view();
                assert_eq!(view.seq(), self.history.last_seq(), "{context}");
                self.views.push((view, self.history.model.clone()));
            }
            32 if !self.views.is_empty() => {
                let _ = self.views.swap_remove(rng.below(self.views.len() as u64) as usize);
            }
            33 if !self.views.is_empty() => {
                let (view, model) = &self.views[rng.below(self.views.len() as u64) as usize];
                check_view(&self.db, view, model, rng, context);
            }
            36 => self.reopen(rng, context),
            34 if rng.one_in(2) => self.compact_range(rng, context),
            34 => {
                let view = self.db.view();
                check_view(&self.db, &view, &self.history.model, rng, context);
            }
            35 if rng.one_in(4) => self.drop_range(rng, context),
            37 if rng.one_in(3) => self.checkpoint(rng, context),
            38 if rng.one_in(3) => {
                let report = self.db.verify().expect("verify");
                assert!(report.problems.is_empty(), "{context}: {:?}", report.problems);
            }
            40 => self.ingest(rng),
            41 if rng.one_in(3) => self.back_up(rng, context),
            42 => {
                let step = self.db.scrub_step(&mut self.scrub, 1 + rng.below(4000));
                assert!(step.problems.is_empty(), "{context}: {:?}", step.problems);
            }
            _ => self.db.log().tick(std::time::Duration::from_millis(rng.below(9000))),
        }
    }

    fn reopen(&mut self, rng: &mut Rng, context: &str) {
        self.views.clear();
        if rng.one_in(2) {
            self.db.log().sync().expect("sync");
            self.vfs = self.vfs.process_crash();
            self.db = Db::open(options(&self.vfs)).expect("open after the process died");
        } else {
            // The lock must be free before the database is opened again.
            let elsewhere = Db::open(options(&SimVfs::new())).expect("open");
            std::mem::replace(&mut self.db, elsewhere).close().expect("close");
            self.db = Db::open(options(&self.vfs)).expect("open after closing");
        }
        self.history.model.assert_equals(&self.db, context);
    }

    fn compact_range(&self, rng: &mut Rng, context: &str) {
        let (lower, upper) = (bound(rng), bound(rng));
        let before = self.db.stats();
        self.db.compact_range((slice(&lower), slice(&upper))).expect("compact a range");
        let after = self.db.stats();
        assert!(after.table_entries <= before.table_entries + before.active_keys as u64, "{context}");
        if (&lower, &upper) == (&Bound::Unbounded, &Bound::Unbounded) {
            assert_eq!(after.table_entries, self.history.model.rows.len() as u64, "{context}");
        }
    }

    /// Lets go of a range as one does: the tables inside it first, then what is left, row by row.
    fn drop_range(&mut self, rng: &mut Rng, context: &str) {
        let (lower, upper) = (bound(rng), bound(rng));
        let view = self.db.view();
        let kept = self.history.model.clone();
        let bytes = self.db.drop_range_files((slice(&lower), slice(&upper))).expect("drop tables");
        let before = self.db.stats().removed_tables;
        assert!(bytes == 0 || before > 0, "{context}");
        let left = self.db.view();
        let mut batch = kvdb_lsm::batch::WriteBatch::new();
        for row in self.db.iter((slice(&lower), slice(&upper)), &left) {
            batch.delete(&row.expect("iterate").0);
        }
        // What was only in the tables that went is gone from the model as well.
        let range = Range::Between(lower, upper);
        self.history.model.rows.retain(|key, _| !range.contains(key));
        if !batch.is_empty() {
            let seq = self.db.append(&batch).expect("append");
            self.history.push(batch, seq);
        }
        check_view(&self.db, &view, &kept, rng, context);
    }

    /// Takes in up to three tables that were made elsewhere, some of whose keys are there already.
    fn ingest(&mut self, rng: &mut Rng) {
        let (mut from, mut paths) = (rng.below(KEYS / 2), Vec::new());
        for _ in 0..1 + rng.below(3) {
            let to = from + 1 + rng.below(15);
            let rows = random_rows(rng, from, to);
            paths.push(build(&self.vfs, &format!("{}.sst", rng.next()), &rows));
            apply(&mut self.history.model, &rows);
            from = to;
        }
        let seq = self.db.ingest(&paths).expect("ingest");
        assert_eq!(seq, self.history.last_seq());
        paths.iter().for_each(|path| self.vfs.remove(path).expect("remove"));
    }

    /// Backs up, and restores elsewhere what the directory of backups has by now.
    fn back_up(&mut self, rng: &mut Rng, context: &str) {
        let backups = Backups::open(Arc::new(self.store.clone()), "/backups").expect("open the backups");
        let made = backups.create(&self.db, rng.below(1 << 40), &mut unwatched).expect("back up");
        assert_eq!(made.backup.seq, self.history.last_seq(), "{context}");
        self.backups.push((made.backup.id, self.history.model.clone()));
        let chosen = rng.below(self.backups.len() as u64) as usize;
        let (id, model) = &self.backups[chosen];
        let elsewhere = SimVfs::new();
        let dir = Path::new("/restored");
        backups.restore(*id, &elsewhere, dir, &mut unwatched).expect("restore");
        let options = Options { dir: dir.into(), ..options(&elsewhere) };
        let restored = Db::open(options).expect("open what was restored");
        model.assert_equals(&restored, &format!("{context}, backup {id}"));
        if self.backups.len() > 2 {
            let (id, _) = self.backups.swap_remove(chosen);
            backups.delete(id).expect("delete");
        }
    }

    fn checkpoint(&self, rng: &mut Rng, context: &str) {
        let dir = format!("/copy{}", rng.next());
        let seq = self.db.checkpoint(Path::new(&dir)).expect("checkpoint");
        assert_eq!(seq, self.history.last_seq(), "{context}");
        let mut options = options(&self.vfs);
        options.dir = dir.clone().into();
        let copy = Db::open(options.clone()).expect("open the checkpoint");
        self.history.model.assert_equals(&copy, context);
        // The copy goes its own way, and comes back from its own log.
        let mut history = self.history.clone();
        for _ in 0..30 {
            let batch = random_batch(rng);
            let seq = copy.append(&batch).expect("append");
            history.push(batch, seq);
        }
        copy.compact().expect("compact");
        copy.close().expect("close");
        let copy = Db::open(options).expect("open the checkpoint again");
        history.model.assert_equals(&copy, context);
        self.history.model.assert_equals(&self.db, context);
        assert!(self.db.checkpoint(Path::new(&dir)).is_err(), "{context}: into a database");
    }
}

fn check_view(db: &Db, view: &ReadView, model: &Model, rng: &mut Rng, context: &str) {
    Walk::random(rng).check(db, view, &model.rows, context);
    let range = Range::random(rng);
    let rows = |found: Result<Vec<_>, _>| found.unwrap_or_else(|e| panic!("{context}: {e}"));
    let expected: Vec<_> = model.rows.clone().into_iter().filter(|(key, _)| range.contains(key)).collect();
    let found = rows(range.iter(db, view).collect());
    assert!(found == expected, "{context}: {range:?} gives {} rows, not {}", found.len(), expected.len());
    let mut found = rows(range.iter(db, view).descending().collect());
    found.reverse();
    assert!(found == expected, "{context}: {range:?} gives other rows downwards");
    let key = key(rng.below(KEYS));
    assert_eq!(db.get_at(&key, view).expect("get").as_ref(), model.rows.get(&key), "{context}");
    model.assert_many(db, Some(view), rng, context);
}

#[test]
fn every_answer_is_that_of_the_model() {
    let (mut blobs, mut moved) = (0, 0);
    for seed in seeds(60) {
        let mut rng = Rng::new(seed);
        let vfs = SimVfs::new();
        let db = Db::open(options(&vfs)).expect("open");
        let mut run = Run {
            vfs,
            db,
            history: History::default(),
            views: Vec::new(),
            store: SimVfs::new(),
            backups: Vec::new(),
            scrub: Scrub::default(),
        };
        for step in 0..300 {
            run.step(&mut rng, &format!("seed {seed}, step {step}"));
        }
        run.history.model.assert_equals(&run.db, &format!("seed {seed}, end"));
        let stats = run.db.stats();
        (blobs, moved) = (blobs + stats.blob_files, moved + stats.moved_blob_bytes);
        for (view, model) in &run.views {
            for _ in 0..5 {
                check_view(&run.db, view, model, &mut rng, &format!("seed {seed}, last views"));
            }
        }
    }
    assert!(blobs > 0 && moved > 0, "{blobs} blob files, {moved} bytes moved: large values are too rare");
}

#[test]
fn a_full_compaction_leaves_no_tombstone_and_no_old_version() {
    let db = Db::open(options(&SimVfs::new())).expect("open");
    let mut rng = Rng::new(7);
    let mut history = History::default();
    for n in 0..2000 {
        let batch = random_batch(&mut rng);
        let seq = db.append(&batch).expect("append");
        history.push(batch, seq);
        if n % 100 == 0 {
            db.flush().expect("flush");
            while db.compact_step().expect("compact") {}
        }
    }
    db.compact().expect("compact");
    let stats = db.stats();
    assert_eq!(stats.table_entries, history.model.rows.len() as u64);
    assert_eq!(stats.flushed_seq, history.last_seq());
    history.model.assert_equals(&db, "compacted");
}

#[test]
fn hot_overwrites_are_flushed_for_the_sake_of_the_log() {
    let db = Db::open(options(&SimVfs::new())).expect("open");
    let mut batch = kvdb_lsm::batch::WriteBatch::new();
    for n in 0..3000u32 {
        batch.clear();
        batch.put(b"k001", &n.to_le_bytes());
        db.append(&batch).expect("append");
        db.log().write_out(db.log().appended()).expect("write");
        db.flush_if_due().expect("flush");
    }
    let stats = db.stats();
    assert!(stats.flushes > 0 && stats.flushes < 20, "{}", stats.flushes);
    assert!(stats.log.live_bytes < 80 << 10, "{}", stats.log.live_bytes);
}

#[test]
fn files_of_compacted_tables_go_when_the_last_view_does() {
    let vfs = SimVfs::new();
    let db = Db::open(options(&vfs)).expect("open");
    let tables = || vfs.list(Path::new("/db/sst")).expect("list").len();
    let mut rng = Rng::new(3);
    for _ in 0..200 {
        db.append(&random_batch(&mut rng)).expect("append");
    }
    db.flush().expect("flush");
    let view = db.view();
    let before: Vec<_> = db.iter_all(&view).collect::<Result<_, _>>().expect("iterate");
    for _ in 0..200 {
        db.append(&random_batch(&mut rng)).expect("append");
    }
    db.compact().expect("compact");
    assert!(tables() > db.stats().tables.iter().sum());
    let after: Vec<_> = db.iter_all(&view).collect::<Result<_, _>>().expect("iterate");
    assert_eq!(before, after);
    drop(view);
    db.compact_step().expect("sweeps");
    assert_eq!(tables(), db.stats().tables.iter().sum::<usize>());
}

#[test]
fn a_database_without_cache_filters_or_compression_answers_the_same() {
    let mut options = options(&SimVfs::new());
    options.block_cache_bytes = 0;
    options.bloom_bits_per_key = 0;
    options.compression = kvdb_lsm::Compression::None;
    options.partitioning.count = 1;
    let db = Db::open(options).expect("open");
    let mut rng = Rng::new(31);
    let mut history = History::default();
    for n in 0..600 {
        let batch = random_batch(&mut rng);
        let seq = db.append(&batch).expect("append");
        history.push(batch, seq);
        if n % 50 == 0 {
            db.flush().expect("flush");
            db.compact_step().expect("compact");
        }
    }
    history.model.assert_equals(&db, "bare");
    db.compact().expect("compact");
    history.model.assert_equals(&db, "bare and compacted");
}
