//! The `redis` table of scripts, of functions, and of libraries while they are loaded.

mod call;
pub(crate) mod random;
mod replies;
mod settings;

use mlua::{Lua, Table};

use crate::function;
use crate::host::LogLevel;
use crate::state::RunState;

/// The version of Redis that scripts are told.
const VERSION: (&str, u32) = ("7.2.4", 0x0007_0204);

/// What scripts find.
pub(crate) fn script_api(lua: &Lua, state: &RunState) -> mlua::Result<Table> {
    let table = function_api(lua, state)?;
    settings::install_for_scripts(lua, &table)?;
    Ok(table)
}

/// What functions find.
pub(crate) fn function_api(lua: &Lua, state: &RunState) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    install_basics(lua, state, &table)?;
    call::install(lua, state, &table)?;
    replies::install(lua, state, &table)?;
    settings::install(lua, state, &table)?;
    Ok(table)
}

/// What a library finds while it is loaded.
pub(crate) fn load_api(lua: &Lua, state: &RunState) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    install_basics(lua, state, &table)?;
    function::install_register(lua, state, &table)?;
    Ok(table)
}

fn install_basics(lua: &Lua, state: &RunState, table: &Table) -> mlua::Result<()> {
    settings::install_log(lua, state, table)?;
    for (number, (name, _)) in LogLevel::ALL.into_iter().enumerate() {
        table.raw_set(name, number)?;
    }
    table.raw_set("REDIS_VERSION", VERSION.0)?;
    table.raw_set("REDIS_VERSION_NUM", VERSION.1)
}
