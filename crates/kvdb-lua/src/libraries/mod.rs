//! The libraries that Redis adds to Lua's own, written anew: each is a table of functions that the sandbox then protects.

mod bit;
pub(crate) mod cjson;
mod cmsgpack;
mod structs;

use mlua::{Lua, MultiValue, Table};

use crate::state::RunState;

/// The tables by the names that scripts know them by.
pub(crate) fn tables(lua: &Lua, state: &RunState) -> mlua::Result<Table> {
    let tables = lua.create_table()?;
    tables.raw_set("bit", bit::table(lua)?)?;
    tables.raw_set("cjson", cjson::table(lua, state)?)?;
    tables.raw_set("cmsgpack", cmsgpack::table(lua, state)?)?;
    tables.raw_set("struct", structs::table(lua, state)?)?;
    let os = lua.create_table()?;
    let run = state.clone();
    os.raw_set("clock", lua.create_function(move |_, _: MultiValue| run.ask(|host| host.cpu_seconds()))?)?;
    tables.raw_set("os", os)?;
    Ok(tables)
}
