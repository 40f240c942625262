//! What is changed in the suite so that it says more about a server that it has not started.
//!
//! Many blocks are marked as not for such a server, since others may use it, or because they count its errors or change
//! its settings. The server of a run is used by nobody else, so these blocks run. Those stay out that restart the server,
//! start it with files of their own, or look for its process or its log.

use std::fs;
use std::path::Path;

use crate::failure::{Outcome, While, fail};

/// The variable of the environment that names what is read behind the suite's client library.
pub(super) const RESP3: &str = "CONFORMANCE_RESP3";

const MARK: &str = "external:skip";

/// The units whose marks are taken away, each with the texts of lines that keep theirs.
const OPENED: &[(&str, &[&str])] = &[
    ("acl", &["overrides"]),
    ("acl-v2", &["overrides"]),
    ("auth", &["overrides"]),
    ("info", &[]),
    ("limits", &[]),
    ("obuf-limits", &[]),
    ("pubsubshard", &[]),
];

/// Adapts the suite in this directory.
pub(super) fn adapt(dir: &Path) -> Outcome {
    let tests = dir.join("tests");
    for (unit, kept) in OPENED {
        change(&tests.join(format!("unit/{unit}.tcl")), |text| open(text, kept))?;
    }
    change(&tests.join("test_helper.tcl"), |text| {
        let library = "source tests/support/redis.tcl\n";
        let more = format!("if {{[info exists ::env({RESP3})]}} {{ source $::env({RESP3}) }}\n");
        text.replacen(library, &format!("{library}{more}"), 1)
    })
}

/// Takes the marks away from all lines but those that have one of these texts.
fn open(text: &str, kept: &[&str]) -> String {
    let line = |line: &str| {
        let keeps = kept.iter().any(|kept| line.contains(kept));
        if keeps { line.to_owned() } else { line.replace(MARK, "") }
    };
    text.split_inclusive('\n').map(line).collect()
}

fn change(file: &Path, change: impl FnOnce(&str) -> String) -> Outcome {
    let text = fs::read_to_string(file).while_doing(|| format!("cannot read {}", file.display()))?;
    let adapted = change(&text);
    if adapted == text {
        fail!("{} does not look as expected", file.display());
    }
    Ok(fs::write(file, adapted)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_go_but_from_lines_that_keep_theirs() {
        let text = "start_server {tags {\"acl external:skip\"}} {\nstart_server {overrides {} tags {external:skip}}\n";
        let opened = "start_server {tags {\"acl \"}} {\nstart_server {overrides {} tags {external:skip}}\n";
        assert_eq!(open(text, &["overrides"]), opened);
    }
}
