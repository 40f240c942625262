//! COMMAND INFO: what a client needs to send a command to the right place, derived from its row.

use kvdb_resp::{Args, Reply};

use super::tips::tips;
use super::{Named, all};
use crate::errors::CmdResult;
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeyPlace, KeySpec};
use crate::table;

/// The categories of Redis' access control that this table uses, in the order of its replies.
const CATEGORIES: &[&str] = &[
    "@keyspace",
    "@read",
    "@write",
    "@set",
    "@sortedset",
    "@list",
    "@hash",
    "@string",
    "@bitmap",
    "@hyperloglog",
    "@geo",
    "@stream",
    "@pubsub",
    "@admin",
    "@fast",
    "@slow",
    "@blocking",
    "@dangerous",
    "@connection",
    "@transaction",
    "@scripting",
];

fn reads(spec: &CommandSpec) -> bool {
    // PFSELFTEST looks at no key.
    (matches!(spec.handler, Handler::Read(_)) && !spec.keys.is_empty()) || spec.flags.has(Flags::READONLY)
}

/// The categories of a command, each with its `@`.
///
/// They follow from the row: what the handler may do, who it is for, how fast it is, and the family, except that a
/// container belongs to no family.
pub fn categories(spec: &CommandSpec) -> Vec<&'static str> {
    let family = match spec.group {
        _ if matches!(spec.handler, Handler::Container) => None,
        Group::String => Some("@string"),
        Group::Bitmap => Some("@bitmap"),
        Group::HyperLogLog => Some("@hyperloglog"),
        Group::Hash => Some("@hash"),
        Group::List => Some("@list"),
        Group::Set => Some("@set"),
        Group::SortedSet => Some("@sortedset"),
        Group::Stream => Some("@stream"),
        Group::Geo => Some("@geo"),
        // As in Redis, where it is in no family.
        Group::PubSub if spec.name == "help" => None,
        Group::PubSub => Some("@pubsub"),
        Group::Transactions => Some("@transaction"),
        Group::Scripting => Some("@scripting"),
        // SORT is of the families that it sorts, and WAIT is about the connection.
        Group::Generic if ["@list", "@connection"].iter().any(|other| spec.categories.contains(other)) => {
            None
        }
        Group::Generic => Some("@keyspace"),
        Group::Connection => Some("@connection"),
        Group::Server | Group::Cluster => None,
    };
    let admin = spec.flags.has(Flags::ADMIN);
    let fast = spec.flags.has(Flags::FAST);
    // What a script does is checked when it does it.
    let script = matches!(spec.handler, Handler::Script);
    let derived = |category: &str| match category {
        "@read" => reads(spec) && !script,
        "@write" => spec.is_write() && !script,
        "@admin" | "@dangerous" => admin,
        "@blocking" => spec.flags.has(Flags::BLOCKING),
        "@fast" => fast,
        "@slow" => !fast,
        _ => family == Some(category),
    };
    CATEGORIES
        .iter()
        .copied()
        .filter(|category| derived(category) || spec.categories.contains(category))
        .collect()
}

/// The flags of a command, as COMMAND INFO calls them.
pub fn flag_names(spec: &CommandSpec) -> Vec<&'static str> {
    const NAMED: &[(Flags, &str)] = &[
        (Flags::DENYOOM, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::NOSCRIPT, "noscript"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::NO_ASYNC_LOADING, "no_async_loading"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::BLOCKING, "blocking"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::ALLOW_BUSY, "allow_busy"),
        (Flags::MOVABLE_KEYS, "movablekeys"),
    ];
    let script = matches!(spec.handler, Handler::Script);
    let access = [(spec.is_write() && !script, "write"), (reads(spec), "readonly")];
    let access = access.into_iter().filter_map(|(is, name)| is.then_some(name));
    let fixed = |place| {
        matches!(place, KeyPlace::Range { .. } | KeyPlace::Nonempty { .. } | KeyPlace::Channels { .. })
    };
    let movable = spec.keys.iter().any(|keys| !fixed(keys.place));
    let has = |flag| spec.flags.has(flag) || (movable && flag == Flags::MOVABLE_KEYS);
    let (before, behind) = NAMED.split_at(NAMED.len() - 1);
    let named = |names: &'static [(Flags, &'static str)]| {
        names.iter().filter(|(flag, _)| has(*flag)).map(|(_, name)| *name).collect::<Vec<_>>()
    };
    // MONITOR shows what a script runs, in its place; and it may have no keys.
    let shown: &[&str] = match spec.handler {
        Handler::Script => &["skip_monitor", "no_mandatory_keys"],
        // What it runs is in the slow log.
        Handler::Exec => &["skip_slowlog"],
        _ => &[],
    };
    access.chain(named(before)).chain(shown.iter().copied()).chain(named(behind)).collect()
}

/// The keys as they were described before there were several specifications: first, last, step; zeros for none.
fn key_range(spec: &CommandSpec) -> (i64, i64, i64) {
    let ranges = || {
        spec.keys.iter().filter_map(|keys| match keys.place {
            KeyPlace::Range { first, last, step } => Some((first, last, step)),
            KeyPlace::Nonempty { at } => Some((at, at as i16, 1)),
            KeyPlace::Channels { last } => Some((1, last, 1)),
            KeyPlace::AllBehind { .. }
            | KeyPlace::Counted { .. }
            | KeyPlace::Behind { .. }
            | KeyPlace::Halved { .. }
            | KeyPlace::LastBehind { .. }
            | KeyPlace::Unknown => None,
        })
    };
    let Some(first) = ranges().map(|(first, ..)| first).min() else { return (0, 0, 0) };
    // A negative last key is behind every positive one.
    let last = ranges().map(|(_, last, _)| last).max_by_key(|&last| (last < 0, last)).unwrap_or_default();
    let step = if ranges().count() == 1 { ranges().map(|(.., step)| step).sum() } else { 1 };
    (first.into(), last.into(), step.into())
}

pub(super) fn info(_cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let names = args.tail(2);
    if names.is_empty() {
        write_all(reply);
        return Ok(());
    }
    reply.array(names.len());
    for name in names {
        match Named::find(name) {
            Some(command) => write(reply, command),
            None => reply.null(),
        }
    }
    Ok(())
}

/// The reply of COMMAND: every command of the table.
pub(super) fn write_all(reply: &mut Reply<'_>) {
    reply.array(table::len());
    for command in all() {
        write(reply, command);
    }
}

fn write(reply: &mut Reply<'_>, command: Named) {
    let spec = command.spec;
    reply.array(10);
    reply.bulk(command.full_name().as_bytes());
    reply.integer(spec.arity.into());
    write_names(reply, &flag_names(spec));
    let (first, last, step) = key_range(spec);
    reply.integer(first);
    reply.integer(last);
    reply.integer(step);
    write_names(reply, &categories(spec));
    let tips = tips(&command.full_name());
    reply.set(tips.len());
    for tip in tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(spec.keys.len());
    for keys in spec.keys {
        write_keys(reply, keys);
    }
    // Without subcommands Redis replies with an empty set, with some with an array.
    let subcommands = command.subcommands();
    if subcommands.len() == 0 {
        reply.set(0)
    } else {
        reply.array(subcommands.len())
    }
    for subcommand in subcommands {
        write(reply, subcommand);
    }
}

pub(super) fn write_names(reply: &mut Reply<'_>, names: &[&str]) {
    reply.set(names.len());
    for name in names {
        reply.simple(name);
    }
}

fn write_keys(reply: &mut Reply<'_>, keys: &KeySpec) {
    reply.map(3);
    reply.bulk(b"flags");
    write_names(reply, keys.flags);
    reply.bulk(b"begin_search");
    match keys.place {
        KeyPlace::Range { first, .. } | KeyPlace::Nonempty { at: first } => {
            write_search(reply, "index", &[("index", first.into())]);
        }
        KeyPlace::Counted { count } => write_search(reply, "index", &[("index", count.into())]),
        KeyPlace::Channels { .. } => write_search(reply, "index", &[("index", 1)]),
        KeyPlace::Behind { word, from } | KeyPlace::Halved { word, from, .. } => {
            write_word(reply, word, from.into());
        }
        KeyPlace::AllBehind { word, .. } => write_word(reply, word, -2),
        KeyPlace::LastBehind { .. } | KeyPlace::Unknown => write_search(reply, "unknown", &[]),
    }
    reply.bulk(b"find_keys");
    // Here a last key that counts from the beginning counts from the first one.
    let range = |reply: &mut Reply<'_>, first: u16, last: i16, step: u16| {
        let last = if last < 0 { i64::from(last) } else { i64::from(last) - i64::from(first) };
        write_search(reply, "range", &[("lastkey", last), ("keystep", step.into()), ("limit", 0)]);
    };
    match keys.place {
        KeyPlace::Range { first, last, step } => range(reply, first, last, step),
        KeyPlace::Channels { last } => range(reply, 1, last, 1),
        KeyPlace::Counted { .. } => {
            write_search(reply, "keynum", &[("keynumidx", 0), ("firstkey", 1), ("keystep", 1)]);
        }
        KeyPlace::Behind { .. } | KeyPlace::Nonempty { .. } => {
            write_search(reply, "range", &[("lastkey", 0), ("keystep", 1), ("limit", 0)]);
        }
        KeyPlace::Halved { .. } => {
            write_search(reply, "range", &[("lastkey", -1), ("keystep", 1), ("limit", 2)]);
        }
        KeyPlace::AllBehind { .. } => {
            write_search(reply, "range", &[("lastkey", -1), ("keystep", 1), ("limit", 0)]);
        }
        KeyPlace::LastBehind { .. } | KeyPlace::Unknown => write_search(reply, "unknown", &[]),
    }
}

/// The step to a word: where to begin to look for it.
fn write_word(reply: &mut Reply<'_>, word: &str, from: i64) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"keyword");
    reply.bulk(b"spec");
    reply.map(2);
    reply.bulk(b"keyword");
    reply.bulk(word.as_bytes());
    reply.bulk(b"startfrom");
    reply.integer(from);
}

/// A step of the way to the keys: its kind and its figures.
fn write_search(reply: &mut Reply<'_>, kind: &str, figures: &[(&str, i64)]) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(figures.len());
    for &(name, value) in figures {
        reply.bulk(name.as_bytes());
        reply.integer(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_of_the_table_is_known() {
        for command in all() {
            for spec in std::iter::once(command.spec).chain(command.spec.subcommands) {
                for category in spec.categories {
                    assert!(CATEGORIES.contains(category), "{} is in {category}", spec.name);
                }
            }
        }
    }

    #[test]
    fn whether_a_script_writes_is_not_known_before_it_does() {
        let of = |name: &str| table::find(name.as_bytes()).expect("it is in the table").1;
        let flags = ["noscript", "stale", "skip_monitor", "no_mandatory_keys", "movablekeys"];
        for name in ["eval", "evalsha", "fcall"] {
            assert_eq!(flag_names(of(name)), flags);
            assert_eq!(categories(of(name)), ["@slow", "@scripting"]);
        }
        for name in ["eval_ro", "evalsha_ro", "fcall_ro"] {
            assert_eq!(flag_names(of(name)), [&["readonly"], &flags[..]].concat());
            assert_eq!(categories(of(name)), ["@slow", "@scripting"]);
        }
    }

    #[test]
    fn several_key_specifications_make_one_range() {
        let with = |keys: &'static [KeySpec]| key_range(&CommandSpec { keys, ..super::super::ROW });
        assert_eq!(with(&[]), (0, 0, 0));
        const STEPS: &[KeySpec] = &[KeySpec::range(1, -1, 2, &[])];
        assert_eq!(with(STEPS), (1, -1, 2));
        const TWO: &[KeySpec] = &[KeySpec::one(&[]), KeySpec::at(2, &[])];
        assert_eq!(with(TWO), (1, 2, 1));
        const MANY: &[KeySpec] = &[KeySpec::at(2, &[]), KeySpec::range(3, -1, 1, &[])];
        assert_eq!(with(MANY), (2, -1, 1));
        const COUNTED: &[KeySpec] = &[KeySpec::counted(1, &[])];
        assert_eq!(with(COUNTED), (0, 0, 0));
        const BEHIND: &[KeySpec] = &[KeySpec::one(&[]), KeySpec::behind("STORE", 3, &[])];
        assert_eq!(with(BEHIND), (1, 1, 1));
    }
}
