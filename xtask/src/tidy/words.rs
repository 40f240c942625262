//! Words that may not stand in the code of certain crates, because they would break a promise of the architecture, and
//! words that may stand nowhere.
//!
//! Only code that ships is looked at for the per-crate rules: comments may speak of Redis, tests may read the clock.

use super::Finding;
use super::source::has_word;
use super::tree::Tree;

struct Ban {
    words: &'static [&'static str],
    crates: Crates,
    reason: &'static str,
    /// Paths that may, each with its reason.
    except: &'static [(&'static str, &'static str)],
}

enum Crates {
    /// Every library except the named ones.
    LibrariesBut(&'static [&'static str]),
    Only(&'static [&'static str]),
}

const BANS: &[Ban] = &[
    Ban {
        words: &["tokio", "mio", "std::net", "std::os::unix::net"],
        crates: Crates::LibrariesBut(&["kvdb-client", "kvdb-raft", "kvdb-sim"]),
        reason: "sockets and the runtime belong to the server",
        except: &[],
    },
    Ban {
        words: &["SystemTime::now", "Instant::now", "UNIX_EPOCH.elapsed", "clock_gettime"],
        crates: Crates::LibrariesBut(&["kvdb-client"]),
        reason: "below the server time is passed in as `now`",
        except: &[
            (
                "crates/kvdb-lsm/src/log/worker.rs",
                "the log's own thread paces its syncs by a monotonic clock, which tests replace by a manual one",
            ),
            (
                "crates/kvdb-lsm/src/bin/kvdb-lsm.rs",
                "the command line's main function, which passes the time in",
            ),
            (
                "crates/kvdb-lsm/src/runtime/clock.rs",
                "background threads pace their work; no result depends on it, and without threads nobody asks",
            ),
        ],
    },
    Ban {
        words: &["thread_rng", "rand::", "fastrand", "getrandom", "OsRng"],
        crates: Crates::LibrariesBut(&["kvdb-client"]),
        reason: "below the server randomness is passed in as a seed",
        except: &[],
    },
    Ban {
        words: &["HashMap", "HashSet", "RandomState"],
        crates: Crates::LibrariesBut(&["kvdb-client"]),
        reason: "its order is drawn anew in every process; use a BTreeMap or hashbrown's tables with a given hash, or say \
                 here why no order shows",
        except: LOOKED_UP,
    },
    Ban {
        words: &["std::fs", "std::thread", "std::process", "std::env"],
        crates: Crates::Only(&[
            "kvdb-resp",
            "kvdb-geo",
            "kvdb-pubsub",
            "kvdb-ttl",
            "kvdb-mvcc",
            "kvdb-commands",
        ]),
        reason: "this crate computes: files, threads and the environment belong to others",
        except: &[],
    },
];

/// Where a map of the standard library may be, because what is in it is looked up, and in no order that shows.
const LOOKED_UP: &[(&str, &str)] = &[
    ("crates/kvdb-commands/src/acl/catalog.rs", "commands by their names and rows"),
    ("crates/kvdb-commands/src/table.rs", "commands by their names"),
    (
        "crates/kvdb-lua/src/cache.rs",
        "scripts by their digests; the one whose last use is the oldest goes first",
    ),
    (
        "crates/kvdb-lua/src/function/registry.rs",
        "libraries by their functions; libraries are listed from a BTreeMap",
    ),
    ("crates/kvdb-lua/src/vm/compiled.rs", "compiled functions by their scripts"),
    ("crates/kvdb-store/src/dead_rows.rs", "asked whether a generation is in it"),
    ("crates/kvdb-store/src/news.rs", "the last change of a place"),
    ("crates/kvdb-store/src/pins.rs", "the pins of a key"),
    ("crates/kvdb-store/src/shard.rs", "who waits for a load of a key"),
    (
        "crates/kvdb-store/src/sleepers.rs",
        "who waits for a key; where all are gone over, their places are sorted",
    ),
    (
        "crates/kvdb-store/src/types/hash/deadlines.rs",
        "the deadline of a field; which is next is in a BTreeSet",
    ),
    ("crates/kvdb-store/src/types/set.rs", "asked whether an element was drawn already"),
    ("crates/kvdb-store/src/types/sorted_set/mod.rs", "asked whether an element was drawn already"),
    (
        "crates/kvdb-store/src/watch.rs",
        "who watches a key; where all are gone over, each is marked by itself",
    ),
];

/// Parts of identifiers that a crate may not contain: names of what it must not know.
const FOREIGN: &[(&str, &[&str], &str)] = &[
    ("kvdb-lsm", &["redis", "resp3", "resp2"], "the storage engine knows nothing of Redis"),
    (
        "kvdb-raft",
        &["redis", "sstable", "memtable"],
        "Raft knows neither commands nor the storage engine's insides",
    ),
    ("kvdb-resp", &["memtable", "sstable", "raft"], "the protocol knows nothing of what is behind it"),
];

/// Macros that say that something is not finished.
const UNFINISHED: &[&str] = &[concat!("to", "do!"), concat!("unimplemen", "ted!"), concat!("db", "g!")];

const IGNORED: &str = concat!("#[ign", "ore]");

/// Directories of one particular machine, and a trace of how a file came to be.
const MACHINE: &[&str] = &[
    concat!("/", "work/"),
    concat!("/", "farm/"),
    concat!("/", "root/"),
    concat!("/", "home/"),
    concat!("bash_", "jobs"),
];

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (file, source) in tree.rust() {
        if let Some(library) = file.library() {
            for (line, code) in source.shipped() {
                check_crate_rules(&file.path, library, line, code, findings);
            }
        }
        for (line, code) in source.lines() {
            for word in UNFINISHED.iter().filter(|word| has_word(code, word)) {
                findings.push(Finding::error(
                    &file.path,
                    line,
                    format!("`{word}` is unfinished or left-over code"),
                ));
            }
            if code.contains(IGNORED) {
                findings.push(Finding::error(
                    &file.path,
                    line,
                    "an ignored test says why: #[ignore = \"reason\"]",
                ));
            }
        }
    }
    for file in &tree.files {
        for (at, line) in file.text.lines().enumerate() {
            for place in MACHINE.iter().filter(|place| names_place(line, place)) {
                let message = format!("`{place}` is a path of one machine");
                findings.push(Finding::error(&file.path, at + 1, message));
            }
        }
    }
}

fn check_crate_rules(path: &str, library: &str, line: usize, code: &str, findings: &mut Vec<Finding>) {
    for ban in BANS {
        let applies = match ban.crates {
            Crates::LibrariesBut(others) => !others.contains(&library),
            Crates::Only(named) => named.contains(&library),
        };
        if applies && !ban.except.iter().any(|(file, _)| *file == path) {
            for word in ban.words.iter().filter(|word| has_word(code, word)) {
                findings.push(Finding::error(path, line, format!("`{word}` in {library}: {}", ban.reason)));
            }
        }
    }
    for (_, parts, reason) in FOREIGN.iter().filter(|(name, ..)| *name == library) {
        let code = code.to_ascii_lowercase();
        for part in parts.iter().filter(|part| code.contains(**part)) {
            findings.push(Finding::error(path, line, format!("`{part}` in a name of {library}: {reason}")));
        }
    }
}

/// Whether `line` names the absolute path `place`, as opposed to a longer path that contains the same letters.
fn names_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !place.starts_with('/')
            || before.is_none_or(|c| {
                !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-' | '}' | '/' | '*' | '~')
            })
    })
}

#[cfg(test)]
mod tests {
    use super::super::errors_of;

    fn errors(path: &str, code: &str) -> Vec<String> {
        errors_of(&[(path, &format!("//! About.\n{code}\n"))])
    }

    #[test]
    fn each_banned_word_is_caught_in_code_that_ships() {
        for code in [
            "use tokio::net::TcpStream;",
            "use std::net::TcpStream;",
            "let now = SystemTime::now();",
            "let now = std::time::Instant::now();",
            "let x = rand::random();",
            "use std::collections::{BTreeMap, HashMap};",
            "std::thread::spawn(f);",
        ] {
            let found = errors("crates/kvdb-ttl/src/a.rs", code);
            assert!(
                found.len() == 1 && found[0].starts_with("crates/kvdb-ttl/src/a.rs:2: "),
                "{code}: {found:?}"
            );
        }
        assert_eq!(errors("crates/kvdb-lsm/src/a.rs", "struct RedisRow;").len(), 1);
    }

    #[test]
    fn comments_tests_and_binaries_may_use_them() {
        assert_eq!(errors("crates/kvdb-lsm/src/a.rs", "// not Redis, no tokio"), [""; 0]);
        assert_eq!(errors("crates/kvdb-lsm/tests/it/a.rs", "let now = Instant::now();"), [""; 0]);
        assert_eq!(
            errors("crates/kvdb-lsm/src/a.rs", "#[cfg(test)]\nmod tests {\nlet n = Instant::now();\n}"),
            [""; 0]
        );
        assert_eq!(errors("bins/kvdb-server/src/a.rs", "let now = SystemTime::now();"), [""; 0]);
    }

    #[test]
    fn unfinished_code_is_caught_in_tests_too() {
        for word in super::UNFINISHED {
            assert_eq!(errors("xtask/src/a.rs", &format!("{word}();")).len(), 1, "{word}");
        }
        assert_eq!(errors("xtask/tests/a.rs", super::IGNORED).len(), 1);
        assert_eq!(errors("xtask/tests/a.rs", "#[ignore = \"needs root\"]"), [""; 0]);
    }

    #[test]
    fn paths_of_a_machine_are_caught_in_any_file() {
        for place in super::MACHINE {
            assert_eq!(errors_of(&[("deploy/run.sh", &format!("cd {place}x"))]).len(), 1, "{place}");
        }
        assert_eq!(errors_of(&[("deploy/run.sh", concat!("cd net/", "work/x and ./", "work/y"))]), [""; 0]);
    }
}
