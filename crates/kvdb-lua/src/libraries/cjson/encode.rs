//! `cjson.encode`.

use mlua::{BString, Lua, MultiValue, Table, Value};

use super::MAX_DEPTH;
use super::config::{Config, InvalidNumbers, Options};
use super::number::push_general;
use crate::arguments::{Arguments, type_name};
use crate::builder::{LimitLifted, VALUES_PER_POLL};
use crate::state::RunState;
use crate::thrown::error_here;

pub(super) fn encode(
    lua: &Lua,
    state: &RunState,
    config: &Config,
    args: MultiValue,
) -> mlua::Result<BString> {
    let args = Arguments::new(lua, args);
    if args.len() != 1 {
        return Err(args.error(1, "expected 1 argument"));
    }
    let mut options = config.options();
    options.encode_max_depth = options.encode_max_depth.min(MAX_DEPTH);
    let mut encoder = Encoder { lua, state, options, out: Vec::new(), written: 0 };
    // Nothing is built here, but mlua guards even the reading of tables.
    let lifted = LimitLifted::new(lua);
    encoder.document(args.get(1))?;
    drop(lifted);
    Ok(BString::from(encoder.out))
}

struct Encoder<'a> {
    lua: &'a Lua,
    state: &'a RunState,
    options: Options,
    out: Vec<u8>,
    /// Values.
    written: u32,
}

/// A table that is not written to its end.
enum Open {
    /// With so many places, of which those up to `index` are written.
    Array { table: Table, index: i64, len: i64 },
    /// Up to `key`; nil before the first.
    Object { table: Table, key: Value },
}

impl Encoder<'_> {
    /// A value with everything in it. Nesting is kept in a list of open tables rather than by recursion, so that it
    /// takes no stack.
    fn document(&mut self, value: &Value) -> mlua::Result<()> {
        let mut open: Vec<Open> = Vec::new();
        let mut next = Some(value.clone());
        loop {
            match next.take() {
                Some(Value::Table(table)) => open.push(self.begin(table, open.len() + 1)?),
                Some(value) => self.scalar(&value)?,
                None => {}
            }
            let Some(table) = open.last_mut() else { return Ok(()) };
            next = self.advance(table)?;
            if next.is_none() {
                open.pop();
                if open.is_empty() {
                    return Ok(());
                }
            }
        }
    }

    /// Writes what stands before a table's next value, which it returns; or the end of the table.
    fn advance(&mut self, table: &mut Open) -> mlua::Result<Option<Value>> {
        match table {
            Open::Array { index, len, .. } if index == len => {
                self.out.push(b']');
                Ok(None)
            }
            Open::Array { table, index, .. } => {
                if *index > 0 {
                    self.out.push(b',');
                }
                *index += 1;
                table.raw_get(*index).map(Some)
            }
            Open::Object { table, key } => {
                let (next_key, value): (Value, Value) = self.state.next().call((&*table, &*key))?;
                if next_key.is_nil() {
                    self.out.push(b'}');
                    return Ok(None);
                }
                if !key.is_nil() {
                    self.out.push(b',');
                }
                self.key(&next_key)?;
                *key = next_key;
                Ok(Some(value))
            }
        }
    }

    fn key(&mut self, key: &Value) -> mlua::Result<()> {
        match key {
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Integer(_) | Value::Number(_) => {
                self.out.push(b'"');
                self.scalar(key)?;
                self.out.push(b'"');
            }
            _ => return Err(self.refuse(key, "table key must be a number or string")),
        }
        self.out.push(b':');
        Ok(())
    }

    fn scalar(&mut self, value: &Value) -> mlua::Result<()> {
        match value {
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Integer(n) => self.number(*n as f64, value)?,
            Value::Number(n) => self.number(*n, value)?,
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => self.out.extend_from_slice(b"null"),
            _ => return Err(self.refuse(value, "type not supported")),
        }
        self.check()
    }

    /// Whether there is room for what is written, and, now and then, whether to go on.
    fn check(&mut self) -> mlua::Result<()> {
        self.written = self.written.wrapping_add(1);
        if self.written.is_multiple_of(VALUES_PER_POLL) {
            self.state.poll(self.lua)?;
        }
        self.state.check_room(self.lua, self.out.len())
    }

    fn refuse(&self, value: &Value, why: &str) -> mlua::Error {
        error_here(self.lua, format!("Cannot serialise {}: {why}", type_name(value)))
    }

    fn number(&mut self, number: f64, value: &Value) -> mlua::Result<()> {
        if number.is_finite() {
            push_general(&mut self.out, number, self.options.precision);
            return Ok(());
        }
        let text: &[u8] = match self.options.encode_invalid_numbers {
            InvalidNumbers::Refuse => return Err(self.refuse(value, "must not be NaN or Inf")),
            InvalidNumbers::Null => b"null",
            InvalidNumbers::Write if number.is_nan() => b"nan",
            InvalidNumbers::Write if number > 0.0 => b"inf",
            InvalidNumbers::Write => b"-inf",
        };
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        let mut rest = text;
        while let Some(at) = rest.iter().position(|&byte| needs_escape(byte)) {
            self.out.extend_from_slice(&rest[..at]);
            self.escape(rest[at]);
            rest = &rest[at + 1..];
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            b'"' | b'\\' | b'/' => byte,
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => {
                self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                return;
            }
        };
        self.out.extend_from_slice(&[b'\\', short]);
    }

    /// Begins a table. An array has no keys but positive integers, and few of them are missing.
    fn begin(&mut self, table: Table, depth: usize) -> mlua::Result<Open> {
        if depth > self.options.encode_max_depth as usize {
            return Err(error_here(self.lua, format!("Cannot serialise, excessive nesting ({depth})")));
        }
        let (mut max, mut items) = (0i64, 0i64);
        let mut is_array = true;
        table.for_each(|key: Value, _: Value| {
            match key {
                Value::Integer(index) if index > 0 => {
                    max = max.max(index);
                    items += 1;
                }
                _ => is_array = false,
            }
            Ok(())
        })?;
        let (ratio, safe) = (i64::from(self.options.sparse_ratio), i64::from(self.options.sparse_safe));
        if is_array && ratio > 0 && max > items.saturating_mul(ratio) && max > safe {
            if !self.options.sparse_convert {
                let message = "Cannot serialise table: excessively sparse array";
                return Err(error_here(self.lua, message));
            }
            is_array = false;
        }
        self.check()?;
        if is_array && max > 0 {
            self.out.push(b'[');
            Ok(Open::Array { table, index: 0, len: max })
        } else {
            self.out.push(b'{');
            Ok(Open::Object { table, key: Value::Nil })
        }
    }
}

/// Whether JSON, or this library, has no such character in a string.
fn needs_escape(byte: u8) -> bool {
    matches!(byte, 0..=31 | b'"' | b'\\' | b'/' | 127)
}
