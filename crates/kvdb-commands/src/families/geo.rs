//! Geographic indexes: sorted sets whose scores are positions on the earth.

use kvdb_geo::{Point, Unit, decode, encode, geohash, write_distance};
use kvdb_resp::{Args, Reply};
use kvdb_store::{ReadCx, WriteCx};

use super::sorted_set::{AddOptions, ROW as SORTED_SET_ROW, add, sorted_set};
use crate::errors::{self, CmdResult, CommandError};
use crate::spec::{CommandSpec, Flags, Group, Handler, KeySpec};
use crate::values::number::parse_f64;

/// What the rows of the families of geographic indexes have in common.
pub(super) const ROW: CommandSpec =
    CommandSpec { flags: Flags::NONE, group: Group::Geo, since: "3.2.0", ..SORTED_SET_ROW };

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "geoadd",
        arity: -5,
        flags: Flags::DENYOOM,
        keys: &[KeySpec::one(&["RW", "update"])],
        complexity: "O(log(N)) for each member added, N being the number of members",
        summary: "Gives members of a geographic index positions; replies with how many are new, or moved with CH.",
        syntax: "key [NX|XX] [CH] longitude:double latitude:double member [longitude:double latitude:double member ...]",
        handler: Handler::Write(geoadd),
        ..ROW
    },
    CommandSpec {
        name: "geodist",
        arity: -4,
        complexity: "O(1)",
        summary: "Replies with the distance between two members of a geographic index.",
        syntax: "key member1 member2 [M|KM|FT|MI]",
        handler: Handler::Read(geodist),
        ..ROW
    },
    CommandSpec {
        name: "geohash",
        arity: -2,
        complexity: "O(N) for N members asked for",
        summary: "Replies with the positions of members of a geographic index as geohashes.",
        syntax: "key [member ...]",
        handler: Handler::Read(geohashes),
        ..ROW
    },
    CommandSpec {
        name: "geopos",
        arity: -2,
        complexity: "O(N) for N members asked for",
        summary: "Replies with the positions of members of a geographic index as longitude and latitude.",
        syntax: "key [member ...]",
        handler: Handler::Read(geopos),
        ..ROW
    },
];

const UNIT: CommandError = CommandError::fixed("ERR unsupported unit provided. please use M, KM, FT, MI");

/// A position, as longitude and latitude.
pub(super) fn parse_position(longitude: &[u8], latitude: &[u8]) -> Result<Point, CommandError> {
    let degrees = |text| parse_f64(text).ok_or(errors::NOT_FLOAT);
    Point::new(degrees(longitude)?, degrees(latitude)?)
        .map_err(|error| CommandError::new(format!("ERR {error}")))
}

/// A unit of length.
pub(super) fn parse_unit(text: &[u8]) -> Result<Unit, CommandError> {
    Unit::parse(text).ok_or(UNIT)
}

/// Replies with a distance of so many meters in a unit.
pub(super) fn reply_distance(reply: &mut Reply<'_>, meters: f64, unit: Unit) {
    let mut text = Vec::new();
    write_distance(&mut text, unit.of_meters(meters));
    reply.bulk(&text);
}

/// Replies with longitude and latitude of a position.
pub(super) fn reply_position(reply: &mut Reply<'_>, point: Point) {
    reply.array(2);
    for degrees in [point.longitude(), point.latitude()] {
        reply.decimal(&degrees_text(degrees));
    }
}

/// Degrees with at most 17 decimals, none of the last of which is 0.
fn degrees_text(degrees: f64) -> String {
    let mut text = format!("{degrees:.17}");
    text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    if text == "-0" { "0".to_owned() } else { text }
}

fn geoadd(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let mut options = AddOptions::default();
    let mut take = |word: &[u8]| {
        match &*word.to_ascii_lowercase() {
            b"nx" => options.only_new = true,
            b"xx" => options.only_old = true,
            b"ch" => options.count_changed = true,
            _ => return false,
        }
        true
    };
    let words = args.tail(2).iter().take_while(|word| take(word)).count();
    let triples = args.tail(2 + words);
    if !triples.len().is_multiple_of(3) || (options.only_new && options.only_old) {
        return Err(errors::SYNTAX);
    }
    let mut members = Vec::with_capacity(triples.len() / 3);
    let mut rest = triples.iter();
    while let (Some(longitude), Some(latitude), Some(member)) = (rest.next(), rest.next(), rest.next()) {
        members.push((encode(parse_position(longitude, latitude)?), member));
    }
    if members.is_empty() {
        return Err(errors::SYNTAX);
    }
    add(cx, &args[1], &options, &members, reply)
}

fn geodist(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let unit = match args.get(4) {
        None => Unit::Meters,
        Some(unit) if args.len() == 5 => parse_unit(unit)?,
        Some(_) => return Err(errors::SYNTAX),
    };
    let set = sorted_set(cx.get(&args[1]))?;
    let position = |member: &[u8]| set.and_then(|set| set.score(member)).map(decode);
    match (position(&args[2]), position(&args[3])) {
        (Some(from), Some(to)) => reply_distance(reply, from.distance(to), unit),
        _ => reply.null(),
    }
    Ok(())
}

/// Replies with something about the score of each member that was asked for, or with what `none` writes where there is
/// no such member.
fn reply_each(
    cx: &mut ReadCx<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    some: impl Fn(&mut Reply<'_>, f64),
    none: impl Fn(&mut Reply<'_>),
) -> CmdResult {
    let set = sorted_set(cx.get(&args[1]))?;
    let members = args.tail(2);
    reply.array(members.len());
    for member in members {
        match set.and_then(|set| set.score(member)) {
            Some(score) => some(reply, score),
            None => none(reply),
        }
    }
    Ok(())
}

fn geohashes(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_each(cx, args, reply, |reply, score| reply.bulk(&geohash(score)), |reply| reply.null())
}

fn geopos(cx: &mut ReadCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    reply_each(
        cx,
        args,
        reply,
        |reply, score| reply_position(reply, decode(score)),
        |reply| reply.null_array(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_have_no_zeros_behind_them() {
        for (degrees, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (-1e-19, "0"),
            (100.0, "100"),
            (-0.5, "-0.5"),
            (13.361_389_338_970_184, "13.36138933897018433"),
        ] {
            assert_eq!(degrees_text(degrees), text);
        }
    }
}
