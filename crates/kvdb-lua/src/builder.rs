//! Building Lua values without a safety net for each.
//!
//! Under a memory limit mlua wraps every allocation in a protected call of Lua's, since each may fail; that costs more
//! than the allocation. A [`Builder`] lifts the limit while it lives and watches over it itself: before it begins, it
//! asks for room for what it knows it will need, and then again whenever it has built a good deal.

use mlua::{Lua, LuaString, Table};

use crate::state::RunState;

/// Values that may be built between two looks at the memory in use.
const VALUES_PER_CHECK: u32 = 256;

/// And between two questions whether to go on.
pub(crate) const VALUES_PER_POLL: u32 = 16 * 1024;

/// A string of so many bytes is looked at by itself.
const LARGE: usize = 4096;

/// What an element of a table takes, roughly.
const BYTES_PER_ELEMENT: usize = 16;

/// Builds strings and tables. No Lua code may run while one is alive.
pub(crate) struct Builder<'a> {
    lua: &'a Lua,
    state: &'a RunState,
    built: u32,
    _lifted: LimitLifted<'a>,
}

impl<'a> Builder<'a> {
    /// Begins, if there is room for `bytes`.
    pub(crate) fn new(lua: &'a Lua, state: &'a RunState, bytes: usize) -> mlua::Result<Self> {
        state.check_room(lua, bytes)?;
        Ok(Self { lua, state, built: 0, _lifted: LimitLifted::new(lua) })
    }

    /// A string.
    pub(crate) fn string(&mut self, bytes: &[u8]) -> mlua::Result<LuaString> {
        if bytes.len() >= LARGE {
            self.state.check_room(self.lua, bytes.len())?;
        }
        self.count()?;
        self.lua.create_string(bytes)
    }

    /// A table with room for so many elements, if that is not too much to promise.
    pub(crate) fn table(&mut self, elements: usize, fields: usize) -> mlua::Result<Table> {
        let room = elements.saturating_add(fields).saturating_mul(BYTES_PER_ELEMENT);
        if room >= LARGE {
            self.state.check_room(self.lua, room)?;
        }
        self.count()?;
        self.lua.create_table_with_capacity(elements, fields)
    }

    /// Counts an element that is put into a table.
    pub(crate) fn count(&mut self) -> mlua::Result<()> {
        self.built = self.built.wrapping_add(1);
        if self.built.is_multiple_of(VALUES_PER_CHECK) {
            self.state.check_room(self.lua, 0)?;
            if self.built.is_multiple_of(VALUES_PER_POLL) {
                self.state.poll(self.lua)?;
            }
        }
        Ok(())
    }

    /// The strings that conversions need.
    pub(crate) fn names(&self) -> &'a crate::sandbox::Names {
        &self.state.names
    }
}

/// The memory limit, set aside until this is dropped.
pub(crate) struct LimitLifted<'a> {
    lua: &'a Lua,
    limit: usize,
}

impl<'a> LimitLifted<'a> {
    pub(crate) fn new(lua: &'a Lua) -> Self {
        Self { lua, limit: set_limit(lua, 0) }
    }
}

impl Drop for LimitLifted<'_> {
    fn drop(&mut self) {
        set_limit(self.lua, self.limit);
    }
}

/// Sets the memory limit, 0 for none, and returns the one before.
pub(crate) fn set_limit(lua: &Lua, bytes: usize) -> usize {
    lua.set_memory_limit(bytes).expect("mlua's own allocator keeps a limit")
}
