//! The list of what of a suite is left out, and of what may fail. Every line says why, or the list is refused.

use super::{Ending, Test};
use crate::failure::{Outcome, fail};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SkipList {
    /// Files and directories that do not run.
    pub(super) parts: Vec<String>,
    /// Marks of tests that do not run.
    pub(super) marks: Vec<String>,
    /// Tests that do not run.
    pub(super) left_out: Vec<String>,
    /// Tests that run and may fail; without parameters, the test with any.
    may_fail: Vec<String>,
}

impl SkipList {
    pub(super) fn parse(name: &str, text: &str) -> Outcome<Self> {
        let mut list = Self::default();
        for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let reason = line.rsplit_once(" # ").filter(|(_, reason)| !reason.trim().is_empty());
            let Some((what, _)) = reason else { fail!("{name}:{at}: no reason is given after ` # `") };
            let to = match what.trim().split_once(' ') {
                Some(("part", _)) => &mut list.parts,
                Some(("mark", _)) => &mut list.marks,
                Some(("out", _)) => &mut list.left_out,
                Some(("fails", _)) => &mut list.may_fail,
                _ => fail!("{name}:{at}: a line starts with `part`, `mark`, `out` or `fails`"),
            };
            to.extend(what.trim().split_once(' ').map(|(_, what)| what.trim().to_owned()));
        }
        Ok(list)
    }

    /// The list for a server that is to show what it passes: parts and marks are left out alike, single tests are not.
    pub(super) fn with_every_test(&self) -> Self {
        Self { parts: self.parts.clone(), marks: self.marks.clone(), ..Self::default() }
    }

    /// Whether this test may fail.
    pub(super) fn expects(&self, test: &Test) -> bool {
        self.may_fail.iter().any(|line| is_of(line, test))
    }

    /// The tests that may fail of which none did.
    pub(super) fn unneeded<'a>(&'a self, tests: &'a [Test]) -> impl Iterator<Item = &'a str> {
        let failed = |line: &&String| {
            tests.iter().any(|test| matches!(test.ending, Ending::Failed(_)) && is_of(line, test))
        };
        self.may_fail.iter().filter(move |line| !failed(line)).map(String::as_str)
    }
}

fn is_of(line: &str, test: &Test) -> bool {
    test.name
        .strip_prefix(line)
        .is_some_and(|parameters| parameters.is_empty() || parameters.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(name: &str) -> Test {
        Test { name: name.to_owned(), ending: Ending::Failed(String::new()) }
    }

    #[test]
    fn lines_with_a_reason_are_read() {
        let text =
            "# about\n\npart tests/x.py # modules\nmark ssl # no TLS\nout a::b # kills\nfails c::d # newer\n";
        let list = SkipList::parse("list", text).expect("reads");
        assert_eq!(
            (&list.parts[..], &list.marks[..]),
            (&["tests/x.py".to_owned()][..], &["ssl".to_owned()][..])
        );
        assert_eq!(
            (&list.left_out[..], &list.may_fail[..]),
            (&["a::b".to_owned()][..], &["c::d".to_owned()][..])
        );
        for text in ["part a", "part a #", "fails a # ", "test a # because"] {
            assert!(SkipList::parse("list", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_line_is_for_a_test_with_any_parameters_and_is_needed_when_it_failed() {
        let list = SkipList::parse("list", "fails c::d # newer\nfails c::e[1] # newer\n").expect("reads");
        assert!(list.expects(&failed("c::d")) && list.expects(&failed("c::d[2]")));
        assert!(list.expects(&failed("c::e[1]")) && !list.expects(&failed("c::e[2]")));
        assert!(!list.expects(&failed("c::dd")));
        let tests = [failed("c::d[1]"), Test { name: "c::e[1]".to_owned(), ending: Ending::Passed }];
        assert_eq!(list.unneeded(&tests).collect::<Vec<_>>(), ["c::e[1]"]);
    }
}
