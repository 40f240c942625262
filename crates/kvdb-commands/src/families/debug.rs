//! DEBUG: for tests of clients and of the server itself. Off unless `enable-debug-command` says otherwise.
//!
//! What Redis' public test suites ask of these families is here, in KVDB's terms: RELOAD drops every object from memory,
//! so that the next commands read from the disk.

use kvdb_resp::{Args, Protocol, Reply};
use kvdb_store::{ReadCx, Residency, Scratch, ValueRef};

use crate::errors::{self, CmdResult, CommandError};
use crate::families::help;
use crate::session::{Offload, SessionCx, Then};
use crate::spec::{CommandSpec, Flags, Group, Handler};
use crate::values::glob::{Case, matches};
use crate::values::number::parse_f64;

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[CommandSpec {
    name: "debug",
    arity: -2,
    flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE),
    keys: &[],
    categories: &[],
    group: Group::Server,
    since: "1.0.0",
    complexity: "Depends on the subcommand",
    summary: "Commands for tests.",
    syntax: "subcommand [arg ...]",
    handler: Handler::Session(debug),
    subcommands: &[],
}];

const HELP: &[&str] = &[
    "ERROR <text>",
    "    Replies with <text> as an error.",
    "LOADAOF",
    "    The same as RELOAD.",
    "LOG <text>",
    "    Writes <text> to the server's log.",
    "OBJECT <key>",
    "    Tells how the value of <key> is held.",
    "PAUSE-CRON <0|1>",
    "    Whether the work that is done regularly rests.",
    "PROTOCOL <type>",
    "    Replies with a value of a type: string, integer, double, bignum, null, array,",
    "    set, map, attrib, push, verbatim, true or false.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    Does nothing: lists have no such nodes. The tests of Redis ask for it.",
    "RELOAD",
    "    Makes a checkpoint and drops every object from memory.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Whether keys are deleted at their deadline even if nobody asks for them.",
    "SET-DISABLE-DENY-SCRIPTS <0|1>",
    "    Whether scripts may run DEBUG PROTOCOL, which the tests of Redis want.",
    "SLEEP <seconds>",
    "    Lets the connection wait; fractions are allowed.",
    "STRINGMATCH-LEN <pattern> <text>",
    "    Whether <text> matches the glob <pattern>.",
];

fn debug(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    if !cx.server.debug_allowed(cx.session.id) {
        return Err(errors::DEBUG_NOT_ALLOWED);
    }
    let unknown = || errors::subcommand_syntax("DEBUG", &args[1]);
    let subcommand = args[1].to_ascii_lowercase();
    match (subcommand.as_slice(), args.len()) {
        (b"error", 3) => reply.error(&args[2]),
        (b"help", 2) => help::write(reply, "DEBUG", HELP),
        (b"log", 3) => {
            cx.server.log(&format!("DEBUG LOG: {}", errors::printable(&args[2])));
            reply.ok();
        }
        (b"object", 3) => return object(cx, &args[2], reply),
        (b"pause-cron", 3) => {
            cx.server.pause_upkeep(&args[2] != b"0");
            reply.ok();
        }
        (b"protocol", 3) => return protocol(&args[2], reply),
        (b"quicklist-packed-threshold", 3) => reply.ok(),
        (b"reload" | b"loadaof", _) => reload(cx),
        (b"set-active-expire", 3) => {
            cx.server.set_active_expiry(&args[2] != b"0");
            reply.ok();
        }
        (b"set-disable-deny-scripts", 3) => {
            cx.server.set_debug_in_scripts(&args[2] != b"0");
            reply.ok();
        }
        (b"sleep", 3) => {
            let seconds = parse_f64(&args[2]).filter(|seconds| *seconds > 0.0).unwrap_or(0.0);
            // A float beyond the range of the integer becomes its largest value.
            cx.then = Some(Then::Sleep { micros: (seconds * 1e6) as u64 });
            reply.ok();
        }
        (b"stringmatch-len", 4) => reply.integer(matches(&args[2], &args[3], Case::Sensitive).into()),
        _ => return Err(unknown()),
    }
    Ok(())
}

fn object(cx: &mut SessionCx<'_>, key: &[u8], reply: &mut Reply<'_>) -> CmdResult {
    let (store, db, env) = (cx.store, cx.session.db, cx.env);
    let mut scratch = Scratch::default();
    let mut guards = store.latch(store.place(key));
    let residency = store.ensure_resident(&mut guards, db, key, &env);
    match residency.map_err(|message| CommandError::new(format!("ERR {message}")))? {
        Residency::Ready => {}
        Residency::NeedIo => {
            cx.then = Some(Then::Load(db, key.to_vec()));
            return Ok(());
        }
    }
    let mut run = ReadCx::new(store, guards, &mut scratch, env, db);
    run.peek(key);
    cx.depends_on = run.depends_on();
    let object = run.peek(key).ok_or(errors::NO_SUCH_KEY)?;
    let length = object.string().map_or(0, serialized_len);
    let (encoding, idle) = (object.encoding(), object.idle_seconds(env.now));
    let last_used = (env.now / 1000).saturating_sub(idle) & 0xff_ffff;
    reply.simple(&format!(
        "Value at:0x0 refcount:1 encoding:{encoding} serializedlength:{length} lru:{last_used} lru_seconds_idle:{idle}"
    ));
    Ok(())
}

/// How many bytes a string takes in an RDB file without compression.
fn serialized_len(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Int(i) if i8::try_from(i).is_ok() => 2,
        ValueRef::Int(i) if i16::try_from(i).is_ok() => 3,
        ValueRef::Int(i) if i32::try_from(i).is_ok() => 5,
        _ => match value.len() {
            len @ ..=0x3f => len + 1,
            len @ ..=0x3fff => len + 2,
            len => len + 5,
        },
    }
}

fn reload(cx: &mut SessionCx<'_>) {
    /// More rounds than dropping everything needs when nobody loads at the same time.
    const ROUNDS: u64 = 64;
    let (checkpoint, store, env) = (cx.server.checkpoint(), cx.store.clone(), cx.env);
    let work = move || {
        let settled = store.appended();
        checkpoint().map_err(|message| format!("ERR {message}"))?;
        for round in 0..ROUNDS {
            if store.resident_keys() == 0 {
                break;
            }
            store.evict_to_disk(0, settled, env.now, env.random.wrapping_add(round));
        }
        Ok("OK".to_owned())
    };
    cx.then = Some(Then::Offload(Offload(Box::new(work))));
}

fn protocol(kind: &[u8], reply: &mut Reply<'_>) -> CmdResult {
    match kind.to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        // Written apart, since it is not meant to be π.
        b"double" => reply.double(3141.0 / 1000.0),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"map" => {
            reply.map(3);
            for n in 0..3 {
                reply.integer(n);
                reply.boolean(n == 1);
            }
        }
        b"attrib" => {
            if reply.protocol() == Protocol::Resp3 {
                reply.raw(b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n");
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if reply.protocol() == Protocol::Resp2 => return Err(errors::RESP3_ONLY),
        b"push" => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
        }
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"verbatim" => reply.verbatim(b"txt", "This is a verbatim\nstring"),
        _ => return Err(errors::DEBUG_PROTOCOL_TYPE),
    }
    Ok(())
}
