//! The commands of a selector.

use std::collections::BTreeMap;

use super::rules::RuleError;
use super::{catalog, category};

/// Which commands may run, and the rules that led there.
///
/// # Invariants
/// - Applying `+@all` or `-@all`, as `future` says, and then `rules` in order to a fresh set makes this set.
/// - `all` only where every bit is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commands {
    /// Every command, first arguments included.
    pub(super) all: bool,
    /// Commands that do not exist yet as well.
    future: bool,
    bits: Vec<u64>,
    /// Of commands that may not run: first arguments with which they may.
    first_args: BTreeMap<usize, Vec<Box<[u8]>>>,
    rules: Vec<CommandRule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct CommandRule {
    allow: bool,
    /// A full name, a category with its `@`, or a command with a first argument, in lower case.
    name: Box<[u8]>,
}

impl Default for Commands {
    fn default() -> Self {
        let words = catalog::len().div_ceil(64);
        Self {
            all: false,
            future: false,
            bits: vec![0; words],
            first_args: BTreeMap::new(),
            rules: Vec::new(),
        }
    }
}

impl Commands {
    /// All commands, or none.
    pub(super) fn set_all(&mut self, all: bool) {
        let word = if all { u64::MAX } else { 0 };
        self.bits.fill(word);
        (self.all, self.future) = (all, all);
        self.first_args.clear();
        self.rules.clear();
    }

    /// Applies a rule on commands, its sign apart: `get`, `config|get`, `@read`, `select|0`.
    pub(super) fn apply(&mut self, allow: bool, rule: &[u8]) -> Result<(), RuleError> {
        if rule.first() == Some(&b'@') {
            return self.apply_category(allow, &rule[1..]);
        }
        if let Some(number) = catalog::find(rule) {
            if catalog::name(number).contains('|') {
                self.set(number, allow);
            } else {
                catalog::with_subcommands(number).for_each(|number| self.set(number, allow));
            }
            self.note(allow, catalog::name(number).as_bytes());
            return Ok(());
        }
        let bar = rule.iter().rposition(|&byte| byte == b'|').filter(|_| allow).ok_or(RuleError::Unknown)?;
        let (command, argument) = (&rule[..bar], &rule[bar + 1..]);
        let number = catalog::find(command).ok_or(RuleError::Unknown)?;
        if catalog::name(number).contains('|') {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        if argument.is_empty() || argument.iter().any(|&byte| is_space(byte)) {
            return Err(RuleError::Syntax);
        }
        if !catalog::spec(number).subcommands.is_empty() {
            return Err(RuleError::Unknown);
        }
        let arguments = self.first_args.entry(number).or_default();
        let argument = argument.to_ascii_lowercase().into_boxed_slice();
        if !arguments.contains(&argument) {
            arguments.push(argument);
        }
        self.note(true, rule);
        Ok(())
    }

    fn apply_category(&mut self, allow: bool, name: &[u8]) -> Result<(), RuleError> {
        let category = category::find(name).ok_or(RuleError::Unknown)?;
        self.note(allow, format!("@{category}").as_bytes());
        for number in category::numbers(category) {
            // A command stands for all of its subcommands, whatever they are in.
            if catalog::name(number).contains('|') {
                self.set(number, allow);
            } else {
                catalog::with_subcommands(number).for_each(|number| self.set(number, allow));
            }
        }
        Ok(())
    }

    fn set(&mut self, number: usize, allow: bool) {
        let bit = 1 << (number % 64);
        if allow {
            self.bits[number / 64] |= bit;
        } else {
            self.bits[number / 64] &= !bit;
            self.all = false;
        }
        self.first_args.remove(&number);
    }

    /// Appends a rule in place of those that it makes void.
    fn note(&mut self, allow: bool, name: &[u8]) {
        let name: Box<[u8]> = name.to_ascii_lowercase().into();
        self.rules.retain(|rule| {
            let same_or_below = rule.name.strip_prefix(&*name);
            !same_or_below.is_some_and(|rest| rest.is_empty() || rest[0] == b'|')
        });
        self.rules.push(CommandRule { allow, name });
    }

    /// Whether a command may run with this first argument.
    pub(super) fn allow(&self, number: usize, first_arg: Option<&[u8]>) -> bool {
        if self.bits[number / 64] & (1 << (number % 64)) != 0 {
            return true;
        }
        let (Some(allowed), Some(arg)) = (self.first_args.get(&number), first_arg) else { return false };
        allowed.iter().any(|known| known.eq_ignore_ascii_case(arg))
    }

    /// The rules that give these commands.
    pub(super) fn describe(&self) -> Vec<Vec<u8>> {
        let base = if self.future { b"+@all" } else { b"-@all" };
        let rule = |rule: &CommandRule| [if rule.allow { b"+" } else { b"-" }, &*rule.name].concat();
        std::iter::once(base.to_vec()).chain(self.rules.iter().map(rule)).collect()
    }
}

/// A byte that cannot stand in a rule: it would not be one word of its line.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, 0 | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}
