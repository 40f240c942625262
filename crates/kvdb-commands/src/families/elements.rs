//! The collection that a key has to be for a family of commands.

use kvdb_store::Object;
use kvdb_store::types::Elements;

use crate::errors::{self, CommandError};

/// The elements of a key that has to be of this type, if it is there.
#[inline]
pub(super) fn elements<T: Elements>(object: Option<Object<'_>>) -> Result<Option<&T>, CommandError> {
    object.map(|object| object.elements().ok_or(errors::WRONG_TYPE)).transpose()
}
