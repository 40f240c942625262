//! Dead rows: what compactions may drop.
//!
//! FLUSHDB gives a database a new space and touches none of its rows. Those of the old space are
//! dead from then on: no database will ever have that space again. They go when a compaction meets
//! them, and a table that has no others goes at once and unread, so that emptying a database gives
//! its disk space back.
//!
//! A large collection that is deleted, or replaced, leaves its element rows behind. A row of the store's own says that
//! they are dead ([`row::dead_key`]), by the beginning that their keys have in common: a generation is never given again.
//! When no row is left, that row goes too ([`Store::bury`](crate::Store::bury)).
//!
//! Rows of keys that are past their deadline are *not* dropped here, although nobody can read them
//! any more. DBSIZE counts a key until it is deleted, and the count is a durable counter that
//! changes in the batch that deletes the key; a compaction knows neither whether a newer row of the
//! key waits in memory nor who else is about to delete it (see
//! `docs/adr/0005-compactions-drop-dead-spaces-only.md`).

use std::collections::HashSet;
use std::sync::Arc;

use kvdb_lsm::filter::{CompactionFilter, Judge};
use parking_lot::Mutex;

use crate::row;

/// Tells compactions which rows are dead, as far as the store has told it. A filter that has not
/// been given to a store lets everything live.
#[derive(Default)]
pub struct DeadRows {
    spaces: Mutex<Arc<Spaces>>,
    generations: Mutex<Arc<HashSet<Box<[u8]>>>>,
}

/// Which spaces there are.
#[derive(Debug, Clone, Default)]
struct Spaces {
    /// Those of databases, in ascending order.
    alive: Vec<u32>,
    /// From here on none has been given out, so nothing is known.
    next: u32,
}

impl DeadRows {
    /// A filter that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over which spaces there are; the row that says so has been appended.
    pub(crate) fn know(&self, next: u32, spaces: &[u32]) {
        let mut alive = spaces.to_vec();
        alive.sort_unstable();
        *self.spaces.lock() = Arc::new(Spaces { alive, next });
    }

    /// Takes over that the rows whose keys begin like this are dead; the row that says so has been appended.
    pub(crate) fn add_generation(&self, prefix: &[u8]) {
        Arc::make_mut(&mut self.generations.lock()).insert(prefix.into());
    }

    /// The beginnings of the keys of dead rows, some of which may be gone.
    pub(crate) fn generations(&self) -> Arc<HashSet<Box<[u8]>>> {
        self.generations.lock().clone()
    }

    /// Forgets a generation of which no row is left.
    pub(crate) fn forget_generation(&self, prefix: &[u8]) {
        Arc::make_mut(&mut self.generations.lock()).remove(prefix);
    }
}

impl CompactionFilter for DeadRows {
    fn begin(&self) -> Box<dyn Judge> {
        Box::new(Known { spaces: self.spaces.lock().clone(), generations: self.generations() })
    }

    fn class(&self, key: &[u8]) -> Option<u32> {
        row::space_of(key)
    }

    fn reads_values(&self) -> bool {
        false
    }
}

struct Known {
    spaces: Arc<Spaces>,
    generations: Arc<HashSet<Box<[u8]>>>,
}

impl Judge for Known {
    fn is_class_dead(&self, space: u32) -> bool {
        space < self.spaces.next && self.spaces.alive.binary_search(&space).is_err()
    }

    fn is_dead(&self, key: &[u8], _value: &[u8]) -> bool {
        !self.generations.is_empty()
            && row::element_prefix(key).is_some_and(|prefix| self.generations.contains(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Place;
    use crate::row::{IDENTITY_KEY, SPACES_KEY, chunk_key, meta_key};

    #[test]
    fn the_class_of_a_row_is_its_space_and_the_stores_own_rows_have_none() {
        let filter = DeadRows::new();
        let key = meta_key(Place::of(b"key", 3), 0x0102_0304, b"key");
        assert_eq!(filter.class(&key), Some(0x0102_0304));
        assert_eq!(filter.class(&chunk_key(&key, 1, 2)), Some(0x0102_0304));
        for own in [SPACES_KEY, IDENTITY_KEY, b"\xff\xffsomething else", b"", b"\x00\x01"] {
            assert_eq!(filter.class(own), None);
        }
    }

    #[test]
    fn element_rows_die_with_their_generation_and_others_stay() {
        let filter = DeadRows::new();
        let place = Place::of(b"key", 3);
        let prefix = |generation| {
            let mut prefix = Vec::new();
            row::write_element_prefix(&mut prefix, place, 0, b"key", generation);
            prefix
        };
        filter.add_generation(&prefix(7));
        let judge = filter.begin();
        let element = |generation| [&prefix(generation)[..], b"element"].concat();
        assert!(judge.is_dead(&element(7), b"") && judge.is_dead(&prefix(7), b""));
        assert!(!judge.is_dead(&element(8), b"") && !judge.is_dead(&meta_key(place, 0, b"key"), b""));
        filter.forget_generation(&prefix(7));
        assert!(!filter.begin().is_dead(&element(7), b""));
    }

    #[test]
    fn only_spaces_that_were_given_out_and_belong_to_nobody_are_dead() {
        let filter = DeadRows::new();
        assert!(!filter.begin().is_class_dead(0), "nothing is known");
        filter.know(7, &[5, 1, 6]);
        let judge = filter.begin();
        let dead: Vec<u32> = (0..10).filter(|&space| judge.is_class_dead(space)).collect();
        assert_eq!(dead, [0, 2, 3, 4]);
        filter.know(8, &[7, 1, 6]);
        assert!(filter.begin().is_class_dead(5) && !judge.is_class_dead(5), "a judge does not change");
    }
}
