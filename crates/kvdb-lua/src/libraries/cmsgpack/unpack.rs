//! `cmsgpack.unpack`, `unpack_one` and `unpack_limit`.

use mlua::{Lua, MultiValue, Table, Value};

use super::marker;
use crate::arguments::Arguments;
use crate::builder::Builder;
use crate::state::RunState;
use crate::thrown::{Thrown, error_here};

/// Tables within tables: each open one takes a place of those that Lua has for references. The original stops where
/// Lua's stack does, at some thousands.
const MAX_DEPTH: usize = 1000;

/// Values that one call returns: Lua's stack holds few more.
const MAX_RESULTS: usize = 7990;

/// A length is a promise: room is made at once for no more elements than this.
const TRUSTED_ELEMENTS: usize = 128;

pub(super) fn install(lua: &Lua, state: &RunState, table: &Table) -> mlua::Result<()> {
    let run = state.clone();
    let all = lua.create_function(move |lua, args| {
        let args = Arguments::new(lua, args);
        unpack(lua, &run, &args, 0, 0)
    })?;
    table.raw_set("unpack", all)?;
    let run = state.clone();
    let one = lua.create_function(move |lua, args| {
        let args = Arguments::new(lua, args);
        let offset = args.optional_integer(2, 0)?;
        unpack(lua, &run, &args, 1, offset)
    })?;
    table.raw_set("unpack_one", one)?;
    let run = state.clone();
    let some = lua.create_function(move |lua, args| {
        let args = Arguments::new(lua, args);
        let (limit, offset) = (args.integer(2)?, args.optional_integer(3, 0)?);
        unpack(lua, &run, &args, limit, offset)
    })?;
    table.raw_set("unpack_limit", some)
}

/// Up to `limit` values from `offset` on, after the place to go on from, or -1 at the end; or, without a limit and from
/// the beginning, all values and nothing else.
fn unpack(
    lua: &Lua,
    state: &RunState,
    args: &Arguments<'_>,
    limit: i64,
    offset: i64,
) -> mlua::Result<MultiValue> {
    let data = args.bytes(1)?;
    let (Ok(limit), Ok(offset)) = (usize::try_from(limit), usize::try_from(offset)) else {
        let message =
            format!("Invalid request to unpack with offset of {offset} and limit of {}.", data.len());
        return Err(error_here(lua, message));
    };
    let Some(rest) = data.get(offset..) else {
        let message = format!("Start offset {offset} greater than input length {}.", data.len());
        return Err(error_here(lua, message));
    };
    let wants_all = limit == 0 && offset == 0;
    let limit = if wants_all { usize::MAX } else { limit };
    let mut unpacker = Unpacker { lua, builder: Builder::new(lua, state, rest.len())?, rest };
    let mut values = MultiValue::new();
    while !unpacker.rest.is_empty() && values.len() < limit {
        if values.len() == MAX_RESULTS {
            let advice = "too many return values at once; use unpack_one or unpack_limit instead.";
            return Err(error_here(lua, format!("stack overflow ({advice})")));
        }
        values.push_back(unpacker.value()?);
    }
    if !wants_all {
        let left = unpacker.rest.len();
        values.push_front(Value::Integer(if left == 0 { -1 } else { (data.len() - left) as i64 }));
    }
    Ok(values)
}

struct Unpacker<'a> {
    lua: &'a Lua,
    builder: Builder<'a>,
    rest: &'a [u8],
}

/// What begins with a marker.
enum Item {
    Scalar(Value),
    Table { is_map: bool, len: usize },
}

impl Item {
    fn array(len: usize) -> Self {
        Self::Table { is_map: false, len }
    }

    fn map(len: usize) -> Self {
        Self::Table { is_map: true, len }
    }
}

/// A table that is not complete yet.
struct Open {
    table: Table,
    is_map: bool,
    /// Values read, and those that there will be: two for each pair of a map.
    read: usize,
    total: usize,
    key: Value,
}

impl<'a> Unpacker<'a> {
    /// One value with everything in it. Nesting is kept in a list of open tables rather than by recursion, so that it
    /// takes no stack.
    fn value(&mut self) -> mlua::Result<Value> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let mut value = match self.item()? {
                Item::Scalar(value) => value,
                Item::Table { is_map, len } => {
                    let frame = self.begin(open.len(), is_map, len)?;
                    if len > 0 {
                        open.push(frame);
                        continue;
                    }
                    Value::Table(frame.table)
                }
            };
            while let Some(mut frame) = open.pop() {
                self.builder.count()?;
                frame.put(value)?;
                if frame.read < frame.total {
                    open.push(frame);
                    value = Value::Nil;
                    break;
                }
                value = Value::Table(frame.table);
            }
            if open.is_empty() {
                return Ok(value);
            }
        }
    }

    fn begin(&mut self, depth: usize, is_map: bool, len: usize) -> mlua::Result<Open> {
        if depth >= MAX_DEPTH {
            let function = if is_map { "mp_decode_to_lua_hash" } else { "mp_decode_to_lua_array" };
            return Err(error_here(self.lua, format!("stack overflow (in function {function})")));
        }
        let room = len.min(TRUSTED_ELEMENTS);
        let table = if is_map { self.builder.table(0, room)? } else { self.builder.table(room, 0)? };
        let total = if is_map { len.saturating_mul(2) } else { len };
        Ok(Open { table, is_map, read: 0, total, key: Value::Nil })
    }

    fn item(&mut self) -> mlua::Result<Item> {
        let [first] = self.array_of()?;
        Ok(Item::Scalar(match first {
            0x00..=0x7f => Value::Integer(first.into()),
            0xe0..=0xff => Value::Integer(first.cast_signed().into()),
            0x80..=0x8f => return Ok(Item::map(usize::from(first & 0x0f))),
            0x90..=0x9f => return Ok(Item::array(usize::from(first & 0x0f))),
            0xa0..=0xbf => self.string(usize::from(first & 0x1f))?,
            marker::NIL => Value::Nil,
            marker::FALSE => Value::Boolean(false),
            marker::TRUE => Value::Boolean(true),
            marker::FLOAT => Value::Number(f32::from_be_bytes(self.array_of()?).into()),
            marker::DOUBLE => Value::Number(f64::from_be_bytes(self.array_of()?)),
            marker::UINT8 => Value::Integer(u8::from_be_bytes(self.array_of()?).into()),
            marker::UINT16 => Value::Integer(u16::from_be_bytes(self.array_of()?).into()),
            marker::UINT32 => Value::Integer(u32::from_be_bytes(self.array_of()?).into()),
            // As in the original, an unsigned number beyond the signed ones comes out negative.
            marker::UINT64 | marker::INT64 => Value::Integer(i64::from_be_bytes(self.array_of()?)),
            marker::INT8 => Value::Integer(i8::from_be_bytes(self.array_of()?).into()),
            marker::INT16 => Value::Integer(i16::from_be_bytes(self.array_of()?).into()),
            marker::INT32 => Value::Integer(i32::from_be_bytes(self.array_of()?).into()),
            marker::STRING8 => {
                let [len] = self.array_of()?;
                self.string(usize::from(len))?
            }
            marker::STRING16 => {
                let len = self.length16()?;
                self.string(len)?
            }
            marker::STRING32 => {
                let len = self.length32()?;
                self.string(len)?
            }
            marker::ARRAY16 => return Ok(Item::array(self.length16()?)),
            marker::ARRAY32 => return Ok(Item::array(self.length32()?)),
            marker::MAP16 => return Ok(Item::map(self.length16()?)),
            marker::MAP32 => return Ok(Item::map(self.length32()?)),
            _ => return Err(error_here(self.lua, "Bad data format in input.")),
        }))
    }

    fn bytes(&mut self, len: usize) -> mlua::Result<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.missing())?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array_of<const N: usize>(&mut self) -> mlua::Result<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(|| self.missing())?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn missing(&self) -> mlua::Error {
        error_here(self.lua, "Missing bytes in input.")
    }

    fn length16(&mut self) -> mlua::Result<usize> {
        Ok(usize::from(u16::from_be_bytes(self.array_of()?)))
    }

    fn length32(&mut self) -> mlua::Result<usize> {
        Ok(u32::from_be_bytes(self.array_of()?) as usize)
    }

    fn string(&mut self, len: usize) -> mlua::Result<Value> {
        let bytes = self.bytes(len)?;
        self.builder.string(bytes).map(Value::String)
    }
}

impl Open {
    /// Takes the next value: an element, or a key, or what belongs to the key before.
    fn put(&mut self, value: Value) -> mlua::Result<()> {
        let fail = |message: &str| Err(Thrown::Message(message.into()).into());
        self.read += 1;
        if !self.is_map {
            return self.table.raw_set(self.read, value);
        }
        if self.read % 2 == 1 {
            self.key = value;
            return Ok(());
        }
        match std::mem::replace(&mut self.key, Value::Nil) {
            Value::Nil => fail("table index is nil"),
            Value::Number(n) if n.is_nan() => fail("table index is NaN"),
            key => self.table.raw_set(key, value),
        }
    }
}
