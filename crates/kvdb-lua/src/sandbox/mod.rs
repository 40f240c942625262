//! The Lua that scripts see: its libraries, its globals, and what of it they cannot change.
//!
//! The environment is built once for each VM by [`prelude.lua`](prelude), from Lua's own functions and those of this
//! crate. Scripts then cannot leave anything behind for the scripts after them: globals, libraries and the metatable of
//! strings are read-only, `math.random` and the options of `cjson` begin anew with every run.
//!
//! Two sets of globals exist: one for scripts, with KEYS and ARGV, and one for functions.

mod base;
mod names;
mod pattern;
mod strings;

use mlua::{Function, Lua, LuaOptions, StdLib, Table};

pub(crate) use base::{compile, error_table, failed_reply};
pub(crate) use names::Names;

use crate::api;
use crate::libraries;
use crate::state::{RunState, Scope};

/// The name of the chunk that builds the environment, by which its functions are recognised.
pub(crate) const PRELUDE: &str = "=(kvdb)";

/// A Lua state with its environment.
pub(crate) struct Sandbox {
    pub(crate) lua: Lua,
    /// `xpcall` as Lua has it.
    pub(crate) xpcall: Function,
    /// The same for a function with two arguments.
    pub(crate) call_function: Function,
    /// The handler for it that notes an error in [`RunState::failure`](crate::state::Shared::failure).
    pub(crate) note_failure: Function,
    /// What holds the globals of scripts: the host adds KEYS and ARGV.
    pub(crate) script_globals: Table,
    /// Switches the globals of functions to those for loading a library and back.
    set_loading: Function,
}

/// The registry's names of the tables that code runs in.
const ENVIRONMENTS: [(Scope, &str); 2] = [(Scope::Script, "kvdb.script"), (Scope::Function, "kvdb.function")];

impl Sandbox {
    pub(crate) fn new(memory_limit: usize) -> mlua::Result<(Self, RunState)> {
        let lua = Lua::new_with(StdLib::TABLE | StdLib::STRING | StdLib::MATH, LuaOptions::default())?;
        let state = RunState::new(Names::new(&lua)?, lua.globals().raw_get("next")?, memory_limit);
        let native = lua.create_table()?;
        base::install(&lua, &state, &native)?;
        strings::install(&lua, &state, &native)?;
        api::random::install(&lua, &state, &native)?;
        native.raw_set("script_api", api::script_api(&lua, &state)?)?;
        native.raw_set("function_api", api::function_api(&lua, &state)?)?;
        native.raw_set("load_api", api::load_api(&lua, &state)?)?;
        native.raw_set("libraries", libraries::tables(&lua, &state)?)?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name(PRELUDE);
        let built: Table = prelude.call((lua.globals(), &native))?;
        for (scope, name) in ENVIRONMENTS {
            let field = if scope == Scope::Script { "script_environment" } else { "function_environment" };
            lua.set_named_registry_value(name, built.raw_get::<Table>(field)?)?;
        }
        let sandbox = Self {
            xpcall: built.raw_get("xpcall")?,
            call_function: built.raw_get("call_function")?,
            note_failure: base::note_failure(&lua, &state)?,
            script_globals: built.raw_get("script_globals")?,
            set_loading: built.raw_get("set_loading")?,
            lua,
        };
        Ok((sandbox, state))
    }

    /// Whether code in the scope of functions finds only what it needs to register functions.
    pub(crate) fn set_loading(&self, loading: bool) -> mlua::Result<()> {
        self.set_loading.call(loading)
    }
}

/// The table that code of a scope has as its globals.
fn environment(lua: &Lua, scope: Scope) -> mlua::Result<Table> {
    let name = ENVIRONMENTS.iter().find(|(of, _)| *of == scope).map_or("", |(_, name)| name);
    lua.named_registry_value(name)
}
