//! The table of the suites in docs/compatibility.md.

use std::fs;
use std::path::Path;

use super::{Counts, Suite};
use crate::failure::{Outcome, While};
use crate::markdown;

const HEAD: &str = "| suite | protocol | passed | failed | fail as listed | skipped by the suite | Redis passes | only Redis |\n\
    |---|--:|--:|--:|--:|--:|--:|--:|\n";

/// A row of the table.
pub(super) fn row(suite: Suite, version: u8, counts: &Counts, by_redis: usize, only_redis: usize) -> String {
    let Counts { passed, expected, failed, skipped } = counts;
    let suite = suite.title();
    format!(
        "| {suite} | {version} | {passed} | {failed} | {expected} | {skipped} | {by_redis} | {only_redis} |"
    )
}

/// Puts the rows into the page. The rows of suites that were not run stay as they are.
pub(super) fn write(page: &Path, rows: &[String]) -> Outcome {
    let text = fs::read_to_string(page).while_doing(|| format!("cannot read {}", page.display()))?;
    let old = markdown::section(&text, "suites").unwrap_or_default();
    markdown::replace_section(page, "suites", &merged(old, rows))
}

fn merged(old: &str, rows: &[String]) -> String {
    let anew = |row: &str| rows.iter().any(|new| library(new) == library(row));
    let kept = old.lines().filter(|line| line.starts_with("| redis-") && !anew(line)).map(str::to_owned);
    let mut rows: Vec<String> = kept.chain(rows.iter().cloned()).collect();
    rows.sort();
    format!("{HEAD}{}", rows.join("\n"))
}

/// `redis-py` of the row `| redis-py 8.1.0 | 2 | …`.
fn library(row: &str) -> Option<&str> {
    row.split(' ').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_suites_stay() {
        let counts = Counts { passed: 8, expected: 1, failed: 0, skipped: 3 };
        let new = row(Suite::RedisRs, 2, &counts, 9, 1);
        let old = format!(
            "{HEAD}| redis-py 1.0 | 2 | 5 | 5 | 0 | 0 | 0 | 0 |\n| redis-rs 0.9 | 2 | 1 | 1 | 0 | 0 | 0 | 0 |"
        );
        let text = merged(&old, std::slice::from_ref(&new));
        assert_eq!(text, format!("{HEAD}| redis-py 1.0 | 2 | 5 | 5 | 0 | 0 | 0 | 0 |\n{new}"));
        assert!(new.ends_with(" | 2 | 8 | 0 | 1 | 3 | 9 | 1 |"), "{new}");
    }
}
