//! CLIENT: what is connected, under which name, and what is to become of it.

use kvdb_resp::{Args, Reply};

use crate::errors::{self, CmdResult, CommandError};
use crate::families::{client_tracking, help};
use crate::server::{ClientFilter, ClientKind, ClientProperty};
use crate::session::{ReplyMode, SessionCx};
use crate::spec::{CommandSpec, Flags, Group, Handler};
use crate::values::number::{parse_i64, parse_timeout_milliseconds};

/// What the rows of this family have in common.
pub(super) const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 2,
    flags: Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE),
    keys: &[],
    categories: &[],
    group: Group::Connection,
    since: "2.4.0",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    handler: Handler::Container,
    subcommands: &[],
};

/// Of subcommands that concern other connections.
const OPERATOR: Flags = ROW.flags.with(Flags::ADMIN);

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "client",
    arity: -2,
    flags: Flags::NONE,
    complexity: "Depends on the subcommand",
    summary: "Commands about client connections.",
    syntax: "",
    subcommands: SUBCOMMANDS,
    ..ROW
}];

const SUBCOMMANDS: &[CommandSpec] = &[
    client_tracking::CACHING,
    CommandSpec {
        name: "getname",
        since: "2.6.9",
        summary: "Returns the name of the connection.",
        handler: Handler::Session(getname),
        ..ROW
    },
    client_tracking::GETREDIR,
    help::row(Group::Connection, "5.0.0"),
    CommandSpec {
        name: "id",
        since: "5.0.0",
        summary: "Returns the number of the connection.",
        handler: Handler::Session(id),
        ..ROW
    },
    CommandSpec {
        name: "info",
        since: "6.2.0",
        summary: "Describes the connection, as CLIENT LIST does.",
        handler: Handler::Session(info),
        ..ROW
    },
    CommandSpec {
        name: "kill",
        arity: -3,
        flags: OPERATOR,
        complexity: "O(N), N being the number of connections",
        summary: "Closes the connections that match an address or all filters.",
        syntax: "<ip:port|<ID client-id|TYPE <NORMAL|MASTER|SLAVE|REPLICA|PUBSUB>|USER username|ADDR ip:port|LADDR ip:port\
                 |SKIPME <YES|NO>|MAXAGE max-age ...>>",
        handler: Handler::Session(kill),
        ..ROW
    },
    CommandSpec {
        name: "list",
        arity: -2,
        flags: OPERATOR,
        complexity: "O(N), N being the number of connections",
        summary: "Describes the connections, one a line.",
        syntax: "[TYPE <NORMAL|MASTER|REPLICA|PUBSUB>] [ID client-id [client-id ...]]",
        handler: Handler::Session(list),
        ..ROW
    },
    CommandSpec {
        name: "no-evict",
        arity: 3,
        flags: OPERATOR,
        since: "7.0.0",
        summary: "Spares the connection when connections are closed to free memory.",
        syntax: "<ON|OFF>",
        handler: Handler::Session(no_evict),
        ..ROW
    },
    CommandSpec {
        name: "no-touch",
        arity: 3,
        since: "7.2.0",
        summary: "Lets the connection's commands not count as use of keys.",
        syntax: "<ON|OFF>",
        handler: Handler::Session(no_touch),
        ..ROW
    },
    CommandSpec {
        name: "pause",
        arity: -3,
        flags: OPERATOR,
        since: "3.0.0",
        summary: "Lets the commands of all clients, or only writes, wait for some milliseconds.",
        syntax: "timeout [WRITE|ALL]",
        handler: Handler::Session(pause),
        ..ROW
    },
    CommandSpec {
        name: "reply",
        arity: 3,
        since: "3.2.0",
        summary: "Turns replies off or on, or leaves out the next one.",
        syntax: "<ON|OFF|SKIP>",
        handler: Handler::Session(reply_mode),
        ..ROW
    },
    CommandSpec {
        name: "setinfo",
        arity: 4,
        since: "7.2.0",
        summary: "Tells the client's library and its version, to be shown by CLIENT LIST.",
        syntax: "<LIB-NAME libname|LIB-VER libver>",
        handler: Handler::Session(setinfo),
        ..ROW
    },
    CommandSpec {
        name: "setname",
        arity: 3,
        since: "2.6.9",
        summary: "Gives the connection a name.",
        syntax: "connection-name",
        handler: Handler::Session(setname),
        ..ROW
    },
    client_tracking::TRACKING,
    client_tracking::TRACKINGINFO,
    CommandSpec {
        name: "unblock",
        arity: -3,
        flags: OPERATOR,
        since: "5.0.0",
        complexity: "O(log N), N being the number of connections",
        summary: "Ends the wait of another client's blocking command, as if its time were up or with an error.",
        syntax: "client-id [TIMEOUT|ERROR]",
        handler: Handler::Session(unblock),
        ..ROW
    },
    CommandSpec {
        name: "unpause",
        flags: OPERATOR,
        since: "6.2.0",
        complexity: "O(N), N being the number of paused clients",
        summary: "Ends a pause before its time.",
        handler: Handler::Session(unpause),
        ..ROW
    },
];

/// Whether a text can stand as a value in a line of CLIENT LIST: graphic ASCII only.
pub fn is_printable_word(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

/// As text; what does not decode is replaced, which no address or name contains.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn set(cx: &SessionCx<'_>, property: ClientProperty) {
    cx.server.set_client_property(cx.session.id, property);
}

fn getname(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    match cx.server.client_name(cx.session.id) {
        name if name.is_empty() => reply.null(),
        name => reply.bulk(name.as_bytes()),
    }
    Ok(())
}

fn id(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply.integer(i64::try_from(cx.session.id).unwrap_or(i64::MAX));
    Ok(())
}

fn info(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    describe(cx, &ClientFilter { ids: Some(vec![cx.session.id]), ..ClientFilter::default() }, reply);
    Ok(())
}

fn describe(cx: &SessionCx<'_>, filter: &ClientFilter, reply: &mut Reply<'_>) {
    let lines: String = cx.server.clients(filter).into_iter().map(|line| line + "\n").collect();
    reply.verbatim(b"txt", &lines);
}

fn list(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let mut filter = ClientFilter::default();
    match args.get(2) {
        None => {}
        Some(word) if word.eq_ignore_ascii_case(b"TYPE") && args.len() == 4 => {
            filter.kind = Some(kind(&args[3])?)
        }
        Some(word) if word.eq_ignore_ascii_case(b"ID") && args.len() > 3 => {
            let ids = args.tail(3).iter().map(|id| parse_i64(id).ok_or(errors::INVALID_CLIENT_ID));
            // A negative number is nobody's.
            filter.ids = Some(
                ids.filter_map(|id| id.map(|id| u64::try_from(id).ok()).transpose())
                    .collect::<Result<_, _>>()?,
            );
        }
        Some(_) => return Err(errors::SYNTAX),
    }
    describe(cx, &filter, reply);
    Ok(())
}

fn kind(name: &[u8]) -> Result<ClientKind, CommandError> {
    match name.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(ClientKind::Normal),
        b"master" => Ok(ClientKind::Primary),
        b"slave" | b"replica" => Ok(ClientKind::Replica),
        b"pubsub" => Ok(ClientKind::PubSub),
        _ => Err(errors::unknown_client_type(name)),
    }
}

fn kill(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    if args.len() == 3 {
        let filter = ClientFilter { addr: Some(text(&args[2])), ..ClientFilter::default() };
        if cx.server.kill_clients(&filter, cx.session.id) == 0 {
            return Err(errors::NO_SUCH_CLIENT);
        }
        reply.ok();
        return Ok(());
    }
    let filter = kill_filter(cx, args.tail(2))?;
    let killed = cx.server.kill_clients(&filter, cx.session.id);
    reply.integer(i64::try_from(killed).unwrap_or(i64::MAX));
    Ok(())
}

/// The filter that pairs of option and value describe. The caller is spared unless it says otherwise.
fn kill_filter(cx: &SessionCx<'_>, args: Args<'_>) -> Result<ClientFilter, CommandError> {
    let positive = |value: &[u8]| parse_i64(value).and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0);
    let mut filter = ClientFilter { not: Some(cx.session.id), ..ClientFilter::default() };
    let mut rest = args.iter();
    while let Some(option) = rest.next() {
        let value = rest.next().ok_or(errors::SYNTAX)?;
        match option.to_ascii_lowercase().as_slice() {
            b"id" => filter.ids = Some(vec![positive(value).ok_or(errors::CLIENT_ID_NOT_POSITIVE)?]),
            b"type" => filter.kind = Some(kind(value)?),
            b"addr" => filter.addr = Some(text(value)),
            b"laddr" => filter.laddr = Some(text(value)),
            b"user" => {
                let account = cx.server.accounts().find(value);
                filter.user = Some(account.ok_or_else(|| errors::no_such_user(value))?);
            }
            b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.not = Some(cx.session.id),
            b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.not = None,
            b"maxage" => {
                parse_i64(value).ok_or(errors::MAX_AGE)?;
                filter.min_age_seconds = Some(positive(value).ok_or(errors::MAX_AGE_NOT_POSITIVE)?);
            }
            _ => return Err(errors::SYNTAX),
        }
    }
    Ok(filter)
}

/// ON or OFF.
pub(super) fn switch(word: &[u8]) -> Result<bool, CommandError> {
    match word.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(errors::SYNTAX),
    }
}

fn no_evict(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    set(cx, ClientProperty::NoEvict(switch(&args[2])?));
    reply.ok();
    Ok(())
}

fn no_touch(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let on = switch(&args[2])?;
    cx.session.no_touch = on;
    set(cx, ClientProperty::NoTouch(on));
    reply.ok();
    Ok(())
}

/// The argument behind the first one of a subcommand, in lower case, when it is there and the last.
fn optional_word(args: Args<'_>) -> Result<Option<Vec<u8>>, CommandError> {
    if args.len() > 4 {
        return Err(errors::subcommand_syntax("CLIENT", &args[1]));
    }
    Ok(args.get(3).map(<[u8]>::to_ascii_lowercase))
}

fn pause(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let writes_only = match optional_word(args)?.as_deref() {
        None | Some(b"all") => false,
        Some(b"write") => true,
        Some(_) => return Err(errors::PAUSE_MODE),
    };
    let until = parse_timeout_milliseconds(&args[2], cx.env.now)
        .map_err(|e| CommandError::new(format!("ERR {e}")))?;
    // A pause of no time is over; it does not end another one.
    if let Some(until) = until {
        cx.server.pause_clients(until, writes_only);
    }
    reply.ok();
    Ok(())
}

fn unpause(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    cx.server.pause_clients(0, false);
    reply.ok();
    Ok(())
}

fn reply_mode(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    match args[2].to_ascii_lowercase().as_slice() {
        b"on" => {
            cx.session.reply_mode = ReplyMode::On;
            reply.ok();
        }
        b"off" => cx.session.reply_mode = ReplyMode::Off,
        b"skip" if cx.session.reply_mode == ReplyMode::Off => {}
        b"skip" => cx.session.reply_mode = ReplyMode::SkipNext,
        _ => return Err(errors::SYNTAX),
    }
    Ok(())
}

fn setinfo(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (attribute, value) = (&args[2], &args[3]);
    let property: fn(String) -> ClientProperty = match attribute.to_ascii_lowercase().as_slice() {
        b"lib-name" => ClientProperty::LibName,
        b"lib-ver" => ClientProperty::LibVersion,
        _ => return Err(errors::unrecognized_option(attribute)),
    };
    if !is_printable_word(value) {
        return Err(errors::client_info_value(attribute));
    }
    set(cx, property(text(value)));
    reply.ok();
    Ok(())
}

fn setname(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    if !is_printable_word(&args[2]) {
        return Err(errors::CLIENT_NAME);
    }
    set(cx, ClientProperty::Name(text(&args[2])));
    reply.ok();
    Ok(())
}

fn unblock(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let with_error = match optional_word(args)?.as_deref() {
        None | Some(b"timeout") => false,
        Some(b"error") => true,
        Some(_) => return Err(errors::UNBLOCK_REASON),
    };
    let id = parse_i64(&args[2]).ok_or(errors::NOT_INTEGER)?;
    let blocked = u64::try_from(id).is_ok_and(|id| cx.server.unblock_client(id, with_error));
    reply.integer(blocked.into());
    Ok(())
}
