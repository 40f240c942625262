//! What a script returns, as the reply to its client.
//!
//! Numbers lose their fraction; an array ends at its first nil; `false` is a null and `true` is 1, or both are booleans
//! where the script has chosen RESP3; a table with the field `err`, `ok`, `double`, `map`, `set`, `big_number` or
//! `verbatim_string` (looked for in this order) is a reply of that type; whatever cannot be converted is a null.

use kvdb_resp::{Protocol, Reply};
use mlua::{Lua, LuaString, Table, Value};

use crate::arguments::truncate;
use crate::builder::VALUES_PER_POLL;
use crate::state::RunState;

/// Tables within tables.
/// Clients' parsers allow fewer.
const MAX_DEPTH: u32 = 128;

/// Why a value could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// It is nested too deep (or within itself), or its reply would be longer than allowed.
    TooLarge,
    /// The host wants the script to stop.
    Stopped,
}

impl From<mlua::Error> for WriteError {
    /// Reading a table fails for want of room to refer to what is in it.
    fn from(_: mlua::Error) -> Self {
        Self::TooLarge
    }
}

/// Writes a value as a reply of at most about `max_bytes`. On failure the reply is to be taken back.
pub(crate) fn write_value(
    lua: &Lua,
    state: &RunState,
    value: &Value,
    max_bytes: usize,
    reply: &mut Reply<'_>,
) -> Result<(), WriteError> {
    let limit = reply.len().saturating_add(max_bytes);
    Writer { lua, state, limit, written: 0, reply }.value(value, 0)
}

/// Writes an error reply. What would end the line becomes a space.
pub(crate) fn write_error(message: &[u8], reply: &mut Reply<'_>) {
    reply.error(message);
}

struct Writer<'a, 'b> {
    lua: &'a Lua,
    state: &'a RunState,
    /// Values.
    written: u32,
    /// The length of the buffer at which it is too long.
    limit: usize,
    reply: &'a mut Reply<'b>,
}

impl Writer<'_, '_> {
    fn value(&mut self, value: &Value, depth: u32) -> Result<(), WriteError> {
        match value {
            Value::String(text) => self.reply.bulk(&text.as_bytes()),
            Value::Integer(n) => self.reply.integer(*n),
            Value::Number(n) => self.reply.integer(truncate(*n)),
            Value::Boolean(value) => self.boolean(*value),
            Value::Table(table) if depth < MAX_DEPTH => self.table(table, depth)?,
            Value::Table(_) => return Err(WriteError::TooLarge),
            _ => self.reply.null(),
        }
        self.written = self.written.wrapping_add(1);
        if self.written.is_multiple_of(VALUES_PER_POLL) {
            self.state.poll(self.lua).map_err(|_| WriteError::Stopped)?;
        }
        if self.reply.len() > self.limit { Err(WriteError::TooLarge) } else { Ok(()) }
    }

    fn boolean(&mut self, value: bool) {
        match (self.state.protocol.get(), value) {
            (Protocol::Resp3, _) => self.reply.boolean(value),
            (Protocol::Resp2, true) => self.reply.integer(1),
            (Protocol::Resp2, false) => self.reply.null(),
        }
    }

    fn table(&mut self, table: &Table, depth: u32) -> Result<(), WriteError> {
        let names = &self.state.names;
        if let Value::String(text) = table.raw_get(&names.err)? {
            write_error(&text.as_bytes(), self.reply);
        } else if let Value::String(text) = table.raw_get(&names.ok)? {
            self.line(b'+', &text);
        } else if let Some(number) = number(&table.raw_get(&names.double)?) {
            self.reply.double(number);
        } else if let Value::Table(map) = table.raw_get(&names.map)? {
            self.map(&map, depth)?;
        } else if let Value::Table(set) = table.raw_get(&names.set)? {
            self.set(&set, depth)?;
        } else if let Value::String(digits) = table.raw_get(&names.big_number)? {
            self.big_number(&digits);
        } else if let Value::Table(parts) = table.raw_get(&names.verbatim_string)? {
            if let (Value::String(text), Value::String(format)) =
                (parts.raw_get(&names.string)?, parts.raw_get(&names.format)?)
            {
                self.verbatim(&format, &text);
            } else {
                self.array(table, depth)?;
            }
        } else {
            self.array(table, depth)?;
        }
        Ok(())
    }

    fn array(&mut self, table: &Table, depth: u32) -> Result<(), WriteError> {
        let head = self.reply.deferred_array();
        let mut len = 0;
        loop {
            let element: Value = table.raw_get(len + 1)?;
            if element.is_nil() {
                break;
            }
            self.value(&element, depth + 1)?;
            len += 1;
        }
        self.reply.finish(head, len);
        Ok(())
    }

    fn map(&mut self, map: &Table, depth: u32) -> Result<(), WriteError> {
        let head = self.reply.deferred_map();
        let mut len = 0;
        for pair in map.pairs::<Value, Value>() {
            let (key, value) = pair?;
            self.value(&key, depth + 1)?;
            self.value(&value, depth + 1)?;
            len += 1;
        }
        self.reply.finish(head, len);
        Ok(())
    }

    fn set(&mut self, set: &Table, depth: u32) -> Result<(), WriteError> {
        let head = self.reply.deferred_set();
        let mut len = 0;
        for pair in set.pairs::<Value, Value>() {
            self.value(&pair?.0, depth + 1)?;
            len += 1;
        }
        self.reply.finish(head, len);
        Ok(())
    }

    /// A line that is one line whatever is in it.
    fn line(&mut self, marker: u8, text: &LuaString) {
        self.reply.raw(&[marker]);
        self.reply.raw(&one_line(text));
        self.reply.raw(b"\r\n");
    }

    fn big_number(&mut self, digits: &LuaString) {
        match self.reply.protocol() {
            Protocol::Resp2 => self.reply.bulk(&one_line(digits)),
            Protocol::Resp3 => self.line(b'(', digits),
        }
    }

    fn verbatim(&mut self, format: &LuaString, text: &LuaString) {
        let text = text.as_bytes();
        if self.reply.protocol() == Protocol::Resp2 {
            return self.reply.bulk(&text);
        }
        // The format has three letters, whatever the script says.
        let mut letters = *b"   ";
        for (letter, byte) in letters.iter_mut().zip(format.as_bytes().iter()) {
            *letter = *byte;
        }
        self.reply.raw(format!("={}\r\n", text.len() + 4).as_bytes());
        self.reply.raw(&letters);
        self.reply.raw(b":");
        self.reply.raw(&text);
        self.reply.raw(b"\r\n");
    }
}

/// A text without what would end its line.
fn one_line(text: &LuaString) -> Vec<u8> {
    text.as_bytes().iter().map(|&byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte }).collect()
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(n) => Some(*n as f64),
        Value::Number(n) => Some(*n),
        _ => None,
    }
}
