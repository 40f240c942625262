//! ACL: users, what they may do, and what was denied.

use kvdb_resp::{Args, OwnedArgs, Reply};

use crate::acl::{self, AccessLog, Change, Denial, Selector, join_selectors};
use crate::errors::{self, CmdResult};
use crate::families::help;
use crate::server::ClientFilter;
use crate::session::{Offload, SessionCx, Then};
use crate::spec::{CommandSpec, Flags, Group, Handler};
use crate::table;
use crate::values::number::parse_i64;

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: 2,
    flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE),
    keys: &[],
    categories: &[],
    group: Group::Server,
    since: "6.0.0",
    complexity: "O(N), N being the number of users",
    summary: "",
    syntax: "",
    handler: Handler::Container,
    subcommands: &[],
};

/// Of subcommands that are for everybody.
const ANYBODY: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE);

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "acl",
    arity: -2,
    flags: Flags::NONE,
    complexity: "Depends on the subcommand",
    summary: "Commands about users and what they may do.",
    subcommands: SUBCOMMANDS,
    ..ROW
}];

const SUBCOMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "cat",
        arity: -2,
        flags: ANYBODY,
        complexity: "O(1)",
        summary: "Lists the categories of commands, or the commands of one.",
        syntax: "[category]",
        handler: Handler::Session(cat),
        ..ROW
    },
    CommandSpec {
        name: "deluser",
        arity: -3,
        complexity: "O(N), N being the number of connections",
        summary: "Removes users and closes their connections.",
        syntax: "username [username ...]",
        handler: Handler::Session(deluser),
        ..ROW
    },
    CommandSpec {
        name: "dryrun",
        arity: -4,
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Tells whether a user may run a command, without running it.",
        syntax: "username command [arg ...]",
        handler: Handler::Session(dryrun),
        ..ROW
    },
    CommandSpec {
        name: "genpass",
        arity: -2,
        flags: ANYBODY,
        complexity: "O(1)",
        summary: "Returns a random password of so many bits, 256 unless said, in hexadecimal digits.",
        syntax: "[bits]",
        handler: Handler::Session(genpass),
        ..ROW
    },
    CommandSpec {
        name: "getuser",
        arity: 3,
        complexity: "O(N), N being the number of rules of the user",
        summary: "Describes a user.",
        syntax: "username",
        handler: Handler::Session(getuser),
        ..ROW
    },
    help::row(Group::Server, "6.0.0"),
    CommandSpec {
        name: "list",
        summary: "Returns all users as the rules that make them.",
        handler: Handler::Session(list),
        ..ROW
    },
    CommandSpec {
        name: "load",
        summary: "Replaces all users by those of the file of users.",
        handler: Handler::Session(load),
        ..ROW
    },
    CommandSpec {
        name: "log",
        arity: -2,
        complexity: "O(N), N being the number of entries returned",
        summary: "Returns the newest entries of the log of what was denied, or empties it.",
        syntax: "[count|RESET]",
        handler: Handler::Session(log),
        ..ROW
    },
    CommandSpec {
        name: "save",
        summary: "Writes all users to the file of users.",
        handler: Handler::Session(save),
        ..ROW
    },
    CommandSpec {
        name: "setuser",
        arity: -3,
        complexity: "O(N), N being the number of rules",
        summary: "Makes or changes a user by rules, all of them or none.",
        syntax: "username [rule [rule ...]]",
        handler: Handler::Session(setuser),
        ..ROW
    },
    CommandSpec {
        name: "users",
        summary: "Returns the names of all users.",
        handler: Handler::Session(users),
        ..ROW
    },
    CommandSpec {
        name: "whoami",
        flags: ANYBODY,
        complexity: "O(1)",
        summary: "Returns the name of the connection's user.",
        handler: Handler::Session(whoami),
        ..ROW
    },
];

/// The bits of a password unless a number is given, and the most that may be asked for.
const PASSWORD_BITS: i64 = 256;
const MAX_PASSWORD_BITS: i64 = 4096;
/// Entries of the log that are returned when no number is given.
const LOG_COUNT: usize = 10;

fn cat(_cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let names = match args.len() {
        2 => acl::CATEGORIES.to_vec(),
        3 => acl::members(&args[2]).ok_or_else(|| errors::unknown_category(&args[2]))?,
        _ => return Err(errors::subcommand_syntax("ACL", &args[1])),
    };
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    Ok(())
}

fn deluser(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let names = args.tail(2);
    if names.iter().any(|name| name == b"default") {
        return Err(errors::DEFAULT_USER_STAYS);
    }
    let changes: Vec<Change> = names.iter().filter_map(|name| cx.server.accounts().remove(name)).collect();
    cx.server.access_changed(&changes, cx.session.id);
    reply.integer(i64::try_from(changes.len()).unwrap_or(i64::MAX));
    Ok(())
}

fn dryrun(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (name, command) = (&args[2], args.tail(3));
    let account = cx.server.accounts().find(name).ok_or_else(|| errors::user_not_found(name))?;
    let (_, container) =
        table::find(command.name()).ok_or_else(|| errors::command_not_found(command.name()))?;
    let spec = match command.get(1) {
        Some(sub) if !container.subcommands.is_empty() => {
            table::find_subcommand(container, sub).ok_or_else(|| errors::command_not_found(command.name()))?
        }
        _ => container,
    };
    if !spec.takes(command.len()) {
        return Err(errors::wrong_arity(acl::full_name(spec)));
    }
    // Its own arguments count from the command's name.
    let command: OwnedArgs = command.iter().collect();
    match account.user().check(spec, command.as_args()) {
        Ok(()) => reply.ok(),
        Err(denied) => reply.bulk(denied.long_sentence(name, spec, command.as_args()).as_bytes()),
    }
    Ok(())
}

fn genpass(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let bits = match args.len() {
        2 => PASSWORD_BITS,
        3 => {
            let bits = parse_i64(&args[2]).ok_or(errors::NOT_INTEGER)?;
            Some(bits).filter(|bits| (1..=MAX_PASSWORD_BITS).contains(bits)).ok_or(errors::PASSWORD_BITS)?
        }
        _ => return Err(errors::subcommand_syntax("ACL", &args[1])),
    };
    let digits = usize::try_from(bits).unwrap_or_default().div_ceil(4);
    let mut bytes = vec![0; digits.div_ceil(2)];
    cx.server.draw_secret(&mut bytes)?;
    let mut password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    password.truncate(digits);
    reply.bulk(password.as_bytes());
    Ok(())
}

fn getuser(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let Some(account) = cx.server.accounts().find(&args[2]) else {
        reply.null();
        return Ok(());
    };
    let user = account.user();
    reply.map(6);
    reply.bulk(b"flags");
    let flags = user.flags();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(user.passwords().len());
    user.passwords().iter().for_each(|password| reply.bulk(password.to_hex().as_bytes()));
    write_selector(reply, user.root());
    reply.bulk(b"selectors");
    reply.array(user.selectors().len());
    for selector in user.selectors() {
        reply.map(3);
        write_selector(reply, selector);
    }
    Ok(())
}

fn write_selector(reply: &mut Reply<'_>, selector: &Selector) {
    reply.bulk(b"commands");
    reply.bulk(&selector.describe_commands());
    reply.bulk(b"keys");
    reply.bulk(&selector.describe_keys());
    reply.bulk(b"channels");
    reply.bulk(&selector.describe_channels());
}

fn list(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let accounts = cx.server.accounts().all();
    reply.array(accounts.len());
    accounts.iter().for_each(|account| reply.bulk(&account.describe()));
    Ok(())
}

fn users(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let accounts = cx.server.accounts().all();
    reply.array(accounts.len());
    accounts.iter().for_each(|account| reply.bulk(account.name()));
    Ok(())
}

fn whoami(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply.bulk(cx.session.account.name());
    Ok(())
}

fn load(cx: &mut SessionCx<'_>, _args: Args<'_>, _reply: &mut Reply<'_>) -> CmdResult {
    cx.then = Some(Then::Offload(Offload(cx.server.load_users(cx.session.id).ok_or(errors::NO_ACL_FILE)?)));
    Ok(())
}

fn save(cx: &mut SessionCx<'_>, _args: Args<'_>, _reply: &mut Reply<'_>) -> CmdResult {
    cx.then = Some(Then::Offload(Offload(cx.server.save_users().ok_or(errors::NO_ACL_FILE)?)));
    Ok(())
}

fn setuser(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let (name, words) = (&args[2], args.tail(3));
    if name.is_empty() || name.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b)) {
        return Err(errors::USER_NAME);
    }
    let rules = join_selectors(words.iter()).map_err(|at| errors::unmatched_parenthesis(&words[at]))?;
    let change = cx.server.accounts().set(name, &rules);
    let change = change.map_err(|(at, error)| errors::acl_rule(&rules[at], error))?;
    cx.server.access_changed(&[change], cx.session.id);
    reply.ok();
    Ok(())
}

fn log(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let count = match args.len() {
        2 => LOG_COUNT,
        3 if args[2].eq_ignore_ascii_case(b"RESET") => {
            cx.server.accounts().log().lock().clear();
            reply.ok();
            return Ok(());
        }
        3 => usize::try_from(parse_i64(&args[2]).ok_or(errors::NOT_INTEGER)?).unwrap_or(0),
        _ => return Err(errors::subcommand_syntax("ACL", &args[1])),
    };
    let now_ms = cx.server.now_micros() / 1000;
    write_log(&cx.server.accounts().log().lock(), count, now_ms, reply);
    Ok(())
}

fn write_log(log: &AccessLog, count: usize, now_ms: u64, reply: &mut Reply<'_>) {
    let entries = log.entries();
    let integer = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    reply.array(entries.len().min(count));
    for entry in entries.take(count) {
        let last = &entry.last;
        reply.map(10);
        reply.bulk(b"count");
        reply.integer(integer(entry.count));
        for (name, value) in [
            ("reason", last.reason.name().as_bytes()),
            ("context", last.context.name().as_bytes()),
            ("object", &last.object),
            ("username", &last.user),
        ] {
            reply.bulk(name.as_bytes());
            reply.bulk(value);
        }
        reply.bulk(b"age-seconds");
        reply.double(now_ms.saturating_sub(last.at_ms) as f64 / 1000.0);
        reply.bulk(b"client-info");
        reply.bulk(last.client.as_bytes());
        for (name, number) in [
            ("entry-id", entry.id),
            ("timestamp-created", entry.created_ms),
            ("timestamp-last-updated", last.at_ms),
        ] {
            reply.bulk(name.as_bytes());
            reply.integer(integer(number));
        }
    }
}

/// Notes that somebody did not become the user that they said they were.
pub(super) fn note_failed_login(cx: &SessionCx<'_>, command: &str, user: &[u8]) {
    let filter = ClientFilter { ids: Some(vec![cx.session.id]), ..ClientFilter::default() };
    cx.server.accounts().deny(Denial {
        reason: acl::Reason::Auth,
        context: if cx.session.transaction.is_some() { acl::Context::Multi } else { acl::Context::TopLevel },
        object: command.into(),
        user: user.to_vec(),
        client: cx.server.clients(&filter).pop().unwrap_or_default(),
        at_ms: cx.server.now_micros() / 1000,
    });
}
