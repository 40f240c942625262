//! Streams by ranges of ids.

use kvdb_resp::{Args, Reply};
use kvdb_store::ReadCx;

use super::stream_reply::{ROW, parse_count, parse_range, reply_entries, stream};
use crate::errors::{self, CmdResult};
use crate::spec::{CommandSpec, Handler};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "xrange",
        arity: -4,
        complexity: "O(log M + N) for N entries of a stream of M blocks",
        summary: "Replies with the entries of a stream whose ids are in a range.",
        syntax: "key start end [COUNT count]",
        handler: Handler::Read(xrange),
        ..ROW
    },
    CommandSpec {
        name: "xrevrange",
        arity: -4,
        complexity: "O(log M + N) for N entries of a stream of M blocks",
        summary: "Replies with the entries of a stream whose ids are in a range, the last first.",
        syntax: "key end start [COUNT count]",
        handler: Handler::Read(xrevrange),
        ..ROW
    },
];

fn xrange(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    range(cx, args, reply, false)
}

fn xrevrange(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    range(cx, args, reply, true)
}

fn range(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>, backwards: bool) -> CmdResult {
    let (start, end) = if backwards { (&args[3], &args[2]) } else { (&args[2], &args[3]) };
    let range = parse_range(start, end)?;
    let mut most = usize::MAX;
    let mut options = args.tail(4).iter();
    while let Some(option) = options.next() {
        match options.next() {
            Some(count) if option.eq_ignore_ascii_case(b"count") => most = parse_count(count)?,
            _ => return Err(errors::SYNTAX),
        }
    }
    let Some(stream) = stream(cx.get(&args[1]))? else {
        reply.array(0);
        return Ok(());
    };
    if most == 0 {
        reply.null_array();
    } else if backwards {
        reply_entries(reply, stream.range_back(range).take(most));
    } else {
        reply_entries(reply, stream.range(range).take(most));
    }
    Ok(())
}
