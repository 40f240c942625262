//! What a store holds, key by key.

use std::collections::BTreeMap;
use std::sync::Arc;

use kvdb_store::types::Collection;
use kvdb_store::{Object, Type, text_of};

/// By database and key.
pub(super) type Contents = BTreeMap<(u16, Vec<u8>), Arc<Described>>;

/// All that is to be known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) kind: Type,
    pub(super) deadline: Option<u64>,
    /// What the meta row of a collection says beside the generation.
    pub(super) extra: Vec<u8>,
    /// The rows of a collection, or one with the bytes of a string.
    pub(super) rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Described {
    pub(super) fn of(object: &Object<'_>) -> Self {
        let mut rows = BTreeMap::new();
        if let Some(string) = object.string() {
            rows.insert(Vec::new(), text_of(string));
        }
        if let Some(collection) = object.collection() {
            collection.rows(&mut |element, value| drop(rows.insert(element.to_vec(), value.to_vec())));
        }
        let extra = object.collection().map(Collection::extra).unwrap_or_default();
        Self { kind: object.kind(), deadline: object.deadline(), extra, rows }
    }
}

/// What can be seen of them at a moment.
pub(super) fn alive(contents: &Contents, now: u64) -> BTreeMap<(u16, Vec<u8>), Described> {
    let is_dead = |deadline: u64| deadline <= now;
    let mut alive = BTreeMap::new();
    for (key, described) in contents {
        let mut described = Described::clone(described);
        if described.deadline.is_some_and(is_dead) {
            continue;
        }
        match described.kind {
            Type::Hash => {
                // A field's row begins with whether, and then when, it dies.
                described.rows.retain(|_, row| match row.split_first_chunk::<9>() {
                    Some(([1, at @ ..], _)) => !is_dead(u64::from_le_bytes(*at)),
                    _ => true,
                });
                described.extra.clear();
                if described.rows.is_empty() {
                    continue;
                }
            }
            // When consumers were seen is written together with something else.
            Type::Stream => {
                described.rows.iter_mut().filter(|(row, _)| row[0] == 3).for_each(|(_, row)| row.clear())
            }
            _ => {}
        }
        alive.insert(key.clone(), described);
    }
    alive
}

/// The first key that is not the same.
pub(super) fn difference(
    expected: &BTreeMap<(u16, Vec<u8>), Described>,
    found: &BTreeMap<(u16, Vec<u8>), Described>,
) -> Option<String> {
    let key = expected.keys().chain(found.keys()).find(|key| expected.get(key) != found.get(key))?;
    let show = |described: Option<&Described>| {
        let text = format!("{described:?}");
        text.chars().take(600).collect::<String>()
    };
    let name = String::from_utf8_lossy(&key.1);
    Some(format!(
        "{name} of database {}:\n  expected {}\n  found {}",
        key.0,
        show(expected.get(key)),
        show(found.get(key))
    ))
}
