//! CLUSTER and its kin, on a server that is no part of a cluster: as in Redis they are there, and refuse.

use kvdb_resp::{Args, Reply};

use super::help;
use crate::errors::{CmdResult, CommandError};
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Flags, Group, Handler};

const DISABLED: CommandError = CommandError::fixed("ERR This instance has cluster support disabled");

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 2,
    flags: Flags::STALE,
    keys: &[],
    categories: &[],
    group: Group::Cluster,
    since: "3.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    handler: Handler::Session(refuse),
    subcommands: &[],
};
const MODE: CommandSpec = CommandSpec {
    arity: 1,
    flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST),
    categories: &["@connection"],
    ..ROW
};
const ADMIN: CommandSpec = CommandSpec { flags: ROW.flags.with(Flags::ADMIN), ..ROW };
const CHANGE: CommandSpec = CommandSpec { flags: ADMIN.flags.with(Flags::NO_ASYNC_LOADING), ..ROW };

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "asking",
        flags: Flags::FAST,
        summary: "Lets the next command use a slot that is being imported; there is no cluster.",
        ..MODE
    },
    CommandSpec {
        name: "cluster",
        arity: -2,
        flags: Flags::NONE,
        complexity: "Depends on the subcommand",
        summary: "Manages a cluster; there is none.",
        handler: Handler::Container,
        subcommands: &[
            CommandSpec {
                name: "addslots",
                arity: -3,
                summary: "Takes hash slots; there is no cluster.",
                syntax: "slot:integer [slot:integer ...]",
                ..CHANGE
            },
            CommandSpec {
                name: "addslotsrange",
                arity: -4,
                since: "7.0.0",
                summary: "Takes ranges of hash slots; there is no cluster.",
                syntax: "<start-slot:integer end-slot:integer> [start-slot:integer end-slot:integer ...]",
                ..CHANGE
            },
            CommandSpec {
                name: "bumpepoch",
                summary: "Raises the configuration epoch; there is no cluster.",
                ..CHANGE
            },
            CommandSpec {
                name: "count-failure-reports",
                arity: 3,
                summary: "Counts the reports that a node has failed; there is no cluster.",
                syntax: "node-id",
                ..ADMIN
            },
            CommandSpec {
                name: "countkeysinslot",
                arity: 3,
                summary: "Counts the keys of a hash slot; there is no cluster.",
                syntax: "slot:integer",
                ..ROW
            },
            CommandSpec {
                name: "delslots",
                arity: -3,
                summary: "Gives hash slots up; there is no cluster.",
                syntax: "slot:integer [slot:integer ...]",
                ..CHANGE
            },
            CommandSpec {
                name: "delslotsrange",
                arity: -4,
                since: "7.0.0",
                summary: "Gives ranges of hash slots up; there is no cluster.",
                syntax: "<start-slot:integer end-slot:integer> [start-slot:integer end-slot:integer ...]",
                ..CHANGE
            },
            CommandSpec {
                name: "failover",
                arity: -2,
                summary: "Makes a replica take over from its primary; there is no cluster.",
                syntax: "[FORCE|TAKEOVER]",
                ..CHANGE
            },
            CommandSpec {
                name: "flushslots",
                summary: "Gives all hash slots up; there is no cluster.",
                ..CHANGE
            },
            CommandSpec {
                name: "forget",
                arity: 3,
                summary: "Forgets a node; there is no cluster.",
                syntax: "node-id",
                ..CHANGE
            },
            CommandSpec {
                name: "getkeysinslot",
                arity: 4,
                summary: "Returns keys of a hash slot; there is no cluster.",
                syntax: "slot:integer count:integer",
                ..ROW
            },
            help::row(Group::Cluster, "5.0.0"),
            CommandSpec {
                name: "info",
                summary: "Returns the state of the cluster; there is no cluster.",
                ..ROW
            },
            CommandSpec {
                name: "keyslot",
                arity: 3,
                summary: "Returns the hash slot of a key; there is no cluster.",
                syntax: "key:string",
                ..ROW
            },
            CommandSpec {
                name: "links",
                since: "7.0.0",
                summary: "Lists the links to other nodes; there is no cluster.",
                ..ROW
            },
            CommandSpec {
                name: "meet",
                arity: -4,
                summary: "Joins a node; there is no cluster.",
                syntax: "ip port:integer [cluster-bus-port:integer]",
                ..CHANGE
            },
            CommandSpec {
                name: "myid",
                summary: "Returns the name of the node; there is no cluster.",
                ..ROW
            },
            CommandSpec { name: "nodes", summary: "Lists the nodes; there is no cluster.", ..ROW },
            CommandSpec {
                name: "replicas",
                arity: 3,
                since: "5.0.0",
                summary: "Lists the replicas of a node; there is no cluster.",
                syntax: "node-id",
                ..ADMIN
            },
            CommandSpec {
                name: "replicate",
                arity: 3,
                summary: "Makes the node a replica; there is no cluster.",
                syntax: "node-id",
                ..CHANGE
            },
            CommandSpec {
                name: "reset",
                arity: -2,
                flags: ADMIN.flags.with(Flags::NOSCRIPT),
                summary: "Forgets the cluster; there is no cluster.",
                syntax: "[HARD|SOFT]",
                ..ADMIN
            },
            CommandSpec {
                name: "saveconfig",
                summary: "Writes the state of the cluster to the disk; there is no cluster.",
                ..CHANGE
            },
            CommandSpec {
                name: "set-config-epoch",
                arity: 3,
                summary: "Sets the configuration epoch; there is no cluster.",
                syntax: "config-epoch:integer",
                ..CHANGE
            },
            CommandSpec {
                name: "setslot",
                arity: -4,
                summary: "Gives a hash slot to a node; there is no cluster.",
                syntax: "slot:integer <IMPORTING node-id|MIGRATING node-id|NODE node-id|STABLE>",
                ..CHANGE
            },
            CommandSpec {
                name: "shards",
                since: "7.0.0",
                summary: "Maps hash slots to shards; there is no cluster.",
                ..ROW
            },
            CommandSpec {
                name: "slaves",
                arity: 3,
                summary: "The old name of REPLICAS; there is no cluster.",
                syntax: "node-id",
                ..ADMIN
            },
            CommandSpec { name: "slots", summary: "Maps hash slots to nodes; there is no cluster.", ..ROW },
        ],
        ..ROW
    },
    CommandSpec {
        name: "readonly",
        summary: "Allows reads from a replica of a cluster; there is none.",
        ..MODE
    },
    CommandSpec { name: "readwrite", summary: "Takes READONLY back; there is no cluster.", ..MODE },
];

fn refuse(_cx: &mut SessionCx<'_>, _args: Args<'_>, _reply: &mut Reply<'_>) -> CmdResult {
    Err(DISABLED)
}
