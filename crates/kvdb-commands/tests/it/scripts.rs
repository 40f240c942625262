//! The scripts under `testscripts/`: what commands reply, as conversations.
//!
//! `KVDB_SCRIPTS=update` writes the replies into the scripts instead of checking them.
//! `KVDB_SCRIPTS_ONLY=string/set` runs those whose path begins so. `KVDB_SCRIPTS_ORACLE=127.0.0.1:6379` runs them
//! against a Redis server too, which must hold nothing of value, and reports where it replies otherwise; beside the
//! scripts it is then told random commands, `KVDB_SCRIPTS_SEEDS` (4) times a thousand.

mod contents;
mod dumps;
mod local;
mod log_bytes;
mod notation;
mod oracle;
mod power;
mod random;
mod server;
mod vocabulary;

use std::collections::HashSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use kvdb_commands::{Group, table};

use local::Local;
use notation::{Directive, Step, agree, parse, show};
use oracle::Oracle;

/// The server to compare with, which two tests cannot use at once.
static ORACLE: Mutex<()> = Mutex::new(());

struct Script {
    /// `family/case`.
    name: String,
    path: PathBuf,
    steps: Vec<Step>,
}

fn scripts() -> Vec<Script> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts");
    let only = env::var("KVDB_SCRIPTS_ONLY").unwrap_or_default();
    let mut found = Vec::new();
    for family in fs::read_dir(&root).expect("the scripts are there") {
        let family = family.expect("the scripts are readable").path();
        for case in fs::read_dir(&family).expect("a family is a directory") {
            let path = case.expect("the scripts are readable").path();
            let relative = path.strip_prefix(&root).expect("a script is under the root").with_extension("");
            let name = relative.to_str().expect("scripts have plain names").to_owned();
            if !name.starts_with(&only) {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a script is text");
            let steps = parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            found.push(Script { name, path, steps });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Text for a reply that is not the expected one.
fn difference(script: &str, number: usize, line: &str, expected: &[String], actual: &[String]) -> String {
    let (expected, actual) = (expected.join("\n    "), actual.join("\n    "));
    format!("testscripts/{script}.txt:{number}: {line}\n  expected:\n    {expected}\n  got:\n    {actual}\n")
}

#[test]
fn commands_reply_as_the_scripts_say() {
    let update = env::var("KVDB_SCRIPTS").is_ok_and(|mode| mode == "update");
    let mut differences = String::new();
    for script in scripts() {
        let mut local = Local::new();
        let mut updated = String::new();
        for step in &script.steps {
            let lines = match step {
                Step::Text(line) => vec![line.clone()],
                Step::Directive(line, directive) => {
                    local.direct(*directive);
                    vec![line.clone()]
                }
                Step::Command(exchange) => {
                    let reply = local.run(exchange.args.as_args());
                    let mut actual = reply.as_ref().map_or_else(|| vec!["(no reply)".to_owned()], show);
                    actual.extend(local.events());
                    if agree(&exchange.expected, &actual) {
                        actual.clone_from(&exchange.expected);
                    } else {
                        let expected = &exchange.expected;
                        differences +=
                            &difference(&script.name, exchange.number, &exchange.line, expected, &actual);
                    }
                    [vec![exchange.line.clone()], actual].concat()
                }
            };
            lines.iter().for_each(|line| updated.extend([line, "\n"]));
        }
        if update {
            fs::write(&script.path, updated).expect("a script can be written");
        }
    }
    assert!(update || differences.is_empty(), "\n{differences}");
}

#[test]
fn what_a_store_says_that_it_holds_is_what_is_there() {
    for seed in 1..=4 {
        random::keep_accounts(seed, 2_000);
    }
}

#[test]
fn any_bytes_are_a_conversation() {
    random::follow(&[]);
    for step in [1_u8, 7, 31, 101] {
        let bytes: Vec<u8> =
            (0..2_000_u32).map(|at| (at as u8).wrapping_mul(step) ^ (at >> 8) as u8).collect();
        random::follow(&bytes);
    }
}

#[test]
fn redis_replies_as_the_scripts_say() {
    let Ok(address) = env::var("KVDB_SCRIPTS_ORACLE") else { return };
    let _turn = ORACLE.lock();
    let mut differences = String::new();
    for script in scripts() {
        let mut oracle = Oracle::connect(&address);
        let mut compare = true;
        for step in &script.steps {
            match step {
                Step::Text(_) => {}
                Step::Directive(_, Directive::Oracle(on)) => compare = *on,
                Step::Directive(_, directive) => {
                    if !oracle.direct(*directive) {
                        break;
                    }
                }
                Step::Command(_) if !compare => {}
                Step::Command(exchange) => {
                    let mut actual = show(&oracle.run(exchange.args.as_args()));
                    actual.extend(oracle.events());
                    if !agree(&exchange.expected, &actual) {
                        let expected = &exchange.expected;
                        differences +=
                            &difference(&script.name, exchange.number, &exchange.line, expected, &actual);
                    }
                }
            }
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn redis_replies_to_random_commands_as_we_do() {
    let Ok(address) = env::var("KVDB_SCRIPTS_ORACLE") else { return };
    let _turn = ORACLE.lock();
    let seeds = env::var("KVDB_SCRIPTS_SEEDS").map_or(4, |seeds| seeds.parse().expect("a number of seeds"));
    let differences: String =
        (0..seeds).filter_map(|seed| random::compare(&address, seed, 1000).err()).collect();
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn values_go_from_redis_to_us_and_back() {
    let Ok(address) = env::var("KVDB_SCRIPTS_ORACLE") else { return };
    let _turn = ORACLE.lock();
    let differences = dumps::compare(&address).err().unwrap_or_default();
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn every_command_is_in_a_script() {
    if env::var("KVDB_SCRIPTS_ONLY").is_ok() {
        return;
    }
    let mut used = HashSet::new();
    for script in scripts() {
        for step in script.steps {
            let Step::Command(exchange) = step else { continue };
            let args = exchange.args.as_args();
            let Some((_, spec)) = table::find(args.name()) else { continue };
            match args.get(1).and_then(|name| table::find_subcommand(spec, name)) {
                Some(sub) => used.insert(format!("{}|{}", spec.name, sub.name)),
                None => used.insert(spec.name.to_owned()),
            };
        }
    }
    let mut missing = Vec::new();
    // What runs scripts is the server, whose tests have them.
    for spec in table::all().filter(|spec| spec.group != Group::Scripting) {
        // A container is used by its subcommands.
        if spec.subcommands.is_empty() && !used.contains(spec.name) {
            missing.push(spec.name.to_owned());
        }
        let names = spec.subcommands.iter().map(|sub| format!("{}|{}", spec.name, sub.name));
        missing.extend(names.filter(|name| !used.contains(name)));
    }
    assert!(missing.is_empty(), "commands without a script: {missing:?}");
}
