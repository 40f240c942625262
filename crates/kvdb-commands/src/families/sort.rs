//! SORT: the elements of a list, a set or a sorted set, in the order of their own values or of others that are named
//! after them.
//!
//! The other values are in keys that no argument names: `BY weight_*` means the key `weight_7` for the element `7`. They
//! cannot be declared, so a run has to reach for them, as a script does for keys that it was not given
//! ([`kvdb_store::reach`] tells how, and why that ends). A run goes through these steps, and changes nothing before the
//! last:
//!
//! 1. read the elements, under the latch that was declared;
//! 2. reach for all keys of BY, and read the weights;
//! 3. put the elements in order and cut out the part that LIMIT names;
//! 4. reach for all keys of GET that this part names, and read them;
//! 5. reply, or store.
//!
//! Where reaching fails in 2 or 4 the run ends with an error that nobody sees, and begins again at 1 with what it lacked:
//! alone by [`crate::exec`], the transaction around it by [`crate::transaction`], the script around it by the server. No
//! latch is given back between 1 and 5 of the run that succeeds, so it sees one moment of all keys.

use std::ops::Range;

use itoa::Buffer;
use kvdb_resp::{Args, Reply};
use kvdb_store::types::{Elements, List};
use kvdb_store::{Carried, CarriedValue, Effect, Event, ValueRef, WriteCx};

use super::sort_elements::{Source, Texts, Weights, order};
use super::sort_pattern::{Get, Pattern, reach};
use super::string_value::{bytes, reply_value};
use crate::errors::{self, CmdResult, CommandError};
use crate::events;
use crate::spec::{CommandSpec, Flags, Group, Handler, KeyPlace, KeySpec};
use crate::values::number::{parse_i64, parse_weight};

/// Something that is sorted by is no number.
const NOT_A_WEIGHT: CommandError =
    CommandError::fixed("ERR One or more scores can't be converted into double");

const READ: &[&str] = &["RO", "access"];
/// The keys that the patterns of BY and GET name.
const NAMED: KeySpec = KeySpec { place: KeyPlace::Unknown, flags: READ };
const DESTINATION: KeySpec = KeySpec {
    place: KeyPlace::LastBehind { word: "STORE", from: 2, options: &[("LIMIT", 2), ("GET", 1), ("BY", 1)] },
    flags: &["OW", "update"],
};

const ROW: CommandSpec = CommandSpec {
    name: "",
    arity: -2,
    flags: Flags::MOVABLE_KEYS,
    keys: &[],
    categories: &["@set", "@sortedset", "@list", "@dangerous"],
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(N+N*log(N)+M) for N elements of which M are replied with; O(M) where they are not sorted",
    summary: "",
    syntax: "",
    handler: Handler::Container,
    subcommands: &[],
};

/// The rows of this family.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "sort",
        flags: Flags::DENYOOM.with(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::one(READ), NAMED, DESTINATION],
        summary: "Replies with the elements of a list, a set or a sorted set in order, or stores them.",
        syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC|DESC] [sorting:ALPHA] [STORE destination]",
        handler: Handler::Write(sort),
        ..ROW
    },
    CommandSpec {
        name: "sort_ro",
        flags: Flags::READONLY.with(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::one(READ), NAMED],
        since: "7.0.0",
        summary: "Replies with the elements of a list, a set or a sorted set in order.",
        syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC|DESC] [sorting:ALPHA]",
        handler: Handler::Write(sort_ro),
        ..ROW
    },
];

/// What elements are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By<'a> {
    /// Themselves.
    Elements,
    /// What a pattern names.
    Pattern(Pattern<'a>),
    /// Nothing: they stay as they are.
    Nothing,
}

/// What the arguments ask for.
#[derive(Debug)]
struct Query<'a> {
    by: By<'a>,
    gets: Vec<Get<'a>>,
    by_text: bool,
    descending: bool,
    /// Elements to leave out, and how many to take; a negative number of them is all.
    limit: (i64, i64),
    destination: Option<&'a [u8]>,
}

impl<'a> Query<'a> {
    fn parse(args: Args<'a>, may_store: bool) -> Result<Self, CommandError> {
        let mut query = Self {
            by: By::Elements,
            gets: Vec::new(),
            by_text: false,
            descending: false,
            limit: (0, -1),
            destination: None,
        };
        let mut options = args.tail(2).iter();
        while let Some(option) = options.next() {
            let mut argument = || options.next().ok_or(errors::SYNTAX);
            match &*option.to_ascii_lowercase() {
                b"asc" => query.descending = false,
                b"desc" => query.descending = true,
                b"alpha" => query.by_text = true,
                b"limit" => {
                    let (start, count) = (argument()?, argument()?);
                    let number = |text| parse_i64(text).ok_or(errors::NOT_INTEGER);
                    query.limit = (number(start)?, number(count)?);
                }
                b"store" if may_store => query.destination = Some(argument()?),
                b"by" => query.by = Pattern::parse(argument()?).map_or(By::Nothing, By::Pattern),
                b"get" => query.gets.push(Get::parse(argument()?)),
                _ => return Err(errors::SYNTAX),
            }
        }
        Ok(query)
    }

    /// The part of so many elements that LIMIT names.
    fn part(&self, len: usize) -> Range<usize> {
        let within = |number: i64| usize::try_from(number).unwrap_or(0).min(len);
        let start = within(self.limit.0);
        let count = if self.limit.1 < 0 { len } else { within(self.limit.1) };
        start..start.saturating_add(count).min(len)
    }

    /// The elements of a key that are asked for, in their order. Nothing where keys have to be reached for first.
    fn sorted(&self, cx: &mut WriteCx<'_>, key: &[u8]) -> Result<Option<Texts>, CommandError> {
        let Some(object) = cx.lookup(key) else { return Ok(Some(Texts::default())) };
        let source = Source::of(object)?;
        let part = self.part(source.len());
        let is_set = matches!(source, Source::Set(_));
        if self.by == By::Nothing && !is_set {
            return Ok(Some(source.in_own_order(part, self.descending)));
        }
        let elements = source.all();
        let weights = match self.by {
            By::Pattern(pattern) => match self.named_weights(cx, &elements, pattern)? {
                Some(weights) => weights,
                None => return Ok(None),
            },
            // The members of a set have no order: that of their texts is as good as any, and always the same.
            By::Nothing => Weights::Own,
            By::Elements if self.by_text => Weights::Own,
            By::Elements => {
                let numbers: Option<Vec<f64>> = elements.iter().map(parse_weight).collect();
                Weights::Numbers(numbers.ok_or(NOT_A_WEIGHT)?)
            }
        };
        let mut sorted = Texts::default();
        let order = order(&elements, &weights, self.descending);
        order[part].iter().for_each(|&at| sorted.push(elements.get(at)));
        Ok(Some(sorted))
    }

    /// The weights that a pattern names for elements; one that has none counts as 0 among numbers.
    fn named_weights(
        &self,
        cx: &mut WriteCx<'_>,
        elements: &Texts,
        pattern: Pattern<'_>,
    ) -> Result<Option<Weights>, CommandError> {
        if !reach(cx, &[pattern], elements.len(), |at| elements.get(at))? {
            return Ok(None);
        }
        let (mut key, mut digits) = (Vec::new(), Buffer::new());
        if self.by_text {
            let most = cx.limits().max_reply_bytes;
            let (mut texts, mut places) = (Texts::default(), Vec::with_capacity(elements.len()));
            for element in elements.iter() {
                places.push(pattern.value(cx, element, &mut key).map(|value| {
                    texts.push_value(value);
                    texts.len() - 1
                }));
                check_size(most, &texts)?;
            }
            return Ok(Some(Weights::Others { texts, places }));
        }
        let mut numbers = Vec::with_capacity(elements.len());
        for element in elements.iter() {
            let value = pattern.value(cx, element, &mut key);
            let number = value.map_or(Some(0.0), |value| parse_weight(bytes(value, &mut digits)));
            numbers.push(number.ok_or(NOT_A_WEIGHT)?);
        }
        Ok(Some(Weights::Numbers(numbers)))
    }

    /// Shows what is asked for about the elements, one after the other. Tells whether it did: where it did not, keys have
    /// to be reached for first.
    fn show(
        &self,
        cx: &mut WriteCx<'_>,
        elements: &Texts,
        mut visit: impl FnMut(Option<ValueRef<'_>>) -> CmdResult,
    ) -> Result<bool, CommandError> {
        if self.gets.is_empty() {
            elements.iter().try_for_each(|element| visit(Some(ValueRef::Bytes(element))))?;
            return Ok(true);
        }
        let patterns: Vec<Pattern<'_>> = self.gets.iter().filter_map(Get::pattern).collect();
        if !reach(cx, &patterns, elements.len(), |at| elements.get(at))? {
            return Ok(false);
        }
        let mut key = Vec::new();
        for element in elements.iter() {
            for get in &self.gets {
                match get {
                    Get::Element => visit(Some(ValueRef::Bytes(element)))?,
                    Get::Nothing => visit(None)?,
                    Get::Pattern(pattern) => visit(pattern.value(cx, element, &mut key))?,
                }
            }
        }
        Ok(true)
    }

    /// How many values are shown of each element.
    fn width(&self) -> usize {
        self.gets.len().max(1)
    }
}

/// What many short keys name may be one long value, many times; and what nothing names is many empty ones.
fn check_size(most: usize, texts: &Texts) -> CmdResult {
    if texts.memory_bytes() > most { Err(errors::REPLY_TOO_LONG) } else { Ok(()) }
}

fn run(cx: &mut WriteCx<'_>, key: &[u8], query: &Query<'_>, reply: &mut Reply<'_>) -> CmdResult {
    let elements = query.sorted(cx, key)?.ok_or(errors::NEEDS_LOAD)?;
    let Some(destination) = query.destination else {
        reply.array(elements.len().saturating_mul(query.width()));
        let shown = query.show(cx, &elements, |value| {
            reply_value(reply, value);
            if reply.is_full() { Err(errors::REPLY_TOO_LONG) } else { Ok(()) }
        })?;
        return if shown { Ok(()) } else { Err(errors::NEEDS_LOAD) };
    };
    let (most, mut found) = (cx.limits().max_reply_bytes, Texts::default());
    let shown = query.show(cx, &elements, |value| {
        found.push_value(value.unwrap_or(ValueRef::Bytes(b"")));
        check_size(most, &found)
    })?;
    if !shown {
        return Err(errors::NEEDS_LOAD);
    }
    store(cx, destination, &found);
    reply.integer(found.len() as i64);
    Ok(())
}

/// Gives a key the list of these elements, or removes it where there are none.
fn store(cx: &mut WriteCx<'_>, key: &[u8], elements: &Texts) {
    if elements.len() == 0 {
        if cx.apply(key, Effect::Delete) {
            cx.notify(Event::DEL, key);
        }
        return;
    }
    let list = List::of(elements.iter(), &cx.layout());
    cx.put(key, Carried { value: CarriedValue::Collection(list.into_collection()), deadline: None });
    cx.notify(events::SORTSTORE, key);
}

fn sort(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    run(cx, &args[1], &Query::parse(args, true)?, reply)
}

fn sort_ro(cx: &mut WriteCx<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> CmdResult {
    run(cx, &args[1], &Query::parse(args, false)?, reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvdb_resp::OwnedArgs;

    #[test]
    fn a_limit_never_names_more_than_there_is() {
        let part = |start: i64, count: i64, len| {
            let words = ["sort", "k", "limit", &start.to_string(), &count.to_string()].map(str::to_owned);
            let args = OwnedArgs::from_iter(&words);
            Query::parse(args.as_args(), true).expect("the words are right").part(len)
        };
        assert_eq!(part(0, -1, 4), 0..4);
        assert_eq!(part(1, 2, 4), 1..3);
        assert_eq!(part(-5, 2, 4), 0..2);
        assert_eq!(part(3, i64::MAX, 4), 3..4);
        assert_eq!(part(i64::MIN, i64::MIN, 4), 0..4);
        assert!(part(i64::MAX, 1, 4).is_empty() && part(2, 0, 4).is_empty() && part(0, 3, 0).is_empty());
    }
}
