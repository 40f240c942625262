//! Memory of elements, type by type: what a million small elements add to the server's resident memory.

use std::fmt::Write as _;

use super::Bench;
use super::drive::{Generator, Load};
use crate::bench::probe;
use crate::failure::Outcome;
use crate::workspace::Scratch;

/// A way to hold elements: the commands that make `elements` of them.
struct Holding {
    name: &'static str,
    command: &'static str,
    /// One element, if a command has several; `#` stands for its number in the collection.
    element: &'static str,
    /// Elements of one collection; 0 for all in one, each by a command of its own.
    each: u64,
}

const fn holding(each: u64, name: &'static str, command: &'static str, element: &'static str) -> Holding {
    Holding { name, command, element, each }
}

const HOLDINGS: &[Holding] = &[
    holding(10, "hashes of 10", "HSET h:{rand}", "field:# {value}"),
    holding(100, "hashes of 100", "HSET h:{rand}", "field:# {value}"),
    holding(0, "one hash", "HSET h field:{rand} {value}", ""),
    holding(10, "lists of 10", "RPUSH l:{rand}", "{value}"),
    holding(100, "lists of 100", "RPUSH l:{rand}", "{value}"),
    holding(0, "one list", "RPUSH l {value}", ""),
    holding(10, "sets of 10", "SADD s:{rand}", "member:#"),
    holding(100, "sets of 100", "SADD s:{rand}", "member:#"),
    holding(0, "one set", "SADD s member:{rand}", ""),
    holding(10, "sets of 10 integers", "SADD s:{rand}", "1#"),
    holding(0, "one set of integers", "SADD s {int}", ""),
    holding(10, "sorted sets of 10", "ZADD z:{rand}", "{int} member:#"),
    holding(100, "sorted sets of 100", "ZADD z:{rand}", "{int} member:#"),
    holding(0, "one sorted set", "ZADD z {int} member:{rand}", ""),
    holding(100, "streams of 100", "XADD x:{rand} * field {value}", ""),
    holding(0, "one stream", "XADD x * field {value}", ""),
    holding(
        10,
        "geographic sets of 10",
        "GEOADD g:{rand}",
        "13.{below:1000000000000} 52.{below:1000000000000} member:#",
    ),
    holding(
        0,
        "one geographic set",
        "GEOADD g 13.{below:1000000000000} 52.{below:1000000000000} member:{rand}",
        "",
    ),
];

/// Bytes of a value.
const VALUE: usize = 16;

/// One row of the table: bytes of resident memory that the elements added.
pub(super) struct Held {
    name: &'static str,
    baseline: f64,
    candidate: f64,
}

/// Measures every holding with `elements` elements in both servers.
pub(super) fn of_types(bench: &Bench<'_>, elements: u64) -> Outcome<Vec<Held>> {
    let mut rows = Vec::new();
    for holding in HOLDINGS {
        let added =
            |redis| -> Outcome<f64> { Ok(holding.measure(bench, redis, elements)? as f64 / elements as f64) };
        let (baseline, candidate) = (added(true)?, added(false)?);
        eprintln!("  {:<22} {baseline:>7.1} {candidate:>7.1} bytes/element", holding.name);
        rows.push(Held { name: holding.name, baseline, candidate });
    }
    Ok(rows)
}

impl Holding {
    fn measure(&self, bench: &Bench<'_>, redis: bool, elements: u64) -> Outcome<u64> {
        let scratch = Scratch::new("bench-memory")?;
        let server = bench.start(redis, &scratch.path().join("data"))?;
        let empty = probe::resident(server.pid())?;
        let load = Load {
            generator: Generator::Own,
            port: server.port(),
            connections: 8,
            keyspace: elements,
            value_size: VALUE,
        };
        let (template, commands, range) = self.making(elements);
        load.fill(&template, commands, range)?;
        probe::settle(server.pid(), super::SETTLE_WITHIN)?;
        let full = probe::resident_at_rest(server.pid())?;
        server.stop()?;
        Ok(full.saturating_sub(empty))
    }

    /// The command, how often it is sent, and what its `{rand}` is below.
    fn making(&self, elements: u64) -> (String, u64, u64) {
        if self.each == 0 {
            return (self.command.to_owned(), elements, elements);
        }
        let collections = elements / self.each;
        if self.element.is_empty() {
            return (self.command.to_owned(), elements, collections);
        }
        let mut text = self.command.to_owned();
        for at in 0..self.each {
            text += " ";
            text += &self.element.replace('#', &format!("{at:012}"));
        }
        (text, collections, collections)
    }
}

/// The table as Markdown.
pub(super) fn table(rows: &[Held], elements: u64, ours: &str) -> Outcome<String> {
    let mut out = String::new();
    writeln!(
        out,
        "{elements} elements with names of 18 or 19 bytes and values of {VALUE} where there is one:\n\n\
         | held in | bytes/element redis | bytes/element {ours} | ratio |\n|---|--:|--:|--:|"
    )?;
    for Held { name, baseline, candidate } in rows {
        writeln!(out, "| {name} | {baseline:.1} | {candidate:.1} | {:.2} |", candidate / baseline.max(0.1))?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::mix::Mix;

    #[test]
    fn every_holding_has_as_many_elements_as_asked_for() {
        for holding in HOLDINGS {
            let (template, commands, range) = holding.making(1_000);
            Mix::of(holding.name, &template, VALUE).expect(holding.name);
            let each = if holding.element.is_empty() { 1 } else { holding.each };
            assert_eq!(commands * each, 1_000, "{}", holding.name);
            assert!(range <= commands);
        }
    }
}
