//! What the suite expects of Redis 7.0.15 and Redis 7.2 words otherwise, as KVDB does: the tests run, with the newer words.

use std::fs;
use std::path::Path;

use crate::failure::{Outcome, While, fail};

/// The changes to one unit, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unit {
    name: String,
    changes: Vec<Change>,
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    /// A text, and what is expected in its place.
    Instead(String, String),
    /// Lines that hold a text are left out.
    Without(String),
}

/// Applies the list to the tests in this directory.
pub(super) fn apply(list: &str, tests: &Path) -> Outcome {
    for unit in parse(list)? {
        let file = tests.join(&unit.name).with_extension("tcl");
        let mut text = fs::read_to_string(&file).while_doing(|| format!("cannot read {}", file.display()))?;
        for change in &unit.changes {
            let changed = match change {
                Change::Instead(old, new) => text.replace(old, new),
                Change::Without(what) => {
                    text.split_inclusive('\n').filter(|line| !line.contains(what.as_str())).collect()
                }
            };
            if changed == text {
                fail!("reworded.txt: {} has nothing that {change:?} would change", unit.name);
            }
            text = changed;
        }
        fs::write(&file, text)?;
    }
    Ok(())
}

fn parse(list: &str) -> Outcome<Vec<Unit>> {
    let mut units: Vec<Unit> = Vec::new();
    let mut old = None;
    for (at, line) in list.lines().enumerate().map(|(at, line)| (at + 1, line.replace("\\n", "\n"))) {
        let line = line.as_str();
        let (mark, text) = line.split_at_checked(2).unwrap_or((line, ""));
        match (mark, old.take(), units.last_mut()) {
            (_, open, _) if line.trim().is_empty() || line.starts_with('#') => old = open,
            (_, None, _) if line.starts_with("unit/") => {
                units.push(Unit { name: line.trim().to_owned(), changes: Vec::new() });
            }
            ("- ", None, Some(_)) => old = Some(text.to_owned()),
            ("+ ", Some(old), Some(unit)) => unit.changes.push(Change::Instead(old, text.to_owned())),
            ("! ", None, Some(unit)) => unit.changes.push(Change::Without(text.to_owned())),
            _ => fail!("reworded.txt:{at}: `{line}` does not follow from what stands before it"),
        }
    }
    if old.is_some() {
        fail!("reworded.txt: the last text has nothing in its place");
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_by_units() {
        let units = parse("# why\nunit/acl\n- a b\n+ c\n! MIGRATE\n\nunit/auth\n- x\n+ y\n").expect("reads");
        assert_eq!(units[0].name, "unit/acl");
        let changes = [Change::Instead("a b".into(), "c".into()), Change::Without("MIGRATE".into())];
        assert_eq!(units[0].changes, changes);
        assert_eq!(units[1].changes, [Change::Instead("x".into(), "y".into())]);
        for wrong in ["- a\n+ b\n", "unit/a\n+ b\n", "unit/a\n- b\n", "unit/a\n- b\n- c\n", "unit/a\nb\n"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
