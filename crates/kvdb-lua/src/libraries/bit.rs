//! `bit`: operations on 32-bit integers, as Lua BitOp 1.0 defines them.
//!
//! An argument is any number; it is rounded to an integer and reduced modulo 2^32. A result is from the range of signed
//! integers. Shifts use the lower five bits of their second argument.

use mlua::{Lua, MultiValue, Table};

use crate::arguments::Arguments;

/// Adding this to a double leaves its integer part modulo 2^32, rounded to the nearest, in the lower half of its bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

pub(super) fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (name, operation) in
        [("tobit", (|a| a) as fn(u32) -> u32), ("bnot", |a| !a), ("bswap", u32::swap_bytes)]
    {
        let function = move |lua: &Lua, args: MultiValue| {
            let args = Arguments::new(lua, args);
            Ok(operation(word(&args, 1)?).cast_signed())
        };
        table.raw_set(name, lua.create_function(function)?)?;
    }
    for (name, operation) in
        [("band", (|a, b| a & b) as fn(u32, u32) -> u32), ("bor", |a, b| a | b), ("bxor", |a, b| a ^ b)]
    {
        let function = move |lua: &Lua, args: MultiValue| {
            let args = Arguments::new(lua, args);
            let mut result = word(&args, 1)?;
            for index in 2..=args.len() {
                result = operation(result, word(&args, index)?);
            }
            Ok(result.cast_signed())
        };
        table.raw_set(name, lua.create_function(function)?)?;
    }
    for (name, operation) in [
        ("lshift", u32::wrapping_shl as fn(u32, u32) -> u32),
        ("rshift", u32::wrapping_shr),
        ("arshift", |a, n| a.cast_signed().wrapping_shr(n).cast_unsigned()),
        ("rol", |a, n| a.rotate_left(n & 31)),
        ("ror", |a, n| a.rotate_right(n & 31)),
    ] {
        let function = move |lua: &Lua, args: MultiValue| {
            let args = Arguments::new(lua, args);
            Ok(operation(word(&args, 1)?, word(&args, 2)?).cast_signed())
        };
        table.raw_set(name, lua.create_function(function)?)?;
    }
    table.raw_set("tohex", lua.create_function(to_hex)?)?;
    Ok(table)
}

fn word(args: &Arguments<'_>, index: usize) -> mlua::Result<u32> {
    Ok((args.number(index)? + ROUNDER).to_bits() as u32)
}

/// `bit.tohex`: as many of the lowest digits as the second argument says, in upper case where that is negative.
fn to_hex(lua: &Lua, args: MultiValue) -> mlua::Result<String> {
    let args = Arguments::new(lua, args);
    let value = word(&args, 1)?;
    let wanted = if args.len() < 2 { 8 } else { word(&args, 2)?.cast_signed() };
    // The absolute value of the least integer is no signed one (CVE-2024-31449).
    let digits = wanted.unsigned_abs().min(8) as usize;
    let text = if wanted < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    Ok(text[8 - digits..].to_owned())
}
