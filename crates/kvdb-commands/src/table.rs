//! The table of all commands, and how a name is found in it.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::families;
use crate::spec::CommandSpec;

/// All commands, family by family. A static and not a constant: a row is known by its address, and each place that names a
/// constant may have a copy of it.
pub static FAMILIES: &[&[CommandSpec]] = &[
    families::string::COMMANDS,
    families::string_range::COMMANDS,
    families::string_number::COMMANDS,
    families::bitmap::COMMANDS,
    families::bitfield::COMMANDS,
    families::hyperloglog::COMMANDS,
    families::hash::COMMANDS,
    families::hash_walk::COMMANDS,
    families::hash_expire::COMMANDS,
    families::list::COMMANDS,
    families::list_element::COMMANDS,
    families::list_move::COMMANDS,
    families::list_blocking::COMMANDS,
    families::set::COMMANDS,
    families::set_algebra::COMMANDS,
    families::set_walk::COMMANDS,
    families::sorted_set::COMMANDS,
    families::sorted_set_range::COMMANDS,
    families::sorted_set_pop::COMMANDS,
    families::sorted_set_blocking::COMMANDS,
    families::sorted_set_algebra::COMMANDS,
    families::sorted_set_walk::COMMANDS,
    families::geo::COMMANDS,
    families::geo_search::COMMANDS,
    families::stream::COMMANDS,
    families::stream_range::COMMANDS,
    families::stream_read::COMMANDS,
    families::stream_group::COMMANDS,
    families::stream_pending::COMMANDS,
    families::stream_info::COMMANDS,
    families::generic::COMMANDS,
    families::sort::COMMANDS,
    families::expire::COMMANDS,
    families::dump::COMMANDS,
    families::keyspace::COMMANDS,
    families::transactions::COMMANDS,
    families::pubsub::COMMANDS,
    families::scripting::COMMANDS,
    families::connection::COMMANDS,
    families::client::COMMANDS,
    families::acl::COMMANDS,
    families::command::COMMANDS,
    families::config::COMMANDS,
    families::server::COMMANDS,
    families::persistence::COMMANDS,
    families::replication::COMMANDS,
    families::cluster::COMMANDS,
    families::wait::COMMANDS,
    families::memory::COMMANDS,
    families::slowlog::COMMANDS,
    families::latency::COMMANDS,
    families::debug::COMMANDS,
];

/// The longest name in the table; longer ones are not looked up.
const MAX_NAME: usize = 32;

static BY_NAME: LazyLock<HashMap<&'static [u8], (usize, &'static CommandSpec)>> =
    LazyLock::new(|| all().enumerate().map(|(i, spec)| (spec.name.as_bytes(), (i, spec))).collect());

/// Rows of names of at most eight letters, by the name as a number: an open-addressed table, since the name is looked up
/// for every command and hashing it for real would cost more than the rest of the way to the handler.
static SHORT: LazyLock<Box<[ShortSlot]>> = LazyLock::new(|| {
    let mut slots = vec![ShortSlot { name: 0, row: None }; SHORT_SLOTS].into_boxed_slice();
    for (index, spec) in all().enumerate() {
        let Some(name) = short_name(spec.name.as_bytes()) else { continue };
        let mut at = short_home(name);
        while slots[at].row.is_some() {
            at = (at + 1) % SHORT_SLOTS;
        }
        slots[at] = ShortSlot { name, row: Some((index, spec)) };
    }
    slots
});

/// Several times the number of commands, so that probes are short; a power of two.
const SHORT_SLOTS: usize = 1024;

#[derive(Clone, Copy)]
struct ShortSlot {
    name: u64,
    row: Option<(usize, &'static CommandSpec)>,
}

/// A name of at most eight bytes in lower case as a number.
#[inline]
fn short_name(name: &[u8]) -> Option<u64> {
    if name.is_empty() || name.len() > 8 {
        return None;
    }
    let mut bytes = [0; 8];
    bytes[..name.len()].copy_from_slice(name);
    bytes.make_ascii_lowercase();
    Some(u64::from_le_bytes(bytes))
}

#[inline]
fn short_home(name: u64) -> usize {
    (name.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % SHORT_SLOTS
}

/// All commands in the order of the table.
pub fn all() -> impl Iterator<Item = &'static CommandSpec> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// The number of commands.
pub fn len() -> usize {
    BY_NAME.len()
}

/// The command of a name in any case, with its index in the table.
#[inline]
pub fn find(name: &[u8]) -> Option<(usize, &'static CommandSpec)> {
    let Some(short) = short_name(name) else { return find_long(name) };
    let slots = &**SHORT;
    let mut at = short_home(short);
    loop {
        let slot = &slots[at];
        let row = slot.row?;
        if slot.name == short {
            return Some(row);
        }
        at = (at + 1) % SHORT_SLOTS;
    }
}

#[cold]
fn find_long(name: &[u8]) -> Option<(usize, &'static CommandSpec)> {
    let mut lower = [0u8; MAX_NAME];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    BY_NAME.get(&*lower).copied()
}

/// The subcommand of a name in any case.
pub fn find_subcommand(container: &CommandSpec, name: &[u8]) -> Option<&'static CommandSpec> {
    let subcommands: &'static [CommandSpec] = container.subcommands;
    subcommands.iter().find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_unique() {
        let mut seen = std::collections::HashSet::new();
        for spec in all() {
            assert!(
                spec.name.len() <= MAX_NAME && spec.name.bytes().all(|b| !b.is_ascii_uppercase()),
                "{}",
                spec.name
            );
            assert!(seen.insert(spec.name), "{} is in the table twice", spec.name);
        }
        for (index, spec) in all().enumerate() {
            assert_eq!(
                find(spec.name.to_ascii_uppercase().as_bytes()).map(|(i, s)| (i, s.name)),
                Some((index, spec.name))
            );
        }
        assert!(find(b"").is_none() && find(&[b'x'; 1000]).is_none());
    }
}
