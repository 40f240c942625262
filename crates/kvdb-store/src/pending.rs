//! What the rows will say that a run has changed and not appended yet.
//!
//! A walk finds keys that are not in memory by their rows. The rows of a run that is under way are in its batch; so the
//! walk of such a run leaves out the keys that are there, and takes those from here that the run leaves alive.

use std::collections::BTreeMap;
use std::ops::Bound;

use kvdb_lsm::batch::{Op, WriteBatch};

use crate::key::Place;
use crate::row::{self, Type};

/// Keys that a run has changed, as the batch of the run had them when it was read last.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// By the keys of their meta rows: deadline and type; nothing where the key is gone.
    keys: BTreeMap<Vec<u8>, Option<(Option<u64>, Type)>>,
    /// Bytes of the batch that have been read.
    read: usize,
}

impl Pending {
    /// Reads what the batch has more than when it was read last.
    pub(crate) fn read(&mut self, batch: &WriteBatch) {
        for op in batch.iter_from(self.read) {
            let (row_key, held) = match op {
                Op::Put { key, value } => {
                    (key, row::decode_meta(value).map(|meta| (meta.deadline, meta.body.kind())))
                }
                Op::Delete { key } => (key, None),
                Op::Counter { .. } => continue,
            };
            if row::space_of(row_key).is_some() && row::split_key(row_key).is_some_and(|split| split.is_meta)
            {
                self.keys.insert(row_key.to_vec(), held);
            }
        }
        self.read = batch.ops_bytes().len();
    }

    /// Whether the run has changed the key with this meta row.
    pub(crate) fn has(&self, row_key: &[u8]) -> bool {
        self.keys.contains_key(row_key)
    }

    /// The changed keys of a space that are there, from the group of a place on to another place or the end.
    pub(crate) fn between(
        &self,
        from: Place,
        to: Option<Place>,
        space: u32,
    ) -> impl Iterator<Item = (&[u8], Option<u64>, Type)> {
        let from = row::lower_bound(Place::at_tag(from.slot, from.tag()), space);
        let to = to.map(|to| row::lower_bound(to, space));
        let to = to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.keys.range::<[u8], _>((Bound::Included(&from[..]), to));
        range.filter_map(move |(row_key, held)| {
            let (split, (deadline, kind)) = row::split_key(row_key).zip(*held)?;
            (split.space == space).then_some((split.key, deadline, kind))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Body, Meta};

    #[test]
    fn the_last_change_of_a_key_counts_however_often_the_batch_is_read() {
        let (mut pending, mut batch) = (Pending::default(), WriteBatch::new());
        let place = |key: &[u8]| Place::of(key, 7);
        let put = |batch: &mut WriteBatch, space, key: &[u8], deadline| {
            row::put_meta(batch, place(key), space, key, &Meta { deadline, body: Body::Int(1) });
        };
        put(&mut batch, 3, b"{t}a", None);
        put(&mut batch, 3, b"{t}b", Some(9));
        pending.read(&batch);
        row::delete_meta(&mut batch, place(b"{t}a"), 3, b"{t}a");
        batch.put(&row::chunk_key(&row::meta_key(place(b"{t}c"), 3, b"{t}c"), 1, 0), b"a part");
        batch.put(row::SPACES_KEY, b"");
        batch.add_counter(3, 1);
        put(&mut batch, 4, b"{t}d", None);
        pending.read(&batch);
        pending.read(&batch);
        assert!(pending.has(&row::meta_key(place(b"{t}a"), 3, b"{t}a")));
        assert!(!pending.has(&row::meta_key(place(b"{t}c"), 3, b"{t}c")));
        let there =
            |from, to, space| pending.between(from, to, space).map(|(key, ..)| key).collect::<Vec<_>>();
        assert_eq!(there(Place::default(), None, 3), [b"{t}b"]);
        assert_eq!(there(Place::default(), None, 4), [b"{t}d"]);
        assert!(there(Place::default(), Some(place(b"{t}b")), 3).is_empty());
        let next_slot = Place { slot: place(b"{t}b").slot + 1, hash: 0 };
        assert_eq!(there(place(b"{t}b"), Some(next_slot), 3), [b"{t}b"]);
    }
}
