//! A run that changes: effects on objects, and the rows they write.

use std::sync::atomic::Ordering;

use crate::commit_log::Refusal;
use crate::context::{Before, Change, Env, Scratch, ValueLimits};
use crate::effect::Effect;
use crate::emptying::Upheaval;
use crate::entry::ValueRef;
use crate::events::Event;
use crate::key::{Located, Place};
use crate::latches::Guards;
use crate::news::outdate;
use crate::object::Object;
use crate::pending::Pending;
use crate::reach::Lack;
use crate::row::{self, Body, Meta, Type};
use crate::several::look_up_all;
use crate::store::{Store, expires_counter, fading_counter, forget, keys_counter};
use crate::types::Layout;
use crate::usage::scatter;

/// What a command that finds nothing may do, and what it has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitState {
    /// It may not wait: it runs in a transaction.
    Forbidden,
    /// It may wait.
    Allowed,
    /// It waits until a moment, in Unix milliseconds, or for ever.
    Asked(Option<u64>),
}

/// A run that may change.
pub struct WriteCx<'r> {
    pub(crate) store: &'r Store,
    pub(crate) guards: Guards<'r>,
    pub(crate) scratch: &'r mut Scratch,
    pub(crate) env: Env,
    pub(crate) db: u16,
    pub(crate) depends_on: u64,
    pub(crate) lack: Option<Lack>,
    /// The key whose use was noted last: looking at a key and changing it is one use.
    pub(crate) used: Option<(u16, Place)>,
    /// Whether, and until when, the command waits.
    pub(crate) wait: WaitState,
    has_waited: bool,
    later_args: Vec<(usize, Vec<u8>)>,
    /// Whether what is changed now counts as unchanged for those who watch it.
    quiet: bool,
    /// The generation that the run gives to what it makes, until it gets another latch.
    pub(crate) generation: Option<u64>,
    /// The first generation that the run has given.
    pub(crate) first_generation: Option<u64>,
    /// What it has done to whole databases.
    pub(crate) upheaval: Option<Box<Upheaval>>,
    /// What it has changed, for its walks over databases.
    pub(crate) pending: Option<Box<Pending>>,
}

impl<'r> WriteCx<'r> {
    /// A run over keys whose latches are held and which are resident.
    pub fn new(store: &'r Store, guards: Guards<'r>, scratch: &'r mut Scratch, env: Env, db: u16) -> Self {
        debug_assert!(scratch.batch.is_empty() && scratch.changed.is_empty(), "the last run was committed");
        Self {
            store,
            guards,
            scratch,
            env,
            db,
            depends_on: 0,
            lack: None,
            used: None,
            wait: WaitState::Forbidden,
            has_waited: false,
            later_args: Vec::new(),
            quiet: false,
            generation: None,
            first_generation: None,
            upheaval: None,
            pending: None,
        }
    }

    /// Lets the command wait where it finds nothing; it may have waited before.
    #[must_use]
    pub fn waiting(mut self, has_waited: bool) -> Self {
        (self.wait, self.has_waited) = (WaitState::Allowed, has_waited);
        self
    }

    /// Whether the command has waited, and runs again since one of its keys was changed.
    pub fn has_waited(&self) -> bool {
        self.has_waited
    }

    /// Waits for a change of the declared keys, until a moment in Unix milliseconds or for ever; the command then runs
    /// again. Tells whether it does: where it may not wait, the command ends as if its time were over. Nothing may have
    /// been changed or replied.
    #[must_use]
    pub fn wait_until(&mut self, deadline: Option<u64>) -> bool {
        let may = self.wait != WaitState::Forbidden;
        if may {
            self.wait = WaitState::Asked(deadline);
        }
        may
    }

    /// Has the command run with another argument in a place when it runs again: one that meant this moment.
    pub fn run_again_with(&mut self, at: usize, argument: Vec<u8>) {
        self.later_args.push((at, argument));
    }

    /// The arguments with which the command is to run again, by their places.
    pub fn take_later_args(&mut self) -> Vec<(usize, Vec<u8>)> {
        std::mem::take(&mut self.later_args)
    }

    /// The time and the manners of the run.
    pub fn env(&self) -> Env {
        self.env
    }

    /// Until when the command waits, if it does.
    pub fn waits(&self) -> Option<Option<u64>> {
        match self.wait {
            WaitState::Asked(deadline) => Some(deadline),
            WaitState::Forbidden | WaitState::Allowed => None,
        }
    }

    /// Now, in Unix milliseconds.
    pub fn now(&self) -> u64 {
        self.env.now
    }

    /// The highest sequence that the reply depends on so far, what the run itself has changed aside.
    pub fn depends_on(&self) -> u64 {
        self.depends_on
    }

    /// Limits on values.
    pub fn limits(&self) -> &ValueLimits {
        &self.env.limits
    }

    /// Where small collections end and large ones begin.
    pub fn layout(&self) -> Layout {
        self.store.layout()
    }

    /// Random bits, different with every call.
    pub fn random(&mut self) -> u64 {
        self.scratch.draws = self.scratch.draws.wrapping_add(1);
        scatter(self.env.random, self.scratch.draws)
    }

    /// The database that keys are meant in.
    pub fn db(&self) -> u16 {
        self.db
    }

    /// How many databases there are.
    pub fn databases(&self) -> u16 {
        self.store.databases()
    }

    /// Means keys in another database from now on; a key has the same latch in all of them.
    pub fn select(&mut self, db: u16) {
        assert!(db < self.store.databases(), "the caller has checked the database's number");
        self.db = db;
    }

    /// Computes the place of a key once for all that a command does with it. Its bytes must stay where they are until the
    /// next call, which has to come before they go.
    #[inline]
    pub fn locate(&mut self, key: Option<&[u8]>) {
        self.env.located = key.map(|key| Located::new(key, self.store.place(key)));
    }

    /// As [`Self::locate`], of a key whose place is known.
    #[inline]
    pub fn locate_at(&mut self, key: &[u8], place: Place) {
        self.env.located = Some(Located::new(key, place));
    }

    /// Where a living key stands; deletes it when its deadline has passed, unless it is to stay.
    #[inline]
    pub(crate) fn find(&mut self, key: &[u8]) -> (Place, Option<usize>) {
        let place = self.env.place(self.store, key);
        let shard = self.guards.shard(place);
        let table = shard.table(self.db, place);
        let Some(at) = table.find(place.tag(), key) else {
            self.depends_on = self.depends_on.max(shard.missed());
            return (place, None);
        };
        let entry = table.at(at);
        self.depends_on = self.depends_on.max(shard.seen(entry));
        if entry.deadline().is_some_and(|d| kvdb_ttl::is_dead(d, self.env.now)) {
            if self.env.keeps_dead {
                return (place, None);
            }
            self.remove(place, at, key);
            self.store.stats.expired.fetch_add(1, Ordering::Relaxed);
            self.notify(Event::EXPIRED, key);
            return (place, None);
        }
        (place, Some(at))
    }

    /// The object of a key; counts as use, not as a hit or a miss.
    #[inline]
    pub fn get(&mut self, key: &[u8]) -> Option<Object<'_>> {
        let (place, at) = self.find(key);
        let at = at?;
        if self.env.touch {
            self.note_use(place, at);
        }
        Some(Object(self.guards.shard(place).table(self.db, place).at(at)))
    }

    /// The objects of several keys at once, which are read to make another, up to the first that is of none of these types;
    /// each counts as by [`Self::lookup`].
    pub fn get_all<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
        types: &[Type],
    ) -> Vec<Option<Object<'_>>> {
        let found = look_up_all(keys.clone(), types, |key| self.lookup(key).map(|object| object.kind()));
        let again = |key: &[u8]| {
            let place = self.env.place(self.store, key);
            self.guards.shard(place).object(self.db, place, key)
        };
        keys.zip(found).map(|(key, found)| if found { again(key) } else { None }).collect()
    }

    /// The object of a key; counts as use and as a hit or a miss, for commands that read a value and change it.
    pub fn lookup(&mut self, key: &[u8]) -> Option<Object<'_>> {
        if self.find(key).1.is_some() {
            self.scratch.hits += 1;
        } else {
            self.scratch.misses += 1;
            self.notify(Event::MISS, key);
        }
        self.get(key)
    }

    /// Sets when the key was last used, in seconds before now; does nothing where moments are not remembered.
    pub fn set_idle(&mut self, key: &[u8], idle_seconds: u64) {
        let access = self.store.usage().idle_for(idle_seconds, self.env.now);
        self.set_access(key, access);
    }

    /// Sets the logarithmic counter of a key's uses; does nothing where uses are not counted.
    pub fn set_use_counter(&mut self, key: &[u8], counter: u8) {
        let access = self.store.usage().with_counter(counter, self.env.now);
        self.set_access(key, access);
    }

    fn set_access(&mut self, key: &[u8], access: Option<u32>) {
        let ((place, Some(at)), Some(access)) = (self.find(key), access) else { return };
        self.guards.shard_mut(place).table_mut(self.db, place).at_mut(at).set_access(access);
    }

    /// Notes that the entry at a place is used, once for however often that is said in a row.
    #[inline]
    fn note_use(&mut self, place: Place, at: usize) {
        let (db, now) = (self.db, self.env.now);
        if self.used.replace((db, place)) == Some((db, place)) {
            return;
        }
        let entry = self.guards.shard_mut(place).table_mut(db, place).at_mut(at);
        let random = scatter(self.env.random, entry.seq());
        entry.set_access(self.store.usage().used(entry.access(), now, random));
    }

    /// Changes keys in a way that those who watch them, or keep what they have read of them, take for no change: what
    /// Redis does not signal. A key that is deleted counts as changed all the same.
    pub fn quietly<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        let before = std::mem::replace(&mut self.quiet, true);
        let result = change(self);
        self.quiet = before;
        result
    }

    /// Changes a key. Returns whether there was one to change, which makes a difference for `SetDeadline` and `Delete`.
    #[inline]
    pub fn apply(&mut self, key: &[u8], effect: Effect<'_>) -> bool {
        let (place, at) = self.find(key);
        match effect {
            Effect::PutString { value, deadline } => self.put_string(place, at, key, value, deadline),
            Effect::WriteRange { offset, bytes } => self.write_range(place, at, key, offset, bytes),
            Effect::SetDeadline(deadline) => {
                let Some(at) = at else { return false };
                self.set_deadline(place, at, key, deadline);
            }
            Effect::Delete => {
                let Some(at) = at else { return false };
                self.remove(place, at, key);
            }
        }
        true
    }

    /// What the entry at a place is, if there is one.
    #[inline]
    pub(crate) fn before(&self, place: Place, at: Option<usize>) -> Option<Before> {
        at.map(|at| Before::of(self.guards.shard(place).table(self.db, place).at(at)))
    }

    fn set_deadline(&mut self, place: Place, at: usize, key: &[u8], deadline: Option<u64>) {
        let (db, space) = (self.db, self.store.space(self.db));
        let shard = self.guards.shard_mut(place);
        let entry = shard.table_mut(db, place).at_mut(at);
        let before = Before::of(entry);
        match (before.deadline, deadline) {
            (None, None) => return,
            (Some(_), Some(new)) => {
                entry.replace_deadline(new);
            }
            _ => shard.reshape(db, place, at, deadline),
        }
        shard.tell_deadline(db, place, at);
        let entry = shard.table(db, place).at(at);
        let extra = entry.held().map(|held| held.collection.extra()).unwrap_or_default();
        let body = match (entry.big(), entry.string(), entry.held()) {
            (Some(big), ..) if big.generation != 0 => {
                Body::Chunked { len: big.bytes.len() as u64, generation: big.generation }
            }
            (_, Some(ValueRef::Bytes(b)), _) => Body::Bytes(b),
            (_, Some(ValueRef::Int(i)), _) => Body::Int(i),
            (_, None, Some(held)) => held.body(&extra),
            (_, None, None) => unreachable!("an entry is a string or a collection"),
        };
        row::put_meta(&mut self.scratch.batch, place, space, key, &Meta { deadline, body });
        self.changed(place, at, Some(before), deadline);
    }

    /// Notes that the entry at a place was changed: for the sequence, the counts and the expiry index. `before` is what it
    /// was, or `None` when there was no entry.
    #[inline]
    pub(crate) fn changed(&mut self, place: Place, at: usize, before: Option<Before>, deadline: Option<u64>) {
        debug_assert!(!self.env.keeps_dead, "a run that keeps dead keys changes nothing");
        let (db, now) = (self.db, self.env.now);
        let shard = self.guards.shard_mut(place);
        let entry = shard.table_mut(db, place).at_mut(at);
        entry.set_pending();
        let fades = entry.fades();
        if before.is_none() {
            entry.set_access(self.store.usage().fresh(now));
            self.used = Some((db, place));
        }
        self.scratch.changed.push(Change { db, place, quiet: self.quiet && before.is_some() });
        if before.is_none() {
            shard.keys_delta[usize::from(db)] += 1;
            self.scratch.batch.add_counter(keys_counter(db), 1);
        }
        let had = before.and_then(|before| before.deadline);
        if had.is_some() != deadline.is_some() {
            let delta = if deadline.is_some() { 1 } else { -1 };
            shard.expires_delta[usize::from(db)] += delta;
            self.scratch.batch.add_counter(expires_counter(db), delta);
        }
        if before.is_some_and(|before| before.fades) != fades {
            let delta = if fades { 1 } else { -1 };
            shard.fading_delta[usize::from(db)] += delta;
            self.scratch.batch.add_counter(fading_counter(db), delta);
        }
        if deadline.is_some() {
            shard.schedule(db, place, at, had, now);
        }
        if self.env.touch && before.is_some() {
            self.note_use(place, at);
        }
        if self.store.tells_changes() && !(self.quiet && before.is_some()) {
            let key = self.guards.shard(place).table(db, place).at(at).key().to_vec();
            self.tell_changed(&key, before.is_none());
        }
    }

    pub(crate) fn remove(&mut self, place: Place, at: usize, key: &[u8]) {
        self.delete_parts(place, at, key);
        self.retire(place, at);
        self.remove_entry(place, at, key);
    }

    /// Removes a key, whose value has no rows but its own.
    pub(crate) fn remove_entry(&mut self, place: Place, at: usize, key: &[u8]) {
        let (db, space) = (self.db, self.store.space(self.db));
        let shard = self.guards.shard_mut(place);
        let entry = shard.remove(db, place, at);
        shard.removing = true;
        shard.keys_delta[usize::from(db)] -= 1;
        let batch = &mut self.scratch.batch;
        batch.add_counter(keys_counter(db), -1);
        if entry.deadline().is_some() {
            shard.expires_delta[usize::from(db)] -= 1;
            batch.add_counter(expires_counter(db), -1);
        }
        if entry.fades() {
            shard.fading_delta[usize::from(db)] -= 1;
            batch.add_counter(fading_counter(db), -1);
        }
        row::delete_meta(batch, place, space, key);
        self.scratch.changed.push(Change { db, place, quiet: false });
        if self.store.tells_changes() {
            self.tell_changed(key, false);
        }
    }

    /// Has the commands behind this one run for a client that keeps what they read, or not, and count as use, or not.
    pub fn set_manners(&mut self, keeps: bool, touch: bool) {
        (self.env.keeps, self.env.touch) = (keeps, touch);
    }

    /// Whether the run has changed something.
    pub fn has_changes(&self) -> bool {
        !self.scratch.batch.is_empty()
    }

    /// Ends the run as if it had never been: what it changed is forgotten, and read from its rows when it is wanted again.
    pub fn abandon(mut self) {
        self.forget();
        self.scratch.told.clear();
    }

    /// Forgets what the run has changed.
    #[cold]
    fn forget(&mut self) {
        let undone = self.upheaval.take().map(|upheaval| upheaval.undo(self.store, &mut self.guards));
        let Scratch { batch, changed, dead_parts, .. } = &mut *self.scratch;
        if !batch.is_empty() {
            let exchanged = undone.unwrap_or_default();
            forget(&mut self.guards, batch, changed, &exchanged, self.store.log.appended());
        }
        changed.clear();
        batch.clear();
        dead_parts.clear();
    }

    /// Ends the run: appends what was changed and gives the latches back. Returns the highest sequence that the reply
    /// depends on.
    ///
    /// # Errors
    /// When the log refuses the changes; then none of them has happened.
    #[inline]
    pub fn commit(mut self) -> Result<u64, Refusal> {
        self.append()
    }

    #[inline]
    fn append(&mut self) -> Result<u64, Refusal> {
        if self.scratch.batch.is_empty() {
            let seen = self.depends_on;
            if !self.scratch.told.is_empty() {
                let guards = std::mem::replace(&mut self.guards, Guards::none());
                self.store.announce(guards, self.scratch, &self.env, seen);
            }
            return Ok(seen);
        }
        let Scratch { batch, changed, dead_parts, ready, told, .. } = &mut *self.scratch;
        let seq = match self.store.commit(&mut self.guards, batch, changed, told) {
            Ok(seq) => seq,
            Err(refusal) => {
                self.forget();
                self.scratch.told.clear();
                return Err(refusal);
            }
        };
        for change in &*changed {
            if self.guards.shard_mut(change.place).sleepers.note_change(change.db, change.place) {
                ready.push((change.db, change.place));
            }
        }
        if !dead_parts.is_empty() {
            for prefix in dead_parts.drain(..) {
                if let Some(dead) = self.store.dead_rows() {
                    dead.add_generation(&prefix);
                }
            }
        }
        if !told.is_empty() {
            outdate(told, changed);
        }
        if let Some(upheaval) = self.upheaval.take() {
            self.settle(*upheaval, seq);
        }
        self.scratch.changed.clear();
        self.scratch.batch.clear();
        if !self.scratch.told.is_empty() {
            let guards = std::mem::replace(&mut self.guards, Guards::none());
            self.store.announce(guards, self.scratch, &self.env, seq);
        }
        Ok(seq)
    }
}
