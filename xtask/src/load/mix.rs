//! Which commands a load consists of, ready to be sent by copying bytes.
//!
//! Every placeholder has a fixed width, so a command in RESP is the same bytes each time but for the digits: sending one
//! is a copy and a patch.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::failure::{Outcome, fail};
use crate::rng::Rng;
use crate::wire::encode;

/// Keys read like those of `redis-benchmark -r`, so that both generators can work on the same data: `key:000000000042`.
pub(crate) const KEY_DIGITS: usize = 12;

/// The commands that have a name in `--mix`.
const NAMED: &[(&str, &str)] = &[
    ("ping", "PING"),
    ("get", "GET {key}"),
    ("set", "SET {key} {value}"),
    ("setex", "SETEX ttl:{rand} 1000 {value}"),
    ("incr", "INCR counter:{rand}"),
    (
        "mset",
        "MSET {key} {value} {key} {value} {key} {value} {key} {value} {key} {value} \
         {key} {value} {key} {value} {key} {value} {key} {value} {key} {value}",
    ),
    ("getrange", "GETRANGE {key} 0 31"),
    ("append", "APPEND {key} {value}"),
    ("del", "DEL {key}"),
    ("exists", "EXISTS {key}"),
];

/// The template of a command that has a name.
pub(crate) fn named(name: &str) -> Option<&'static str> {
    NAMED.iter().find(|(known, _)| *known == name).map(|(_, template)| *template)
}

#[derive(Debug, Clone)]
pub(crate) struct Mix {
    pub(crate) commands: Vec<Template>,
    total_weight: u64,
}

/// One command: its bytes, and where the random parts of them are.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) name: String,
    weight: u64,
    /// How many replies answer it: more than one where it is several commands (`MULTI ; INCR {key} ; EXEC`).
    pub(super) replies: u32,
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    /// The twelve digits of a key number or of `{rand}`.
    Digits(usize),
    /// Twelve digits of a number below one of its own, of `{below:100}`.
    Below(usize, u64),
    /// The nine digits of `{int}`.
    Integer(usize),
}

/// Where the numbers come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keys {
    Random,
    /// One after the other; each command takes the next.
    Sequential,
}

impl Mix {
    /// Reads `get=80,set=20` or `SETEX {key} 60 {value}=1,get=9`; the weight may be left out.
    pub(crate) fn parse(text: &str, value_size: usize) -> Outcome<Self> {
        let mut commands = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (what, weight) = match part.rsplit_once('=') {
                Some((what, weight)) => (what.trim(), weight.trim().parse::<u64>().ok().filter(|&w| w > 0)),
                None => (part, Some(1)),
            };
            let Some(weight) = weight else { fail!("`{part}` in the mix has no weight above 0") };
            let template = match named(&what.to_ascii_lowercase()) {
                Some(template) => template,
                None if what.contains(' ') || what.chars().all(char::is_uppercase) => what,
                None => {
                    fail!("`{what}` is no known command; write it out, as in `SETEX {{key}} 60 {{value}}=1`")
                }
            };
            commands.push(Template::new(what, template, weight, value_size)?);
        }
        if commands.is_empty() {
            fail!("the mix names no command");
        }
        let total_weight = commands.iter().map(|command| command.weight).sum();
        Ok(Self { commands, total_weight })
    }

    /// A mix of one command (or several that go together, with ` ; ` between them), written out.
    pub(crate) fn of(name: &str, template: &str, value_size: usize) -> Outcome<Self> {
        Ok(Self { commands: vec![Template::new(name, template, 1, value_size)?], total_weight: 1 })
    }

    /// Picks a command by weight.
    pub(super) fn choose(&self, rng: &mut Rng) -> usize {
        if self.commands.len() == 1 {
            return 0;
        }
        let mut ticket = rng.below(self.total_weight);
        for (at, command) in self.commands.iter().enumerate() {
            if ticket < command.weight {
                return at;
            }
            ticket -= command.weight;
        }
        unreachable!("a ticket is below the sum of the weights")
    }
}

impl Template {
    fn new(name: &str, template: &str, weight: u64, value_size: usize) -> Outcome<Self> {
        let mut made =
            Self { name: name.to_owned(), weight, replies: 0, bytes: Vec::new(), slots: Vec::new() };
        for command in template.split(" ; ") {
            made.add(command, value_size)?;
        }
        Ok(made)
    }

    /// Appends one command to what is sent.
    fn add(&mut self, command: &str, value_size: usize) -> Outcome {
        let mut args = Vec::new();
        let mut marks = Vec::new();
        for word in command.split_whitespace() {
            args.push(fill(word, value_size, args.len(), &mut marks)?);
        }
        // Where an argument stands in the whole is known once what precedes it is encoded: its header and all before.
        let mut start_of = Vec::new();
        let mut at = self.bytes.len() + format!("*{}\r\n", args.len()).len();
        for arg in &args {
            at += format!("${}\r\n", arg.len()).len();
            start_of.push(at);
            at += arg.len() + 2;
        }
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        encode(&mut self.bytes, &args);
        self.replies += 1;
        self.slots.extend(marks.into_iter().map(|(arg, slot)| match slot {
            Slot::Digits(offset) => Slot::Digits(start_of[arg] + offset),
            Slot::Below(offset, end) => Slot::Below(start_of[arg] + offset, end),
            Slot::Integer(offset) => Slot::Integer(start_of[arg] + offset),
        }));
        Ok(())
    }

    /// Appends the command with fresh numbers below `keyspace`; `next` is the state of sequential keys.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        keys: Keys,
        keyspace: u64,
        next: &AtomicU64,
        rng: &mut Rng,
    ) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for slot in &self.slots {
            match *slot {
                Slot::Digits(at) => {
                    let number = match keys {
                        Keys::Random => rng.below(keyspace),
                        Keys::Sequential => next.fetch_add(1, Ordering::Relaxed) % keyspace,
                    };
                    digits(&mut out[start + at..start + at + KEY_DIGITS], number);
                }
                Slot::Below(at, end) => {
                    digits(&mut out[start + at..start + at + KEY_DIGITS], rng.below(end));
                }
                Slot::Integer(at) => {
                    digits(&mut out[start + at..start + at + 9], 100_000_000 + rng.below(900_000_000));
                }
            }
        }
    }
}

/// One argument with its placeholders filled by stand-ins; notes where the numbers go.
fn fill(word: &str, value_size: usize, arg: usize, marks: &mut Vec<(usize, Slot)>) -> Outcome<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = word;
    while let Some(open) = rest.find('{') {
        let Some(length) = rest[open..].find('}') else {
            fail!("`{word}` opens a brace and does not close it")
        };
        out.extend_from_slice(&rest.as_bytes()[..open]);
        match &rest[open + 1..open + length] {
            "key" => {
                out.extend_from_slice(b"key:");
                marks.push((arg, Slot::Digits(out.len())));
                out.extend_from_slice(&[b'0'; KEY_DIGITS]);
            }
            "rand" => {
                marks.push((arg, Slot::Digits(out.len())));
                out.extend_from_slice(&[b'0'; KEY_DIGITS]);
            }
            "int" => {
                marks.push((arg, Slot::Integer(out.len())));
                out.extend_from_slice(b"100000000");
            }
            // Letters that do not repeat at short distances: a server that compresses gains what it would on real data.
            "value" => {
                let mut rng = Rng::new(value_size as u64);
                let letter = |_| b'a' + u8::try_from(rng.below(26)).expect("below 26");
                out.extend((0..value_size).map(letter));
            }
            other => {
                let end =
                    other.strip_prefix("below:").and_then(|end| end.parse().ok()).filter(|&end| end > 0);
                let Some(end) = end else {
                    fail!(
                        "`{{{other}}}` is no placeholder: there are {{key}}, {{value}}, {{rand}}, {{int}} and {{below:100}}"
                    )
                };
                marks.push((arg, Slot::Below(out.len(), end)));
                out.extend_from_slice(&[b'0'; KEY_DIGITS]);
            }
        }
        rest = &rest[open + length + 1..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

fn digits(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("one digit");
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(mix: &str) -> String {
        let mix = Mix::parse(mix, 3).expect("parses");
        let mut out = Vec::new();
        mix.commands[0].write(&mut out, Keys::Sequential, 1000, &AtomicU64::new(41), &mut Rng::new(1));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn placeholders_are_patched_in_place() {
        assert_eq!(sent("get"), "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000041\r\n");
        assert_eq!(sent("GET a{rand}b{rand}=3").len(), "*2\r\n$3\r\nGET\r\n$26\r\n".len() + 28);
        assert!(sent("EXPIRE {key} {int}").contains("$9\r\n"));
    }

    #[test]
    fn commands_that_go_together_are_patched_each_and_answered_together() {
        let mix = Mix::of("two", "MULTI ; INCR {key} ; EXEC", 3).expect("parses");
        let mut out = Vec::new();
        mix.commands[0].write(&mut out, Keys::Sequential, 1000, &AtomicU64::new(41), &mut Rng::new(1));
        let sent = String::from_utf8(out).expect("text");
        assert_eq!(
            sent,
            "*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$16\r\nkey:000000000041\r\n*1\r\n$4\r\nEXEC\r\n"
        );
        assert_eq!(mix.commands[0].replies, 3);
    }

    #[test]
    fn a_number_may_have_a_bound_of_its_own() {
        let mix = Mix::of("own", "GET {below:7}", 3).expect("parses");
        let mut rng = Rng::new(1);
        for _ in 0..100 {
            let mut out = Vec::new();
            mix.commands[0].write(&mut out, Keys::Sequential, 1000, &AtomicU64::new(41), &mut rng);
            let sent = String::from_utf8(out).expect("text");
            let number = sent.trim_end().rsplit("\r\n").next().unwrap_or_default();
            assert!(number.len() == KEY_DIGITS && number.parse::<u64>().expect("a number") < 7, "{sent:?}");
        }
        assert!(Mix::of("none", "GET {below:0}", 3).is_err());
    }

    #[test]
    fn weights_choose() {
        let mix = Mix::parse("get=90, set=10", 3).expect("parses");
        let mut rng = Rng::new(3);
        let sets = (0..10_000).filter(|_| mix.choose(&mut rng) == 1).count();
        assert!((800..1200).contains(&sets), "{sets}");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for mix in ["", "nonsense", "get=0", "get=x", "SET {key} {what}", "SET {key"] {
            assert!(Mix::parse(mix, 3).is_err(), "{mix}");
        }
    }
}
