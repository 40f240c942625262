//! Waiting until what the connection has written is safe: on disk, or with replicas, of which a single node has none.

use kvdb_resp::{Args, Reply, parse_i64};

use crate::errors::{self, CmdResult, CommandError};
use crate::session::{SessionCx, Then};
use crate::spec::{CommandSpec, Flags, Group, Handler};
use crate::values::number::parse_timeout_milliseconds;

const NOT_ZERO_OR_ONE: CommandError =
    CommandError::fixed("ERR value is out of range, value must between 0 and 1");
const NEVER_SYNCED: CommandError =
    CommandError::fixed("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 3,
    flags: Flags::NOSCRIPT.with(Flags::BLOCKING),
    keys: &[],
    categories: &["@connection"],
    group: Group::Generic,
    since: "3.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    handler: Handler::Session(wait),
    subcommands: &[],
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "wait",
        summary: "Waits until replicas have the connection's writes, and returns how many have.",
        syntax: "numreplicas:integer timeout:integer",
        ..ROW
    },
    CommandSpec {
        name: "waitaof",
        arity: 4,
        since: "7.2.0",
        summary: "Waits until the connection's writes are on disk here and on replicas, and returns where they are.",
        syntax: "numlocal:integer numreplicas:integer timeout:integer",
        handler: Handler::Session(waitaof),
        ..ROW
    },
];

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acks {
    /// Whether its writes are to be on this node's disk; `None` where that is not asked, nor told.
    pub local: Option<bool>,
    /// How many replicas are to have them.
    pub replicas: i64,
    /// When the wait ends, in Unix milliseconds; never without.
    pub deadline: Option<u64>,
}

impl Acks {
    /// Whether there is nothing to wait for (any more). There are no replicas.
    pub fn are_there(&self, is_durable: bool) -> bool {
        self.replicas <= 0 && (is_durable || self.local != Some(true))
    }

    /// Replies with what there is.
    pub fn reply(&self, is_durable: bool, reply: &mut Reply<'_>) {
        if self.local.is_some() {
            reply.array(2);
            reply.integer(i64::from(is_durable));
        }
        reply.integer(0);
    }
}

fn deadline(cx: &SessionCx<'_>, timeout: &[u8]) -> Result<Option<u64>, CommandError> {
    parse_timeout_milliseconds(timeout, cx.env.now).map_err(|error| CommandError::new(format!("ERR {error}")))
}

fn wait(cx: &mut SessionCx<'_>, args: Args<'_>, _reply: &mut Reply<'_>) -> CmdResult {
    let replicas = parse_i64(&args[1]).ok_or(errors::NOT_INTEGER)?;
    let deadline = deadline(cx, &args[2])?;
    cx.then = Some(Then::Acks(Acks { local: None, replicas, deadline }));
    Ok(())
}

fn waitaof(cx: &mut SessionCx<'_>, args: Args<'_>, _reply: &mut Reply<'_>) -> CmdResult {
    let local = match parse_i64(&args[1]).ok_or(errors::NOT_INTEGER)? {
        0 => false,
        1 => true,
        _ => return Err(NOT_ZERO_OR_ONE),
    };
    let replicas = parse_i64(&args[2]).ok_or(errors::NOT_INTEGER)?;
    if replicas < 0 {
        return Err(errors::NOT_POSITIVE);
    }
    let deadline = deadline(cx, &args[3])?;
    let settings = cx.server.config_get(&[b"appendonly", b"appendfsync"]);
    if local && settings.iter().any(|(_, value)| value == "no") {
        return Err(NEVER_SYNCED);
    }
    cx.then = Some(Then::Acks(Acks { local: Some(local), replicas, deadline }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_disk_can_acknowledge() {
        let acks = |local, replicas| Acks { local, replicas, deadline: None };
        assert!(acks(None, 0).are_there(false) && acks(None, -1).are_there(false));
        assert!(!acks(None, 1).are_there(true));
        assert!(acks(Some(true), 0).are_there(true) && !acks(Some(true), 0).are_there(false));
        assert!(acks(Some(false), 0).are_there(false) && !acks(Some(true), 1).are_there(true));
    }
}
