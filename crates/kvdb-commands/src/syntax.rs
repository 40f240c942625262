//! The notation of arguments in the table, and the argument tree of COMMAND DOCS that is made from it.
//!
//! A row of the table says once what a command takes, as a reader would write it down; this module parses it, and
//! COMMAND DOCS, the hints of redis-cli, HELP and the reference are made from the result.
//!
//! ```text
//! key                      an argument; its type follows from the name (see `Kind::of`)
//! increment:double         an argument with its type given: string, integer, double, key, pattern, unix-time
//! NX                       a token, to be written as it stands
//! EX seconds               a token with its argument
//! LIMIT offset count       a token with its arguments: a block
//! OVERFLOW <WRAP|SAT>      a token with a choice
//! <a|b>                    one of these
//! [a]  [a b]  [a|b]        may be left out: an argument, a block, a choice
//! key [key ...]            at least once, as often as wanted
//! key value [key value ...]        the same of a block
//! [key ...]                any number of times, also never
//! [GET pattern [GET pattern ...]]  repeated with its token
//! ```
//!
//! A token takes all the plain arguments behind it, up to the next token or bracket.
//!
//! ```
//! use kvdb_commands::syntax::{Kind, parse};
//!
//! let arguments = parse("key value [NX|XX] [EX seconds]").unwrap();
//! assert_eq!(arguments[0].kind, Kind::Key);
//! assert!(matches!(&arguments[2].kind, Kind::OneOf(tokens) if tokens.len() == 2));
//! assert_eq!(arguments[3].token, Some("EX"));
//! assert!(arguments[3].optional);
//! ```

use std::fmt;

/// One argument of a command, or a group of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument<'a> {
    /// What it is called; of a group, made from its parts.
    pub name: String,
    /// What it is.
    pub kind: Kind<'a>,
    /// The token in front of it; of a [`Kind::Token`], the token itself.
    pub token: Option<&'a str>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be given more than once.
    pub multiple: bool,
    /// Whether each repetition repeats the token.
    pub multiple_token: bool,
}

/// Kinds of arguments, as COMMAND DOCS knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Any bytes.
    String,
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Double,
    /// The name of a key.
    Key,
    /// A glob pattern.
    Pattern,
    /// A moment, as seconds or milliseconds since 1970.
    UnixTime,
    /// A word to be written as it stands.
    Token,
    /// One of these.
    OneOf(Vec<Argument<'a>>),
    /// All of these, in this order.
    Block(Vec<Argument<'a>>),
}

/// Names of arguments that are keys.
const KEYS: &[&str] = &["key", "key1", "key2", "newkey", "destkey", "source", "destination"];

/// Names of arguments that are whole numbers.
const INTEGERS: &[&str] = &[
    "bit",
    "client-id",
    "count",
    "cursor",
    "decrement",
    "destination-db",
    "end",
    "frequency",
    "increment",
    "index",
    "index1",
    "index2",
    "length",
    "max-age",
    "microseconds",
    "milliseconds",
    "offset",
    "port",
    "protover",
    "seconds",
    "start",
    "stop",
    "timeout",
    "ttl",
    "version",
];

impl Kind<'_> {
    /// The kind of an argument that is only named.
    fn of(name: &str) -> Self {
        match name {
            "pattern" => Self::Pattern,
            _ if KEYS.contains(&name) => Self::Key,
            _ if INTEGERS.contains(&name) => Self::Integer,
            _ if name.starts_with("unix-time") => Self::UnixTime,
            _ => Self::String,
        }
    }

    /// The kind behind a colon. Anything else there is a part of the name (`ip:port`).
    fn named(kind: &str) -> Option<Self> {
        Some(match kind {
            "string" => Self::String,
            "integer" => Self::Integer,
            "double" => Self::Double,
            "key" => Self::Key,
            "pattern" => Self::Pattern,
            "unix-time" => Self::UnixTime,
            _ => return None,
        })
    }

    /// The name in COMMAND DOCS.
    pub fn name(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Key => "key",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::Token => "pure-token",
            Self::OneOf(_) => "oneof",
            Self::Block(_) => "block",
        }
    }
}

impl<'a> Argument<'a> {
    fn new(name: String, kind: Kind<'a>, token: Option<&'a str>) -> Self {
        Self { name, kind, token, optional: false, multiple: false, multiple_token: false }
    }

    fn plain(word: &'a str) -> Self {
        if let Some((name, kind)) = word.rsplit_once(':')
            && let Some(kind) = Kind::named(kind)
        {
            return Self::new(name.to_owned(), kind, None);
        }
        Self::new(word.to_owned(), Kind::of(word), None)
    }

    fn token(token: &'a str) -> Self {
        Self::new(token.to_ascii_lowercase(), Kind::Token, Some(token))
    }

    /// These as one argument: the only one itself, or a block.
    fn block(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let name = parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join("_");
        Self::new(name, Kind::Block(parts), None)
    }

    fn one_of(choices: Vec<Self>) -> Self {
        let tokens_only = choices.iter().all(|choice| choice.kind == Kind::Token);
        let name = if tokens_only {
            choices.iter().map(|choice| choice.name.as_str()).collect::<Vec<_>>().join("_")
        } else {
            "option".to_owned()
        };
        Self::new(name, Kind::OneOf(choices), None)
    }

    fn behind(self, token: &'a str) -> Self {
        let name = if self.token.is_some() || matches!(self.kind, Kind::OneOf(_) | Kind::Block(_)) {
            token.to_ascii_lowercase()
        } else {
            self.name.clone()
        };
        Self { name, token: Some(token), ..self }
    }

    fn repeated(self) -> Self {
        let multiple_token = self.token.is_some();
        Self { multiple: true, multiple_token, ..self }
    }
}

/// Where a text does not follow the notation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The byte at which it stops making sense.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.at)
    }
}

impl std::error::Error for SyntaxError {}

/// The arguments that a text describes.
///
/// # Errors
/// When it does not follow the notation.
pub fn parse(text: &str) -> Result<Vec<Argument<'_>>, SyntaxError> {
    let mut parser = Parser { text, at: 0 };
    let sequence = parser.sequence()?;
    if sequence.repeats || parser.peek().is_some() {
        return Err(parser.error("the end, or an opening bracket before this"));
    }
    Ok(sequence.arguments)
}

/// What stands between two brackets or bars.
struct Sequence<'a> {
    arguments: Vec<Argument<'a>>,
    /// Whether it ends in dots.
    repeats: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Symbol<'a> {
    Word(&'a str),
    Dots,
    Mark(u8),
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, expected: &'static str) -> SyntaxError {
        SyntaxError { at: self.at, expected }
    }

    /// The symbol at the position and where it ends.
    fn scan(&self) -> Option<(Symbol<'a>, usize)> {
        let rest = self.text[self.at..].trim_start();
        let start = self.text.len() - rest.len();
        let first = rest.bytes().next()?;
        if b"[]<>|".contains(&first) {
            return Some((Symbol::Mark(first), start + 1));
        }
        for dots in ["...", "…"] {
            if rest.starts_with(dots) {
                return Some((Symbol::Dots, start + dots.len()));
            }
        }
        let ends = |c: char| c.is_whitespace() || "[]<>|…".contains(c);
        let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
        let word = word.split_once("...").map_or(word, |(before, _)| before);
        Some((Symbol::Word(word), start + word.len()))
    }

    fn peek(&self) -> Option<Symbol<'a>> {
        self.scan().map(|(symbol, _)| symbol)
    }

    fn next(&mut self) -> Option<Symbol<'a>> {
        let (symbol, end) = self.scan()?;
        self.at = end;
        Some(symbol)
    }

    fn accept(&mut self, symbol: Symbol<'a>) -> bool {
        let here = self.peek() == Some(symbol);
        if here {
            self.next();
        }
        here
    }

    /// Arguments up to a bar, a closing bracket or the end.
    fn sequence(&mut self) -> Result<Sequence<'a>, SyntaxError> {
        let mut arguments = Vec::new();
        loop {
            match self.peek() {
                None | Some(Symbol::Mark(b'|' | b']' | b'>')) => {
                    return Ok(Sequence { arguments, repeats: false });
                }
                Some(Symbol::Dots) => {
                    self.next();
                    return Ok(Sequence { arguments, repeats: true });
                }
                Some(Symbol::Mark(b'[')) => self.bracket(&mut arguments)?,
                Some(Symbol::Mark(_)) => arguments.push(self.choice()?),
                Some(Symbol::Word(word)) => {
                    self.next();
                    arguments.push(if is_token(word) {
                        self.behind_token(word)?
                    } else {
                        Argument::plain(word)
                    });
                }
            }
        }
    }

    /// A token with what belongs to it.
    fn behind_token(&mut self, token: &'a str) -> Result<Argument<'a>, SyntaxError> {
        if self.peek() == Some(Symbol::Mark(b'<')) {
            return Ok(self.choice()?.behind(token));
        }
        let mut operands = Vec::new();
        loop {
            match self.peek() {
                Some(Symbol::Word(word)) if !is_token(word) => {
                    self.next();
                    operands.push(Argument::plain(word));
                }
                Some(Symbol::Mark(b'[')) => {
                    let (at, before) = (self.at, operands.clone());
                    let mut with = operands.clone();
                    self.bracket(&mut with)?;
                    if with.len() > before.len() {
                        // Not a repetition of the operands: it stands for itself.
                        self.at = at;
                        break;
                    }
                    operands = with;
                }
                _ => break,
            }
        }
        Ok(if operands.is_empty() { Argument::token(token) } else { Argument::block(operands).behind(token) })
    }

    /// `<…>`.
    fn choice(&mut self) -> Result<Argument<'a>, SyntaxError> {
        self.next();
        let (argument, repeats) = self.alternatives(b'>')?;
        Ok(if repeats { argument.repeated() } else { argument })
    }

    /// `[…]` behind some arguments: makes the last of them multiple where it repeats them, else appends.
    fn bracket(&mut self, before: &mut Vec<Argument<'a>>) -> Result<(), SyntaxError> {
        self.next();
        let (argument, repeats) = self.alternatives(b']')?;
        if repeats {
            let parts = match &argument.kind {
                Kind::Block(parts) if argument.token.is_none() => parts.as_slice(),
                _ => std::slice::from_ref(&argument),
            };
            if before.ends_with(parts) {
                let repeated = before.split_off(before.len() - parts.len());
                before.push(Argument::block(repeated).repeated());
                return Ok(());
            }
        }
        let argument = if repeats { argument.repeated() } else { argument };
        before.push(Argument { optional: true, ..argument });
        Ok(())
    }

    /// What stands in brackets, up to the closing one, and whether it ends in dots.
    fn alternatives(&mut self, close: u8) -> Result<(Argument<'a>, bool), SyntaxError> {
        let mut choices = Vec::new();
        loop {
            let Sequence { arguments, repeats } = self.sequence()?;
            if arguments.is_empty() {
                return Err(self.error("an argument"));
            }
            choices.push(Argument::block(arguments));
            if self.accept(Symbol::Mark(close)) {
                let argument = if choices.len() == 1 { choices.remove(0) } else { Argument::one_of(choices) };
                return Ok((argument, repeats));
            }
            if repeats || !self.accept(Symbol::Mark(b'|')) {
                return Err(self.error("a closing bracket"));
            }
        }
    }
}

/// Whether a word is a token: it has capital letters and no small ones.
fn is_token(word: &str) -> bool {
    word.bytes().any(|b| b.is_ascii_uppercase()) && !word.bytes().any(|b| b.is_ascii_lowercase())
}
