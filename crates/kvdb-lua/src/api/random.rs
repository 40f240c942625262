//! `math.random` and `math.randomseed`: the generator of POSIX' `lrand48`, so that a seed gives the same numbers on
//! every machine. Where a script sets no seed, the host gives one.

use mlua::{Lua, MultiValue, Table};

use crate::arguments::Arguments;
use crate::state::RunState;
use crate::thrown::error_here;

/// The linear congruential generator of POSIX: 48 bits of state, of which the upper 31 are the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lrand48(u64);

const MASK: u64 = (1 << 48) - 1;

/// Numbers are fractions of this.
const MAX: u32 = i32::MAX as u32;

impl Lrand48 {
    /// As `srand48`.
    fn seeded(seed: i32) -> Self {
        Self((u64::from(seed.cast_unsigned()) << 16) | 0x330e)
    }

    /// As `lrand48`: 31 bits.
    fn draw(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & MASK;
        (self.0 >> 17) as u32
    }

    /// A number from 0 up to but not including 1.
    fn fraction(&mut self) -> f64 {
        f64::from(self.draw() % MAX) / f64::from(MAX)
    }
}

pub(crate) fn install(lua: &Lua, state: &RunState, native: &Table) -> mlua::Result<()> {
    let run = state.clone();
    native.raw_set("random", lua.create_function(move |lua, args| random(lua, &run, args))?)?;
    let run = state.clone();
    let seed = lua.create_function(move |lua, args| {
        let seed = Arguments::new(lua, args).integer(1)?;
        run.random.set(Some(Lrand48::seeded(seed as i32)));
        Ok(())
    })?;
    native.raw_set("randomseed", seed)
}

fn random(lua: &Lua, state: &RunState, args: MultiValue) -> mlua::Result<f64> {
    let mut generator = match state.random.get() {
        Some(generator) => generator,
        None => Lrand48::seeded(state.ask(|host| host.seed())?),
    };
    let fraction = generator.fraction();
    state.random.set(Some(generator));
    let args = Arguments::new(lua, args);
    let (low, high, at_fault) = match args.len() {
        0 => return Ok(fraction),
        1 => (1, args.integer(1)?, 1),
        2 => (args.integer(1)?, args.integer(2)?, 2),
        _ => return Err(error_here(lua, "wrong number of arguments")),
    };
    if low > high {
        return Err(args.error(at_fault, "interval is empty"));
    }
    let (low, high) = (low as f64, high as f64);
    Ok((fraction * (high - low + 1.0)).floor() + low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_posix() {
        let mut generator = Lrand48::seeded(0);
        assert_eq!(
            [generator.draw(), generator.draw(), generator.draw()],
            [366_850_414, 1_610_402_240, 206_956_554]
        );
    }
}
