//! COMMAND INFO: what a client needs to send a command to the right place, derived from its row.

use kvdb_resp::{Args, Reply};

use super::tips::tips;
use super::{Named, all};
use crate::errors::CmdResult;
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
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
        Group::Generic => Some("@keyspace"),
        Group::Connection => Some("@connection"),
        Group::Server => None,
    };
    let admin = spec.flags.has(Flags::ADMIN);
    let fast = spec.flags.has(Flags::FAST);
    let derived = |category: &str| match category {
        "@read" => reads(spec),
        "@write" => spec.is_write(),
        "@admin" | "@dangerous" => admin,
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
        (Flags::NOSCRIPT, "noscript"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::NO_ASYNC_LOADING, "no_async_loading"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::ALLOW_BUSY, "allow_busy"),
        (Flags::MOVABLE_KEYS, "movablekeys"),
    ];
    let access = [(spec.is_write(), "write"), (reads(spec), "readonly")];
    let access = access.into_iter().filter_map(|(is, name)| is.then_some(name));
    access.chain(NAMED.iter().filter(|(flag, _)| spec.flags.has(*flag)).map(|(_, name)| *name)).collect()
}

/// The keys as they were described before there were several specifications: first, last, step; zeros for none.
fn key_range(spec: &CommandSpec) -> (i64, i64, i64) {
    let Some(first) = spec.keys.iter().map(|keys| keys.first).min() else { return (0, 0, 0) };
    // A negative last key is behind every positive one.
    let last =
        spec.keys.iter().map(|keys| keys.last).max_by_key(|&last| (last < 0, last)).unwrap_or_default();
    let step = if let [only] = spec.keys { only.step } else { 1 };
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
    // Here the last key counts from the first one.
    let last =
        if keys.last < 0 { i64::from(keys.last) } else { i64::from(keys.last) - i64::from(keys.first) };
    reply.map(3);
    reply.bulk(b"flags");
    write_names(reply, keys.flags);
    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"index");
    reply.bulk(b"spec");
    reply.map(1);
    reply.bulk(b"index");
    reply.integer(keys.first.into());
    reply.bulk(b"find_keys");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"range");
    reply.bulk(b"spec");
    reply.map(3);
    for (name, value) in [("lastkey", last), ("keystep", keys.step.into()), ("limit", 0)] {
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
    fn several_key_specifications_make_one_range() {
        let with = |keys: &'static [KeySpec]| key_range(&CommandSpec { keys, ..super::super::ROW });
        assert_eq!(with(&[]), (0, 0, 0));
        assert_eq!(with(&[KeySpec { first: 1, last: -1, step: 2, flags: &[] }]), (1, -1, 2));
        const TWO: &[KeySpec] = &[KeySpec::one(&[]), KeySpec { first: 2, last: 2, step: 1, flags: &[] }];
        assert_eq!(with(TWO), (1, 2, 1));
        const MANY: &[KeySpec] = &[
            KeySpec { first: 2, last: 2, step: 1, flags: &[] },
            KeySpec { first: 3, last: -1, step: 1, flags: &[] },
        ];
        assert_eq!(with(MANY), (2, -1, 1));
    }
}
