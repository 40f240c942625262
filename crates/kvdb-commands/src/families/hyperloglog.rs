//! Strings as sketches of sets: HyperLogLogs.

use itoa::Buffer;
use kvdb_resp::{Args, Reply};
use kvdb_store::{Effect, Object, ReadCx, StringValue, WriteCx};

use super::string_value::{bytes, string};
use crate::errors::{CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::hyperloglog::{self as sketches, Encoding, HllError, Registers};

/// PFDEBUG of a key that does not exist.
const NO_SUCH_SKETCH: CommandError = CommandError::fixed("ERR The specified key does not exist");
/// PFDEBUG DECODE of a dense sketch.
const NOT_SPARSE: CommandError = CommandError::fixed("ERR HLL encoding is not sparse");

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "pfadd",
        arity: -2,
        flags: Flags::DENYOOM.with(Flags::FAST),
        keys: &[KeySpec::one(&["RW", "insert"])],
        categories: &[],
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "O(1) for each element",
        summary: "Adds elements to the HyperLogLog of a key, which is made if need be.",
        syntax: "key [element ...]",
        handler: Handler::Write(pfadd),
        subcommands: &[],
    },
    CommandSpec {
        name: "pfcount",
        arity: -2,
        flags: Flags::READONLY.with(Flags::REMEMBERS),
        keys: &[KeySpec::all(&["RW", "access"])],
        categories: &[],
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "O(N) for N keys, each of which costs some thousands of steps",
        summary: "Estimates how many different elements were added to a HyperLogLog or to any of several.",
        syntax: "key [key ...]",
        handler: Handler::Write(pfcount),
        subcommands: &[],
    },
    CommandSpec {
        name: "pfmerge",
        arity: -2,
        flags: Flags::DENYOOM,
        keys: &[KeySpec::one(&["RW", "access", "insert"]), KeySpec::range(2, -1, 1, &["RO", "access"])],
        categories: &[],
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "O(N) for N keys, each of which costs some thousands of steps",
        summary: "Adds to a HyperLogLog what was added to others.",
        syntax: "destkey [sourcekey:key ...]",
        handler: Handler::Write(pfmerge),
        subcommands: &[],
    },
    CommandSpec {
        name: "pfdebug",
        arity: 3,
        flags: Flags::DENYOOM.with(Flags::ADMIN),
        keys: &[KeySpec::at(2, &["RW", "access"])],
        categories: &[],
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "O(1)",
        summary: "Shows the inside of a HyperLogLog or makes it dense.",
        syntax: "<GETREG|DECODE|ENCODING|TODENSE> key",
        handler: Handler::Write(pfdebug),
        subcommands: &[],
    },
    CommandSpec {
        name: "pfselftest",
        arity: 1,
        flags: Flags::ADMIN,
        keys: &[],
        categories: &[],
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "O(1)",
        summary: "Checks that HyperLogLogs of known sets are as good as they should be.",
        syntax: "",
        handler: Handler::Read(pfselftest),
        subcommands: &[],
    },
];

/// The error reply for a string that is no sketch.
fn refusal(error: HllError) -> CommandError {
    CommandError::new(error.to_string())
}

/// The bytes of a key that has to be a sketch, if it is there.
fn sketch<'a>(found: Option<Object<'a>>, digits: &'a mut Buffer) -> Result<Option<&'a [u8]>, CommandError> {
    let Some(value) = string(found)? else { return Ok(None) };
    let sketch = bytes(value, digits);
    sketches::check(sketch).map_err(refusal)?;
    Ok(Some(sketch))
}

/// A sketch that is about to be changed, with the key's deadline; a new one where there is none.
fn owned_sketch(cx: &mut WriteCx<'_>, key: &[u8]) -> Result<(Option<Vec<u8>>, Option<u64>), CommandError> {
    let found = cx.get(key);
    let deadline = found.and_then(|object| object.deadline());
    Ok((sketch(found, &mut Buffer::new())?.map(<[u8]>::to_vec), deadline))
}

/// Stores a changed sketch. It is one row in either encoding, so it is written as a whole.
fn put(cx: &mut WriteCx<'_>, key: &[u8], sketch: &[u8], deadline: Option<u64>) {
    cx.apply(key, Effect::PutString { value: StringValue::Raw(sketch), deadline });
}

fn pfadd(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let sparse_max = cx.limits().hll_sparse_max_bytes;
    let (found, deadline) = owned_sketch(cx, &args[1])?;
    let mut changed = found.is_none();
    let mut sketch = found.unwrap_or_else(sketches::empty);
    for element in args.tail(2) {
        changed |= sketches::add(&mut sketch, element, sparse_max).map_err(refusal)?;
    }
    if changed {
        put(cx, &args[1], &sketch, deadline);
        cx.notify(events::PFADD, &args[1]);
    }
    reply.integer(i64::from(changed));
    Ok(())
}

/// Counting one sketch puts the cardinality into its header, as in Redis, so that counting it again before it changes
/// looks at no register. That is a change of the key, but not of what it means: see [`Flags::REMEMBERS`].
fn pfcount(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let cardinality = if args.len() == 2 {
        count_one(cx, &args[1])?
    } else {
        let mut union = Registers::default();
        for key in args.tail(1) {
            if let Some(sketch) = sketch(cx.lookup(key), &mut Buffer::new())? {
                union.union(sketch).map_err(refusal)?;
            }
        }
        union.estimate()
    };
    reply.integer(cardinality.cast_signed());
    Ok(())
}

fn count_one(cx: &mut WriteCx<'_>, key: &[u8]) -> Result<u64, CommandError> {
    let found = cx.lookup(key);
    let deadline = found.and_then(|object| object.deadline());
    let mut digits = Buffer::new();
    let Some(sketch) = sketch(found, &mut digits)? else { return Ok(0) };
    if let Some(cardinality) = sketches::cached_cardinality(sketch).map_err(refusal)? {
        return Ok(cardinality);
    }
    let cardinality = sketches::estimate(sketch).map_err(refusal)?;
    let mut counted = sketch.to_vec();
    sketches::store_cardinality(&mut counted, cardinality).map_err(refusal)?;
    put(cx, key, &counted, deadline);
    Ok(cardinality)
}

fn pfmerge(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let sparse_max = cx.limits().hll_sparse_max_bytes;
    let mut union = Registers::default();
    let mut dense = false;
    for key in args.tail(1) {
        if let Some(sketch) = sketch(cx.lookup(key), &mut Buffer::new())? {
            dense |= sketches::check(sketch).map_err(refusal)? == Encoding::Dense;
            union.union(sketch).map_err(refusal)?;
        }
    }
    let (found, deadline) = owned_sketch(cx, &args[1])?;
    let mut target = found.unwrap_or_else(sketches::empty);
    sketches::merge(&mut target, &union, dense, sparse_max).map_err(refusal)?;
    put(cx, &args[1], &target, deadline);
    cx.notify(events::PFADD, &args[1]);
    reply.ok();
    Ok(())
}

fn pfdebug(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let key = &args[2];
    let (found, deadline) = owned_sketch(cx, key)?;
    let mut sketch = found.ok_or(NO_SUCH_SKETCH)?;
    let is = |wanted: &str| args[1].eq_ignore_ascii_case(wanted.as_bytes());
    if is("GETREG") {
        let mut registers = Registers::default();
        registers.union(&sketch).map_err(refusal)?;
        // In Redis reading the registers makes the sketch dense.
        if sketches::make_dense(&mut sketch).map_err(refusal)? {
            put(cx, key, &sketch, deadline);
        }
        reply.array(registers.values().len());
        registers.values().iter().for_each(|value| reply.integer(i64::from(*value)));
    } else if is("DECODE") {
        let runs = sketches::describe_sparse(&sketch).map_err(refusal)?.ok_or(NOT_SPARSE)?;
        reply.bulk(runs.as_bytes());
    } else if is("ENCODING") {
        reply.simple(sketches::check(&sketch).map_err(refusal)?.name());
    } else if is("TODENSE") {
        let changed = sketches::make_dense(&mut sketch).map_err(refusal)?;
        if changed {
            put(cx, key, &sketch, deadline);
        }
        reply.integer(i64::from(changed));
    } else {
        let name = crate::errors::printable(&args[1]);
        return Err(CommandError::new(format!("ERR Unknown PFDEBUG subcommand '{name}'")));
    }
    Ok(())
}

fn pfselftest(_cx: &mut ReadCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    self_test().map_err(|failure| CommandError::new(format!("ERR TESTFAILED {failure}")))?;
    reply.ok();
    Ok(())
}

/// Counts sets of known sizes with a sketch that begins sparse and one that is dense throughout.
fn self_test() -> Result<(), String> {
    /// Four standard errors of 1.04/√16384.
    const TOLERANCE: f64 = 4.0 * 1.04 / 128.0;
    const ELEMENTS: u32 = 20_000;
    let failure = |error: HllError| error.to_string();
    let (mut sparse, mut dense) = (sketches::empty(), sketches::empty());
    sketches::make_dense(&mut dense).map_err(failure)?;
    for n in 1..=ELEMENTS {
        let element = n.to_le_bytes();
        let (a, b) = (
            sketches::add(&mut sparse, &element, sketches::SPARSE_MAX_BYTES).map_err(failure)?,
            sketches::add(&mut dense, &element, 0).map_err(failure)?,
        );
        if a != b {
            return Err(format!("sparse and dense disagree about element {n}"));
        }
        if n.is_power_of_two() || n == ELEMENTS {
            let (of_sparse, of_dense) =
                (sketches::estimate(&sparse).map_err(failure)?, sketches::estimate(&dense).map_err(failure)?);
            if of_sparse != of_dense
                || (of_dense as f64 - f64::from(n)).abs() > (f64::from(n) * TOLERANCE).max(1.0)
            {
                return Err(format!("{n} elements are estimated as {of_sparse} sparse and {of_dense} dense"));
            }
        }
    }
    Ok(())
}
