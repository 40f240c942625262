//! Blocks: about a hundred entries that follow each other, in one allocation.
//!
//! ```text
//! block    := name* | entry*               the names of the first entry's fields, then the entries
//! entry    := length | ms | seq | fields | value*                  (all numbers are varints)
//! length   := bytes that follow
//! ms       := milliseconds behind those of the block's base
//! seq      := the sequence number; within the base's millisecond, how far it is behind that of the base
//! fields   := 0           the fields are those of the first entry, only values follow
//!           | 1 + number  so many fields follow, each a name and a value
//! ```
//!
//! Names and values are elements as in a [pack](crate::types::pack), without what lets a pack be read from its end. The
//! base is the id under which the block is filed, that of its first entry unless that was removed. Entries of a stream
//! mostly have the same fields, so that only their values take room; the idea is that of Redis' streams.

use kvdb_lsm::varint;

use super::id::StreamId;
use crate::entry::ValueRef;
use crate::types::pack::{self, Needle};

/// A field with its value, as bytes.
pub type Field<'a> = (&'a [u8], &'a [u8]);

/// Entries that follow each other; there is at least one.
#[derive(Debug)]
pub(super) struct Block {
    bytes: Vec<u8>,
    /// The bytes of the names.
    names_len: u32,
    /// How many names there are.
    names: u32,
    len: u32,
    last: StreamId,
}

impl Clone for Block {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), ..*self }
    }
}

/// An entry of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'b> {
    /// Its name.
    pub id: StreamId,
    /// The names of the fields, where they are not with the values.
    names: Option<&'b [u8]>,
    values: &'b [u8],
    fields: usize,
}

impl<'b> Entry<'b> {
    /// The number of fields.
    pub fn len(&self) -> usize {
        self.fields
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields == 0
    }

    /// The fields with their values.
    pub fn fields(&self) -> impl Iterator<Item = (ValueRef<'b>, ValueRef<'b>)> + use<'b> {
        let (mut names, mut values) = (self.names, self.values);
        (0..self.fields).map(move |_| {
            let name = take(names.as_mut().unwrap_or(&mut values));
            (name, take(&mut values))
        })
    }
}

/// The element at the beginning, which is taken off.
fn take<'b>(bytes: &mut &'b [u8]) -> ValueRef<'b> {
    let (value, len) = pack::read_forward(bytes);
    *bytes = &bytes[len..];
    value
}

/// The number at the beginning, which is taken off.
fn take_number(bytes: &mut &[u8]) -> u64 {
    let (number, len) = varint::read(bytes).expect("a block is only written by this module");
    *bytes = &bytes[len..];
    number
}

impl Block {
    /// A block of one entry, with room for so many bytes.
    pub(super) fn of(id: StreamId, fields: &[Field<'_>], room: usize) -> Self {
        let mut bytes = Vec::new();
        let names = fields.iter().map(|(name, _)| pack::forward_len(name)).sum();
        bytes.reserve_exact(room.max(names));
        fields.iter().for_each(|(name, _)| pack::write_forward(&mut bytes, name));
        let names_len = u32::try_from(bytes.len()).expect("an entry has less than four gigabytes");
        let mut block = Self { bytes, names_len, names: fields.len() as u32, len: 0, last: id };
        block.append(id, id, fields);
        block
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// The id of the last entry.
    pub(super) fn last(&self) -> StreamId {
        self.last
    }

    /// Bytes of names and entries.
    pub(super) fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory beside the structure itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether these fields have the names of the block.
    fn has_names(&self, fields: &[Field<'_>]) -> bool {
        let mut names = &self.bytes[..self.names_len as usize];
        fields.len() == self.names as usize
            && fields.iter().all(|(name, _)| Needle::of(name).is(take(&mut names)))
    }

    /// Adds an entry behind all others.
    pub(super) fn append(&mut self, base: StreamId, id: StreamId, fields: &[Field<'_>]) {
        let ms = id.ms - base.ms;
        let seq = if ms == 0 { id.seq - base.seq } else { id.seq };
        let are_known = self.has_names(fields);
        let head = if are_known { 0 } else { 1 + fields.len() as u64 };
        let field_len = |(name, value): &Field<'_>| {
            pack::forward_len(value) + if are_known { 0 } else { pack::forward_len(name) }
        };
        let len = varint::len(ms)
            + varint::len(seq)
            + varint::len(head)
            + fields.iter().map(field_len).sum::<usize>();
        self.make_room(varint::len(len as u64) + len);
        for number in [len as u64, ms, seq, head] {
            varint::write(&mut self.bytes, number);
        }
        for (name, value) in fields {
            if !are_known {
                pack::write_forward(&mut self.bytes, name);
            }
            pack::write_forward(&mut self.bytes, value);
        }
        (self.len, self.last) = (self.len + 1, id);
    }

    /// Makes room for so many bytes; in a small block for no more, since there may be millions of them.
    fn make_room(&mut self, len: usize) {
        if self.bytes.capacity() - self.bytes.len() < len {
            let used = self.bytes.len();
            self.bytes.reserve_exact(if used < 256 { len } else { len.max(used / 4) });
        }
    }

    /// Gives memory back that is not needed: nothing will be added any more.
    pub(super) fn fit(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// The entries in their order, each with where it begins.
    pub(super) fn entries(&self, base: StreamId) -> BlockEntries<'_> {
        let (names, entries) = self.bytes.split_at(self.names_len as usize);
        BlockEntries { base, names, count: self.names as usize, at: 0, entries }
    }

    /// Takes an entry out; tells whether it was there. The last one cannot be taken out.
    pub(super) fn remove(&mut self, base: StreamId, id: StreamId) -> bool {
        let mut entries = self.entries(base);
        let (mut before, mut start) = (None, 0);
        let found = loop {
            match entries.next() {
                Some(entry) if entry.id < id => (before, start) = (Some(entry.id), entries.at),
                Some(entry) => break entry.id == id,
                None => break false,
            }
        };
        let end = entries.at;
        if found {
            if id == self.last {
                self.last = before.expect("the caller has seen that there are others");
            }
            self.cut(start..end, 1);
        }
        found
    }

    /// Takes the first entries out, but not all.
    pub(super) fn remove_first(&mut self, base: StreamId, count: usize) {
        let mut entries = self.entries(base);
        entries.by_ref().take(count).for_each(|_| ());
        let end = entries.at;
        self.cut(0..end, count);
    }

    fn cut(&mut self, range: std::ops::Range<usize>, count: usize) {
        let names = self.names_len as usize;
        self.bytes.drain(names + range.start..names + range.end);
        self.len -= count as u32;
        debug_assert!(self.len > 0);
        if self.bytes.len() < self.bytes.capacity() / 2 {
            self.bytes.shrink_to_fit();
        }
    }
}

/// The entries of a block.
#[derive(Debug, Clone)]
pub(super) struct BlockEntries<'b> {
    base: StreamId,
    names: &'b [u8],
    count: usize,
    entries: &'b [u8],
    /// Where the next one begins, behind the names.
    at: usize,
}

impl<'b> Iterator for BlockEntries<'b> {
    type Item = Entry<'b>;

    fn next(&mut self) -> Option<Entry<'b>> {
        let mut rest = self.entries.get(self.at..).filter(|rest| !rest.is_empty())?;
        let len = take_number(&mut rest) as usize;
        let mut body = &rest[..len];
        self.at = self.entries.len() - (rest.len() - len);
        let (ms, seq) = (take_number(&mut body), take_number(&mut body));
        let seq = if ms == 0 { self.base.seq + seq } else { seq };
        let id = StreamId { ms: self.base.ms + ms, seq };
        Some(match take_number(&mut body) {
            0 => Entry { id, names: Some(self.names), values: body, fields: self.count },
            more => Entry { id, names: None, values: body, fields: (more - 1) as usize },
        })
    }
}
