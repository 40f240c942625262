//! Strings as arrays of bits.

use itoa::Buffer;
use kvdb_resp::{Args, Reply};
use kvdb_store::{Effect, Event, ReadCx, StringValue, WriteCx};

use super::string_value::{bytes, string};
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::bitfield::parse_bit_offset;
use crate::values::bits::{self, BitOp, Unit};
use crate::values::number::parse_i64;

const READ: &[KeySpec] = &[KeySpec::one(&["RO", "access"])];

/// SETBIT with another bit than 0 or 1.
const NOT_A_BIT: CommandError = CommandError::fixed("ERR bit is not an integer or out of range");
/// BITPOS with another bit than 0 or 1.
const BIT_ARGUMENT: CommandError = CommandError::fixed("ERR The bit argument must be 1 or 0.");
/// BITOP NOT with several sources.
const NOT_OF_ONE: CommandError =
    CommandError::fixed("ERR BITOP NOT must be called with a single source key.");

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "setbit",
        arity: 4,
        flags: Flags::DENYOOM,
        keys: &[KeySpec::one(&["RW", "access", "update"])],
        categories: &[],
        group: Group::Bitmap,
        since: "2.2.0",
        complexity: "O(1), and O(N) for a gap of N bytes filled",
        summary: "Sets or clears a bit of the string of a key and replies with what it was.",
        syntax: "key offset value:integer",
        handler: Handler::Write(setbit),
        subcommands: &[],
    },
    CommandSpec {
        name: "getbit",
        arity: 3,
        flags: Flags::FAST,
        keys: READ,
        categories: &[],
        group: Group::Bitmap,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Reads a bit of the string of a key; those behind its end are 0.",
        syntax: "key offset",
        handler: Handler::Read(getbit),
        subcommands: &[],
    },
    CommandSpec {
        name: "bitcount",
        arity: -2,
        flags: Flags::NONE,
        keys: READ,
        categories: &[],
        group: Group::Bitmap,
        since: "2.6.0",
        complexity: "O(N) for N bytes counted",
        summary: "Counts the bits that are set in the string of a key or in a part of it.",
        syntax: "key [start end [BYTE|BIT]]",
        handler: Handler::Read(bitcount),
        subcommands: &[],
    },
    CommandSpec {
        name: "bitpos",
        arity: -3,
        flags: Flags::NONE,
        keys: READ,
        categories: &[],
        group: Group::Bitmap,
        since: "2.8.7",
        complexity: "O(N) for N bytes looked through",
        summary: "Finds the first bit that is set or clear in the string of a key or in a part of it.",
        syntax: "key bit [start [end [BYTE|BIT]]]",
        handler: Handler::Read(bitpos),
        subcommands: &[],
    },
    CommandSpec {
        name: "bitop",
        arity: -4,
        flags: Flags::DENYOOM,
        keys: &[KeySpec::at(2, &["OW", "update"]), KeySpec::range(3, -1, 1, &["RO", "access"])],
        categories: &[],
        group: Group::Bitmap,
        since: "2.6.0",
        complexity: "O(N) for N bytes of all sources",
        summary: "Combines the strings of keys bit by bit and gives the result to another key.",
        syntax: "<AND|OR|XOR|NOT> destkey key [key ...]",
        handler: Handler::Write(bitop),
        subcommands: &[],
    },
];

fn setbit(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let key = &args[1];
    let max_bytes = cx.limits().max_string_bytes as u64;
    let offset = parse_bit_offset(&args[2], None, max_bytes).ok_or(errors::BIT_OFFSET)?;
    let bit = parse_bit(&args[3]).ok_or(NOT_A_BIT)?;
    let at = (offset / 8) as usize;
    let found = cx.get(key);
    let is_raw = found.is_some_and(|object| object.encoding() == "raw");
    let mut digits = Buffer::new();
    let old = string(found)?.map_or(&[][..], |value| bytes(value, &mut digits));
    let mut byte = [old.get(at).copied().unwrap_or(0)];
    let long_enough = at < old.len();
    let before = bits::set_bit(&mut byte, offset % 8, bit);
    // A bit that is so already is not written, unless that makes the string longer or changes how it is kept.
    let effect = Effect::WriteRange { offset: at, bytes: &byte };
    if before != bit || !long_enough {
        cx.apply(key, effect);
        cx.notify(events::SETBIT, key);
    } else if !is_raw {
        cx.quietly(|cx| cx.apply(key, effect));
    }
    reply.integer(i64::from(before));
    Ok(())
}

fn getbit(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let max_bytes = cx.limits().max_string_bytes as u64;
    let offset = parse_bit_offset(&args[2], None, max_bytes).ok_or(errors::BIT_OFFSET)?;
    let mut digits = Buffer::new();
    let value = string(cx.get(&args[1]))?.map_or(&[][..], |value| bytes(value, &mut digits));
    reply.integer(i64::from(bits::get_bit(value, offset)));
    Ok(())
}

fn bitcount(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    // As in Redis 7, the arguments of a key that does not exist are not looked at.
    let Some(value) = string(cx.get(&args[1]))? else {
        reply.integer(0);
        return Ok(());
    };
    let mut digits = Buffer::new();
    let value = bytes(value, &mut digits);
    let count = match args.len() {
        2 => bits::count_ones(value),
        4 | 5 => {
            let (start, end) = (integer(&args[2])?, integer(&args[3])?);
            if start < 0 && end < 0 && start > end {
                reply.integer(0);
                return Ok(());
            }
            bits::count_ones_in(value, start, end, parse_unit(args.get(4))?)
        }
        _ => return Err(errors::SYNTAX),
    };
    reply.integer(count as i64);
    Ok(())
}

fn bitpos(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let bit = integer(&args[2])?;
    let bit = match bit {
        0 | 1 => bit == 1,
        _ => return Err(BIT_ARGUMENT),
    };
    // A key that does not exist is zeros for ever, and its other arguments are not looked at.
    let Some(value) = string(cx.get(&args[1]))? else {
        reply.integer(if bit { -1 } else { 0 });
        return Ok(());
    };
    if args.len() > 6 {
        return Err(errors::SYNTAX);
    }
    let start = args.get(3).map_or(Ok(0), integer)?;
    let unit = parse_unit(args.get(5))?;
    let end = args.get(4).map(integer).transpose()?;
    let mut digits = Buffer::new();
    let found = bits::find_bit(bytes(value, &mut digits), bit, start, end, unit);
    reply.integer(found.map_or(-1, |offset| offset as i64));
    Ok(())
}

fn bitop(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let is = |wanted: &str| args[1].eq_ignore_ascii_case(wanted.as_bytes());
    // `None` is NOT.
    let operation = match () {
        () if is("AND") => Some(BitOp::And),
        () if is("OR") => Some(BitOp::Or),
        () if is("XOR") => Some(BitOp::Xor),
        () if is("NOT") => None,
        () => return Err(errors::SYNTAX),
    };
    if operation.is_none() && args.len() != 4 {
        return Err(NOT_OF_ONE);
    }
    let mut result: Option<Vec<u8>> = None;
    for key in args.tail(3) {
        let mut digits = Buffer::new();
        let source = string(cx.lookup(key))?.map_or(&[][..], |value| bytes(value, &mut digits));
        result = Some(match (operation, result) {
            (None, _) => bits::negated(source),
            (Some(_), None) => source.to_vec(),
            (Some(operation), Some(so_far)) => bits::combined(operation, &[&so_far, source]),
        });
    }
    let result = result.unwrap_or_default();
    let (effect, event) = match &result[..] {
        [] => (Effect::Delete, Event::DEL),
        bytes => (Effect::PutString { value: StringValue::Raw(bytes), deadline: None }, events::SET),
    };
    if cx.apply(&args[2], effect) {
        cx.notify(event, &args[2]);
    }
    reply.integer(result.len() as i64);
    Ok(())
}

fn integer(text: &[u8]) -> Result<i64, CommandError> {
    parse_i64(text).ok_or(errors::NOT_INTEGER)
}

fn parse_bit(text: &[u8]) -> Option<bool> {
    match text {
        b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}

fn parse_unit(text: Option<&[u8]>) -> Result<Unit, CommandError> {
    match text {
        None => Ok(Unit::Byte),
        Some(text) if text.eq_ignore_ascii_case(b"BYTE") => Ok(Unit::Byte),
        Some(text) if text.eq_ignore_ascii_case(b"BIT") => Ok(Unit::Bit),
        Some(_) => Err(errors::SYNTAX),
    }
}
