//! The consumers of a group.

use std::collections::BTreeSet;

use super::id::StreamId;

/// What an entry that waits for a consumer costs in its set.
pub(super) const WAITING_BYTES: usize = size_of::<StreamId>() * 17 / 10;

/// A reader of a group.
#[derive(Debug, Clone)]
pub struct Consumer {
    name: Box<[u8]>,
    /// When it last tried to read or claim, in Unix milliseconds.
    pub(super) seen_at: u64,
    /// When it last got something.
    pub(super) active_at: Option<u64>,
    /// The entries that wait for its acknowledgement.
    pub(super) waiting: BTreeSet<StreamId>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// When it last tried to read or claim, in Unix milliseconds.
    pub fn seen_at(&self) -> u64 {
        self.seen_at
    }

    /// When it last got something, in Unix milliseconds.
    pub fn active_at(&self) -> Option<u64> {
        self.active_at
    }

    /// How many entries wait for its acknowledgement.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The entries that wait, from an id on.
    pub fn waiting_from(&self, from: StreamId) -> impl Iterator<Item = StreamId> {
        self.waiting.range(from..).copied()
    }
}

/// Consumers by their names, each with a number by which what waits for it refers to it.
///
/// # Invariants
///
/// * `order` has the numbers of all consumers, sorted by their names.
/// * `names_len` is the sum of the lengths of the names.
#[derive(Debug, Clone, Default)]
pub(super) struct Consumers {
    slots: Vec<Option<Consumer>>,
    order: Vec<u32>,
    names_len: usize,
}

impl Consumers {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Bytes of memory beside the structure itself, without those of the sets of what waits.
    pub(super) fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Consumer>>()
            + self.order.capacity() * size_of::<u32>()
            + self.names_len
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.order.binary_search_by(|&number| self.get(number).name().cmp(name))
    }

    /// The number of a consumer.
    pub(super) fn number(&self, name: &[u8]) -> Option<u32> {
        self.find(name).ok().map(|at| self.order[at])
    }

    /// The consumer with a number.
    pub(super) fn get(&self, number: u32) -> &Consumer {
        self.slots[number as usize].as_ref().expect("numbers that are referred to are those of consumers")
    }

    /// The consumer with a number, for change.
    pub(super) fn get_mut(&mut self, number: u32) -> &mut Consumer {
        self.slots[number as usize].as_mut().expect("numbers that are referred to are those of consumers")
    }

    /// All of them in the order of their names.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.order.iter().map(|&number| self.get(number))
    }

    /// The number of a consumer, which is made when there is none of that name; tells whether it was.
    pub(super) fn enter(&mut self, name: &[u8], now: u64) -> (u32, bool) {
        let at = match self.find(name) {
            Ok(at) => return (self.order[at], false),
            Err(at) => at,
        };
        let consumer =
            Consumer { name: name.into(), seen_at: now, active_at: None, waiting: BTreeSet::new() };
        // Where there are gaps there are fewer consumers than slots, and one of those is free.
        let free = if self.order.len() < self.slots.len() {
            self.slots.iter().position(Option::is_none)
        } else {
            None
        };
        let number = free.unwrap_or(self.slots.len());
        if free.is_none() {
            self.slots.push(None);
        }
        self.slots[number] = Some(consumer);
        self.order.insert(at, number as u32);
        self.names_len += name.len();
        (number as u32, true)
    }

    /// Takes a consumer out.
    pub(super) fn leave(&mut self, name: &[u8]) -> Option<Consumer> {
        let at = self.find(name).ok()?;
        self.names_len -= name.len();
        self.slots[self.order.remove(at) as usize].take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_come_and_go_and_keep_their_numbers() {
        let mut consumers = Consumers::default();
        let numbers: Vec<u32> =
            ["m", "a", "z"].iter().map(|name| consumers.enter(name.as_bytes(), 1).0).collect();
        assert_eq!(consumers.enter(b"a", 2), (numbers[1], false));
        let names = |consumers: &Consumers| consumers.iter().map(|c| c.name().to_vec()).collect::<Vec<_>>();
        assert_eq!(names(&consumers), [b"a", b"m", b"z"]);
        assert_eq!(consumers.leave(b"m").map(|c| c.name().to_vec()), Some(b"m".to_vec()));
        assert!(consumers.leave(b"m").is_none());
        assert_eq!((consumers.number(b"a"), consumers.number(b"m")), (Some(numbers[1]), None));
        assert_eq!(consumers.enter(b"b", 3), (numbers[0], true), "a number is given again");
        assert_eq!(names(&consumers), [b"a", b"b", b"z"]);
        assert_eq!(consumers.get(numbers[2]).name(), b"z");
        assert_eq!(consumers.names_len, 3);
    }
}
