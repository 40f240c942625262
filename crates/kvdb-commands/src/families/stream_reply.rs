//! What the commands on streams have in common: the stream of a key, ids, entries in replies, and errors.

use itoa::Buffer;
use kvdb_resp::Reply;
use kvdb_store::types::Stream;
use kvdb_store::types::stream::{Entry, StreamId};
use kvdb_store::{Edit, Object, WriteCx};
use smallvec::SmallVec;
use std::ops::RangeInclusive;

use super::elements::elements;
use super::string_value::reply_value;
use crate::errors::{self, CommandError, printable};
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::number::parse_i64;
use crate::values::stream_id::{self, RangeError};

/// What the rows of the families of streams have in common.
pub(super) const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 2,
    flags: Flags::NONE,
    keys: &[KeySpec::one(&["RO", "access"])],
    categories: &[],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "key",
    handler: Handler::Container,
    subcommands: &[],
};

/// An argument that should be an id and is none.
pub(super) const INVALID_ID: CommandError =
    CommandError::fixed("ERR Invalid stream ID specified as stream command argument");

/// The bytes of a name that stand in an error.
const ECHO: usize = 256;

/// The stream of a key that has to be one, if it is there.
pub(super) fn stream(object: Option<Object<'_>>) -> Result<Option<&Stream>, CommandError> {
    elements(object)
}

/// As [`WriteCx::edit`], for what concerns the groups of a stream and not its entries: as in Redis, those who watch the key take
/// that for no change.
pub(super) fn edit_groups<R>(
    cx: &mut WriteCx<'_>,
    key: &[u8],
    change: impl FnOnce(&mut Edit<'_, Stream>) -> R,
) -> Result<R, CommandError> {
    Ok(cx.quietly(|cx| cx.edit(key, change))?)
}

/// A whole id, which is neither `-` nor `+`.
pub(super) fn parse_id(text: &[u8]) -> Result<StreamId, CommandError> {
    stream_id::parse(text, 0).ok_or(INVALID_ID)
}

/// Whole ids.
pub(super) fn parse_ids<'a>(
    texts: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<StreamId>, CommandError> {
    texts.into_iter().map(parse_id).collect()
}

/// The ends of a range.
pub(super) fn parse_range(start: &[u8], end: &[u8]) -> Result<RangeInclusive<StreamId>, CommandError> {
    stream_id::parse_range(start, end).map_err(range_error)
}

/// What is wrong with an end of a range.
pub(super) fn range_error(error: RangeError) -> CommandError {
    match error {
        RangeError::NotAnId => INVALID_ID,
        RangeError::Start => CommandError::fixed("ERR invalid start ID for the interval"),
        RangeError::End => CommandError::fixed("ERR invalid end ID for the interval"),
    }
}

/// A number of things, of which a negative one counts as 0.
pub(super) fn parse_count(text: &[u8]) -> Result<usize, CommandError> {
    let count = parse_i64(text).ok_or(errors::NOT_INTEGER)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Replies with an id.
pub(super) fn reply_id(reply: &mut Reply<'_>, id: StreamId) {
    let mut text = SmallVec::<[u8; 64]>::new();
    text.extend_from_slice(Buffer::new().format(id.ms).as_bytes());
    text.push(b'-');
    text.extend_from_slice(Buffer::new().format(id.seq).as_bytes());
    reply.bulk(&text);
}

/// Replies with an entry: its id, and its fields with their values.
pub(super) fn reply_entry(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.array(2);
    reply_id(reply, entry.id);
    reply.array(2 * entry.len());
    for (name, value) in entry.fields() {
        reply_value(reply, Some(name));
        reply_value(reply, Some(value));
    }
}

/// Replies with entries; returns how many they are.
pub(super) fn reply_entries<'e>(reply: &mut Reply<'_>, entries: impl Iterator<Item = Entry<'e>>) -> usize {
    let (head, mut count) = (reply.deferred_array(), 0);
    for entry in entries {
        if reply.is_full() {
            break;
        }
        reply_entry(reply, &entry);
        count += 1;
    }
    reply.finish(head, count);
    count
}

fn name(bytes: &[u8]) -> String {
    printable(&bytes[..bytes.len().min(ECHO)])
}

/// There is no such key, or no such group in it; `how` is what more there is to say.
pub(super) fn no_key_or_group(key: &[u8], group: &[u8], how: &str) -> CommandError {
    let (key, group) = (name(key), name(group));
    CommandError::new(format!("NOGROUP No such key '{key}' or consumer group '{group}'{how}"))
}

/// There is no such group.
pub(super) fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (name(key), name(group));
    CommandError::new(format!("NOGROUP No such consumer group '{group}' for key name '{key}'"))
}

/// XCLAIM with a word that is neither an id nor an option.
pub(super) fn unrecognized_claim_option(option: &[u8]) -> CommandError {
    CommandError::new(format!("ERR Unrecognized XCLAIM option '{}'", name(option)))
}
