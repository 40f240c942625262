//! Values with elements: how each type holds them in memory, and which rows they are.
//!
//! A collection is a *meta row*, which says the type and the *generation*, and a row for every element under that
//! generation. In memory it is a structure of its own type in this module. What they have in common is the trait
//! [`Elements`]: to be made from rows and to show the rows that it is. Changes go through [`Edit`](crate::Edit), which has
//! a method for every effect on a type: it changes the structure and records the changed rows together.
//!
//! Small collections are [`pack`]s, large ones are made of [`table`]s and the like; [`Layout`] says where the border is,
//! as Redis' settings do, and [`Collection::encoding`] tells which it is in Redis' words.

pub mod hash;
pub mod int_set;
pub mod list;
pub mod member;
pub mod pack;
pub mod set;
pub mod sorted_set;
pub mod stream;
pub mod table;

pub use hash::Hash;
pub use list::List;
pub use set::Set;
pub use sorted_set::SortedSet;
pub use stream::Stream;

use crate::row::{Body, Type};

/// Where small collections end and large ones begin, and how elements are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The secret seed of the hashes of elements.
    pub seed: u64,
    /// The most fields of a small hash (`hash-max-listpack-entries`).
    pub hash_entries: usize,
    /// The longest field or value of a small hash, in bytes (`hash-max-listpack-value`).
    pub hash_value: usize,
    /// The most members of a set of integers (`set-max-intset-entries`).
    pub set_intset: usize,
    /// The most members of a small set (`set-max-listpack-entries`).
    pub set_entries: usize,
    /// The longest member of a small set, in bytes (`set-max-listpack-value`).
    pub set_value: usize,
    /// The most members of a small sorted set (`zset-max-listpack-entries`).
    pub sorted_set_entries: usize,
    /// The longest member of a small sorted set, in bytes (`zset-max-listpack-value`).
    pub sorted_set_value: usize,
    /// The size of a piece of a list (`list-max-listpack-size`): positive in elements, -1 to -5 for 4 to 64 KiB.
    pub list_size: i32,
    /// The most entries of a block of a stream (`stream-node-max-entries`); 0 for no limit.
    pub stream_entries: usize,
    /// The bytes at which a block of a stream is full (`stream-node-max-bytes`); 0 for no limit.
    pub stream_bytes: usize,
}

impl Layout {
    /// Redis' own borders.
    pub fn with_seed(seed: u64) -> Self {
        Self {
            seed,
            hash_entries: 512,
            hash_value: 64,
            set_intset: 512,
            set_entries: 128,
            set_value: 64,
            sorted_set_entries: 128,
            sorted_set_value: 64,
            list_size: -2,
            stream_entries: 100,
            stream_bytes: 4096,
        }
    }
}

/// What all types of collections can do.
pub trait Elements: Sized + Default + Clone {
    /// The type.
    const KIND: Type;
    /// Whether the key stays when the last element goes.
    const STAYS_EMPTY: bool = false;

    /// The collection inside a value, when it is of this type.
    fn of(collection: &Collection) -> Option<&Self>;
    /// Likewise, for change.
    fn of_mut(collection: &mut Collection) -> Option<&mut Self>;
    /// As a value.
    fn into_collection(self) -> Collection;

    /// Asks the processor for what a command would read first, where that stands elsewhere.
    fn prefetch(&self) {}
    /// The number of elements.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes of memory beside the structure itself; in constant time.
    fn memory_bytes(&self) -> usize;
    /// How Redis would say that it is stored.
    fn encoding(&self) -> &'static str;

    /// Takes an element over from its row. `None` when the row is not one of this type.
    #[must_use]
    fn load(&mut self, element: &[u8], value: &[u8], layout: &Layout) -> Option<()>;
    /// Tells that every row has been loaded: what is made of all elements together can be made now.
    fn loaded(&mut self) {}
    /// Shows the rows of all elements: the end of the key and the value.
    fn rows(&self, visit: &mut dyn FnMut(&[u8], &[u8]));

    /// What the meta row says beside the generation.
    fn extra(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Takes over what the meta row says. `None` when it is not of this type.
    #[must_use]
    fn load_extra(&mut self, extra: &[u8]) -> Option<()> {
        extra.is_empty().then_some(())
    }
}

/// A value with elements, of any type.
#[derive(Debug, Clone)]
pub enum Collection {
    /// Fields with values.
    Hash(Hash),
    /// Elements in order.
    List(List),
    /// Members.
    Set(Set),
    /// Members in the order of their scores.
    SortedSet(SortedSet),
    /// Entries that follow each other, and groups that read them.
    Stream(Stream),
}

/// Does the same with the structure of whichever type it is.
macro_rules! whichever {
    ($collection:expr, $inner:ident => $body:expr) => {
        match $collection {
            Collection::Hash($inner) => $body,
            Collection::List($inner) => $body,
            Collection::Set($inner) => $body,
            Collection::SortedSet($inner) => $body,
            Collection::Stream($inner) => $body,
        }
    };
}

impl Collection {
    /// An empty one.
    ///
    /// # Panics
    /// For a string.
    pub fn new(kind: Type) -> Self {
        match kind {
            Type::Hash => Self::Hash(Hash::default()),
            Type::List => Self::List(List::default()),
            Type::Set => Self::Set(Set::default()),
            Type::SortedSet => Self::SortedSet(SortedSet::default()),
            Type::Stream => Self::Stream(Stream::default()),
            Type::String => unreachable!("not a type of collection"),
        }
    }

    /// The type.
    pub fn kind(&self) -> Type {
        fn of<T: Elements>(_: &T) -> Type {
            T::KIND
        }
        whichever!(self, inner => of(inner))
    }

    /// Asks the processor for what a command would read first.
    pub(crate) fn prefetch(&self) {
        whichever!(self, inner => inner.prefetch());
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        whichever!(self, inner => inner.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory beside the structure itself.
    pub fn memory_bytes(&self) -> usize {
        whichever!(self, inner => inner.memory_bytes())
    }

    /// How Redis would say that it is stored.
    pub fn encoding(&self) -> &'static str {
        whichever!(self, inner => inner.encoding())
    }

    /// Shows the rows of all elements: the end of the key and the value.
    pub fn rows(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        whichever!(self, inner => inner.rows(visit));
    }

    /// What the meta row says beside the generation.
    pub fn extra(&self) -> Vec<u8> {
        whichever!(self, inner => inner.extra())
    }

    /// Takes over what the meta row says.
    #[must_use]
    pub fn load_extra(&mut self, extra: &[u8]) -> Option<()> {
        whichever!(self, inner => inner.load_extra(extra))
    }

    /// When the first of the elements that do not live as long as the key dies, in Unix milliseconds. The meta row says
    /// it too ([`Body::next_deadline`]), so that it is known of what is not in memory.
    pub fn next_deadline(&self) -> Option<u64> {
        match self {
            Self::Hash(hash) => hash.next_deadline(),
            _ => None,
        }
    }

    /// When the first of these elements dies as far as the meta row says, in Unix milliseconds.
    #[inline]
    pub(crate) fn told_deadline(&self) -> Option<u64> {
        match self {
            Self::Hash(hash) => hash.told_deadline(),
            _ => None,
        }
    }

    /// Notes that the meta row is written, and says what is true; tells whether it said something else.
    pub(crate) fn tell_deadline(&mut self) -> bool {
        match self {
            Self::Hash(hash) => hash.tell_deadline(),
            _ => false,
        }
    }

    /// Takes everything out and leaves an empty collection of the same type, of which the meta row still says what it said.
    pub fn take(&mut self) -> Self {
        match self {
            Self::Hash(hash) => Self::Hash(hash.take()),
            other => {
                let empty = Self::new(other.kind());
                std::mem::replace(other, empty)
            }
        }
    }

    /// Takes an element over from its row.
    #[must_use]
    pub fn load(&mut self, element: &[u8], value: &[u8], layout: &Layout) -> Option<()> {
        whichever!(self, inner => inner.load(element, value, layout))
    }

    /// Tells that every row has been loaded.
    pub fn loaded(&mut self) {
        whichever!(self, inner => inner.loaded());
    }
}

/// A collection as an entry holds it.
#[derive(Debug, Clone)]
pub struct Held {
    /// The generation of its element rows.
    pub generation: u64,
    /// The elements.
    pub collection: Collection,
}

impl Held {
    /// A collection whose meta row says of deadlines of elements what is true.
    pub fn new(generation: u64, mut collection: Collection) -> Self {
        collection.tell_deadline();
        Self { generation, collection }
    }

    /// Takes everything out and leaves an empty collection of the same type.
    pub fn take(&mut self) -> Self {
        Self { generation: self.generation, collection: self.collection.take() }
    }

    /// The body of the meta row, around what [`Collection::extra`] returned.
    pub fn body<'a>(&self, extra: &'a [u8]) -> Body<'a> {
        Body::Elements { kind: self.collection.kind(), generation: self.generation, extra }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_entry_holds_is_small() {
        assert_eq!(size_of::<Held>(), 48);
    }
}
