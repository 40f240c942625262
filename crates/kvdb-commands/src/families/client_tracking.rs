//! CLIENT TRACKING and its like: being told when keys change that the client keeps.

use std::collections::BTreeSet;

use kvdb_resp::{Args, Reply};

use super::client::{ROW, switch};
use crate::errors::{self, CmdResult, CommandError};
use crate::session::SessionCx;
use crate::spec::{CommandSpec, Handler};
use crate::tracking::{Mode, Tracking};
use crate::values::number::parse_i64;

const TWO_REDIRECTS: CommandError =
    CommandError::fixed("ERR A client can only redirect to a single other client");
const NO_SUCH_REDIRECT: CommandError =
    CommandError::fixed("ERR The client ID you want redirect to does not exist");
const PREFIX_WITHOUT_BROADCAST: CommandError =
    CommandError::fixed("ERR PREFIX option requires BCAST mode to be enabled");
const BROADCAST_SWITCH: CommandError = CommandError::fixed(
    "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
);
const BROADCAST_AND_OPT: CommandError =
    CommandError::fixed("ERR OPTIN and OPTOUT are not compatible with BCAST");
const OPTIN_AND_OPTOUT: CommandError =
    CommandError::fixed("ERR You can't specify both OPTIN mode and OPTOUT mode");
const OPT_SWITCH: CommandError = CommandError::fixed(
    "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
);
const CACHING_WITHOUT_TRACKING: CommandError = CommandError::fixed(
    "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
);
const YES_WITHOUT_OPTIN: CommandError =
    CommandError::fixed("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
const NO_WITHOUT_OPTOUT: CommandError =
    CommandError::fixed("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");

pub(super) const CACHING: CommandSpec = CommandSpec {
    name: "caching",
    arity: 3,
    since: "6.0.0",
    summary: "Has the next command's keys be tracked in OPTIN mode, or not in OPTOUT mode.",
    syntax: "<YES|NO>",
    handler: Handler::Session(caching),
    ..ROW
};

pub(super) const GETREDIR: CommandSpec = CommandSpec {
    name: "getredir",
    since: "6.0.0",
    summary: "Returns the number of the client that is told in this one's place: 0 for none, -1 without tracking.",
    handler: Handler::Session(getredir),
    ..ROW
};

pub(super) const TRACKING: CommandSpec = CommandSpec {
    name: "tracking",
    arity: -3,
    since: "6.0.0",
    complexity: "O(N) for N prefixes",
    summary: "Has the connection told when keys change that it has read, or that begin with a prefix.",
    syntax: "<ON|OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
    handler: Handler::Session(tracking),
    ..ROW
};

pub(super) const TRACKINGINFO: CommandSpec = CommandSpec {
    name: "trackinginfo",
    since: "6.2.0",
    summary: "Describes what the connection is told of changes of keys.",
    handler: Handler::Session(trackinginfo),
    ..ROW
};

/// The options of CLIENT TRACKING.
#[derive(Default)]
struct Options<'a> {
    redirect: Option<u64>,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    prefixes: Vec<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(cx: &SessionCx<'_>, args: Args<'a>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(word) = args.next() {
            match &*word.to_ascii_lowercase() {
                b"redirect" if args.len() > 0 => {
                    if options.redirect.is_some() {
                        return Err(TWO_REDIRECTS);
                    }
                    let id = args.next().and_then(parse_i64).ok_or(errors::NOT_INTEGER)?;
                    let id = u64::try_from(id).ok().filter(|&id| cx.server.has_client(id));
                    options.redirect = Some(id.ok_or(NO_SUCH_REDIRECT)?);
                }
                b"prefix" if args.len() > 0 => options.prefixes.extend(args.next()),
                b"bcast" => options.broadcast = true,
                b"optin" => options.opt_in = true,
                b"optout" => options.opt_out = true,
                b"noloop" => options.no_loop = true,
                _ => return Err(errors::SYNTAX),
            }
        }
        Ok(options)
    }

    fn mode(&self) -> Result<Mode, CommandError> {
        match (self.broadcast, self.opt_in, self.opt_out) {
            (true, false, false) => Ok(Mode::Broadcast),
            (true, ..) => Err(BROADCAST_AND_OPT),
            (_, true, true) => Err(OPTIN_AND_OPTOUT),
            (_, true, _) => Ok(Mode::OptIn),
            (_, _, true) => Ok(Mode::OptOut),
            (false, false, false) => Ok(Mode::Read),
        }
    }
}

fn tracking(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let options = Options::parse(cx, args.tail(3))?;
    if switch(&args[2])? {
        let tracking = begin(cx.session.tracking.as_deref(), &options)?;
        cx.server.track(cx.session.id, Some(&tracking));
        cx.session.tracking = Some(Box::new(tracking));
    } else {
        cx.server.track(cx.session.id, None);
        cx.session.tracking = None;
    }
    reply.ok();
    Ok(())
}

/// What a client will have asked for that has asked for something before, or not.
fn begin(before: Option<&Tracking>, options: &Options<'_>) -> Result<Tracking, CommandError> {
    if !options.broadcast && !options.prefixes.is_empty() {
        return Err(PREFIX_WITHOUT_BROADCAST);
    }
    if before.is_some_and(|before| (before.mode == Mode::Broadcast) != options.broadcast) {
        return Err(BROADCAST_SWITCH);
    }
    let mode = options.mode()?;
    if matches!(
        (before.map(|before| before.mode), mode),
        (Some(Mode::OptIn), Mode::OptOut) | (Some(Mode::OptOut), Mode::OptIn)
    ) {
        return Err(OPT_SWITCH);
    }
    let mut prefixes = before.map_or_else(BTreeSet::new, |before| before.prefixes.clone());
    if mode == Mode::Broadcast {
        check_prefixes(&prefixes, &options.prefixes)?;
        // Without a prefix it is told of all keys: they begin with nothing.
        let named = options.prefixes.iter().map(|&prefix| prefix.into());
        prefixes.extend(named);
        if options.prefixes.is_empty() {
            prefixes.insert(Box::default());
        }
    }
    let caching = before.is_some_and(|before| before.caching);
    Ok(Tracking { mode, redirect: options.redirect, no_loop: options.no_loop, prefixes, caching })
}

/// No prefix of a client is the beginning of another one, or it would be told of a key twice.
fn check_prefixes(present: &BTreeSet<Box<[u8]>>, new: &[&[u8]]) -> CmdResult {
    let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    for (at, prefix) in new.iter().enumerate() {
        if let Some(other) = present.iter().find(|other| overlap(prefix, other)) {
            return Err(errors::prefix_overlaps(prefix, "an existing", other));
        }
        if let Some(other) = new[at + 1..].iter().find(|other| overlap(prefix, other)) {
            return Err(errors::prefix_overlaps(prefix, "another provided", other));
        }
    }
    Ok(())
}

fn caching(cx: &mut SessionCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let tracking = cx.session.tracking.as_deref_mut().ok_or(CACHING_WITHOUT_TRACKING)?;
    match (&*args[2].to_ascii_lowercase(), tracking.mode) {
        (b"yes", Mode::OptIn) | (b"no", Mode::OptOut) => tracking.caching = true,
        (b"yes", _) => return Err(YES_WITHOUT_OPTIN),
        (b"no", _) => return Err(NO_WITHOUT_OPTOUT),
        _ => return Err(errors::SYNTAX),
    }
    reply.ok();
    Ok(())
}

/// The client that is told in this one's place; 0 for none, -1 without tracking.
fn redirect(tracking: Option<&Tracking>) -> i64 {
    tracking.map_or(-1, |tracking| tracking.redirect.map_or(0, |id| i64::try_from(id).unwrap_or(i64::MAX)))
}

fn getredir(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply.integer(redirect(cx.session.tracking.as_deref()));
    Ok(())
}

fn trackinginfo(cx: &mut SessionCx<'_>, _args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let tracking = cx.session.tracking.as_deref();
    let mut flags = vec![if tracking.is_some() { "on" } else { "off" }];
    if let Some(tracking) = tracking {
        let (mode, caching) = match tracking.mode {
            Mode::Read => (None, None),
            Mode::OptIn => (Some("optin"), Some("caching-yes")),
            Mode::OptOut => (Some("optout"), Some("caching-no")),
            Mode::Broadcast => (Some("bcast"), None),
        };
        flags.extend(mode);
        flags.extend(caching.filter(|_| tracking.caching));
        flags.extend(tracking.no_loop.then_some("noloop"));
        flags.extend(cx.server.is_redirect_broken(cx.session.id).then_some("broken_redirect"));
    }
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.integer(redirect(tracking));
    reply.bulk(b"prefixes");
    reply.array(tracking.map_or(0, |tracking| tracking.prefixes.len()));
    tracking.into_iter().flat_map(|tracking| &tracking.prefixes).for_each(|prefix| reply.bulk(prefix));
    Ok(())
}

/// The channel on which a client that speaks RESP2 is told in another one's place.
pub const CHANNEL: &[u8] = b"__redis__:invalidate";

/// Writes a message to a client about keys that have changed; all may have where none are named. In RESP2 it has the form
/// of a message from a channel.
pub fn write_invalidation(reply: &mut Reply<'_>, keys: Option<&[&[u8]]>) {
    match reply.protocol() {
        kvdb_resp::Protocol::Resp2 => {
            reply.push(3);
            reply.bulk(b"message");
            reply.bulk(CHANNEL);
        }
        kvdb_resp::Protocol::Resp3 => {
            reply.push(2);
            reply.bulk(b"invalidate");
        }
    }
    match keys {
        None => reply.null(),
        Some(keys) => {
            reply.array(keys.len());
            keys.iter().for_each(|key| reply.bulk(key));
        }
    }
}

/// Writes a message to a client that the one which was told in its place is gone; only RESP3 has such messages.
pub fn write_broken_redirect(reply: &mut Reply<'_>, redirect: u64) {
    reply.push(2);
    reply.bulk(b"tracking-redir-broken");
    reply.integer(i64::try_from(redirect).unwrap_or(i64::MAX));
}
