//! Which crate may import which: the floors of the architecture, as a table over the manifests.
//!
//! `[dev-dependencies]` may go wider, because what only tests use ships in nothing; even there a library may not reach
//! up to a binary or to this tool.

use super::Finding;
use super::tree::{File, Tree};

/// A crate of the workspace and the crates of the workspace that it may name under `[dependencies]`, lowest floor first.
const FLOORS: &[(&str, &[&str])] = &[
    ("kvdb-resp", &[]),
    ("kvdb-geo", &[]),
    ("kvdb-proto", &[]),
    ("kvdb-pubsub", &[]),
    ("kvdb-lsm", &[]),
    ("kvdb-raft", &["kvdb-proto"]),
    ("kvdb-ttl", &[]),
    ("kvdb-mvcc", &["kvdb-ttl"]),
    ("kvdb-store", &["kvdb-geo", "kvdb-lsm", "kvdb-ttl", "kvdb-mvcc"]),
    ("kvdb-lua", &["kvdb-resp"]),
    (
        "kvdb-commands",
        &["kvdb-resp", "kvdb-geo", "kvdb-pubsub", "kvdb-ttl", "kvdb-mvcc", "kvdb-store", "kvdb-lua"],
    ),
    ("kvdb-client", &["kvdb-resp"]),
    (
        "kvdb-server",
        &[
            "kvdb-resp",
            "kvdb-geo",
            "kvdb-proto",
            "kvdb-pubsub",
            "kvdb-lsm",
            "kvdb-raft",
            "kvdb-ttl",
            "kvdb-mvcc",
            "kvdb-store",
            "kvdb-lua",
            "kvdb-commands",
        ],
    ),
    ("kvdb-ctl", &["kvdb-resp", "kvdb-proto", "kvdb-client"]),
    (
        "kvdb-sim",
        &[
            "kvdb-resp",
            "kvdb-proto",
            "kvdb-lsm",
            "kvdb-raft",
            "kvdb-ttl",
            "kvdb-mvcc",
            "kvdb-store",
            "kvdb-commands",
            "kvdb-server",
        ],
    ),
    ("xtask", &["kvdb-resp"]),
];

/// Crates from outside that a library may not ship with, and why.
const OUTSIDE: &[(&[&str], &str)] = &[
    (&["tokio", "mio", "tokio-util"], "the runtime belongs to the server: take input, return values"),
    (&["rand", "fastrand", "getrandom"], "randomness is passed in: take a seed or a generator"),
    (&["chrono", "time", "jiff"], "time is passed in: take `now`"),
];

/// Libraries that stand beside the engine and do I/O by their nature.
const WITH_IO: &[(&str, &str)] = &[
    ("kvdb-client", "a client is I/O"),
    ("kvdb-raft", "its transport module talks to peers"),
    ("kvdb-sim", "not shipped"),
];

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.files.iter().filter(|file| is_member_manifest(&file.path)) {
        check_manifest(file, findings);
    }
}

/// `crates/NAME/Cargo.toml`, `bins/NAME/Cargo.toml` and `xtask/Cargo.toml`.
pub(super) fn is_member_manifest(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(parts[..], ["crates" | "bins", _, "Cargo.toml"] | ["xtask", "Cargo.toml"])
}

fn check_manifest(file: &File, findings: &mut Vec<Finding>) {
    let name = file.path.trim_end_matches("/Cargo.toml").rsplit('/').next().unwrap_or_default();
    let Some((_, allowed)) = FLOORS.iter().find(|(known, _)| *known == name) else {
        let message = format!("{name} has no floor: give it one in the table of xtask/src/tidy/floors.rs");
        findings.push(Finding::error(&file.path, 1, message));
        return;
    };
    for dependency in dependencies(&file.text) {
        let ours = FLOORS.iter().any(|(known, _)| *known == dependency.name);
        if dependency.only_tests {
            if file.library().is_some() && matches!(dependency.name, "kvdb-server" | "kvdb-ctl" | "xtask") {
                let message = format!("the tests of a library may not need {}", dependency.name);
                findings.push(Finding::error(&file.path, dependency.line, message));
            }
        } else if ours && !allowed.contains(&dependency.name) {
            let message =
                format!("{name} may not import {}: it stands on a floor too low for it", dependency.name);
            findings.push(Finding::error(&file.path, dependency.line, message));
        } else if file.library().is_some() && !WITH_IO.iter().any(|(library, _)| *library == name) {
            for (_, reason) in OUTSIDE.iter().filter(|(names, _)| names.contains(&dependency.name)) {
                let message = format!("{name} may not ship with {}: {reason}", dependency.name);
                findings.push(Finding::error(&file.path, dependency.line, message));
            }
        }
    }
}

struct Dependency<'a> {
    name: &'a str,
    line: usize,
    only_tests: bool,
}

/// Reads the dependency tables of a manifest, in each of the forms that Cargo takes: `name = …`, `name.workspace = …`,
/// `[dependencies.name]` and `[target.'…'.dependencies]`.
fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut found = Vec::new();
    let mut table = None;
    for (at, raw) in manifest.lines().enumerate() {
        let line = raw.trim();
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            let (path, last) = header.rsplit_once('.').unwrap_or(("", header));
            table = kind_of(last);
            if let Some(only_tests) = kind_of(path.rsplit('.').next().unwrap_or_default()) {
                found.push(Dependency { name: last, line: at + 1, only_tests });
            }
        } else if let (Some(only_tests), Some((key, _))) = (table, line.split_once('='))
            && !line.starts_with('#')
        {
            let name = key.trim().split('.').next().unwrap_or_default().trim_matches('"');
            found.push(Dependency { name, line: at + 1, only_tests });
        }
    }
    found
}

/// Whether a table of this name lists dependencies, and if so whether only tests see them.
fn kind_of(table: &str) -> Option<bool> {
    match table {
        "dependencies" | "build-dependencies" => Some(false),
        "dev-dependencies" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::errors_of;

    fn errors(path: &str, manifest: &str) -> Vec<String> {
        errors_of(&[(path, &format!("{manifest}\n[lints]\nworkspace = true\n"))])
    }

    #[test]
    fn an_import_from_a_higher_floor_is_an_error() {
        for line in [
            "[dependencies]\nkvdb-store.workspace = true",
            "[dependencies]\nkvdb-store = { path = \"../kvdb-store\" }",
            "[dependencies.kvdb-store]\nworkspace = true",
            "[target.'cfg(unix)'.dependencies]\nkvdb-store = \"1\"",
        ] {
            let errors = errors("crates/kvdb-lsm/Cargo.toml", line);
            assert_eq!(errors.len(), 1, "{line}: {errors:?}");
            assert!(errors[0].contains("kvdb-lsm may not import kvdb-store"), "{errors:?}");
        }
    }

    #[test]
    fn allowed_imports_and_wider_test_imports_pass() {
        let manifest =
            "[dependencies]\nkvdb-lsm.workspace = true\n[dev-dependencies]\nkvdb-resp.workspace = true";
        assert_eq!(errors("crates/kvdb-store/Cargo.toml", manifest), [""; 0]);
        assert_eq!(errors("bins/kvdb-server/Cargo.toml", "[dependencies]\ntokio.workspace = true"), [""; 0]);
    }

    #[test]
    fn tests_of_a_library_may_not_need_a_binary() {
        let manifest = "[dev-dependencies]\nkvdb-server.workspace = true";
        assert_eq!(errors("crates/kvdb-lsm/Cargo.toml", manifest).len(), 1);
    }

    #[test]
    fn runtimes_and_random_sources_stay_out_of_libraries() {
        for name in ["tokio", "rand"] {
            let errors = errors("crates/kvdb-ttl/Cargo.toml", &format!("[dependencies]\n{name} = \"1\""));
            assert!(
                errors.len() == 1 && errors[0].starts_with("crates/kvdb-ttl/Cargo.toml:2:"),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn an_unknown_crate_needs_a_floor() {
        assert!(errors("crates/kvdb-new/Cargo.toml", "")[0].contains("has no floor"));
    }
}
