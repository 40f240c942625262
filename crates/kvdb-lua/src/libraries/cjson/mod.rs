//! `cjson`: JSON as version 2.1.0 of the Lua library of that name reads and writes it.

mod config;
mod decode;
mod encode;
mod number;
mod token;

use std::rc::Rc;

use mlua::{LightUserData, Lua, MultiValue, Table, Value};

use crate::state::RunState;

pub(crate) use config::Config;

/// The library as scripts find it. Its options last for one run: in Redis they stay for the scripts that follow.
pub(super) fn table(lua: &Lua, state: &RunState) -> mlua::Result<Table> {
    instance(lua, state, &state.cjson)
}

/// A library with options of its own, as `cjson.new()` returns it.
fn instance(lua: &Lua, state: &RunState, config: &Rc<Config>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let (run, options) = (state.clone(), Rc::clone(config));
    table.raw_set(
        "encode",
        lua.create_function(move |lua, args| encode::encode(lua, &run, &options, args))?,
    )?;
    let (run, options) = (state.clone(), Rc::clone(config));
    table.raw_set(
        "decode",
        lua.create_function(move |lua, args| decode::decode(lua, &run, &options, args))?,
    )?;
    config::install(lua, config, &table)?;
    let run = state.clone();
    table.raw_set(
        "new",
        lua.create_function(move |lua, _: MultiValue| instance(lua, &run, &Rc::default()))?,
    )?;
    table.raw_set("null", Value::LightUserData(LightUserData(std::ptr::null_mut())))?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    Ok(table)
}

/// Tables within tables that are read or written, whatever a script sets: they are followed by recursion.
const MAX_DEPTH: u32 = 1000;
