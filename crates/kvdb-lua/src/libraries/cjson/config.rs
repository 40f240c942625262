//! The options of `cjson`, and the functions that set them.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{IntoLua, Lua, MultiValue, Table, Value};

use super::MAX_DEPTH;
use crate::arguments::Arguments;

/// The options of one instance of the library.
#[derive(Default)]
pub(crate) struct Config(Cell<Options>);

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Options {
    pub(super) encode_max_depth: u32,
    pub(super) decode_max_depth: u32,
    /// Whether a sparse array is written as an object rather than refused.
    pub(super) sparse_convert: bool,
    /// An array is sparse when it has more than so many times as many places as elements. 0: never.
    pub(super) sparse_ratio: u32,
    /// Arrays of up to so many places never are.
    pub(super) sparse_safe: u32,
    /// Significant digits.
    pub(super) precision: u32,
    /// Kept only to be told again: no buffer is.
    keep_buffer: bool,
    pub(super) encode_invalid_numbers: InvalidNumbers,
    /// Whether `nan`, `inf`, hexadecimal numbers and leading zeros are read.
    pub(super) decode_invalid_numbers: bool,
}

/// What NaN and the infinities are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvalidNumbers {
    Refuse,
    /// `nan`, `inf`, `-inf`: not JSON.
    Write,
    Null,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            encode_max_depth: MAX_DEPTH,
            decode_max_depth: MAX_DEPTH,
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            precision: 14,
            keep_buffer: true,
            encode_invalid_numbers: InvalidNumbers::Refuse,
            decode_invalid_numbers: true,
        }
    }
}

impl Config {
    pub(super) fn options(&self) -> Options {
        self.0.get()
    }

    /// Back to the defaults.
    pub(crate) fn reset(&self) {
        self.0.set(Options::default());
    }

    fn change(&self, change: impl FnOnce(&mut Options)) {
        let mut options = self.0.get();
        change(&mut options);
        self.0.set(options);
    }
}

/// The largest number of an option.
const MAX: u32 = i32::MAX as u32;

/// Adds the functions that set options to an instance's table.
pub(super) fn install(lua: &Lua, config: &Rc<Config>, table: &Table) -> mlua::Result<()> {
    integer(lua, config, table, ("encode_max_depth", 1, MAX), |options| &mut options.encode_max_depth)?;
    integer(lua, config, table, ("decode_max_depth", 1, MAX), |options| &mut options.decode_max_depth)?;
    integer(lua, config, table, ("encode_number_precision", 1, 14), |options| &mut options.precision)?;
    boolean(lua, config, table, "encode_keep_buffer", |options| &mut options.keep_buffer)?;
    boolean(lua, config, table, "decode_invalid_numbers", |options| &mut options.decode_invalid_numbers)?;
    let own = Rc::clone(config);
    let invalid = lua.create_function(move |lua, args| encode_invalid_numbers(lua, &own, args))?;
    table.raw_set("encode_invalid_numbers", invalid)?;
    let own = Rc::clone(config);
    table.raw_set("encode_sparse_array", lua.create_function(move |lua, args| sparse_array(lua, &own, args))?)
}

type Field<T> = fn(&mut Options) -> &mut T;

fn integer(
    lua: &Lua,
    config: &Rc<Config>,
    table: &Table,
    (name, min, max): (&str, u32, u32),
    field: Field<u32>,
) -> mlua::Result<()> {
    let config = Rc::clone(config);
    let function = lua.create_function(move |lua, args| {
        let args = arguments(lua, args, 1)?;
        if let Some(value) = integer_argument(&args, 1, min, max)? {
            config.change(|options| *field(options) = value);
        }
        Ok(*field(&mut config.options()))
    })?;
    table.raw_set(name, function)
}

fn boolean(
    lua: &Lua,
    config: &Rc<Config>,
    table: &Table,
    name: &str,
    field: Field<bool>,
) -> mlua::Result<()> {
    let config = Rc::clone(config);
    let function = lua.create_function(move |lua, args| {
        let args = arguments(lua, args, 1)?;
        if let Some(choice) = choice_argument(&args, 1, &["off", "on"])? {
            config.change(|options| *field(options) = choice == 1);
        }
        Ok(*field(&mut config.options()))
    })?;
    table.raw_set(name, function)
}

fn encode_invalid_numbers(lua: &Lua, config: &Config, args: MultiValue) -> mlua::Result<Value> {
    const CHOICES: [InvalidNumbers; 3] =
        [InvalidNumbers::Refuse, InvalidNumbers::Write, InvalidNumbers::Null];
    let args = arguments(lua, args, 1)?;
    if let Some(choice) = choice_argument(&args, 1, &["off", "on", "null"])? {
        config.change(|options| options.encode_invalid_numbers = CHOICES[choice]);
    }
    match config.options().encode_invalid_numbers {
        InvalidNumbers::Refuse => Ok(Value::Boolean(false)),
        InvalidNumbers::Write => Ok(Value::Boolean(true)),
        InvalidNumbers::Null => "null".into_lua(lua),
    }
}

fn sparse_array(lua: &Lua, config: &Config, args: MultiValue) -> mlua::Result<(bool, u32, u32)> {
    let args = arguments(lua, args, 3)?;
    if let Some(choice) = choice_argument(&args, 1, &["off", "on"])? {
        config.change(|options| options.sparse_convert = choice == 1);
    }
    if let Some(ratio) = integer_argument(&args, 2, 0, MAX)? {
        config.change(|options| options.sparse_ratio = ratio);
    }
    if let Some(safe) = integer_argument(&args, 3, 0, MAX)? {
        config.change(|options| options.sparse_safe = safe);
    }
    let options = config.options();
    Ok((options.sparse_convert, options.sparse_ratio, options.sparse_safe))
}

fn arguments(lua: &Lua, args: MultiValue, max: usize) -> mlua::Result<Arguments<'_>> {
    let args = Arguments::new(lua, args);
    if args.len() > max {
        return Err(args.error(max + 1, "found too many arguments"));
    }
    Ok(args)
}

fn integer_argument(args: &Arguments<'_>, index: usize, min: u32, max: u32) -> mlua::Result<Option<u32>> {
    if args.get(index).is_nil() {
        return Ok(None);
    }
    let value = u32::try_from(args.integer(index)?).ok().filter(|value| (min..=max).contains(value));
    match value {
        Some(value) => Ok(Some(value)),
        None => Err(args.error(index, &format!("expected integer between {min} and {max}"))),
    }
}

/// A boolean or one of the given words, as the word's number.
fn choice_argument(args: &Arguments<'_>, index: usize, words: &[&str]) -> mlua::Result<Option<usize>> {
    match args.get(index) {
        Value::Nil => Ok(None),
        Value::Boolean(value) => Ok(Some(usize::from(*value))),
        _ => {
            let word = args.bytes(index)?;
            let found = words.iter().position(|known| known.as_bytes() == &*word);
            found.map(Some).ok_or_else(|| {
                args.error(index, &format!("invalid option '{}'", String::from_utf8_lossy(&word)))
            })
        }
    }
}
