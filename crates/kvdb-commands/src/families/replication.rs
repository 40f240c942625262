//! Replication as Redis does it, which KVDB does not: the commands say what to do instead.

use kvdb_resp::{Args, Reply};

use crate::errors::{self, CmdResult};
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeyPlace, KeySpec};

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 3,
    flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::STALE),
    keys: &[],
    categories: &[],
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    handler: Handler::Session(not_supported),
    subcommands: &[],
};

const SYNC: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::NO_ASYNC_LOADING).with(Flags::NO_MULTI);

/// The keys of MIGRATE: one, or with an empty name for that, all behind a word.
const MIGRATED: &[KeySpec] = &[
    KeySpec { place: KeyPlace::Nonempty { at: 3 }, flags: &["RW", "access", "delete"] },
    KeySpec {
        place: KeyPlace::AllBehind {
            word: "KEYS",
            from: 6,
            instead_of: 3,
            options: &[("AUTH", 1), ("AUTH2", 2)],
        },
        flags: &["RW", "access", "delete", "incomplete"],
    },
];

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "failover",
        arity: -1,
        since: "6.2.0",
        summary: "Not supported: a cluster elects its leaders by itself.",
        syntax: "[arg ...]",
        ..ROW
    },
    CommandSpec {
        name: "migrate",
        arity: -6,
        flags: Flags::WRITE,
        keys: MIGRATED,
        categories: &["@dangerous"],
        group: Group::Generic,
        since: "2.6.0",
        summary: "Not supported: DUMP and RESTORE carry keys to another server.",
        syntax: "[arg ...]",
        ..ROW
    },
    CommandSpec {
        name: "psync",
        flags: SYNC,
        arity: -3,
        since: "2.8.0",
        summary: "Not supported: copies of the data are kept by a cluster.",
        syntax: "[arg ...]",
        ..ROW
    },
    CommandSpec {
        name: "replicaof",
        flags: ROW.flags.with(Flags::NO_ASYNC_LOADING),
        since: "5.0.0",
        summary: "Not supported, except for NO ONE, which changes nothing.",
        syntax: "<host port|NO ONE>",
        handler: Handler::Session(replicaof),
        ..ROW
    },
    CommandSpec {
        name: "role",
        arity: 1,
        flags: Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST),
        categories: &["@admin", "@dangerous"],
        since: "2.8.12",
        summary: "Returns the server's part in replication.",
        handler: Handler::Session(role),
        ..ROW
    },
    CommandSpec {
        name: "slaveof",
        flags: ROW.flags.with(Flags::NO_ASYNC_LOADING),
        summary: "The old name of REPLICAOF.",
        syntax: "<host port|NO ONE>",
        handler: Handler::Session(replicaof),
        ..ROW
    },
    CommandSpec {
        name: "sync",
        flags: SYNC,
        arity: 1,
        summary: "Not supported: copies of the data are kept by a cluster.",
        ..ROW
    },
];

/// What to do in place of commands that are not supported.
const INSTEAD: &[(&str, &str)] = &[
    ("FAILOVER", "a cluster elects a new leader by itself; stop a node to make it give up its leadership"),
    ("MIGRATE", "copy keys with DUMP and RESTORE"),
    ("PSYNC", "back up from a checkpoint; live copies of the data are kept by a cluster"),
    ("REPLICAOF", "live copies of the data are kept by a cluster, whose nodes replicate by themselves"),
    ("SLAVEOF", "live copies of the data are kept by a cluster, whose nodes replicate by themselves"),
    ("SYNC", "back up from a checkpoint; live copies of the data are kept by a cluster"),
];

fn not_supported(_cx: &mut SessionCx<'_>, args: Args<'_>, _reply: &mut Reply<'_>) -> CmdResult {
    let (name, instead) = INSTEAD
        .iter()
        .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(args.name()))
        .expect("every row with this handler has its line in the table above");
    Err(errors::not_supported(name, instead))
}

fn replicaof(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    if !(args[1].eq_ignore_ascii_case(b"NO") && args[2].eq_ignore_ascii_case(b"ONE")) {
        return not_supported(cx, args, reply);
    }
    reply.ok();
    Ok(())
}

fn role(_cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(0);
    reply.array(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_names_the_way_out() {
        for row in COMMANDS {
            let name = row.name.to_ascii_uppercase();
            let listed = INSTEAD.iter().any(|(listed, _)| *listed == name);
            assert_eq!(listed, row.name != "role", "{name}");
        }
    }
}
