//! The reply of a command as a Lua value.
//!
//! RESP2: a number, a string, a table with the elements; a status and an error as a table with the field `ok` or `err`;
//! `false` for a null. RESP3 besides: `nil` for its null, booleans, and tables with the one field `map`, `set` (its
//! members as keys), `double`, `big_number` or `verbatim_string`.

use kvdb_resp::parse_i64;
use memchr::memchr;
use mlua::Value;

use crate::builder::Builder;
use crate::thrown::{ReplyError, Thrown, reply_error};

/// Aggregates within aggregates. Commands stay far below.
const MAX_DEPTH: u32 = 64;

/// What a command said.
pub(crate) enum CommandReply {
    Value(Value),
    Error(ReplyError),
}

/// Reads the one reply that `bytes` are.
pub(crate) fn read_reply(builder: &mut Builder<'_>, bytes: &[u8]) -> mlua::Result<CommandReply> {
    let mut reader = Reader { builder, rest: bytes };
    if let [b'-', ..] = bytes {
        let (_, line) = reader.line()?;
        return Ok(CommandReply::Error(ReplyError { message: line.to_vec(), counted: true }));
    }
    let value = reader.value(0)?;
    if !reader.rest.is_empty() {
        return Err(malformed());
    }
    Ok(CommandReply::Value(value))
}

/// The host broke its contract; the script is told rather than the server stopped.
fn malformed() -> mlua::Error {
    reply_error("the reply of the command is malformed")
}

struct Reader<'a, 'b, 'lua> {
    builder: &'b mut Builder<'lua>,
    rest: &'a [u8],
}

impl<'a> Reader<'a, '_, '_> {
    /// The marker and the text of the next line.
    fn line(&mut self) -> mlua::Result<(u8, &'a [u8])> {
        let end = memchr(b'\n', self.rest).ok_or_else(malformed)?;
        let (line, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        match line {
            [marker, text @ .., b'\r', b'\n'] => Ok((*marker, text)),
            _ => Err(malformed()),
        }
    }

    fn value(&mut self, depth: u32) -> mlua::Result<Value> {
        let (marker, text) = self.line()?;
        match marker {
            b':' => parse_i64(text).map(Value::Integer).ok_or_else(malformed),
            b'$' => self.bulk(text),
            b'+' => self.field(self.builder.names().ok.clone(), text),
            b'-' => {
                let name = self.builder.names().err.clone();
                self.field(name, text)
            }
            b'*' | b'>' => self.array(text, depth),
            b'_' => Ok(Value::Nil),
            b'#' => Ok(Value::Boolean(text == b"t")),
            b',' => self.double(text),
            b'(' => self.field(self.builder.names().big_number.clone(), text),
            b'=' => self.verbatim(text),
            b'%' => self.map(text, depth),
            b'~' => self.set(text, depth),
            b'|' => {
                // Attributes are not for scripts: they are stepped over.
                self.map(text, depth)?;
                self.value(depth)
            }
            _ => Err(malformed()),
        }
    }

    /// A table with one field.
    fn field(&mut self, name: mlua::LuaString, text: &[u8]) -> mlua::Result<Value> {
        let value = self.builder.string(text)?;
        self.holding(&name, value)
    }

    fn holding(&mut self, name: &mlua::LuaString, value: impl mlua::IntoLua) -> mlua::Result<Value> {
        let table = self.builder.table(0, 1)?;
        table.raw_set(name, value)?;
        Ok(Value::Table(table))
    }

    fn bulk(&mut self, len: &[u8]) -> mlua::Result<Value> {
        if len == b"-1" {
            return Ok(Value::Boolean(false));
        }
        let bytes = self.bytes(len)?;
        self.builder.string(bytes).map(Value::String)
    }

    /// So many bytes and a line end.
    fn bytes(&mut self, len: &[u8]) -> mlua::Result<&'a [u8]> {
        let len = length(len)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(malformed)?;
        self.rest = rest.strip_prefix(b"\r\n").ok_or_else(malformed)?;
        Ok(bytes)
    }

    fn double(&mut self, text: &[u8]) -> mlua::Result<Value> {
        let number =
            str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok()).ok_or_else(malformed)?;
        let name = self.builder.names().double.clone();
        self.holding(&name, number)
    }

    fn verbatim(&mut self, len: &[u8]) -> mlua::Result<Value> {
        let bytes = self.bytes(len)?;
        let (format, text) = bytes.split_at_checked(4).ok_or_else(malformed)?;
        let (format, text) = (self.builder.string(&format[..3])?, self.builder.string(text)?);
        let inner = self.builder.table(0, 2)?;
        let names = self.builder.names();
        inner.raw_set(&names.format, format)?;
        inner.raw_set(&names.string, text)?;
        self.holding(&names.verbatim_string, inner)
    }

    fn array(&mut self, len: &[u8], depth: u32) -> mlua::Result<Value> {
        if len == b"-1" {
            return Ok(Value::Boolean(false));
        }
        let len = self.elements(len, depth)?;
        let table = self.builder.table(len, 0)?;
        for index in 1..=len {
            let value = self.value(depth + 1)?;
            self.builder.count()?;
            table.raw_set(index, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: &[u8], depth: u32) -> mlua::Result<Value> {
        let len = self.elements(len, depth)?;
        let table = self.builder.table(0, len)?;
        for _ in 0..len {
            let (key, value) = (self.value(depth + 1)?, self.value(depth + 1)?);
            self.builder.count()?;
            if is_key(&key) {
                table.raw_set(key, value)?;
            }
        }
        let name = self.builder.names().map.clone();
        self.holding(&name, table)
    }

    fn set(&mut self, len: &[u8], depth: u32) -> mlua::Result<Value> {
        let len = self.elements(len, depth)?;
        let table = self.builder.table(0, len)?;
        for _ in 0..len {
            let member = self.value(depth + 1)?;
            self.builder.count()?;
            if is_key(&member) {
                table.raw_set(member, true)?;
            }
        }
        let name = self.builder.names().set.clone();
        self.holding(&name, table)
    }

    /// The number of elements of an aggregate, which cannot be more than there are bytes left.
    fn elements(&self, len: &[u8], depth: u32) -> mlua::Result<usize> {
        let len = length(len)?;
        if depth == MAX_DEPTH || len > self.rest.len() {
            return Err(malformed());
        }
        Ok(len)
    }
}

fn length(text: &[u8]) -> mlua::Result<usize> {
    parse_i64(text).and_then(|len| usize::try_from(len).ok()).ok_or_else(malformed)
}

/// Whether Lua can use a value as a key.
fn is_key(value: &Value) -> bool {
    match value {
        Value::Nil => false,
        Value::Number(number) => !number.is_nan(),
        _ => true,
    }
}

impl From<ReplyError> for mlua::Error {
    fn from(error: ReplyError) -> Self {
        Thrown::Reply(error).into()
    }
}
