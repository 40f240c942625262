//! `cmsgpack.pack`.
//!
//! A number without a fraction that 64 bits hold is an integer, in the shortest form; any other is a float where that
//! loses nothing, else a double. A table whose keys are 1 to n is an array, the empty one too; any other is a map. What
//! MessagePack lacks, and tables within more than sixteen others, are nil.

use mlua::{BString, Lua, MultiValue, Table, Value};

use super::marker;
use crate::arguments::Arguments;
use crate::builder::{LimitLifted, VALUES_PER_POLL};
use crate::state::RunState;
use crate::thrown::error_here;

/// Tables within tables.
const MAX_NESTING: u32 = 16;

pub(super) fn pack(lua: &Lua, state: &RunState, args: MultiValue) -> mlua::Result<BString> {
    let args = Arguments::new(lua, args);
    if args.len() == 0 {
        return Err(error_here(lua, "bad argument #0 to 'pack' (MessagePack pack needs input.)"));
    }
    let mut packer = Packer { lua, state, out: Vec::new(), written: 0 };
    // Nothing is built here, but mlua guards even the reading of tables.
    let lifted = LimitLifted::new(lua);
    for value in args.iter() {
        packer.value(value, 0)?;
    }
    drop(lifted);
    Ok(BString::from(packer.out))
}

struct Packer<'a> {
    lua: &'a Lua,
    state: &'a RunState,
    out: Vec<u8>,
    /// Values.
    written: u32,
}

impl Packer<'_> {
    fn value(&mut self, value: &Value, depth: u32) -> mlua::Result<()> {
        match value {
            Value::String(text) => {
                let text = text.as_bytes();
                self.length(text.len(), (31, 0xa0), [marker::STRING8, marker::STRING16, marker::STRING32]);
                self.out.extend_from_slice(&text);
            }
            Value::Integer(n) => self.integer(*n),
            // The one integer that is not given as such.
            Value::Number(n) if *n == 0.0 => self.integer(0),
            Value::Number(n) => self.float(*n),
            Value::Boolean(value) => self.out.push(if *value { marker::TRUE } else { marker::FALSE }),
            Value::Table(table) if depth < MAX_NESTING => self.table(table, depth + 1)?,
            _ => self.out.push(marker::NIL),
        }
        self.written = self.written.wrapping_add(1);
        if self.written.is_multiple_of(VALUES_PER_POLL) {
            self.state.poll(self.lua)?;
        }
        self.state.check_room(self.lua, self.out.len())
    }

    fn integer(&mut self, n: i64) {
        match n {
            -0x20..=0x7f => self.out.push(n as u8),
            0x80..=0xff => self.marked(marker::UINT8, &[n as u8]),
            0x100..=0xffff => self.marked(marker::UINT16, &(n as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.marked(marker::UINT32, &(n as u32).to_be_bytes()),
            0x1_0000_0000.. => self.marked(marker::UINT64, &n.to_be_bytes()),
            -0x80..=-0x21 => self.marked(marker::INT8, &[n as u8]),
            -0x8000..=-0x81 => self.marked(marker::INT16, &(n as i16).to_be_bytes()),
            -0x8000_0000..=-0x8001 => self.marked(marker::INT32, &(n as i32).to_be_bytes()),
            _ => self.marked(marker::INT64, &n.to_be_bytes()),
        }
    }

    fn float(&mut self, n: f64) {
        let single = n as f32;
        if f64::from(single) == n {
            self.marked(marker::FLOAT, &single.to_be_bytes());
        } else {
            self.marked(marker::DOUBLE, &n.to_be_bytes());
        }
    }

    fn marked(&mut self, marker: u8, bytes: &[u8]) {
        self.out.push(marker);
        self.out.extend_from_slice(bytes);
    }

    /// A length: in the marker itself up to a bound, or in one, two or four bytes. A marker of 0 stands for a
    /// form that there is not.
    fn length(&mut self, len: usize, (bound, base): (usize, u8), [one, two, four]: [u8; 3]) {
        if len <= bound {
            self.out.push(base | len as u8);
        } else if len <= 0xff && one != 0 {
            self.marked(one, &[len as u8]);
        } else if len <= 0xffff {
            self.marked(two, &(len as u16).to_be_bytes());
        } else {
            self.marked(four, &(len as u32).to_be_bytes());
        }
    }

    fn table(&mut self, table: &Table, depth: u32) -> mlua::Result<()> {
        let (mut count, mut max, mut is_array) = (0usize, 0i64, true);
        table.for_each(|key: Value, _: Value| {
            count += 1;
            match key {
                Value::Integer(index) if index > 0 => max = max.max(index),
                _ => is_array = false,
            }
            Ok(())
        })?;
        if is_array && usize::try_from(max) == Ok(count) {
            self.length(count, (15, 0x90), [0, marker::ARRAY16, marker::ARRAY32]);
            for index in 1..=max {
                self.value(&table.raw_get(index)?, depth)?;
            }
            return Ok(());
        }
        self.length(count, (15, 0x80), [0, marker::MAP16, marker::MAP32]);
        table.for_each(|key: Value, value: Value| {
            self.value(&key, depth)?;
            self.value(&value, depth)
        })
    }
}
