//! Streams read onwards: what is behind an id, by one reader or by a group.

use kvdb_resp::{Args, Protocol, Reply};
use kvdb_store::types::Stream;
use kvdb_store::types::stream::StreamId;
use kvdb_store::{ReadCx, WriteCx};
use smallvec::SmallVec;

use super::stream_reply::{
    ROW, edit_groups, no_key_or_group, parse_count, parse_id, reply_entries, reply_entry, reply_id, stream,
};
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::exec::check_names;
use crate::spec::{CommandSpec, Flags, Handler, KeyPlace, KeySpec};
use crate::values::number::parse_timeout_milliseconds;

const NO_GROUP_OPTION: CommandError = CommandError::fixed("ERR Missing GROUP option for XREADGROUP");
const GROUP_IN_XREAD: CommandError =
    CommandError::fixed("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.");
const NOACK_IN_XREAD: CommandError =
    CommandError::fixed("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.");
const NEW_IN_XREAD: CommandError = CommandError::fixed(
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
);
const LAST_IN_XREADGROUP: CommandError = CommandError::fixed(
    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
);

/// Options before STREAMS, with how many arguments they have.
const OPTIONS: &[(&str, u16)] = &[("BLOCK", 1), ("COUNT", 1), ("GROUP", 2)];

const fn keys(from: u16) -> KeySpec {
    KeySpec { place: KeyPlace::Halved { word: "STREAMS", from, options: OPTIONS }, flags: &["RO", "access"] }
}

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "xread",
        arity: -4,
        flags: Flags::BLOCKING.with(Flags::READONLY),
        keys: &[keys(1)],
        complexity: "O(N) for N entries replied",
        summary: "Replies with the entries of several streams that are behind an id of each.",
        syntax: "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
        handler: Handler::Write(xread),
        ..ROW
    },
    CommandSpec {
        name: "xreadgroup",
        arity: -7,
        flags: Flags::BLOCKING,
        keys: &[keys(4)],
        complexity: "O(N) for N entries replied",
        summary: "Delivers entries of several streams to a consumer of a group, or replies with what waits for it.",
        syntax: "GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]",
        handler: Handler::Write(xreadgroup),
        ..ROW
    },
];

/// The arguments of XREAD and XREADGROUP.
#[derive(Debug)]
pub struct Reading<'a> {
    /// The most entries of each stream.
    pub count: usize,
    /// Whether to wait when there is nothing, and until when, in Unix milliseconds; `Some(None)` for ever.
    pub block: Option<Option<u64>>,
    /// Whether entries are delivered without waiting for an acknowledgement.
    pub no_ack: bool,
    /// Group and consumer.
    pub group: Option<(&'a [u8], &'a [u8])>,
    /// The streams.
    pub keys: Args<'a>,
    /// What is read of each.
    pub ids: Args<'a>,
}

impl<'a> Reading<'a> {
    /// Reads the arguments, the command's name included.
    ///
    /// # Errors
    /// When they are not what the command takes.
    pub fn parse(args: Args<'a>, in_group: bool, now: u64) -> Result<Self, CommandError> {
        let none = args.tail(args.len());
        let mut reading = Self { count: 0, block: None, no_ack: false, group: None, keys: none, ids: none };
        let mut at = 1;
        loop {
            let option = args.get(at).ok_or(errors::SYNTAX)?;
            let more = args.len() - at - 1;
            match &*option.to_ascii_lowercase() {
                b"block" if more > 0 => {
                    let timeout = parse_timeout_milliseconds(&args[at + 1], now);
                    let timeout = timeout.map_err(|error| CommandError::new(format!("ERR {error}")))?;
                    reading.block = Some(timeout);
                    at += 1;
                }
                b"count" if more > 0 => {
                    reading.count = parse_count(&args[at + 1])?;
                    at += 1;
                }
                b"streams" if more > 0 => {
                    let streams = args.tail(at + 1);
                    if !streams.len().is_multiple_of(2) {
                        return Err(unbalanced(in_group));
                    }
                    let half = streams.len() / 2;
                    (reading.keys, reading.ids) = (streams.slice(0..half), streams.tail(half));
                    break;
                }
                b"group" if more >= 2 => {
                    if !in_group {
                        return Err(GROUP_IN_XREAD);
                    }
                    reading.group = args.get(at + 1).zip(args.get(at + 2));
                    at += 2;
                }
                b"noack" if !in_group => return Err(NOACK_IN_XREAD),
                b"noack" => reading.no_ack = true,
                _ => return Err(errors::SYNTAX),
            }
            at += 1;
        }
        if in_group && reading.group.is_none() {
            return Err(NO_GROUP_OPTION);
        }
        if reading.count == 0 {
            reading.count = usize::MAX;
        }
        Ok(reading)
    }
}

fn unbalanced(in_group: bool) -> CommandError {
    let (name, id) = if in_group { ("xreadgroup", '>') } else { ("xread", '$') };
    CommandError::new(format!(
        "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{id}' must be specified."
    ))
}

/// Begins the reply: streams with what is read of them. It is taken back when that is nothing of any.
struct Served {
    head: kvdb_resp::Deferred,
    mark: usize,
    count: usize,
}

impl Served {
    fn begin(reply: &mut Reply<'_>) -> Self {
        let mark = reply.len();
        let is_map = reply.protocol() == Protocol::Resp3;
        let head = if is_map { reply.deferred_map() } else { reply.deferred_array() };
        Self { head, mark, count: 0 }
    }

    /// Begins the part of a stream; its entries follow.
    fn add(&mut self, reply: &mut Reply<'_>, key: &[u8]) {
        if reply.protocol() == Protocol::Resp2 {
            reply.array(2);
        }
        reply.bulk(key);
        self.count += 1;
    }

    /// Ends the reply; false when there is none.
    fn end(self, reply: &mut Reply<'_>) -> bool {
        if self.count == 0 {
            reply.truncate(self.mark);
        } else {
            reply.finish(self.head, self.count);
        }
        self.count > 0
    }
}

/// The ids behind which each stream is read: `$` is the last of those that are there now. Of a command that has waited it
/// was replaced, and keys that have become something else since then are passed over.
///
/// # Errors
/// When a key is of another type, or an id is none.
pub fn starts(
    cx: &mut ReadCx<'_>,
    reading: &Reading<'_>,
    has_waited: bool,
) -> Result<Vec<StreamId>, CommandError> {
    let mut starts = Vec::with_capacity(reading.keys.len());
    for (key, id) in reading.keys.iter().zip(reading.ids) {
        let stream = if has_waited { None } else { stream(cx.get(key))? };
        starts.push(match id {
            b"$" => stream.map_or(StreamId::MIN, |stream| stream.last_id()),
            b">" => return Err(NEW_IN_XREAD),
            id => parse_id(id)?,
        });
    }
    Ok(starts)
}

/// Replies with the entries behind the ids, at most `count` of each of the keys that are streams; tells whether there are
/// any. Where there are none, nothing is replied.
pub fn read_behind(
    cx: &mut ReadCx<'_>,
    keys: Args<'_>,
    starts: &[StreamId],
    count: usize,
    reply: &mut Reply<'_>,
) -> bool {
    let mut served = Served::begin(reply);
    for (key, &start) in keys.iter().zip(starts) {
        let Some(stream) = cx.get(key).and_then(|object| object.elements::<Stream>()) else { continue };
        if let Some(from) = start.next().filter(|&from| stream.last_entry().is_some_and(|last| last >= from))
        {
            served.add(reply, key);
            reply_entries(reply, stream.range(from..=StreamId::MAX).take(count));
        }
        if reply.is_full() {
            break;
        }
    }
    served.end(reply)
}

fn xread(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let reading = Reading::parse(args, false, cx.now())?;
    let has_waited = cx.has_waited();
    let starts = cx.read(|cx| starts(cx, &reading, has_waited))?;
    if cx.read(|cx| read_behind(cx, reading.keys, &starts, reading.count, reply)) {
        return Ok(());
    }
    let first_id = args.len() - reading.ids.len();
    for (at, start) in starts.iter().enumerate().filter(|&(at, _)| &reading.ids[at] == b"$") {
        // What is newest now is what it waits behind.
        cx.run_again_with(first_id + at, start.to_string().into_bytes());
    }
    wait_or_end(cx, reading.block, reply);
    Ok(())
}

/// Waits if it was asked to and may; replies that there is nothing otherwise.
fn wait_or_end(cx: &mut WriteCx<'_>, block: Option<Option<u64>>, reply: &mut Reply<'_>) {
    let waits = block.is_some_and(|deadline| cx.wait_until(deadline));
    if !waits {
        reply.null_array();
    }
}

/// What a consumer reads of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// What was delivered to nobody: `>`.
    New,
    /// What waits for it, behind an id.
    Waiting(StreamId),
}

/// Delivers entries to a consumer, or replies with what waits for it; tells whether any stream has anything to reply with.
/// Where none has, nothing is replied.
///
/// # Errors
/// When a key is of another type or has no such group, or an id is none.
pub fn read_in_group(
    cx: &mut WriteCx<'_>,
    reading: &Reading<'_>,
    reply: &mut Reply<'_>,
) -> Result<bool, CommandError> {
    let (group, consumer) = reading.group.ok_or(NO_GROUP_OPTION)?;
    let mut wanted = SmallVec::<[Wanted; 4]>::new();
    for (key, id) in reading.keys.iter().zip(reading.ids) {
        let found = stream(cx.lookup(key))?.and_then(|stream| stream.group(group));
        found.ok_or_else(|| no_key_or_group(key, group, " in XREADGROUP with GROUP option"))?;
        wanted.push(match id {
            b"$" => return Err(LAST_IN_XREADGROUP),
            b">" => Wanted::New,
            id => match parse_id(id)? {
                StreamId::MAX => Wanted::New,
                id => Wanted::Waiting(id),
            },
        });
    }
    check_names([consumer])?;
    let mut served = Served::begin(reply);
    for (key, wanted) in reading.keys.iter().zip(wanted) {
        match wanted {
            Wanted::New => deliver(cx, key, (group, consumer), reading, reply, &mut served)?,
            Wanted::Waiting(id) => {
                served.add(reply, key);
                redeliver(cx, key, (group, consumer), id, reading.count, reply)?;
            }
        }
        if reply.is_full() {
            return Err(errors::REPLY_TOO_LONG);
        }
    }
    Ok(served.end(reply))
}

/// Delivers the entries of a stream that were delivered to nobody.
fn deliver(
    cx: &mut WriteCx<'_>,
    key: &[u8],
    (group, consumer): (&[u8], &[u8]),
    reading: &Reading<'_>,
    reply: &mut Reply<'_>,
    served: &mut Served,
) -> CmdResult {
    let now = cx.now();
    let mut ids = Vec::new();
    if let Some(stream) = stream(cx.get(key))?
        && let Some(from) = stream.group(group).and_then(|group| group.last_id().next())
        && stream.last_entry().is_some_and(|last| last >= from)
    {
        served.add(reply, key);
        let entries = stream.range(from..=StreamId::MAX).take(reading.count);
        reply_entries(reply, entries.inspect(|entry| ids.push(entry.id)));
    }
    let created = edit_groups(cx, key, |stream| {
        let created = stream.see_consumer(group, consumer, now);
        stream.deliver(group, consumer, &ids, now, reading.no_ack);
        created
    })?;
    if created {
        cx.notify(events::XGROUP_CREATECONSUMER, key);
    }
    Ok(())
}

/// Replies with the entries that wait for a consumer. Of those that are gone only the ids are left.
fn redeliver(
    cx: &mut WriteCx<'_>,
    key: &[u8],
    (group, consumer): (&[u8], &[u8]),
    behind: StreamId,
    count: usize,
    reply: &mut Reply<'_>,
) -> CmdResult {
    let now = cx.now();
    let (mut again, mut replied) = (Vec::new(), 0);
    let head = reply.deferred_array();
    if let Some(stream) = stream(cx.get(key))?
        && let Some(waits) = stream.group(group).and_then(|group| group.consumer(consumer))
        && let Some(from) = behind.next()
    {
        for id in waits.waiting_from(from).take(count) {
            if reply.is_full() {
                break;
            }
            match stream.get(id) {
                Some(entry) => {
                    reply_entry(reply, &entry);
                    again.push(id);
                }
                None => {
                    reply.array(2);
                    reply_id(reply, id);
                    reply.null_array();
                }
            }
            replied += 1;
        }
    }
    reply.finish(head, replied);
    let created = edit_groups(cx, key, |stream| {
        let created = stream.see_consumer(group, consumer, now);
        stream.redeliver(group, &again, now);
        created
    })?;
    if created {
        cx.notify(events::XGROUP_CREATECONSUMER, key);
    }
    Ok(())
}

fn xreadgroup(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let reading = Reading::parse(args, true, cx.now())?;
    if !read_in_group(cx, &reading, reply)? {
        wait_or_end(cx, reading.block, reply);
    }
    Ok(())
}
