//! Looking several keys up at once.

use crate::row::Type;

/// Looks keys up, by a function that tells the type of one, up to the first that is of none of these types. For each key
/// that was looked up, tells whether it is there.
pub(crate) fn look_up_all<'k>(
    keys: impl Iterator<Item = &'k [u8]>,
    types: &[Type],
    mut look_up: impl FnMut(&[u8]) -> Option<Type>,
) -> Vec<bool> {
    let mut found = Vec::new();
    for key in keys {
        let kind = look_up(key);
        found.push(kind.is_some());
        if kind.is_some_and(|kind| !types.contains(&kind)) {
            break;
        }
    }
    found
}
