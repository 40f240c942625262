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

/// Where changed rows of a collection go.
pub(crate) struct RowSink<'e> {
    batch: &'e mut WriteBatch,
    /// The key of a row: the prefix that all elements have in common, and room for an element.
    key: &'e mut Vec<u8>,
    prefix_len: usize,
    value: &'e mut Vec<u8>,
    /// Whether anything was recorded.
    pub(crate) changed: bool,
    /// Whether the meta row is to be written although the key was there.
    pub(crate) meta_changed: bool,
}

impl<'e> RowSink<'e> {
    /// A sink for elements whose keys begin with `key`; `value` is room for a value.
    pub(crate) fn new(batch: &'e mut WriteBatch, key: &'e mut Vec<u8>, value: &'e mut Vec<u8>) -> Self {
        let prefix_len = key.len();
        Self { batch, key, prefix_len, value, changed: false, meta_changed: false }
    }

    pub(crate) fn put(&mut self, element: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        self.key.truncate(self.prefix_len);
        self.key.extend_from_slice(element);
        self.value.clear();
        write(self.value);
        self.batch.put(self.key, self.value);
        self.changed = true;
    }

    pub(crate) fn delete(&mut self, element: &[u8]) {
        self.key.truncate(self.prefix_len);
        self.key.extend_from_slice(element);
        self.batch.delete(self.key);
        self.changed = true;
    }
}
