//! Hashes as they are at a moment: fields that are past their deadline stay until somebody removes them, a few at a time,
//! and count as absent meanwhile.

use super::{FieldDeadline, Hash, Shape};
use crate::context::text_of;
use crate::edit::Edit;
use crate::entry::ValueRef;
use crate::types::Elements;

/// A hash as it is at a moment: without the fields that are past their deadline and have not been removed yet.
#[derive(Debug, Clone, Copy)]
pub struct LiveHash<'h> {
    hash: &'h Hash,
    now: u64,
    /// Whether some fields are dead, so that each has to be asked about.
    has_dead: bool,
}

impl<'h> LiveHash<'h> {
    fn is_live(&self, name: &[u8]) -> bool {
        !self.has_dead || self.hash.deadline(name).is_none_or(|at| !kvdb_ttl::is_dead(at, self.now))
    }

    fn is_live_ref(&self, name: ValueRef<'_>) -> bool {
        !self.has_dead || self.is_live(&text_of(name))
    }

    /// The value of a field.
    pub fn get(&self, name: &[u8]) -> Option<ValueRef<'h>> {
        self.hash.get(name).filter(|_| self.is_live(name))
    }

    /// When a field dies, in Unix milliseconds.
    pub fn deadline(&self, name: &[u8]) -> Option<u64> {
        self.hash.deadline(name).filter(|_| self.is_live(name))
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        match &self.hash.0 {
            Shape::Large(large) if self.has_dead => large.fields.len() - large.deadlines.count_dead(self.now),
            _ => self.hash.len(),
        }
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All fields with their values.
    pub fn iter(self) -> impl Iterator<Item = (ValueRef<'h>, ValueRef<'h>)> {
        self.hash.iter().filter(move |&(name, _)| self.is_live_ref(name))
    }

    /// Walks the hash: shows fields with their values from a cursor on, about `count` of them, and returns where to go
    /// on; 0 when the walk is over. A small hash is shown at once.
    pub fn walk(&self, cursor: u64, count: usize, mut visit: impl FnMut(ValueRef<'h>, ValueRef<'h>)) -> u64 {
        match &self.hash.0 {
            Shape::Small(..) => {
                self.iter().for_each(|(name, value)| visit(name, value));
                0
            }
            Shape::Large(large) => large.fields.walk(
                cursor,
                count,
                |field| large.hash(field.name()),
                |field| {
                    let (name, value) = field.split();
                    if self.is_live(name) {
                        visit(ValueRef::Bytes(name), ValueRef::Bytes(value));
                    }
                },
            ),
        }
    }

    /// A field by chance, with its value; `draw` gives random bits, and is asked again where it has met a dead field.
    pub fn random(&self, mut draw: impl FnMut() -> u64) -> Option<(ValueRef<'h>, ValueRef<'h>)> {
        const TRIES: usize = 32;
        if self.is_empty() {
            return None;
        }
        for _ in 0..TRIES {
            let found = match &self.hash.0 {
                Shape::Small(pack) => self.hash.iter().nth((draw() % pack.count() as u64) as usize),
                Shape::Large(large) => large.fields.random(draw()).map(|field| {
                    let (name, value) = field.split();
                    (ValueRef::Bytes(name), ValueRef::Bytes(value))
                }),
            };
            if found.is_some_and(|(name, _)| self.is_live_ref(name)) {
                return found;
            }
        }
        let len = self.len() as u64;
        self.iter().nth((draw() % len) as usize)
    }
}

impl Hash {
    /// The hash without what is dead at a moment, in Unix milliseconds.
    pub fn live(&self, now: u64) -> LiveHash<'_> {
        let has_dead = self.next_deadline().is_some_and(|at| kvdb_ttl::is_dead(at, now));
        LiveHash { hash: self, now, has_dead }
    }
}

/// A change of a hash at a moment. A field that is past its deadline counts as absent, and goes when it is written or
/// removed by name.
pub struct LiveEdit<'x, 'e> {
    edit: &'x mut Edit<'e, Hash>,
    now: u64,
    expired: usize,
    tells_end: bool,
}

impl<'x, 'e> LiveEdit<'x, 'e> {
    /// A change at a moment, in Unix milliseconds. Removes fields that are past their deadline first, `limit` at the most.
    pub fn new(edit: &'x mut Edit<'e, Hash>, now: u64, limit: usize) -> Self {
        let expired = if edit.next_deadline().is_some() { edit.remove_dead(now, limit) } else { 0 };
        Self { edit, now, expired, tells_end: false }
    }

    /// Fields that went because they were past their deadline.
    pub fn expired(&self) -> usize {
        self.expired
    }

    /// Whether who changes the hash says so itself where nothing is left in it.
    pub fn tells_end(&self) -> bool {
        self.tells_end
    }

    /// Notes that who changes the hash says so itself where nothing is left in it, as if it had removed something.
    pub fn tell_end(&mut self) {
        self.tells_end = true;
    }

    /// The hash as it is now.
    pub fn live(&self) -> LiveHash<'_> {
        self.edit.live(self.now)
    }

    /// The value of a field.
    pub fn get(&self, name: &[u8]) -> Option<ValueRef<'_>> {
        self.live().get(name)
    }

    /// When a field dies, in Unix milliseconds.
    pub fn deadline(&self, name: &[u8]) -> Option<u64> {
        self.live().deadline(name)
    }

    /// Writes a field; tells whether it is new.
    pub fn put(&mut self, name: &[u8], value: &[u8], deadline: FieldDeadline) -> bool {
        self.bury(name);
        self.edit.put(name, value, deadline)
    }

    /// Gives a field a deadline or takes it away; does nothing where there is no such field.
    pub fn set_deadline(&mut self, name: &[u8], deadline: Option<u64>) {
        self.bury(name);
        self.edit.set_deadline(name, deadline);
    }

    /// Takes a field out; tells whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.bury(name);
        let removed = self.edit.remove(name);
        self.tells_end |= removed;
        removed
    }

    /// Removes a field if it is past its deadline.
    fn bury(&mut self, name: &[u8]) {
        if self.edit.deadline(name).is_some_and(|at| kvdb_ttl::is_dead(at, self.now)) {
            self.edit.remove(name);
            self.expired += 1;
        }
    }
}
