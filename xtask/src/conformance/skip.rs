//! The list of what the suite is told to leave out. Every line says why, or the list is refused.

use crate::failure::{Outcome, fail};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SkipList {
    pub(super) tags: Vec<String>,
    /// Names of tests; one that starts with `/` is a regular expression.
    pub(super) tests: Vec<String>,
}

impl SkipList {
    pub(super) fn parse(text: &str) -> Outcome<Self> {
        let mut list = Self::default();
        for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // Names of tests may hold a `#` themselves, reasons do not.
            let reason = line.rsplit_once(" # ").filter(|(_, reason)| !reason.trim().is_empty());
            let Some((what, _)) = reason else { fail!("skip.txt:{at}: no reason is given after ` # `") };
            match what.trim().split_once(' ') {
                Some(("tag", name)) => list.tags.push(name.trim().to_owned()),
                Some(("test", name)) => list.tests.push(name.trim().to_owned()),
                _ => fail!("skip.txt:{at}: a line starts with `tag` or `test`"),
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_a_reason_are_read() {
        let list = SkipList::parse("# about\n\ntag needs:repl # no replicas here\ntest A # 1 # because\n")
            .expect("reads");
        assert_eq!(list, SkipList { tags: vec!["needs:repl".to_owned()], tests: vec!["A # 1".to_owned()] });
    }

    #[test]
    fn lines_without_a_reason_or_a_kind_are_refused() {
        for text in ["test A", "test A #", "test A # ", "A # because"] {
            assert!(SkipList::parse(text).is_err(), "{text}");
        }
    }
}
