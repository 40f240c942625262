//! Every command and subcommand by a number, as rules count them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use crate::spec::CommandSpec;
use crate::table;

/// A command, or a subcommand with its container.
struct Numbered {
    full_name: String,
    spec: &'static CommandSpec,
}

/// Each command, followed by its subcommands.
static ALL: LazyLock<Vec<Numbered>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for spec in table::all() {
        all.push(Numbered { full_name: spec.name.to_owned(), spec });
        let subcommands = spec.subcommands.iter();
        all.extend(
            subcommands.map(|sub| Numbered { full_name: format!("{}|{}", spec.name, sub.name), spec: sub }),
        );
    }
    all
});

static BY_ADDRESS: LazyLock<HashMap<usize, usize>> = LazyLock::new(|| {
    ALL.iter()
        .enumerate()
        .map(|(number, command)| (std::ptr::from_ref(command.spec).addr(), number))
        .collect()
});

static BY_NAME: LazyLock<HashMap<&'static str, usize>> = LazyLock::new(|| {
    let all: &'static [Numbered] = &ALL;
    all.iter().enumerate().map(|(number, command)| (command.full_name.as_str(), number)).collect()
});

/// How many there are.
pub(super) fn len() -> usize {
    ALL.len()
}

/// All rows with their numbers.
pub(super) fn all() -> impl Iterator<Item = (usize, &'static CommandSpec)> {
    ALL.iter().enumerate().map(|(number, command)| (number, command.spec))
}

/// The number of a row of the table.
pub(super) fn number_of(spec: &'static CommandSpec) -> Option<usize> {
    BY_ADDRESS.get(&std::ptr::from_ref(spec).addr()).copied()
}

/// The number of a command by its full name in any case: `get`, `config|get`.
pub(super) fn find(name: &[u8]) -> Option<usize> {
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    BY_NAME.get(name.as_str()).copied()
}

/// The row of a number.
pub(super) fn spec(number: usize) -> &'static CommandSpec {
    ALL[number].spec
}

/// The name of a number.
pub(super) fn name(number: usize) -> &'static str {
    let all: &'static [Numbered] = &ALL;
    &all[number].full_name
}

/// A command with its subcommands.
pub(super) fn with_subcommands(number: usize) -> Range<usize> {
    number..number + 1 + spec(number).subcommands.len()
}

/// The full name of a command: `get`, `config|get`.
pub fn full_name(spec: &'static CommandSpec) -> &'static str {
    number_of(spec).map_or(spec.name, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_number_of_its_own() {
        for (number, spec) in all() {
            assert_eq!(number_of(spec), Some(number), "{}", spec.name);
            assert_eq!(find(name(number).to_ascii_uppercase().as_bytes()), Some(number));
        }
        let config = find(b"config").expect("it is in the table");
        assert!(with_subcommands(config).contains(&find(b"config|get").expect("it is in the table")));
        assert_eq!(find(b"config|nothing"), None);
        assert_eq!(find(b"\xff"), None);
    }
}
