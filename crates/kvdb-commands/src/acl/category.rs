//! The categories of commands.

use super::catalog;
use crate::families::command::categories;
use crate::spec::CommandSpec;

/// All categories, in the order of ACL CAT.
pub const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// The category of a name in any case, without the `@`.
pub(super) fn find(name: &[u8]) -> Option<&'static str> {
    CATEGORIES.iter().copied().find(|category| category.as_bytes().eq_ignore_ascii_case(name))
}

/// The full names of the commands and subcommands of a category, named in any case and without the `@`; `None` when there
/// is no such category.
pub fn members(name: &[u8]) -> Option<Vec<&'static str>> {
    let category = find(name)?;
    Some(numbers(category).map(catalog::name).collect())
}

/// The numbers of what is in a category, subcommands by themselves.
pub(super) fn numbers(category: &'static str) -> impl Iterator<Item = usize> {
    catalog::all().filter(move |(_, spec)| has(spec, category)).map(|(number, _)| number)
}

fn has(spec: &CommandSpec, category: &str) -> bool {
    categories(spec).iter().any(|name| name[1..] == *category)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_have_members() {
        assert!(members(b"READ").expect("there is one").contains(&"get"));
        assert!(members(b"dangerous").expect("there is one").contains(&"config|set"));
        assert!(members(b"pubsub").expect("there is one").contains(&"publish"));
        for category in CATEGORIES {
            assert!(members(category.as_bytes()).is_some_and(|members| !members.is_empty()), "{category}");
        }
        assert_eq!(members(b"all"), None);
        assert_eq!(members(b"@read"), None);
    }
}
