//! The nodes of streams in RDB: entries that stand in one listpack.
//!
//! ```text
//! node   := entries | deleted entries | fields | field* | 0        those of the first entry
//!           entry*
//! entry  := flags | ms | seq | values of those fields | elements of this entry
//!         | flags | ms | seq | fields | (field | value)* | elements of this entry
//! ```
//!
//! Milliseconds and sequence numbers count from the id of the node, which is that of its first entry.

use std::borrow::Cow;

use kvdb_store::ValueRef;
use kvdb_store::types::stream::{Entry, StreamId};
use kvdb_store::types::{Elements as _, Layout, Stream};

use super::listpack::{Builder, Elements};
use super::{Budget, RdbError};

/// The entry is not there any more.
const DELETED: i64 = 1;
/// The fields are those of the node.
const SAME_FIELDS: i64 = 2;

/// The most entries of a node that is written: what Redis does unless it is told otherwise.
const NODE_ENTRIES: usize = 100;
/// The bytes at which such a node is full.
const NODE_BYTES: usize = 4096;

/// What is in an entry beside fields and values: flags, two differences, and the number of all these.
const ENTRY_HEAD: i64 = 3;

/// The entries of a stream in nodes, each with the id of its first.
pub(super) fn nodes(stream: &Stream) -> Result<Vec<(StreamId, Vec<u8>)>, RdbError> {
    let mut nodes = Vec::new();
    let mut entries = stream.range(StreamId::MIN..=StreamId::MAX).peekable();
    while let Some(first) = entries.next() {
        let (mut in_node, mut bytes) = (vec![first], size_of_entry(&first));
        while in_node.len() < NODE_ENTRIES
            && let Some(next) = entries.next_if(|next| bytes + size_of_entry(next) < NODE_BYTES)
        {
            bytes += size_of_entry(&next);
            in_node.push(next);
        }
        nodes.push((first.id, node(&in_node)?));
    }
    Ok(nodes)
}

fn size_of_entry(entry: &Entry<'_>) -> usize {
    entry.fields().map(|(name, value)| name.len() + value.len()).sum()
}

/// The node of these entries.
fn node(entries: &[Entry<'_>]) -> Result<Vec<u8>, RdbError> {
    let (first, mut node) = (&entries[0], Builder::new());
    node.push_integer(entries.len() as i64);
    node.push_integer(0);
    node.push_integer(first.len() as i64);
    first.fields().for_each(|(name, _)| node.push(name));
    node.push_integer(0);
    for entry in entries {
        let fields = entry.len() as i64;
        let is_same = entry.len() == first.len()
            && entry.fields().zip(first.fields()).all(|((name, _), (other, _))| name == other);
        node.push_integer(if is_same { SAME_FIELDS } else { 0 });
        // In Redis too, these wrap.
        node.push_integer(entry.id.ms.wrapping_sub(first.id.ms).cast_signed());
        node.push_integer(entry.id.seq.wrapping_sub(first.id.seq).cast_signed());
        if !is_same {
            node.push_integer(fields);
        }
        for (name, value) in entry.fields() {
            if !is_same {
                node.push(name);
            }
            node.push(value);
        }
        node.push_integer(ENTRY_HEAD + if is_same { fields } else { 2 * fields + 1 });
    }
    node.finish()
}

/// Adds the entries of a node to a stream, behind those that it has.
pub(super) fn read(
    first: StreamId,
    bytes: &[u8],
    stream: &mut Stream,
    budget: &mut Budget,
    layout: &Layout,
) -> Result<(), RdbError> {
    let mut node = Elements::of(bytes)?;
    let (live, deleted, count) = (node.integer()?, node.integer()?, node.integer()?);
    let names = (0..count).map(|_| node.text()).collect::<Result<Vec<_>, _>>()?;
    if count < 0 || node.integer()? != 0 {
        return Err(RdbError::BadData);
    }
    let (mut found_live, mut found_deleted, mut last) = (0, 0, None);
    while let Some(flags) = node.next()? {
        let ValueRef::Int(flags @ 0..4) = flags else { return Err(RdbError::BadData) };
        let (ms, seq) = (node.integer()?, node.integer()?);
        let id = StreamId {
            ms: first.ms.wrapping_add(ms.cast_unsigned()),
            seq: first.seq.wrapping_add(seq.cast_unsigned()),
        };
        if id < first || last.is_some_and(|last| id <= last) {
            return Err(RdbError::BadData);
        }
        last = Some(id);
        let fields = read_fields(&mut node, (flags & SAME_FIELDS != 0).then_some(&names[..]), budget)?;
        if flags & DELETED != 0 {
            found_deleted += 1;
            continue;
        }
        found_live += 1;
        let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        budget.add_row(fields.iter().map(|(name, value)| name.len() + value.len()).sum())?;
        stream.restore_entry(id, &fields, layout).ok_or(RdbError::BadData)?;
        budget.check(stream.memory_bytes())?;
    }
    if (found_live, found_deleted) == (live, deleted) { Ok(()) } else { Err(RdbError::BadData) }
}

type Field<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The fields of an entry, up to its end; `names` where they are those of the node.
fn read_fields<'a>(
    node: &mut Elements<'a>,
    names: Option<&'a [Cow<'_, [u8]>]>,
    budget: &Budget,
) -> Result<Vec<Field<'a>>, RdbError> {
    let mut fields = Vec::new();
    let elements = if let Some(names) = names {
        for name in names {
            fields.push((Cow::Borrowed(&**name), node.text()?));
        }
        fields.len() as i64
    } else {
        let count = node.integer()?;
        for _ in 0..count {
            fields.push((node.text()?, node.text()?));
        }
        2 * fields.len() as i64 + 1
    };
    let too_long = |text: &Cow<'_, [u8]>| text.len() > budget.max_string_bytes;
    if fields.iter().any(|(name, value)| too_long(name) || too_long(value))
        || node.integer()? != ENTRY_HEAD + elements
    {
        return Err(RdbError::BadData);
    }
    Ok(fields)
}
