//! How files look: each says what it is, is short, has a name that means something, and each crate takes the lints.

use super::Finding;
use super::floors::is_member_manifest;
use super::tree::Tree;

/// Lines before the tests at which a file has a second concept in it for certain, and at which it probably has.
const LINES_AT_MOST: usize = 900;
const LINES_WARN: usize = 500;

/// Tests that cannot share a binary with the others: they replace the global allocator to count allocations.
const OWN_BINARIES: &[&str] = &["allocations.rs"];

/// Names under which anything fits.
const DUMPING_GROUNDS: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "types"];

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (file, source) in tree.rust() {
        let path = &file.path;
        if !file.text.starts_with("//!") {
            findings.push(Finding::error(
                path,
                1,
                "the file does not open with `//!`: what is it, and why is it here?",
            ));
        }
        let name = file.name().trim_end_matches(".rs");
        if DUMPING_GROUNDS.contains(&name) {
            findings.push(Finding::error(
                path,
                1,
                format!("`{name}` says nothing: name the file after its concept"),
            ));
        }
        if let ["crates" | "bins", krate, "tests", name] = path.split('/').collect::<Vec<_>>()[..]
            && !OWN_BINARIES.contains(&name)
        {
            let message =
                format!("{krate} has one integration binary, tests/it/main.rs: each more is linked anew");
            findings.push(Finding::error(path, 1, message));
        }
        let lines = source.shipped().count();
        let message = format!("{lines} lines before the tests: is there a second concept in it?");
        if lines > LINES_AT_MOST {
            findings.push(Finding::error(path, LINES_AT_MOST + 1, message));
        } else if lines > LINES_WARN {
            findings.push(Finding::warning(path, LINES_WARN + 1, message));
        }
    }
    for file in tree.files.iter().filter(|file| is_member_manifest(&file.path)) {
        let mut lines = file.text.lines().skip_while(|line| line.trim() != "[lints]").skip(1);
        if lines.next().map(str::trim) != Some("workspace = true") {
            let message = "the crate does not take the workspace's lints: [lints] workspace = true";
            findings.push(Finding::error(&file.path, 1, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check, errors_of, tree::Tree};

    #[test]
    fn a_file_without_an_opening_is_caught() {
        assert_eq!(errors_of(&[("xtask/src/a.rs", "fn main() {}\n")]).len(), 1);
        assert_eq!(errors_of(&[("xtask/src/a.rs", "//! A.\n")]), [""; 0]);
    }

    #[test]
    fn a_name_that_says_nothing_is_caught() {
        for name in super::DUMPING_GROUNDS {
            assert_eq!(errors_of(&[(&format!("xtask/src/{name}.rs"), "//! A.\n")]).len(), 1, "{name}");
        }
        assert_eq!(errors_of(&[("xtask/src/types/zset.rs", "//! A.\n")]), [""; 0]);
    }

    #[test]
    fn a_second_integration_binary_is_caught() {
        assert_eq!(errors_of(&[("crates/kvdb-ttl/tests/more.rs", "//! A.\n")]).len(), 1);
        assert_eq!(errors_of(&[("crates/kvdb-ttl/tests/it/more.rs", "//! A.\n")]), [""; 0]);
    }

    #[test]
    fn long_files_are_caught_and_their_tests_do_not_count() {
        let code = |lines: usize| format!("//! A.\n{}", "fn a() {}\n".repeat(lines));
        assert_eq!(errors_of(&[("xtask/src/a.rs", &code(950))]).len(), 1);
        assert_eq!(check(&Tree::of(&[("xtask/src/a.rs", &code(600))])).len(), 1, "a warning");
        let tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", code(100), "fn t() {}\n".repeat(900));
        assert_eq!(check(&Tree::of(&[("xtask/src/a.rs", &tests)])).len(), 0);
    }

    #[test]
    fn a_crate_without_the_lints_is_caught() {
        assert_eq!(errors_of(&[("crates/kvdb-ttl/Cargo.toml", "[package]\n")]).len(), 1);
    }
}
