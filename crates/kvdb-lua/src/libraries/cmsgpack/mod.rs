//! `cmsgpack`: MessagePack as version 0.4.0 of the Lua library of that name reads and writes it.

mod pack;
mod unpack;

use mlua::{Lua, Table};

use crate::state::RunState;

pub(super) fn table(lua: &Lua, state: &RunState) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let run = state.clone();
    table.raw_set("pack", lua.create_function(move |lua, args| pack::pack(lua, &run, args))?)?;
    unpack::install(lua, state, &table)?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    table.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(table)
}

/// The first byte of each kind of value that has more bytes.
mod marker {
    pub(super) const NIL: u8 = 0xc0;
    pub(super) const FALSE: u8 = 0xc2;
    pub(super) const TRUE: u8 = 0xc3;
    pub(super) const FLOAT: u8 = 0xca;
    pub(super) const DOUBLE: u8 = 0xcb;
    pub(super) const UINT8: u8 = 0xcc;
    pub(super) const UINT16: u8 = 0xcd;
    pub(super) const UINT32: u8 = 0xce;
    pub(super) const UINT64: u8 = 0xcf;
    pub(super) const INT8: u8 = 0xd0;
    pub(super) const INT16: u8 = 0xd1;
    pub(super) const INT32: u8 = 0xd2;
    pub(super) const INT64: u8 = 0xd3;
    pub(super) const STRING8: u8 = 0xd9;
    pub(super) const STRING16: u8 = 0xda;
    pub(super) const STRING32: u8 = 0xdb;
    pub(super) const ARRAY16: u8 = 0xdc;
    pub(super) const ARRAY32: u8 = 0xdd;
    pub(super) const MAP16: u8 = 0xde;
    pub(super) const MAP32: u8 = 0xdf;
}
