//! Transactions: queueing commands, running them as one, and watching keys before.

use kvdb_resp::{Args, Reply};
use kvdb_store::{Residency, Scratch, Watches, WriteCx};

use crate::errors::{CmdResult, CommandError};
use crate::session::{SessionCx, Then};
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::transaction::Transaction;

const NESTED: CommandError = CommandError::fixed("ERR MULTI calls can not be nested");
const DISCARD_WITHOUT_MULTI: CommandError = CommandError::fixed("ERR DISCARD without MULTI");
const WATCH_INSIDE: CommandError = CommandError::fixed("ERR WATCH inside MULTI is not allowed");

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 1,
    flags: Flags::FAST
        .with(Flags::NOSCRIPT)
        .with(Flags::LOADING)
        .with(Flags::STALE)
        .with(Flags::ALLOW_BUSY)
        .with(Flags::NOT_QUEUED),
    keys: &[],
    categories: &[],
    group: Group::Transactions,
    since: "1.2.0",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    handler: Handler::Container,
    subcommands: &[],
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "multi",
        summary: "Begins a transaction: the following commands are queued.",
        handler: Handler::Session(multi),
        ..ROW
    },
    CommandSpec {
        name: "exec",
        flags: Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE).with(Flags::NOT_QUEUED),
        complexity: "that of the queued commands",
        summary: "Runs the queued commands as one, unless a watched key has been changed.",
        handler: Handler::Exec,
        ..ROW
    },
    CommandSpec {
        name: "discard",
        since: "2.0.0",
        complexity: "O(N) for N queued commands",
        summary: "Ends a transaction without running its commands, and all watches.",
        handler: Handler::Session(discard),
        ..ROW
    },
    CommandSpec {
        name: "watch",
        arity: -2,
        keys: &[KeySpec::all(&["RO"])],
        since: "2.2.0",
        complexity: "O(1) for every key",
        summary: "Has the next transaction run only if none of these keys is changed before.",
        syntax: "key [key ...]",
        handler: Handler::Session(watch),
        ..ROW
    },
    CommandSpec {
        name: "unwatch",
        flags: Flags::FAST
            .with(Flags::NOSCRIPT)
            .with(Flags::LOADING)
            .with(Flags::STALE)
            .with(Flags::ALLOW_BUSY),
        since: "2.2.0",
        summary: "Ends all watches.",
        handler: Handler::Session(unwatch),
        ..ROW
    },
];

fn multi(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    if cx.session.transaction.is_some() {
        return Err(NESTED);
    }
    cx.session.transaction = Some(Box::new(Transaction::default()));
    reply.ok();
    Ok(())
}

fn discard(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    cx.session.transaction.take().ok_or(DISCARD_WITHOUT_MULTI)?;
    cx.session.watches = None;
    reply.ok();
    Ok(())
}

fn watch(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    if cx.session.transaction.is_some() {
        return Err(WATCH_INSIDE);
    }
    let db = cx.session.db;
    let mut scratch = Scratch::default();
    for key in args.tail(1) {
        let mut guards = cx.store.latch(cx.store.place(key));
        // A key on disk may be past its deadline, which has to be known now: its deletion is no change.
        let residency = cx.store.ensure_resident(&mut guards, db, key, &cx.env);
        if residency.map_err(|message| CommandError::new(format!("ERR {message}")))? == Residency::NeedIo {
            cx.then = Some(Then::Load(db, key.to_vec()));
            return Ok(());
        }
        let mut run = WriteCx::new(cx.store, guards, &mut scratch, cx.env, db);
        // Looking at a dead key deletes it; where the log refuses, it reads as absent all the same.
        run.get(key);
        let seen = run.commit().unwrap_or(0);
        cx.depends_on = cx.depends_on.max(seen);
        let watches = cx.session.watches.get_or_insert_with(|| Watches::new(cx.store));
        watches.add(&mut cx.store.latch(cx.store.place(key)), db, key);
    }
    reply.ok();
    Ok(())
}

fn unwatch(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    cx.session.watches = None;
    reply.ok();
    Ok(())
}
