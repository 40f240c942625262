//! Checkpoints and the end of the server.
//!
//! Every write is in the log before its reply leaves, so none of these commands is needed to keep data. SAVE and its
//! kin make a checkpoint, which is what a backup is taken from.

use kvdb_resp::{Args, Reply};

use crate::errors::{self, CmdResult};
use crate::server::{Begun, CheckpointKind, ShutdownMode};
use crate::session::{Offload, SessionCx, Then};
use crate::spec::{CommandSpec, Flags, Group, Handler};

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 1,
    flags: Flags::ADMIN.with(Flags::NOSCRIPT),
    keys: &[],
    categories: &[],
    group: Group::Server,
    since: "1.0.0",
    complexity: "O(N), N being the number of keys changed since the last checkpoint",
    summary: "",
    syntax: "",
    handler: Handler::Container,
    subcommands: &[],
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "bgrewriteaof",
        flags: ROW.flags.with(Flags::NO_ASYNC_LOADING),
        summary: "Makes a checkpoint in the background, which lets the log be cut.",
        handler: Handler::Session(bgrewriteaof),
        ..ROW
    },
    CommandSpec {
        name: "bgsave",
        arity: -1,
        flags: ROW.flags.with(Flags::NO_ASYNC_LOADING),
        summary: "Makes a checkpoint in the background.",
        syntax: "[SCHEDULE]",
        handler: Handler::Session(bgsave),
        ..ROW
    },
    CommandSpec {
        name: "lastsave",
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST),
        categories: &["@admin", "@dangerous"],
        complexity: "O(1)",
        summary: "Returns when the last checkpoint was made, in seconds since 1970.",
        handler: Handler::Session(lastsave),
        ..ROW
    },
    CommandSpec {
        name: "save",
        flags: ROW.flags.with(Flags::NO_ASYNC_LOADING).with(Flags::NO_MULTI),
        summary: "Makes a checkpoint and waits for it.",
        handler: Handler::Session(save),
        ..ROW
    },
    CommandSpec {
        name: "shutdown",
        arity: -1,
        flags: ROW
            .flags
            .with(Flags::LOADING)
            .with(Flags::STALE)
            .with(Flags::NO_MULTI)
            .with(Flags::ALLOW_BUSY),
        summary: "Ends the server, or takes that back while it is still waiting.",
        syntax: "[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]",
        handler: Handler::Session(shutdown),
        ..ROW
    },
];

fn save(cx: &mut SessionCx<'_>, _args: Args<'_>, _reply: &mut Reply<'_>) -> CmdResult {
    let checkpoint = cx.server.checkpoint();
    let work = || checkpoint().map(|()| "OK".to_owned()).map_err(|message| format!("ERR {message}"));
    cx.then = Some(Then::Offload(Offload(Box::new(work))));
    Ok(())
}

fn bgsave(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let may_wait = match args.get(1) {
        None => false,
        Some(word) if args.len() == 2 && word.eq_ignore_ascii_case(b"SCHEDULE") => true,
        Some(_) => return Err(errors::SYNTAX),
    };
    match cx.server.background_checkpoint(CheckpointKind::Save, may_wait || cx.in_transaction) {
        // Where it is part of a transaction, what that has changed is to be part of it.
        Begun::Started if !cx.in_transaction => reply.simple("Background saving started"),
        Begun::Started | Begun::Scheduled => reply.simple("Background saving scheduled"),
        Begun::AlreadyRuns => return Err(errors::SAVE_RUNS),
        Begun::OtherRuns => return Err(errors::REWRITE_STANDS_IN_THE_WAY),
    }
    Ok(())
}

fn bgrewriteaof(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    match cx.server.background_checkpoint(CheckpointKind::Rewrite, true) {
        Begun::Started if !cx.in_transaction => {
            reply.simple("Background append only file rewriting started");
        }
        Begun::Started | Begun::Scheduled => {
            reply.simple("Background append only file rewriting scheduled");
        }
        Begun::AlreadyRuns | Begun::OtherRuns => return Err(errors::REWRITE_RUNS),
    }
    Ok(())
}

fn lastsave(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply.integer(i64::try_from(cx.server.last_save()).unwrap_or(i64::MAX));
    Ok(())
}

fn shutdown(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (mut mode, mut save, mut abort) = (ShutdownMode::default(), false, false);
    for word in args.iter().skip(1) {
        match word.to_ascii_lowercase().as_slice() {
            b"nosave" => mode.nosave = true,
            b"save" => save = true,
            b"now" => mode.now = true,
            b"force" => mode.force = true,
            b"abort" => abort = true,
            _ => return Err(errors::SYNTAX),
        }
    }
    if (mode.nosave && save) || (abort && (save || mode != ShutdownMode::default())) {
        return Err(errors::SYNTAX);
    }
    if abort {
        cx.server.shutdown(None)?;
        reply.ok();
        return Ok(());
    }
    // No reply: the connection ends with the server.
    cx.server.shutdown(Some(mode))
}
