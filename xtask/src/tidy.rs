//! `cargo xtask tidy`: the rules of this code base that neither rustc nor clippy knows.
//!
//! Which crate may import which is the design's most important rule and the easiest to break by one line in a manifest;
//! the rest keeps files readable. Every rule works on a [`Tree`], which is read from the work tree for a run and made up
//! in memory for the tests, where each rule must catch a seeded violation.

mod floors;
mod layout;
mod links;
mod source;
mod tree;
mod words;

use std::fmt;

use crate::failure::{Outcome, fail};
use crate::workspace;
use tree::Tree;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

/// One place that breaks a rule.
#[derive(Debug)]
struct Finding {
    path: String,
    /// Counted from 1.
    line: usize,
    severity: Severity,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Error,
    /// Said, but does not fail the run.
    Warning,
}

impl Finding {
    fn error(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, severity: Severity::Error, message: message.into() }
    }

    fn warning(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, line, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.severity == Severity::Warning { "warning: " } else { "" };
        write!(f, "{}:{}: {kind}{}", self.path, self.line, self.message)
    }
}

pub(crate) fn run(_options: &Options) -> Outcome {
    let tree = Tree::read(&workspace::root()?)?;
    let findings = check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    if errors > 0 {
        fail!("tidy found {errors} violations");
    }
    println!("tidy: {} files follow the rules", tree.files.len());
    Ok(())
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    floors::check(tree, &mut findings);
    words::check(tree, &mut findings);
    layout::check(tree, &mut findings);
    links::check(tree, &mut findings);
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}

/// The errors that a tree of the given files has, each as `path:line: message`.
#[cfg(test)]
fn errors_of(files: &[(&str, &str)]) -> Vec<String> {
    let errors = check(&Tree::of(files)).into_iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.to_string()).collect()
}
