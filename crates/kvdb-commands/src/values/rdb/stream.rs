//! Streams in RDB.
//!
//! ```text
//! stream   := nodes | (first id in 16 bytes, big-endian | listpack)*
//!             entries | last id | [first id | max deleted id | entries added]
//!             groups | group*
//! group    := name | last id | [entries read, 2^64 - 1 for unknown] | pending | (id | delivered at | deliveries)*
//!             consumers | (name | seen at | [active at] | pending | id*)*
//! ```
//!
//! Numbers are lengths, and ids two of them, but for the ids of pending entries, which are as those of nodes; moments are
//! little-endian Unix milliseconds. What is in brackets is newer: Redis 7.0 writes all of it but when consumers were
//! active, which 7.2 added. Written is what 7.0 writes. [`super::stream_node`] has the listpacks.

use std::collections::BTreeMap;

use kvdb_store::types::stream::{Group, StreamId};
use kvdb_store::types::{Elements as _, Layout, Stream};

use super::{Budget, MAX_BLOB_BYTES, RdbError, Reader, stream_node, write_length, write_string};

/// A stream without what is in brackets: Redis 5 to 6.2.
pub(super) const TYPE_STREAM_1: u8 = 15;
/// A stream with counts: Redis 7.0.
pub(super) const TYPE_STREAM_2: u8 = 19;
/// A stream with everything: Redis 7.2.
pub(super) const TYPE_STREAM_3: u8 = 21;

/// How a count that is not known is written.
const UNKNOWN: u64 = u64::MAX;

/// About what is in the row of a consumer or a pending entry beside names.
const ROW_BYTES: usize = 32;

fn write_id(out: &mut Vec<u8>, id: StreamId) {
    write_length(out, id.ms);
    write_length(out, id.seq);
}

fn write_raw_id(out: &mut Vec<u8>, id: StreamId) {
    out.extend_from_slice(&id.ms.to_be_bytes());
    out.extend_from_slice(&id.seq.to_be_bytes());
}

fn read_id(reader: &mut Reader<'_>) -> Result<StreamId, RdbError> {
    Ok(StreamId { ms: reader.length()?, seq: reader.length()? })
}

fn read_raw_id(reader: &mut Reader<'_>) -> Result<StreamId, RdbError> {
    Ok(StreamId { ms: u64::from_be_bytes(reader.array()?), seq: u64::from_be_bytes(reader.array()?) })
}

/// Appends a stream.
pub(super) fn write_stream(out: &mut Vec<u8>, stream: &Stream) -> Result<(), RdbError> {
    let nodes = stream_node::nodes(stream)?;
    write_length(out, nodes.len() as u64);
    for (first, listpack) in nodes {
        write_length(out, 16);
        write_raw_id(out, first);
        write_length(out, listpack.len() as u64);
        out.extend_from_slice(&listpack);
    }
    write_length(out, stream.count() as u64);
    write_id(out, stream.last_id());
    write_id(out, stream.first_id());
    write_id(out, stream.max_deleted_id());
    write_length(out, stream.entries_added());
    write_length(out, stream.groups().len() as u64);
    stream.groups().for_each(|(name, group)| write_group(out, name, group));
    Ok(())
}

fn write_group(out: &mut Vec<u8>, name: &[u8], group: &Group) {
    write_string(out, name);
    write_id(out, group.last_id());
    write_length(out, group.entries_read().map_or(UNKNOWN, i64::cast_unsigned));
    write_length(out, group.pending_len() as u64);
    for (id, pending) in group.pending(StreamId::MIN..=StreamId::MAX) {
        write_raw_id(out, id);
        out.extend_from_slice(&pending.delivered_at.to_le_bytes());
        write_length(out, pending.deliveries);
    }
    write_length(out, group.consumers().len() as u64);
    for consumer in group.consumers() {
        write_string(out, consumer.name());
        out.extend_from_slice(&consumer.seen_at().to_le_bytes());
        write_length(out, consumer.waiting() as u64);
        consumer.waiting_from(StreamId::MIN).for_each(|id| write_raw_id(out, id));
    }
}

/// Reads a stream of a type that is one.
pub(super) fn read_stream(
    kind: u8,
    reader: &mut Reader<'_>,
    budget: &mut Budget,
    layout: &Layout,
) -> Result<Stream, RdbError> {
    let mut stream = Stream::default();
    for _ in 0..reader.length()? {
        let key = reader.string(16)?;
        let (ms, seq) = key.split_first_chunk().ok_or(RdbError::BadData)?;
        let seq = <[u8; 8]>::try_from(seq).map_err(|_| RdbError::BadData)?;
        let first = StreamId { ms: u64::from_be_bytes(*ms), seq: u64::from_be_bytes(seq) };
        let listpack = reader.string(MAX_BLOB_BYTES)?;
        stream_node::read(first, &listpack, &mut stream, budget, layout)?;
    }
    if reader.length()? != stream.count() as u64 {
        return Err(RdbError::BadData);
    }
    let last_id = read_id(reader)?;
    let (max_deleted, added) = if kind == TYPE_STREAM_1 {
        (StreamId::MIN, stream.count() as u64)
    } else {
        // Which entry is the first can be seen.
        read_id(reader)?;
        (read_id(reader)?, reader.length()?)
    };
    stream.restore_log(last_id, added, max_deleted).ok_or(RdbError::BadData)?;
    for _ in 0..reader.length()? {
        read_group(kind, reader, &mut stream, budget)?;
    }
    Ok(stream)
}

fn read_group(
    kind: u8,
    reader: &mut Reader<'_>,
    stream: &mut Stream,
    budget: &mut Budget,
) -> Result<(), RdbError> {
    let name = reader.string(budget.max_string_bytes)?;
    let last_id = read_id(reader)?;
    let entries_read = if kind == TYPE_STREAM_1 {
        stream.count_up_to(last_id)
    } else {
        Some(reader.length()?).filter(|&read| read != UNKNOWN).map(u64::cast_signed)
    };
    stream.restore_group(&name, last_id, entries_read).ok_or(RdbError::BadData)?;
    budget.check(stream.memory_bytes())?;
    let mut pending = BTreeMap::new();
    for _ in 0..reader.length()? {
        let id = read_raw_id(reader)?;
        let delivery = (u64::from_le_bytes(reader.array()?), reader.length()?);
        if pending.insert(id, delivery).is_some() {
            return Err(RdbError::BadData);
        }
    }
    let mut last: Option<Vec<u8>> = None;
    for _ in 0..reader.length()? {
        let consumer = reader.string(budget.max_string_bytes)?;
        // Redis keeps them in this order too; in another one, many would take very long.
        if last.as_deref().is_some_and(|last| last >= &*consumer) {
            return Err(RdbError::BadData);
        }
        let seen_at = u64::from_le_bytes(reader.array()?);
        let active_at = if kind == TYPE_STREAM_3 { u64::from_le_bytes(reader.array()?) } else { seen_at };
        let active_at = (active_at != UNKNOWN).then_some(active_at);
        let mut waiting = Vec::new();
        budget.add_row(ROW_BYTES + name.len() + consumer.len())?;
        for _ in 0..reader.length()? {
            let id = read_raw_id(reader)?;
            let (delivered_at, deliveries) = pending.remove(&id).ok_or(RdbError::BadData)?;
            waiting.push((id, delivered_at, deliveries));
            budget.add_row(ROW_BYTES + name.len() + consumer.len())?;
        }
        let restored = stream.restore_consumer(&name, &consumer, (seen_at, active_at), &waiting);
        restored.ok_or(RdbError::BadData)?;
        budget.check(stream.memory_bytes())?;
        last = Some(consumer.into_owned());
    }
    // Every entry that is pending waits for somebody.
    if pending.is_empty() { Ok(()) } else { Err(RdbError::BadData) }
}
