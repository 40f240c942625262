//! What a search of a geographic index asks for, as arguments, and the members that it finds.

use kvdb_geo::{Point, Shape, Unit, decode, search_areas};
use kvdb_resp::Args;
use kvdb_store::ValueRef;
use kvdb_store::types::SortedSet;
use kvdb_store::types::sorted_set::ScoreRange;

use super::geo::{parse_position, parse_unit};
use crate::errors::{self, CommandError};
use crate::values::number::{parse_f64, parse_i64};

const RADIUS: CommandError = CommandError::fixed("ERR need numeric radius");
const NEGATIVE_RADIUS: CommandError = CommandError::fixed("ERR radius cannot be negative");
const WIDTH: CommandError = CommandError::fixed("ERR need numeric width");
const HEIGHT: CommandError = CommandError::fixed("ERR need numeric height");
const NEGATIVE_SIDE: CommandError = CommandError::fixed("ERR height or width cannot be negative");
const NO_MEMBER: CommandError = CommandError::fixed("ERR could not decode requested zset member");
const NO_COUNT: CommandError = CommandError::fixed("ERR COUNT must be > 0");
const ANY_WITHOUT_COUNT: CommandError = CommandError::fixed("ERR the ANY argument requires COUNT argument");

/// Where the commands differ in what they take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// GEOSEARCH: options behind the key.
    Search,
    /// GEOSEARCHSTORE: options behind the destination and the key.
    SearchStore,
    /// GEORADIUS: key, longitude, latitude, radius, unit, options.
    Radius {
        /// Whether options may name a destination.
        stores: bool,
    },
    /// GEORADIUSBYMEMBER: key, member, radius, unit, options.
    RadiusByMember {
        /// Whether options may name a destination.
        stores: bool,
    },
}

/// The order of what is found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    NearestFirst,
    FarthestFirst,
}

/// Which option has said where the middle is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Center {
    Member,
    Position,
}

/// A member that a search has found.
pub(super) struct Found<'s> {
    pub(super) member: ValueRef<'s>,
    pub(super) score: f64,
    pub(super) point: Point,
    /// From the middle of the search, in meters.
    pub(super) meters: f64,
}

/// What a search asks for.
#[derive(Default)]
pub(super) struct Query<'a> {
    /// The middle; not known where the index is not there.
    center: Option<Point>,
    shape: Option<Shape>,
    order: Option<Order>,
    /// Of how many members it replies with, 0 for all.
    count: usize,
    /// Whether any so many members will do, instead of the nearest.
    any: bool,
    pub(super) with_distance: bool,
    pub(super) with_hash: bool,
    pub(super) with_position: bool,
    /// The key that is to have what is found.
    pub(super) destination: Option<&'a [u8]>,
    /// Whether distances become the scores there.
    pub(super) store_distances: bool,
}

impl<'a> Query<'a> {
    /// Reads the arguments of a command. As in Redis, members are looked for meanwhile: `set` is the index.
    pub(super) fn parse(args: Args<'a>, form: Form, set: Option<&SortedSet>) -> Result<Self, CommandError> {
        let arg = |at: usize| args.get(at).unwrap_or_default();
        let mut query = Self::default();
        let options = match form {
            Form::Search => 2,
            Form::SearchStore => {
                query.destination = Some(arg(1));
                3
            }
            Form::Radius { .. } => {
                query.center = Some(parse_position(arg(2), arg(3))?);
                query.shape = Some(parse_circle(arg(4), arg(5))?);
                6
            }
            Form::RadiusByMember { .. } => {
                if let Some(set) = set {
                    query.center = Some(position_of(set, arg(2))?);
                    query.shape = Some(parse_circle(arg(3), arg(4))?);
                }
                5
            }
        };
        query.parse_options(args.tail(options), form, set, args.name())?;
        Ok(query)
    }

    fn parse_options(
        &mut self,
        options: Args<'a>,
        form: Form,
        set: Option<&SortedSet>,
        name: &[u8],
    ) -> Result<(), CommandError> {
        let searches = matches!(form, Form::Search | Form::SearchStore);
        let may_store = matches!(form, Form::Radius { stores: true } | Form::RadiusByMember { stores: true });
        let mut center = None;
        let mut rest = options;
        while let Some(option) = rest.get(0) {
            let mut taken = 1;
            match (&*option.to_ascii_lowercase(), rest.get(1), rest.get(2), rest.get(3)) {
                (b"withdist", ..) => self.with_distance = true,
                (b"withhash", ..) => self.with_hash = true,
                (b"withcoord", ..) => self.with_position = true,
                (b"any", ..) => self.any = true,
                (b"asc", ..) => self.order = Some(Order::NearestFirst),
                (b"desc", ..) => self.order = Some(Order::FarthestFirst),
                (b"count", Some(count), ..) => {
                    let count = parse_i64(count).ok_or(errors::NOT_INTEGER)?;
                    let count = usize::try_from(count).ok().filter(|&count| count > 0);
                    self.count = count.ok_or(NO_COUNT)?;
                    taken = 2;
                }
                (word @ (b"store" | b"storedist"), Some(key), ..) if may_store => {
                    self.destination = Some(key);
                    self.store_distances = word == b"storedist";
                    taken = 2;
                }
                (b"storedist", ..) if form == Form::SearchStore => self.store_distances = true,
                (b"frommember", Some(member), ..) if searches && center != Some(Center::Position) => {
                    self.center = set.map(|set| position_of(set, member)).transpose()?;
                    center = Some(Center::Member);
                    taken = 2;
                }
                (b"fromlonlat", Some(longitude), Some(latitude), _)
                    if searches && center != Some(Center::Member) =>
                {
                    self.center = Some(parse_position(longitude, latitude)?);
                    center = Some(Center::Position);
                    taken = 3;
                }
                (b"byradius", Some(radius), Some(unit), _)
                    if searches && !matches!(self.shape, Some(Shape::Box { .. })) =>
                {
                    self.shape = Some(parse_circle(radius, unit)?);
                    taken = 3;
                }
                (b"bybox", Some(width), Some(height), Some(unit))
                    if searches && !matches!(self.shape, Some(Shape::Radius { .. })) =>
                {
                    self.shape = Some(parse_box(width, height, unit)?);
                    taken = 4;
                }
                _ => return Err(errors::SYNTAX),
            }
            rest = rest.tail(taken);
        }
        if self.destination.is_some() && (self.with_distance || self.with_hash || self.with_position) {
            return Err(stores_nothing_else(searches));
        }
        if searches && center.is_none() {
            return Err(exactly_one("FROMMEMBER or FROMLONLAT", name));
        }
        if searches && self.shape.is_none() {
            return Err(exactly_one("BYRADIUS and BYBOX", name));
        }
        if self.any && self.count == 0 { Err(ANY_WITHOUT_COUNT) } else { Ok(()) }
    }

    /// The unit in which distances are said.
    pub(super) fn unit(&self) -> Unit {
        match self.shape {
            Some(Shape::Radius { unit, .. } | Shape::Box { unit, .. }) => unit,
            None => Unit::Meters,
        }
    }

    /// The members of an index that are asked for, in the order in which they are asked for.
    pub(super) fn find<'s>(&self, set: Option<&'s SortedSet>) -> Vec<Found<'s>> {
        let (Some(set), Some(center), Some(shape)) = (set, self.center, &self.shape) else {
            return Vec::new();
        };
        let areas = search_areas(center, shape);
        let scored = areas.iter().flat_map(|area| {
            let range = ScoreRange { min: area.min, above_min: false, max: area.max, below_max: true };
            set.range(set.ranks_by_score(&range, usize::MAX), false)
        });
        let found = scored.filter_map(|(member, score)| {
            let point = decode(score);
            let meters = shape.distance_within(center, point)?;
            Some(Found { member, score, point, meters })
        });
        let enough = if self.any { self.count } else { usize::MAX };
        let mut found: Vec<Found<'s>> = found.take(enough).collect();
        self.sort(&mut found);
        found
    }

    /// Puts what was found in order, and leaves no more of it than is asked for.
    fn sort(&self, found: &mut Vec<Found<'_>>) {
        // The first so many of an order that nobody asked for are the nearest.
        let nearest = (self.count > 0 && !self.any).then_some(Order::NearestFirst);
        let Some(order) = self.order.or(nearest) else { return };
        let compare = |one: &Found<'_>, other: &Found<'_>| match order {
            Order::NearestFirst => one.meters.total_cmp(&other.meters),
            Order::FarthestFirst => other.meters.total_cmp(&one.meters),
        };
        if self.count > 0 && self.count < found.len() {
            found.select_nth_unstable_by(self.count - 1, compare);
            found.truncate(self.count);
        }
        found.sort_by(compare);
    }
}

/// The position of a member that has to be there.
fn position_of(set: &SortedSet, member: &[u8]) -> Result<Point, CommandError> {
    set.score(member).map(decode).ok_or(NO_MEMBER)
}

fn parse_circle(radius: &[u8], unit: &[u8]) -> Result<Shape, CommandError> {
    let radius = parse_f64(radius).ok_or(RADIUS)?;
    if radius < 0.0 {
        return Err(NEGATIVE_RADIUS);
    }
    Ok(Shape::Radius { radius, unit: parse_unit(unit)? })
}

fn parse_box(width: &[u8], height: &[u8], unit: &[u8]) -> Result<Shape, CommandError> {
    let width = parse_f64(width).ok_or(WIDTH)?;
    let height = parse_f64(height).ok_or(HEIGHT)?;
    if width < 0.0 || height < 0.0 {
        return Err(NEGATIVE_SIDE);
    }
    Ok(Shape::Box { width, height, unit: parse_unit(unit)? })
}

fn stores_nothing_else(searches: bool) -> CommandError {
    let what = if searches { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
    CommandError::new(format!("ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"))
}

fn exactly_one(options: &str, name: &[u8]) -> CommandError {
    let name = errors::printable(name);
    CommandError::new(format!("ERR exactly one of {options} can be specified for {name}"))
}
