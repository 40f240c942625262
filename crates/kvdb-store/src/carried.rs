//! Whole values on their way from one key to another: RENAME, COPY, MOVE, RESTORE, and everything that stores a result.

use crate::context::text_of;
use crate::entry::{Entry, ValueRef};
use crate::object::Object;
use crate::types::Collection;

/// A value with its deadline, apart from any key.
#[derive(Debug, Clone)]
pub struct Carried {
    /// The value.
    pub value: CarriedValue,
    /// When the key dies, in Unix milliseconds.
    pub deadline: Option<u64>,
}

/// A value of any type.
#[derive(Debug, Clone)]
pub enum CarriedValue {
    /// A string, as bytes even where they are the text of an integer.
    Bytes(Vec<u8>),
    /// A string that is an integer.
    Int(i64),
    /// A value with elements.
    Collection(Collection),
}

impl Carried {
    /// A copy of what an entry has.
    pub(crate) fn of_entry(entry: &Entry) -> Self {
        let value = match (entry.string(), entry.held()) {
            (Some(ValueRef::Int(int)), _) => CarriedValue::Int(int),
            (Some(string), _) => CarriedValue::Bytes(text_of(string)),
            (None, Some(held)) => CarriedValue::Collection(held.collection.clone()),
            (None, None) => unreachable!("an entry is a string or a collection"),
        };
        Self { value, deadline: entry.deadline() }
    }
}

impl Object<'_> {
    /// A copy of the value with its deadline.
    pub fn copy(&self) -> Carried {
        Carried::of_entry(self.0)
    }
}
