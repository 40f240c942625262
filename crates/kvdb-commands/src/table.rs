//! The table of all commands, and how a name is found in it.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::families;
use crate::spec::CommandSpec;

/// All commands, family by family.
pub const FAMILIES: &[&[CommandSpec]] = &[
    families::string::COMMANDS,
    families::string_range::COMMANDS,
    families::string_number::COMMANDS,
    families::bitmap::COMMANDS,
    families::bitfield::COMMANDS,
    families::hyperloglog::COMMANDS,
    families::generic::COMMANDS,
    families::expire::COMMANDS,
    families::dump::COMMANDS,
    families::keyspace::COMMANDS,
    families::connection::COMMANDS,
    families::client::COMMANDS,
    families::command::COMMANDS,
    families::config::COMMANDS,
    families::server::COMMANDS,
];

/// The longest name in the table; longer ones are not looked up.
const MAX_NAME: usize = 32;

static BY_NAME: LazyLock<HashMap<&'static [u8], (usize, &'static CommandSpec)>> =
    LazyLock::new(|| all().enumerate().map(|(i, spec)| (spec.name.as_bytes(), (i, spec))).collect());

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
            assert!(spec.name.len() <= MAX_NAME && spec.name.bytes().all(|b| !b.is_ascii_uppercase()), "{}", spec.name);
            assert!(seen.insert(spec.name), "{} is in the table twice", spec.name);
        }
        assert_eq!(find(b"GeT").map(|(_, spec)| spec.name), Some("get"));
        assert!(find(b"").is_none() && find(&[b'x'; 1000]).is_none());
    }
}
