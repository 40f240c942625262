//! `struct`: numbers and strings to and from the bytes of C structures, as Roberto Ierusalimschy's library of that name
//! defines its formats (version 0.2, the one in Redis).
//!
//! Sizes are those of x86-64: 2, 4, 8, 8 and 4 bytes for `h`, `i`, `l`, `T` and `f`. What the original computes with
//! integers that may overflow (CVE-2018-11219, CVE-2020-14147) is computed so that it cannot.

use mlua::{BString, Lua, MultiValue, Table, Value};

use crate::arguments::{Arguments, truncate};
use crate::builder::Builder;
use crate::state::RunState;
use crate::thrown::error_here;

/// The largest `n` of `in`.
const MAX_INTEGER: usize = 32;

/// The alignment of a `!` without a number.
const DEFAULT_ALIGNMENT: usize = 8;

/// Values that one call unpacks: Lua's stack holds few more.
const MAX_RESULTS: usize = 7990;

pub(super) fn table(lua: &Lua, state: &RunState) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let run = state.clone();
    table.raw_set("pack", lua.create_function(move |lua, args| pack(lua, &run, args))?)?;
    let run = state.clone();
    table.raw_set("unpack", lua.create_function(move |lua, args| unpack(lua, &run, args))?)?;
    table.raw_set("size", lua.create_function(size)?)?;
    Ok(table)
}

/// One option of a format, its size known.
#[derive(Debug, Clone, Copy)]
struct Item {
    option: u8,
    size: usize,
}

/// What is wrong with a format.
enum FormatError {
    /// A number in it does not fit in 31 bits.
    SizeOverflow,
    IntegerTooLarge(usize),
    Alignment(usize),
}

impl FormatError {
    fn raise(self, lua: &Lua) -> mlua::Error {
        let message = match self {
            Self::SizeOverflow => "integral size overflow".to_owned(),
            Self::IntegerTooLarge(size) => {
                format!("integral size {size} is larger than limit of {MAX_INTEGER}")
            }
            Self::Alignment(size) => format!("alignment {size} is not a power of 2"),
        };
        error_here(lua, message)
    }
}

/// Reads a format from left to right.
struct Format<'a> {
    rest: &'a [u8],
    is_big_endian: bool,
    alignment: usize,
}

impl<'a> Format<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { rest: text, is_big_endian: false, alignment: 1 }
    }

    /// The next option that stands for bytes, or for none that is known.
    fn next(&mut self) -> Result<Option<Item>, FormatError> {
        while let [option, rest @ ..] = self.rest {
            self.rest = rest;
            let size = match option {
                b' ' => continue,
                b'<' | b'>' => {
                    self.is_big_endian = *option == b'>';
                    continue;
                }
                b'!' => {
                    let alignment = self.number(DEFAULT_ALIGNMENT)?;
                    if !alignment.is_power_of_two() {
                        return Err(FormatError::Alignment(alignment));
                    }
                    self.alignment = alignment;
                    continue;
                }
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'f' => 4,
                b'l' | b'L' | b'T' | b'd' => 8,
                b'c' => self.number(1)?,
                b'i' | b'I' => match self.number(4)? {
                    size if size > MAX_INTEGER => return Err(FormatError::IntegerTooLarge(size)),
                    size => size,
                },
                _ => 0,
            };
            return Ok(Some(Item { option: *option, size }));
        }
        Ok(None)
    }

    fn number(&mut self, default: usize) -> Result<usize, FormatError> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (text, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let mut number = if digits == 0 { default as i32 } else { 0 };
        for digit in text {
            let digit = i32::from(digit - b'0');
            let shifted = number.checked_mul(10).and_then(|number| number.checked_add(digit));
            number = shifted.ok_or(FormatError::SizeOverflow)?;
        }
        Ok(number as usize)
    }

    /// The bytes to skip before an item at `at`.
    fn padding(&self, item: Item, at: usize) -> usize {
        if item.size == 0 || item.option == b'c' {
            return 0;
        }
        let size = item.size.min(self.alignment);
        (size - (at & (size - 1))) & (size - 1)
    }
}

fn invalid_option(args: &Arguments<'_>, option: u8) -> mlua::Error {
    args.error(1, &format!("invalid format option '{}'", char::from(option)))
}

fn pack(lua: &Lua, state: &RunState, mut values: MultiValue) -> mlua::Result<BString> {
    // The original marks the end of its arguments with a nil, which its messages mention.
    if !values.is_empty() {
        values.push_back(Value::Nil);
    }
    let args = Arguments::new(lua, values);
    let text = args.bytes(1)?;
    let mut format = Format::new(&text);
    let mut out = Vec::new();
    let mut index = 2;
    while let Some(item) = format.next().map_err(|error| error.raise(lua))? {
        let padding = format.padding(item, out.len());
        state.check_room(lua, out.len() + padding + item.size)?;
        out.resize(out.len() + padding, 0);
        match item.option {
            b'x' => {
                out.push(0);
                continue;
            }
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                push_integer(&mut out, to_word(args.number(index)?), item.size, format.is_big_endian);
            }
            b'f' => {
                let bits = (args.number(index)? as f32).to_bits();
                push_integer(&mut out, bits.into(), 4, format.is_big_endian);
            }
            b'd' => push_integer(&mut out, args.number(index)?.to_bits(), 8, format.is_big_endian),
            b's' | b'c' => {
                let string = args.bytes(index)?;
                let len = if item.size == 0 { string.len() } else { item.size };
                let bytes = string.get(..len).ok_or_else(|| args.error(index + 1, "string too short"))?;
                state.check_room(lua, out.len() + len)?;
                out.extend_from_slice(bytes);
                if item.option == b's' {
                    out.push(0);
                }
            }
            option => return Err(invalid_option(&args, option)),
        }
        index += 1;
    }
    Ok(BString::from(out))
}

/// A number as the bits of a 64-bit integer. What fits neither a signed nor an unsigned one is 0.
fn to_word(number: f64) -> u64 {
    const SIGN: f64 = 9_223_372_036_854_775_808.0;
    if number < SIGN || number.is_nan() {
        truncate(number).cast_unsigned()
    } else if number < 2.0 * SIGN {
        number as u64
    } else {
        0
    }
}

/// The lowest `size` bytes; beyond the eighth they are zeros.
fn push_integer(out: &mut Vec<u8>, word: u64, size: usize, is_big_endian: bool) {
    let start = out.len();
    let bytes = word.to_le_bytes();
    out.extend((0..size).map(|index| bytes.get(index).copied().unwrap_or(0)));
    if is_big_endian {
        out[start..].reverse();
    }
}

fn unpack(lua: &Lua, state: &RunState, args: MultiValue) -> mlua::Result<MultiValue> {
    let args = Arguments::new(lua, args);
    let (text, data, offset) = (args.bytes(1)?, args.bytes(2)?, args.optional_integer(3, 1)?);
    if offset == 0 {
        return Err(args.error(3, "offset must be 1 or greater"));
    }
    let too_short = || args.error(2, "data string too short");
    // A negative offset is beyond the end, like one that is too large.
    let mut at = usize::try_from(offset - 1).map_err(|_| too_short())?;
    let mut builder = Builder::new(lua, state, data.len())?;
    let mut format = Format::new(&text);
    let mut values = MultiValue::new();
    while let Some(item) = format.next().map_err(|error| error.raise(lua))? {
        at = at.checked_add(format.padding(item, at)).ok_or_else(too_short)?;
        let field =
            |size: usize| at.checked_add(size).and_then(|end| data.get(at..end)).ok_or_else(too_short);
        let mut bytes = field(item.size)?;
        if values.len() >= MAX_RESULTS {
            return Err(error_here(lua, "stack overflow (too many results)"));
        }
        let value = match item.option {
            b'x' => {
                at += 1;
                continue;
            }
            b'b' | b'h' | b'l' | b'i' | b'B' | b'H' | b'L' | b'I' | b'T' => {
                Value::Number(read_integer(bytes, format.is_big_endian, item.option.is_ascii_lowercase()))
            }
            b'f' => Value::Number(f32::from_bits(read_word(bytes, format.is_big_endian) as u32).into()),
            b'd' => Value::Number(f64::from_bits(read_word(bytes, format.is_big_endian))),
            b'c' => {
                if item.size == 0 {
                    let size = values.pop_back().map(|value| lua.coerce_number(value)).transpose()?.flatten();
                    let size = size.ok_or_else(|| error_here(lua, "format 'c0' needs a previous size"))?;
                    bytes = field(usize::try_from(truncate(size)).map_err(|_| too_short())?)?;
                }
                Value::String(builder.string(bytes)?)
            }
            b's' => {
                let rest = field(0).and_then(|_| data.get(at..).ok_or_else(too_short))?;
                let end =
                    memchr::memchr(0, rest).ok_or_else(|| error_here(lua, "unfinished string in data"))?;
                bytes = &rest[..=end];
                Value::String(builder.string(&rest[..end])?)
            }
            option => return Err(invalid_option(&args, option)),
        };
        values.push_back(value);
        at += bytes.len();
    }
    values.push_back(Value::Number(at as f64 + 1.0));
    Ok(values)
}

/// The lowest eight bytes of an integer.
fn read_word(bytes: &[u8], is_big_endian: bool) -> u64 {
    let shift = |word: u64, byte: &u8| (word << 8) | u64::from(*byte);
    if is_big_endian { bytes.iter().fold(0, shift) } else { bytes.iter().rev().fold(0, shift) }
}

fn read_integer(bytes: &[u8], is_big_endian: bool, is_signed: bool) -> f64 {
    let word = read_word(bytes, is_big_endian);
    if !is_signed {
        return word as f64;
    }
    // The sign is that of the highest byte that was read.
    let unused = 64 - 8 * bytes.len().clamp(1, 8);
    let extended = (word << unused).cast_signed() >> unused;
    if bytes.is_empty() { 0.0 } else { extended as f64 }
}

fn size(lua: &Lua, args: MultiValue) -> mlua::Result<f64> {
    let args = Arguments::new(lua, args);
    let text = args.bytes(1)?;
    let mut format = Format::new(&text);
    let mut total = 0usize;
    while let Some(item) = format.next().map_err(|error| error.raise(lua))? {
        if item.option == b's' || (item.option == b'c' && item.size == 0) {
            let name = if item.option == b's' { "s" } else { "c0" };
            return Err(args.error(1, &format!("option '{name}' has no fixed size")));
        }
        total = total.saturating_add(format.padding(item, total)).saturating_add(item.size);
    }
    Ok(total as f64)
}
