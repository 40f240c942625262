//! Searching a geographic index: what lies in a circle or a box.

use itoa::Buffer;
use kvdb_resp::{Args, Reply};
use kvdb_store::types::sorted_set::Gathered;
use kvdb_store::{Event, ReadCx, WriteCx};

use super::geo::{ROW as GEO_ROW, reply_distance, reply_position};
use super::geo_query::{Form, Found, Query};
use super::sorted_set::{sorted_set, store};
use super::string_value::{bytes, reply_value};
use crate::errors::CmdResult;
use crate::events;
use crate::spec::{CommandSpec, Flags, Handler, KeySpec};

/// What the rows of this family have in common.
const ROW: CommandSpec = CommandSpec {
    complexity: "O(N+log(M)) for N members in the cells around the area, of M members",
    ..GEO_ROW
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "geosearch",
        arity: -7,
        since: "6.2.0",
        summary: "Replies with the members of a geographic index within a circle or a box.",
        syntax: "key <FROMMEMBER member|FROMLONLAT longitude:double latitude:double> <BYRADIUS radius:double <M|KM|FT|MI>|BYBOX width:double height:double <M|KM|FT|MI>> [ASC|DESC] [COUNT count:integer [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
        handler: Handler::Read(geosearch),
        ..ROW
    },
    CommandSpec {
        name: "geosearchstore",
        arity: -8,
        flags: Flags::DENYOOM,
        keys: &[KeySpec::one(&["OW", "update"]), KeySpec::at(2, &["RO", "access"])],
        since: "6.2.0",
        summary: "Gives a key the sorted set of the members of a geographic index within a circle or a box.",
        syntax: "destination:key source:key <FROMMEMBER member|FROMLONLAT longitude:double latitude:double> <BYRADIUS radius:double <M|KM|FT|MI>|BYBOX width:double height:double <M|KM|FT|MI>> [ASC|DESC] [COUNT count:integer [ANY]] [STOREDIST]",
        handler: Handler::Write(geosearchstore),
        ..ROW
    },
    CommandSpec {
        name: "georadius",
        arity: -6,
        flags: Flags::DENYOOM,
        keys: &[
            KeySpec::one(&["RO", "access"]),
            KeySpec::behind("STORE", 6, &["OW", "update"]),
            KeySpec::behind("STOREDIST", 6, &["OW", "update"]),
        ],
        summary: "Replies with the members of a geographic index around a position, or stores them.",
        syntax: "key longitude:double latitude:double radius:double <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:integer [ANY]] [ASC|DESC] [STORE key|STOREDIST key]",
        handler: Handler::Write(georadius),
        ..ROW
    },
    CommandSpec {
        name: "georadius_ro",
        arity: -6,
        since: "3.2.10",
        summary: "Replies with the members of a geographic index around a position.",
        syntax: "key longitude:double latitude:double radius:double <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:integer [ANY]] [ASC|DESC]",
        handler: Handler::Read(georadius_ro),
        ..ROW
    },
    CommandSpec {
        name: "georadiusbymember",
        arity: -5,
        flags: Flags::DENYOOM,
        keys: &[
            KeySpec::one(&["RO", "access"]),
            KeySpec::behind("STORE", 5, &["OW", "update"]),
            KeySpec::behind("STOREDIST", 5, &["OW", "update"]),
        ],
        summary: "Replies with the members of a geographic index around one of them, or stores them.",
        syntax: "key member radius:double <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:integer [ANY]] [ASC|DESC] [STORE key|STOREDIST key]",
        handler: Handler::Write(georadiusbymember),
        ..ROW
    },
    CommandSpec {
        name: "georadiusbymember_ro",
        arity: -5,
        since: "3.2.10",
        summary: "Replies with the members of a geographic index around one of them.",
        syntax: "key member radius:double <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:integer [ANY]] [ASC|DESC]",
        handler: Handler::Read(georadiusbymember_ro),
        ..ROW
    },
];

/// Replies with what was found, each member with what the query wants to be told of it.
fn reply_found(reply: &mut Reply<'_>, query: &Query<'_>, found: &[Found<'_>]) {
    let details = [query.with_distance, query.with_hash, query.with_position];
    let details = details.into_iter().filter(|is| *is).count();
    reply.array(found.len());
    for Found { member, score, point, meters } in found {
        if reply.is_full() {
            break;
        }
        if details > 0 {
            reply.array(1 + details);
        }
        reply_value(reply, Some(*member));
        if query.with_distance {
            reply_distance(reply, *meters, query.unit());
        }
        if query.with_hash {
            reply.integer(*score as i64);
        }
        if query.with_position {
            reply_position(reply, *point);
        }
    }
}

fn search(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>, form: Form) -> CmdResult {
    let set = sorted_set(cx.get(&args[1]))?;
    let query = Query::parse(args, form, set)?;
    reply_found(reply, &query, &query.find(set));
    Ok(())
}

/// Searches the index that is the argument `source`; stores what it finds, or replies with it where the options name no
/// destination.
fn search_or_store(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    (form, source, event): (Form, usize, Event),
) -> CmdResult {
    let layout = cx.layout();
    let set = sorted_set(cx.lookup(&args[source]))?;
    let query = Query::parse(args, form, set)?;
    let found = query.find(set);
    let Some(destination) = query.destination else {
        reply_found(reply, &query, &found);
        return Ok(());
    };
    let mut gathered = Gathered::new(&layout);
    let mut digits = Buffer::new();
    for Found { member, score, meters, .. } in found {
        let score = if query.store_distances { query.unit().of_meters(meters) } else { score };
        gathered.add(bytes(member, &mut digits), score, |_, new| new);
    }
    let gathered = gathered.finish(&layout);
    store(cx, destination, gathered, event, reply);
    Ok(())
}

fn geosearch(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    search(cx, args, reply, Form::Search)
}

fn geosearchstore(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    search_or_store(cx, args, reply, (Form::SearchStore, 2, events::GEOSEARCHSTORE))
}

fn georadius(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    search_or_store(cx, args, reply, (Form::Radius { stores: true }, 1, events::GEORADIUSSTORE))
}

fn georadius_ro(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    search(cx, args, reply, Form::Radius { stores: false })
}

fn georadiusbymember(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    search_or_store(cx, args, reply, (Form::RadiusByMember { stores: true }, 1, events::GEORADIUSSTORE))
}

fn georadiusbymember_ro(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    search(cx, args, reply, Form::RadiusByMember { stores: false })
}
