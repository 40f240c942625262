//! Publishing and subscribing.

use std::sync::Arc;

use kvdb_pubsub::{Kind, Message, Subscriber};
use kvdb_resp::{Args, Reply};

use super::help;
use crate::errors::CmdResult;
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: -2,
    flags: Flags::PUBSUB
        .with(Flags::NOSCRIPT)
        .with(Flags::LOADING)
        .with(Flags::STALE)
        .with(Flags::WHILE_SUBSCRIBED),
    keys: &[],
    categories: &[],
    group: Group::PubSub,
    since: "2.0.0",
    complexity: "O(N) for N channels",
    summary: "",
    syntax: "channel [channel ...]",
    handler: Handler::Container,
    subcommands: &[],
};
const PUBLISH: CommandSpec = CommandSpec {
    arity: 3,
    flags: Flags::PUBSUB.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST),
    complexity: "O(N+M) for N receivers and M patterns that may match",
    syntax: "channel message",
    ..ROW
};
const ASK: CommandSpec = CommandSpec {
    arity: -2,
    flags: Flags::PUBSUB.with(Flags::LOADING).with(Flags::STALE),
    since: "2.8.0",
    ..ROW
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "subscribe",
        summary: "Has the connection receive what is published to channels.",
        handler: Handler::Session(subscribe),
        ..ROW
    },
    CommandSpec {
        name: "psubscribe",
        summary: "Has the connection receive what is published to channels whose names match patterns.",
        syntax: "pattern [pattern ...]",
        handler: Handler::Session(psubscribe),
        ..ROW
    },
    CommandSpec {
        name: "ssubscribe",
        keys: &[KeySpec::channels(-1)],
        since: "7.0.0",
        summary: "Has the connection receive what is published to shard channels.",
        syntax: "shardchannel [shardchannel ...]",
        handler: Handler::Session(ssubscribe),
        ..ROW
    },
    CommandSpec {
        name: "unsubscribe",
        arity: -1,
        summary: "Ends subscriptions to channels, all of them unless some are named.",
        syntax: "[channel [channel ...]]",
        handler: Handler::Session(unsubscribe),
        ..ROW
    },
    CommandSpec {
        name: "punsubscribe",
        arity: -1,
        summary: "Ends subscriptions to patterns, all of them unless some are named.",
        syntax: "[pattern [pattern ...]]",
        handler: Handler::Session(punsubscribe),
        ..ROW
    },
    CommandSpec {
        name: "sunsubscribe",
        arity: -1,
        keys: &[KeySpec::channels(-1)],
        since: "7.0.0",
        summary: "Ends subscriptions to shard channels, all of them unless some are named.",
        syntax: "[shardchannel [shardchannel ...]]",
        handler: Handler::Session(sunsubscribe),
        ..ROW
    },
    CommandSpec {
        name: "publish",
        summary: "Sends a message to those who listen to a channel; replies with how often it was sent.",
        handler: Handler::Session(publish),
        ..PUBLISH
    },
    CommandSpec {
        name: "spublish",
        keys: &[KeySpec::channels(1)],
        since: "7.0.0",
        summary: "Sends a message to those who listen to a shard channel; replies with how often it was sent.",
        syntax: "shardchannel message",
        handler: Handler::Session(spublish),
        ..PUBLISH
    },
    CommandSpec {
        name: "pubsub",
        flags: Flags::NONE,
        complexity: "Depends on the subcommand",
        summary: "Tells about subscriptions.",
        syntax: "",
        subcommands: &[
            CommandSpec {
                name: "channels",
                complexity: "O(N) for N channels",
                summary: "Lists the channels that somebody listens to, all or those that match a pattern.",
                syntax: "[pattern]",
                handler: Handler::Session(channels),
                ..ASK
            },
            help::row(Group::PubSub, "6.2.0"),
            CommandSpec {
                name: "numpat",
                arity: 2,
                complexity: "O(1)",
                summary: "Counts the patterns that somebody listens to.",
                syntax: "",
                handler: Handler::Session(numpat),
                ..ASK
            },
            CommandSpec {
                name: "numsub",
                summary: "Counts those who listen to channels.",
                syntax: "[channel [channel ...]]",
                handler: Handler::Session(numsub),
                ..ASK
            },
            CommandSpec {
                name: "shardchannels",
                since: "7.0.0",
                complexity: "O(N) for N shard channels",
                summary: "Lists the shard channels that somebody listens to, all or those that match a pattern.",
                syntax: "[pattern]",
                handler: Handler::Session(shardchannels),
                ..ASK
            },
            CommandSpec {
                name: "shardnumsub",
                since: "7.0.0",
                summary: "Counts those who listen to shard channels.",
                syntax: "[shardchannel [shardchannel ...]]",
                handler: Handler::Session(shardnumsub),
                ..ASK
            },
        ],
        ..ROW
    },
];

fn subscribe(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    begin(cx, args, reply, Kind::Channel)
}

fn psubscribe(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    begin(cx, args, reply, Kind::Pattern)
}

fn ssubscribe(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    begin(cx, args, reply, Kind::ShardChannel)
}

fn unsubscribe(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    end(cx, args, reply, Kind::Channel)
}

fn punsubscribe(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    end(cx, args, reply, Kind::Pattern)
}

fn sunsubscribe(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    end(cx, args, reply, Kind::ShardChannel)
}

fn begin(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>, kind: Kind) -> CmdResult {
    let id = cx.session.id;
    let new = || Box::new(Subscriber::new(Arc::clone(cx.server.registry()), id));
    let subscriber = cx.session.subscriber.get_or_insert_with(new);
    let word = match kind {
        Kind::Channel => "subscribe",
        Kind::Pattern => "psubscribe",
        Kind::ShardChannel => "ssubscribe",
    };
    for name in args.tail(1) {
        let count = subscriber.subscribe(kind, name);
        confirm(reply, word, Some(name), count);
    }
    Ok(())
}

fn end(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>, kind: Kind) -> CmdResult {
    let word = match kind {
        Kind::Channel => "unsubscribe",
        Kind::Pattern => "punsubscribe",
        Kind::ShardChannel => "sunsubscribe",
    };
    let subscriber = &mut cx.session.subscriber;
    if args.len() == 1 {
        let ended =
            subscriber.as_mut().map(|subscriber| subscriber.unsubscribe_all(kind)).unwrap_or_default();
        if ended.is_empty() {
            let count = subscriber.as_ref().map_or(0, |subscriber| subscriber.count(kind));
            confirm(reply, word, None, count);
        }
        for (name, count) in ended {
            confirm(reply, word, Some(&name), count);
        }
    } else {
        for name in args.tail(1) {
            let count = subscriber.as_mut().map_or(0, |subscriber| subscriber.unsubscribe(kind, name));
            confirm(reply, word, Some(name), count);
        }
    }
    if subscriber.as_ref().is_some_and(|subscriber| subscriber.is_empty()) {
        *subscriber = None;
    }
    Ok(())
}

/// Tells that a subscription has begun or ended, and how many there are now.
fn confirm(reply: &mut Reply<'_>, word: &str, name: Option<&[u8]>, count: usize) {
    reply.push(3);
    reply.bulk(word.as_bytes());
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(count as i64);
}

fn publish(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let receivers = cx.server.publish(&args[1], &args[2], false, cx.seen);
    reply.integer(receivers as i64);
    Ok(())
}

fn spublish(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let receivers = cx.server.publish(&args[1], &args[2], true, cx.seen);
    reply.integer(receivers as i64);
    Ok(())
}

/// Writes a message as a subscriber receives it; `pattern` is the one by which it was reached, if it was by one.
pub fn write_message(reply: &mut Reply<'_>, message: Message<'_>, pattern: Option<&[u8]>, shard: bool) {
    reply.push(if pattern.is_some() { 4 } else { 3 });
    reply.bulk(match (pattern, shard) {
        (Some(_), _) => b"pmessage",
        (None, false) => b"message",
        (None, true) => b"smessage",
    });
    if let Some(pattern) = pattern {
        reply.bulk(pattern);
    }
    reply.bulk(message.channel);
    reply.bulk(message.payload);
}

fn channels(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    list(cx, args, reply, Kind::Channel)
}

fn shardchannels(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    list(cx, args, reply, Kind::ShardChannel)
}

fn list(cx: &SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>, kind: Kind) -> CmdResult {
    if args.len() > 3 {
        return Err(crate::errors::subcommand_syntax("PUBSUB", &args[1]));
    }
    let (registry, pattern) = (cx.server.registry(), args.get(2));
    let names = match kind {
        Kind::ShardChannel => registry.shard_channels(pattern),
        Kind::Channel | Kind::Pattern => registry.channels(pattern),
    };
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

fn numpat(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply.integer(cx.server.registry().count(Kind::Pattern) as i64);
    Ok(())
}

fn numsub(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    count(cx, args, reply, |registry, name| registry.channel_subscribers(name))
}

fn shardnumsub(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    count(cx, args, reply, |registry, name| registry.shard_channel_subscribers(name))
}

fn count(
    cx: &SessionCx<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    subscribers: fn(&kvdb_pubsub::Registry, &[u8]) -> usize,
) -> CmdResult {
    let names = args.tail(2);
    reply.array(names.len() * 2);
    for name in names {
        reply.bulk(name);
        reply.integer(subscribers(cx.server.registry(), name) as i64);
    }
    Ok(())
}
