//! Strings as arrays of integers of any width.

use std::collections::BTreeMap;
use std::ops::Range;

use itoa::Buffer;
use kvdb_resp::{Args, Reply};
use kvdb_store::row::{CHUNK_BYTES, CHUNK_THRESHOLD};
use kvdb_store::{Effect, ReadCx, WriteCx};

use super::string_value::{bytes, string};
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::bitfield::{self, FieldType, Overflow, parse_bit_offset};
use crate::values::number::parse_i64;

const BAD_OVERFLOW: CommandError = CommandError::fixed("ERR Invalid OVERFLOW type specified");
const BAD_TYPE: CommandError = CommandError::fixed(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);
const READ_ONLY: CommandError = CommandError::fixed("ERR BITFIELD_RO only supports the GET subcommand");

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "bitfield",
        arity: -2,
        flags: Flags::DENYOOM,
        keys: &[KeySpec::one(&["RW", "access", "update", "variable_flags"])],
        categories: &[],
        group: Group::Bitmap,
        since: "3.2.0",
        complexity: "O(1) for each operation",
        summary: "Reads, sets and increments integers of any width within the string of a key.",
        syntax: "key [GET encoding offset|[OVERFLOW <WRAP|SAT|FAIL>] <SET encoding offset value:integer|INCRBY encoding offset increment> ...]",
        handler: Handler::Write(bitfield),
        subcommands: &[],
    },
    CommandSpec {
        name: "bitfield_ro",
        arity: -2,
        flags: Flags::FAST,
        keys: &[KeySpec::one(&["RO", "access"])],
        categories: &[],
        group: Group::Bitmap,
        since: "6.0.0",
        complexity: "O(1) for each operation",
        summary: "Reads integers of any width within the string of a key.",
        syntax: "key [GET encoding offset [GET encoding offset ...]]",
        handler: Handler::Read(bitfield_ro),
        subcommands: &[],
    },
];

fn bitfield(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let operations = parse(args, cx.limits().max_string_bytes as u64)?;
    let last_written =
        operations.iter().filter(|operation| operation.action != Action::Get).map(|o| o.bytes().end).max();
    let found = if last_written.is_some() { cx.get(&args[1]) } else { cx.lookup(&args[1]) };
    let is_raw = found.is_some_and(|object| object.encoding() == "raw");
    let mut digits = Buffer::new();
    let old = string(found)?.map_or(&[][..], |value| bytes(value, &mut digits));
    let (old_len, mut is_changed) = (old.len(), false);
    let mut overlay = Overlay::new(old, last_written.unwrap_or(0));
    reply.array(operations.len());
    for operation in &operations {
        let before = overlay.writes;
        match operation.run(&mut overlay) {
            Some(number) => {
                reply.integer(number);
                let grows = operation.action != Action::Get && last_written.is_some_and(|end| end > old_len);
                is_changed |= grows || overlay.writes > before;
            }
            None => reply.null(),
        }
    }
    // As in Redis the string is long enough for every operation that writes, even for one that fails.
    if let Some(end) = last_written
        && (end > old_len || !is_raw)
    {
        overlay.touch(end - 1..end);
    }
    let changes = overlay.changes();
    let write = |cx: &mut WriteCx<'_>| {
        for (offset, bytes) in changes {
            cx.apply(&args[1], Effect::WriteRange { offset, bytes: &bytes });
        }
    };
    if is_changed {
        write(cx);
        cx.notify(events::SETBIT, &args[1]);
    } else {
        // It may have become longer, or be kept otherwise.
        cx.quietly(write);
    }
    Ok(())
}

fn bitfield_ro(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let operations = parse(args, cx.limits().max_string_bytes as u64)?;
    if operations.iter().any(|operation| operation.action != Action::Get) {
        return Err(READ_ONLY);
    }
    let mut digits = Buffer::new();
    let value = string(cx.get(&args[1]))?.map_or(&[][..], |value| bytes(value, &mut digits));
    reply.array(operations.len());
    for operation in &operations {
        reply.integer(bitfield::get(value, operation.offset, operation.field));
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64),
    Increment(i64),
}

struct Operation {
    field: FieldType,
    /// In bits.
    offset: u64,
    action: Action,
    overflow: Overflow,
}

impl Operation {
    /// The bytes that the field lies in.
    fn bytes(&self) -> Range<usize> {
        // Both fit: offsets are below eight times the longest string.
        (self.offset / 8) as usize..bitfield::bytes_for_field(self.offset, self.field) as usize
    }

    /// Does it and returns what it replies.
    fn run(&self, overlay: &mut Overlay<'_>) -> Option<i64> {
        let bytes = self.bytes();
        let bit = self.offset % 8;
        let mut window = [0; 9];
        let window = &mut window[..bytes.len()];
        overlay.read(bytes.start, window);
        let old = bitfield::get(window, bit, self.field);
        let (change, number) = match self.action {
            Action::Get => return Some(old),
            Action::Set(value) => {
                let change = bitfield::decide_set(old, value, self.field, self.overflow)?;
                (change, change.old)
            }
            Action::Increment(by) => {
                let change = bitfield::decide_increment(old, by, self.field, self.overflow)?;
                (change, change.new)
            }
        };
        bitfield::put(window, bit, self.field, change.new);
        overlay.write(bytes.start, window);
        Some(number)
    }
}

/// Reads the operations; OVERFLOW counts for those behind it.
fn parse(args: Args<'_>, max_bytes: u64) -> Result<Vec<Operation>, CommandError> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut at = 2;
    while at < args.len() {
        let behind = args.len() - at - 1;
        let is = |wanted: &str| args[at].eq_ignore_ascii_case(wanted.as_bytes());
        if is("OVERFLOW") && behind >= 1 {
            overflow = parse_overflow(&args[at + 1]).ok_or(BAD_OVERFLOW)?;
            at += 2;
            continue;
        }
        let make: Option<fn(i64) -> Action> = match () {
            () if is("GET") && behind >= 2 => None,
            () if is("SET") && behind >= 3 => Some(Action::Set),
            () if is("INCRBY") && behind >= 3 => Some(Action::Increment),
            () => return Err(errors::SYNTAX),
        };
        let field = FieldType::parse(&args[at + 1]).ok_or(BAD_TYPE)?;
        let offset = parse_bit_offset(&args[at + 2], Some(field), max_bytes).ok_or(errors::BIT_OFFSET)?;
        let action = match make {
            None => Action::Get,
            Some(make) => make(parse_i64(&args[at + 3]).ok_or(errors::NOT_INTEGER)?),
        };
        operations.push(Operation { field, offset, action, overflow });
        at += if make.is_none() { 3 } else { 4 };
    }
    Ok(operations)
}

fn parse_overflow(text: &[u8]) -> Option<Overflow> {
    let is = |wanted: &str| text.eq_ignore_ascii_case(wanted.as_bytes());
    match () {
        () if is("WRAP") => Some(Overflow::Wrap),
        () if is("SAT") => Some(Overflow::Saturate),
        () if is("FAIL") => Some(Overflow::Fail),
        () => None,
    }
}

/// A string with changes that are not written yet, page by page.
///
/// Operations see what earlier ones of the same command did, and a page is written once however many of them touch it.
/// A page is what the store writes at a time: a chunk of a long string, the whole of a shorter one.
///
/// # Invariants
/// * Every page is whole: zeros stand in for bytes behind the end of the string.
/// * `dirty` lies within its page.
struct Overlay<'a> {
    base: &'a [u8],
    page_bytes: usize,
    pages: BTreeMap<usize, Page>,
    /// How often something was written that was not so already.
    writes: usize,
}

struct Page {
    bytes: Vec<u8>,
    dirty: Range<usize>,
}

impl<'a> Overlay<'a> {
    /// No changes to `base` yet; there will be none at `end` or behind it.
    fn new(base: &'a [u8], end: usize) -> Self {
        let len = base.len().max(end);
        let page_bytes = if len > CHUNK_THRESHOLD { CHUNK_BYTES } else { len.max(1) };
        Self { base, page_bytes, pages: BTreeMap::new(), writes: 0 }
    }

    fn read(&self, at: usize, target: &mut [u8]) {
        for (at, byte) in (at..).zip(target) {
            *byte = match self.pages.get(&(at / self.page_bytes)) {
                Some(page) => page.bytes[at % self.page_bytes],
                None => self.base.get(at).copied().unwrap_or(0),
            };
        }
    }

    /// Writes the bytes of one field, at most nine; what they are already counts as no change.
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let mut before = [0; 9];
        let before = &mut before[..bytes.len()];
        self.read(at, before);
        if before == bytes {
            return;
        }
        self.writes += 1;
        self.touch(at..at + bytes.len());
        for (at, byte) in (at..).zip(bytes) {
            let page = self.pages.get_mut(&(at / self.page_bytes)).expect("the range has just been touched");
            page.bytes[at % self.page_bytes] = *byte;
        }
    }

    /// Counts bytes as changed.
    fn touch(&mut self, range: Range<usize>) {
        for at in range {
            let (number, within) = (at / self.page_bytes, at % self.page_bytes);
            let page = self.pages.entry(number).or_insert_with(|| {
                let start = number * self.page_bytes;
                let end = self.base.len().min(start + self.page_bytes);
                let mut bytes = self.base.get(start..end).unwrap_or_default().to_vec();
                bytes.resize(self.page_bytes, 0);
                Page { bytes, dirty: within..within }
            });
            page.dirty = page.dirty.start.min(within)..page.dirty.end.max(within + 1);
        }
    }

    /// The changes, as offsets and bytes.
    fn changes(self) -> impl Iterator<Item = (usize, Vec<u8>)> + use<> {
        let page_bytes = self.page_bytes;
        self.pages.into_iter().map(move |(number, mut page)| {
            page.bytes.truncate(page.dirty.end);
            (number * page_bytes + page.dirty.start, page.bytes.split_off(page.dirty.start))
        })
    }
}
