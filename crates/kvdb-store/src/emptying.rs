//! Emptying and exchanging whole databases: changes of a run that [has all latches](WriteCx::reach_everything).
//!
//! Either is one step, whatever the size: the databases get other spaces, and in memory the parts of shards that belong to
//! them give way or change places. As with every change, memory shows it at once, to the run that has made it, and the rows
//! with the run's batch. Where the log refuses that, or the run begins again, the parts go back to where they were.

use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use crate::commit_log::Refusal;
use crate::identity::put_spaces;
use crate::keyspace::Totals;
use crate::latches::Guards;
use crate::news::Told;
use crate::shard::DbShard;
use crate::store::{Store, expires_counter, fading_counter, keys_counter};
use crate::write::WriteCx;

/// What a run has done to whole databases and has not appended yet.
pub(crate) struct Upheaval {
    /// The space of each database, and the next one, as they were before.
    spaces: Vec<u32>,
    next_space: u32,
    steps: Vec<Step>,
}

enum Step {
    /// A database was emptied that had these parts, shard by shard; no parts where it had been empty.
    Emptied(u16, Vec<DbShard>),
    /// Two databases were exchanged.
    Exchanged(u16, u16),
}

/// Numbers of databases, each at most once.
type Databases = SmallVec<[u16; 4]>;

impl Upheaval {
    /// The databases that were exchanged. What the run has changed in one of them may be under the number of another by now.
    fn exchanged(&self) -> Databases {
        let pairs = self.steps.iter().filter_map(|step| match step {
            Step::Exchanged(a, b) => Some([*a, *b]),
            Step::Emptied(..) => None,
        });
        distinct(pairs.flatten())
    }

    /// Those that have other keys now.
    fn concerned(&self) -> Databases {
        distinct(self.steps.iter().flat_map(|step| match step {
            Step::Exchanged(a, b) => [*a, *b],
            Step::Emptied(db, _) => [*db, *db],
        }))
    }

    /// Puts everything back, the counts aside, which go with the batch. Returns the databases that were exchanged.
    pub(crate) fn undo(self, store: &Store, guards: &mut Guards<'_>) -> Databases {
        let exchanged = self.exchanged();
        for step in self.steps.into_iter().rev() {
            match step {
                Step::Emptied(db, parts) => {
                    let parts = parts.into_iter().chain(std::iter::repeat_with(DbShard::empty));
                    guards.iter_mut().zip(parts).for_each(|(shard, part)| shard.put_back(db, part));
                }
                Step::Exchanged(a, b) => guards.iter_mut().for_each(|shard| shard.exchange(a, b)),
            }
        }
        (0..).zip(self.spaces).for_each(|(db, space)| store.set_space(db, space));
        store.next_space.store(self.next_space, Ordering::Relaxed);
        exchanged
    }
}

fn distinct(dbs: impl Iterator<Item = u16>) -> Databases {
    let mut dbs: Databases = dbs.collect();
    dbs.sort_unstable();
    dbs.dedup();
    dbs
}

impl WriteCx<'_> {
    /// Empties databases in one step, whatever their size.
    ///
    /// # Errors
    /// When there are no more spaces; nothing has been changed then.
    pub fn empty(&mut self, dbs: &[u16]) -> Result<(), Refusal> {
        let first = self.store.next_space.load(Ordering::Relaxed);
        let next = u32::try_from(dbs.len()).ok().and_then(|count| first.checked_add(count));
        let next = next.ok_or_else(|| {
            Refusal::Unavailable("databases have been emptied as often as row keys can tell apart".into())
        })?;
        self.begin_upheaval();
        for (&db, space) in dbs.iter().zip(first..) {
            self.store.set_space(db, space);
            let Totals { keys, expires, fading } = self.store.totals_under(&self.guards, db);
            let mut parts: Vec<_> = self.guards.iter_mut().map(|shard| shard.clear_db(db)).collect();
            if parts.iter().all(DbShard::is_known_empty) {
                // A run may empty a database any number of times.
                parts = Vec::new();
            }
            self.recount(db, Totals { keys: -keys, expires: -expires, fading: -fading });
            self.end_step(Step::Emptied(db, parts));
        }
        self.store.next_space.store(next, Ordering::Relaxed);
        self.put_spaces();
        Ok(())
    }

    /// Exchanges two databases in one step.
    pub fn exchange(&mut self, a: u16, b: u16) {
        if a == b {
            return;
        }
        self.begin_upheaval();
        let spaces = self.store.all_spaces();
        self.store.set_space(a, spaces[usize::from(b)]);
        self.store.set_space(b, spaces[usize::from(a)]);
        let (of_a, of_b) =
            (self.store.totals_under(&self.guards, a), self.store.totals_under(&self.guards, b));
        self.guards.iter_mut().for_each(|shard| shard.swap_dbs(a, b, self.env.now));
        let (keys, expires) = (of_b.keys - of_a.keys, of_b.expires - of_a.expires);
        let fading = of_b.fading - of_a.fading;
        self.recount(a, Totals { keys, expires, fading });
        self.recount(b, Totals { keys: -keys, expires: -expires, fading: -fading });
        self.end_step(Step::Exchanged(a, b));
        self.put_spaces();
    }

    /// Whether the run has emptied or exchanged databases: their keys are others, and nobody has made those resident.
    pub fn has_moved_databases(&self) -> bool {
        self.upheaval.is_some()
    }

    fn begin_upheaval(&mut self) {
        debug_assert!(self.guards.are_all(), "others must not see a part of it");
        // What others are loading is worthless from here on: this run may load it itself, and change it.
        self.store.next_epoch();
        self.used = None;
        if self.upheaval.is_none() {
            let (spaces, next) = (self.store.all_spaces(), self.store.next_space.load(Ordering::Relaxed));
            self.upheaval = Some(Box::new(Upheaval { spaces, next_space: next, steps: Vec::new() }));
        }
    }

    /// Changes the counts of a database, those of the run's batch too.
    fn recount(&mut self, db: u16, by: Totals) {
        let batch = &mut self.scratch.batch;
        batch.add_counter(keys_counter(db), by.keys);
        batch.add_counter(expires_counter(db), by.expires);
        if by.fading != 0 {
            batch.add_counter(fading_counter(db), by.fading);
        }
        if let Some(first) = self.guards.iter_mut().next() {
            first.keys_delta[usize::from(db)] += by.keys;
            first.expires_delta[usize::from(db)] += by.expires;
            first.fading_delta[usize::from(db)] += by.fading;
        }
    }

    fn end_step(&mut self, step: Step) {
        if let Some(upheaval) = &mut self.upheaval {
            upheaval.steps.push(step);
        }
    }

    fn put_spaces(&mut self) {
        let next = self.store.next_space.load(Ordering::Relaxed);
        put_spaces(&mut self.scratch.batch, next, &self.store.all_spaces());
    }

    /// Makes what was done to whole databases known: it has been appended with this sequence.
    #[cold]
    pub(crate) fn settle(&mut self, upheaval: Upheaval, seq: u64) {
        let (exchanged, concerned) = (upheaval.exchanged(), upheaval.concerned());
        for change in &self.scratch.changed {
            let shard = self.guards.shard_mut(change.place);
            exchanged.iter().for_each(|&db| shard.settle(db, change.place, seq));
        }
        for shard in self.guards.iter_mut() {
            shard.moved(seq);
            shard.readers.clear(&self.store.readers);
            shard.sleepers.note_changes(&concerned, &mut self.scratch.ready);
            self.store.count(shard);
        }
        let tables = self.guards.iter().map(|shard| shard.overhead_bytes()).sum();
        self.store.table_bytes.store(tables, Ordering::Relaxed);
        self.scratch.told.push(Told::Emptied);
        let parts = upheaval.steps.into_iter().filter_map(|step| match step {
            Step::Emptied(_, parts) => Some(parts),
            Step::Exchanged(..) => None,
        });
        let old: Vec<DbShard> = parts.flatten().filter(DbShard::has_ever_held_keys).collect();
        if self.store.next_space.load(Ordering::Relaxed) != upheaval.next_space {
            self.store.tell_emptied();
        }
        if !old.is_empty() {
            // That may take long, and nobody need wait for it.
            self.store.io.submit(move || drop(old));
        }
    }
}
