//! Connections: who is at the other end, which protocol it speaks, which database it has selected.

use kvdb_resp::{Args, Protocol, Reply};
use kvdb_store::Store;

use crate::errors::{self, CmdResult, CommandError};
use crate::families::acl;
use crate::families::client::is_printable_word;
use crate::server::ClientProperty;
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Flags, Group, Handler};
use crate::values::number::parse_i64;

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 1,
    flags: Flags::FAST.with(Flags::LOADING).with(Flags::STALE),
    keys: &[],
    categories: &[],
    group: Group::Connection,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "",
    syntax: "",
    handler: Handler::Container,
    subcommands: &[],
};

/// Of commands that may come first on a connection.
const HANDSHAKE: Flags = ROW.flags.with(Flags::NOSCRIPT).with(Flags::NO_AUTH).with(Flags::ALLOW_BUSY);

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "auth",
        arity: -2,
        flags: HANDSHAKE,
        summary: "Authenticates the connection.",
        syntax: "[username] password",
        handler: Handler::Session(auth),
        ..ROW
    },
    CommandSpec {
        name: "echo",
        arity: 2,
        summary: "Returns its argument.",
        syntax: "message",
        handler: Handler::Session(echo),
        ..ROW
    },
    CommandSpec {
        name: "hello",
        arity: -1,
        flags: HANDSHAKE,
        since: "6.0.0",
        summary: "Agrees on the protocol and tells about the server; may also authenticate and name the connection.",
        syntax: "[protover [AUTH username password] [SETNAME clientname]]",
        handler: Handler::Session(hello),
        ..ROW
    },
    CommandSpec {
        name: "ping",
        arity: -1,
        flags: Flags::FAST.with(Flags::WHILE_SUBSCRIBED),
        summary: "Shows that the connection is alive.",
        syntax: "[message]",
        handler: Handler::Session(ping),
        ..ROW
    },
    CommandSpec {
        name: "quit",
        arity: -1,
        flags: HANDSHAKE.with(Flags::NOT_QUEUED).with(Flags::WHILE_SUBSCRIBED),
        summary: "Closes the connection when its replies are sent.",
        handler: Handler::Session(quit),
        ..ROW
    },
    CommandSpec {
        name: "reset",
        arity: 1,
        flags: HANDSHAKE.with(Flags::NOT_QUEUED).with(Flags::WHILE_SUBSCRIBED),
        since: "6.2.0",
        summary: "Puts the connection back into the state in which it was made.",
        handler: Handler::Session(reset),
        ..ROW
    },
    CommandSpec {
        name: "select",
        arity: 2,
        summary: "Selects the database that the following commands work on.",
        syntax: "index",
        handler: Handler::Session(select),
        ..ROW
    },
];

fn auth(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    match args.len() {
        2 if cx.server.accounts().default_account().user().nopass => {
            return Err(errors::AUTH_WITHOUT_PASSWORD);
        }
        2 => log_in(cx, "AUTH", b"default", &args[1])?,
        3 => log_in(cx, "AUTH", &args[1], &args[2])?,
        _ => return Err(errors::SYNTAX),
    }
    reply.ok();
    Ok(())
}

/// Makes the connection that user's. A failure leaves it to whom it belonged.
fn log_in(cx: &mut SessionCx<'_>, command: &str, user: &[u8], password: &[u8]) -> CmdResult {
    let Some(account) = cx.server.accounts().authenticate(user, password) else {
        acl::note_failed_login(cx, command, user);
        return Err(errors::WRONG_PASS);
    };
    (cx.session.account, cx.session.authenticated) = (account.clone(), true);
    set(cx, ClientProperty::User(account));
    Ok(())
}

/// Changes what CLIENT LIST shows of this connection.
fn set(cx: &SessionCx<'_>, property: ClientProperty) {
    cx.server.set_client_property(cx.session.id, property);
}

fn echo(_cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply.bulk(&args[1]);
    Ok(())
}

fn hello(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let protocol = match args.get(1).map(parse_i64) {
        None => cx.session.protocol,
        Some(Some(2)) => Protocol::Resp2,
        Some(Some(3)) => Protocol::Resp3,
        Some(Some(_)) => return Err(errors::NO_PROTO),
        Some(None) => return Err(errors::PROTOCOL_VERSION),
    };
    let (mut credentials, mut name) = (None, None);
    let mut rest = args.tail(2).iter();
    while let Some(option) = rest.next() {
        if option.eq_ignore_ascii_case(b"AUTH") && rest.len() >= 2 {
            credentials = rest.next().zip(rest.next());
        } else if option.eq_ignore_ascii_case(b"SETNAME") && rest.len() >= 1 {
            name = rest.next();
            if !name.is_some_and(is_printable_word) {
                return Err(errors::CLIENT_NAME);
            }
        } else {
            return Err(errors::hello_option(option));
        }
    }
    if let Some((user, password)) = credentials {
        log_in(cx, "HELLO", user, password)?;
    }
    if !cx.session.authenticated {
        return Err(errors::HELLO_NO_AUTH);
    }
    if let Some(name) = name {
        set(cx, ClientProperty::Name(String::from_utf8_lossy(name).into_owned()));
    }
    if protocol != cx.session.protocol {
        cx.session.protocol = protocol;
        reply.set_protocol(protocol);
        set(cx, ClientProperty::Protocol(version_of(protocol)));
    }
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(cx.server.redis_version().as_bytes());
    reply.bulk(b"proto");
    reply.integer(version_of(protocol).into());
    reply.bulk(b"id");
    reply.integer(i64::try_from(cx.session.id).unwrap_or(i64::MAX));
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

fn version_of(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    }
}

fn ping(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    match args.len() {
        // So that a client that waits for messages can read it as one.
        1 | 2 if cx.session.only_listens() => {
            reply.array(2);
            reply.bulk(b"pong");
            reply.bulk(args.get(1).unwrap_or_default());
        }
        1 => reply.simple("PONG"),
        2 => reply.bulk(&args[1]),
        _ => return Err(errors::wrong_arity("ping")),
    }
    Ok(())
}

fn quit(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    cx.session.close = true;
    reply.ok();
    Ok(())
}

fn reset(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    cx.session.reset(cx.server.accounts());
    cx.server.track(cx.session.id, None);
    for property in [
        ClientProperty::Name(String::new()),
        ClientProperty::User(cx.session.account.clone()),
        ClientProperty::Db(0),
        ClientProperty::Protocol(2),
        ClientProperty::Monitor(false),
        ClientProperty::NoEvict(false),
        ClientProperty::NoTouch(false),
    ] {
        set(cx, property);
    }
    reply.set_protocol(Protocol::Resp2);
    reply.simple("RESET");
    Ok(())
}

fn select(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let db = database(&args[1], cx.store)?;
    if db != cx.session.db {
        cx.session.db = db;
        set(cx, ClientProperty::Db(db));
    }
    reply.ok();
    Ok(())
}

/// The database that an argument names.
pub(crate) fn database(index: &[u8], store: &Store) -> Result<u16, CommandError> {
    let index = parse_i64(index).ok_or(errors::NOT_INTEGER)?;
    let index = i32::try_from(index).map_err(|_| errors::NOT_32_BITS)?;
    u16::try_from(index).ok().filter(|&db| db < store.databases()).ok_or(errors::DB_INDEX)
}
