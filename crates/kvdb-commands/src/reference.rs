//! The API reference, as a page of Markdown: what the table says about every command, family by family.
//!
//! The page in the repository is `docs/commands.md`; `docs/compatibility.md` has the overview. A test holds both in step
//! with the table.

use std::fmt::Write;

use crate::families::command::{categories, deprecation, flag_names};
use crate::spec::{CommandSpec, Group, KeyPlace};
use crate::table;

const INTRODUCTION: &str = "\
# Commands

Every command, from the table that the server itself runs by; `COMMAND DOCS` and `COMMAND INFO` say the same to clients.
This page is written by `KVDB_WRITE_DOCS=1 cargo test -p kvdb-commands reference`.

In the syntax, words in capitals stand as they are, `[…]` may be left out, `<a|b>` is one of these, and `...` repeats.
*Arity* counts the command's name; a negative one is a minimum. *Since* is the version of Redis that introduced the
command. [Compatibility](compatibility.md) tells what differs from Redis.
";

/// The families in the order of the page, with their headings.
const FAMILIES: &[(Group, &str)] = &[
    (Group::String, "Strings"),
    (Group::Bitmap, "Bitmaps"),
    (Group::HyperLogLog, "HyperLogLogs"),
    (Group::Hash, "Hashes"),
    (Group::List, "Lists"),
    (Group::Set, "Sets"),
    (Group::SortedSet, "Sorted sets"),
    (Group::Geo, "Geographic indexes"),
    (Group::Stream, "Streams"),
    (Group::Transactions, "Transactions"),
    (Group::PubSub, "Publishing and subscribing"),
    (Group::Scripting, "Scripts and functions"),
    (Group::Generic, "Keys of any type"),
    (Group::Connection, "Connection"),
    (Group::Cluster, "Cluster"),
    (Group::Server, "Server"),
];

/// The whole page.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for &(group, title) in FAMILIES {
        let mut commands: Vec<_> = table::all().filter(|spec| spec.group == group).collect();
        if commands.is_empty() {
            continue;
        }
        commands.sort_by_key(|spec| spec.name);
        add(&mut page, format_args!("\n## {title}\n\n| command | what it does |\n| --- | --- |\n"));
        for spec in &commands {
            let name = spec.name.to_uppercase();
            add(&mut page, format_args!("| [{name}](#{}) | {} |\n", spec.name, spec.summary));
        }
        for spec in commands {
            describe(&mut page, None, spec);
            for sub in spec.subcommands {
                describe(&mut page, Some(spec), sub);
            }
        }
    }
    page
}

/// The names of all commands, a row of a table for each family.
pub fn overview() -> String {
    let mut overview = "| family | commands |\n| --- | --- |\n".to_owned();
    for &(group, title) in FAMILIES {
        let mut names: Vec<_> =
            table::all().filter(|spec| spec.group == group).map(|spec| spec.name).collect();
        if names.is_empty() {
            continue;
        }
        names.sort_unstable();
        add(&mut overview, format_args!("| {title} | {} |\n", names.join(", ").to_uppercase()));
    }
    overview
}

/// Adds the section of a command, or of a subcommand of `container`.
fn describe(page: &mut String, container: Option<&CommandSpec>, spec: &CommandSpec) {
    let mut name = spec.name.to_uppercase();
    if let Some(container) = container {
        name = format!("{} {name}", container.name.to_uppercase());
    }
    let level = if container.is_some() { "####" } else { "###" };
    add(page, format_args!("\n{level} {name}\n\n{}\n\n", spec.summary));
    let arguments = match (spec.subcommands, spec.syntax) {
        (&[], "") => String::new(),
        (&[], syntax) => format!(" {syntax}"),
        (_, "") => " subcommand [arg ...]".to_owned(),
        (_, syntax) => format!(" {syntax}"),
    };
    add(page, format_args!("```text\n{name}{arguments}\n```\n\n"));
    let complexity = spec.complexity.replace('*', "\\*");
    add(page, format_args!("Arity {} · since {} · {complexity}\n\n", spec.arity, spec.since));
    let full_name =
        container.map_or_else(String::new, |container| format!("{}|", container.name)) + spec.name;
    if let Some((since, instead)) = deprecation(&full_name) {
        add(page, format_args!("Deprecated since {since} in favour of {instead}.\n\n"));
    }
    let flags = [flag_names(spec), categories(spec)].concat();
    add(page, format_args!("{}\n", flags.join(" ")));
    for keys in spec.keys {
        let from = match keys.place {
            KeyPlace::Range { first, last, .. } if i32::from(first) == i32::from(last) => {
                format!("argument {first}")
            }
            KeyPlace::Range { first, last: -1, step: 1 } => format!("arguments from {first} on"),
            KeyPlace::Range { first, last: -1, step } => format!("every {step}nd argument from {first} on"),
            KeyPlace::Range { first, last, .. } => format!("arguments {first} to {last}"),
            KeyPlace::Counted { count } => format!("as many as argument {count} says, behind it"),
            KeyPlace::Behind { word, .. } => format!("the argument behind {word}"),
            KeyPlace::LastBehind { word, .. } => format!("the argument behind the last {word}"),
            KeyPlace::Nonempty { at } => format!("argument {at} if it is not empty"),
            KeyPlace::AllBehind { word, .. } => format!("all arguments behind {word}"),
            KeyPlace::Unknown => "what the patterns name".into(),
            KeyPlace::Channels { .. } => "none, but shard channels".into(),
            KeyPlace::Halved { word, .. } => format!("the first half of the arguments behind {word}"),
        };
        add(page, format_args!("\nKeys: {from} ({})\n", keys.flags.join(" ")));
    }
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a String takes everything");
}
