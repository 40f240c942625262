//! What is said to both servers: steps, drawn from the tables of commands.

use std::fmt;

use super::families::{Repertoire, TRANSACTIONS};
use super::more_families::WAKE_UPS;
use super::reply::quoted;
use super::rules::rule_of;
use super::settle::is_read_in_two_ways;
use super::template::{self, Word};
use super::words;
use crate::rng::Rng;

/// How many clients take part: what one of them watches, another changes.
pub(super) const CLIENTS: usize = 2;

/// What one client says without being interrupted: a command, or a transaction from MULTI to its end. Or a command that
/// waits, and behind it what the other client says meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) client: usize,
    pub(super) commands: Vec<Vec<Word>>,
    /// Whether the first command waits.
    pub(super) waits: bool,
}

impl Step {
    pub(super) fn is_transaction(&self) -> bool {
        self.commands.len() > 1 && !self.waits
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, command) in self.commands.iter().enumerate() {
            let indent = match at {
                0 => format!("client {}>", self.client),
                _ if self.waits => format!("client {}>", CLIENTS - 1 - self.client),
                _ => "         ".to_owned(),
            };
            let newline = if at == 0 { "" } else { "\n" };
            write!(f, "{newline}{indent} {}", shown(command))?;
        }
        Ok(())
    }
}

/// A command as it can be typed into redis-cli.
pub(super) fn shown(command: &[Word]) -> String {
    let word = |word: &Word| {
        let is_plain = !word.is_empty()
            && word.len() < 200
            && word.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\'));
        if is_plain { String::from_utf8_lossy(word).into_owned() } else { quoted(word) }
    };
    const SHOWN: usize = 30;
    let rest = command.len().saturating_sub(SHOWN);
    let words = command.iter().take(SHOWN).map(word).collect::<Vec<_>>().join(" ");
    if rest > 0 { format!("{words} ({rest} more words)") } else { words }
}

/// Writes steps from families of commands.
pub(super) struct Script<'a> {
    families: &'a [Repertoire],
    rng: Rng,
}

impl<'a> Script<'a> {
    pub(super) fn new(families: &'a [Repertoire], seed: u64) -> Self {
        Self { families, rng: Rng::new(seed) }
    }

    pub(super) fn step(&mut self) -> Step {
        let rng = &mut self.rng;
        let family = &self.families[rng.below(self.families.len() as u64) as usize];
        let client = usize::from(rng.one_in(8));
        if family.name == TRANSACTIONS && !rng.one_in(3) {
            return Step { client, commands: transaction(self.families, rng), waits: false };
        }
        if family.name == WAKE_UPS {
            let mut commands = vec![drawn(&family.templates, family.home, rng)];
            commands.extend((0..1 + rng.below(3)).map(|_| drawn(&family.rare, family.home, rng)));
            return Step { client, commands, waits: true };
        }
        Step { client, commands: vec![command(family, rng)], waits: false }
    }
}

fn transaction(families: &[Repertoire], rng: &mut Rng) -> Vec<Vec<Word>> {
    let word = |text: &str| vec![text.as_bytes().to_vec()];
    let mut commands = vec![word("MULTI")];
    let others: Vec<&Repertoire> =
        families.iter().filter(|family| ![TRANSACTIONS, WAKE_UPS].contains(&family.name)).collect();
    let wanted = rng.below(6);
    while (commands.len() as u64) <= wanted && !others.is_empty() {
        let drawn = command(others[rng.below(others.len() as u64) as usize], rng);
        if rule_of(&drawn).needs_replies_only() {
            commands.push(drawn);
        }
    }
    commands.push(word(if rng.one_in(5) { "DISCARD" } else { "EXEC" }));
    commands
}

fn command(family: &Repertoire, rng: &mut Rng) -> Vec<Word> {
    let templates = if !family.rare.is_empty() && rng.one_in(50) { &family.rare } else { &family.templates };
    let template = templates[rng.below(templates.len() as u64) as usize];
    let mut command = template::expand(template, family.home, rng);
    while is_read_in_two_ways(&command) {
        command = template::expand(template, family.home, rng);
    }
    if template::may_be_bent(template) && rng.one_in(10) {
        bend(template, &mut command, rng);
    }
    command
}

/// A command from one of these templates, as it is written there.
fn drawn(templates: &[&str], home: &str, rng: &mut Rng) -> Vec<Word> {
    template::expand(templates[rng.below(templates.len() as u64) as usize], home, rng)
}

/// Makes a command wrong in one of the ways in which people get commands wrong.
fn bend(template: &str, command: &mut Vec<Word>, rng: &mut Rng) {
    // What only its own commands may write is not written under another name.
    let own_key = template.split(' ').nth(1).is_some_and(|word| matches!(word, "sketch" | "text" | "lexkey"));
    let first = if own_key { 2 } else { 1 };
    let len = command.len() as u64;
    let argument = |rng: &mut Rng| (first + rng.below(len - first)) as usize;
    match rng.below(6) {
        0 if len > 1 => drop(command.pop()),
        1 if len > first => {
            let at = argument(rng);
            command[at] = words::odd(rng);
        }
        2 if len > first => {
            let at = argument(rng);
            command.insert(at, command[at].clone());
        }
        3 if len > 3 => {
            let (a, b) = (2 + rng.below(len - 2), 2 + rng.below(len - 2));
            command.swap(a as usize, b as usize);
        }
        4 if rng.one_in(4) => command.truncate(1),
        _ => command.push(words::odd(rng)),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::families::all;
    use super::*;

    /// Everything except for the commands with this in their names.
    fn all_but(unknown: &str) -> Vec<Repertoire> {
        let mut is_known = |name: &str| Ok::<_, Infallible>(unknown.is_empty() || !name.contains(unknown));
        let families = all().map(|family| family.known(&mut is_known).unwrap_or_else(|never| match never {}));
        families.filter(|family| !family.templates.is_empty()).collect()
    }

    #[test]
    fn every_template_makes_commands_and_a_seed_makes_the_same_ones() {
        let mut rng = Rng::new(5);
        let families = all_but("");
        for family in &families {
            for template in family.templates.iter().chain(&family.rare) {
                for _ in 0..50 {
                    assert!(!template::expand(template, family.home, &mut rng).is_empty(), "{template}");
                }
            }
        }
        let write = || {
            let mut script = Script::new(&families, 9);
            (0..500).map(|_| script.step().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(write(), write());
    }

    #[test]
    fn commands_that_a_server_does_not_know_are_left_out() {
        let families = all_but("Z");
        let mut script = Script::new(&families, 4);
        for _ in 0..2000 {
            let step = script.step();
            assert!(
                step.commands.iter().all(|command| !command[0].to_ascii_uppercase().starts_with(b"Z")),
                "{step}"
            );
        }
        assert!(families.iter().all(|family| family.name != "sorted-sets"));
        assert!(families.iter().all(|family| !family.rare.iter().any(|template| template.contains("ZADD"))));
    }

    #[test]
    fn transactions_are_whole() {
        let families = all_but("");
        let mut script = Script::new(&families, 3);
        let steps: Vec<Step> = (0..3000).map(|_| script.step()).collect();
        assert!(steps.iter().filter(|step| step.is_transaction()).count() > 50);
        for step in steps {
            let is = |at: usize, name: &[u8]| step.commands[at][0].eq_ignore_ascii_case(name);
            let last = step.commands.len() - 1;
            assert_eq!(step.is_transaction(), is(0, b"MULTI"), "{step}");
            assert!(!step.is_transaction() || is(last, b"EXEC") || is(last, b"DISCARD"), "{step}");
        }
    }

    #[test]
    fn commands_are_shown_as_redis_cli_takes_them() {
        assert_eq!(
            shown(&[b"SET".to_vec(), b"k".to_vec(), b"a b\n".to_vec(), Vec::new()]),
            r#"SET k "a b\n" """#
        );
    }
}
