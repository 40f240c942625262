//! Edits: changes to the elements of one collection.
//!
//! A command that changes a collection gets an [`Edit`] of it from [`WriteCx::edit`](crate::WriteCx::edit). It reads
//! through it, and changes through methods that each type adds to it: such a method is the effect on that type, and does
//! two things together, it changes the resident structure and records the changed rows.

use std::ops::Deref;

use kvdb_lsm::batch::WriteBatch;

use crate::types::Layout;

/// A collection of a key, for reading and for change.
pub struct Edit<'e, T> {
    pub(crate) value: &'e mut T,
    pub(crate) layout: Layout,
    pub(crate) rows: RowSink<'e>,
}

impl<T> Deref for Edit<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

impl<T> Edit<'_, T> {
    /// Notes that an element has a new row.
    pub(crate) fn record(&mut self, element: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        self.rows.put(element, write);
    }

    /// Notes that an element has no row any more.
    pub(crate) fn erase(&mut self, element: &[u8]) {
        self.rows.delete(element);
    }

    /// Notes that what the meta row says has changed.
    pub(crate) fn record_meta(&mut self) {
        self.rows.meta_changed = true;
    }
}

/// The bytes that most values have at the most; a longer one is moved once.
const SHORT_VALUE: usize = 127;

/// Where changed rows of a collection go.
pub(crate) struct RowSink<'e> {
    batch: &'e mut WriteBatch,
    /// What the keys of all rows of elements begin with.
    prefix: &'e [u8],
    /// Whether anything was recorded.
    pub(crate) changed: bool,
    /// Whether the meta row is to be written although the key was there.
    pub(crate) meta_changed: bool,
}

impl<'e> RowSink<'e> {
    /// A sink for elements whose keys begin with `prefix`.
    pub(crate) fn new(batch: &'e mut WriteBatch, prefix: &'e [u8]) -> Self {
        Self { batch, prefix, changed: false, meta_changed: false }
    }

    /// Puts the row of an element, whose value `write` appends to what it is given.
    pub(crate) fn put(&mut self, element: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let prefix = self.prefix;
        self.batch.put_with(
            prefix.len() + element.len(),
            |key| {
                key.extend_from_slice(prefix);
                key.extend_from_slice(element);
            },
            SHORT_VALUE,
            |value| value.append(write),
        );
        self.changed = true;
    }

    pub(crate) fn delete(&mut self, element: &[u8]) {
        let prefix = self.prefix;
        self.batch.delete_with(prefix.len() + element.len(), |key| {
            key.extend_from_slice(prefix);
            key.extend_from_slice(element);
        });
        self.changed = true;
    }
}
