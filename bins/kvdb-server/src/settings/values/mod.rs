//! From the words an operator wrote to the one canonical text of a value.
//!
//! Every setting is held as text in canonical form: what `CONFIG GET` shows, what the typed
//! [`Settings`](super::Settings) are read from, and what a parse of itself gives back. The error
//! texts are those of Redis, since operators and test suites know them by heart.

mod bind;
mod client_limits;
mod events;
mod percentiles;
mod save;

use std::fmt;

pub use bind::BindAddress;
pub use client_limits::{ClientLimit, ClientLimits};
pub use save::SavePoint;

pub(super) use bind::parse as parse_bind;
pub(super) use events::parse as parse_events;
pub(super) use percentiles::parse as parse_percentiles;
pub(super) use save::parse as parse_save;

use super::memory_size::{self, SizeError};
use super::table::Kind;

/// Why a value cannot be given to a setting: the sentence that follows the name in the error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub(super) String);

impl Invalid {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The wrong count of words after a name.
    pub(super) fn word_count() -> Self {
        Self::new("wrong number of arguments")
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

/// The canonical text of `words` for a setting of this `kind`.
///
/// `onto` is the canonical value that a partial value builds on: the client classes that
/// `client-output-buffer-limit` does not name keep theirs, and the `save` lines of a file add up.
/// Every other kind replaces.
pub(super) fn canonical(kind: Kind, words: &[&str], onto: &str) -> Result<String, Invalid> {
    if kind.takes_many_words() {
        // A list may come as words of its own or as one quoted word: the same list.
        let words: Vec<&str> = words.iter().flat_map(|word| word.split_ascii_whitespace()).collect();
        return match kind {
            Kind::Bind => Ok(join(&bind::parse(&words)?)),
            Kind::Save => save::canonical(&words, onto),
            Kind::ClientLimits => Ok(ClientLimits::parse_onto(onto, &words)?.to_string()),
            Kind::Percentiles => Ok(join(&percentiles::parse(&words)?)),
            Kind::OomScores => oom_scores(&words),
            _ => primary(&words),
        };
    }
    let [word] = words else {
        return Err(Invalid::word_count());
    };
    match kind {
        Kind::Bool => Ok(if boolean(word)? { "yes" } else { "no" }.to_owned()),
        Kind::Int { min, max, .. } => Ok(integer(word, min, max)?.to_string()),
        Kind::Clamped { min, max } => Ok(integer(word, 0, i64::from(i32::MAX))?.clamp(min, max).to_string()),
        Kind::Memory { min, max } => Ok(memory(word, min, max)?.to_string()),
        Kind::MemoryOrPercent => memory_or_percent(word),
        Kind::Octal => Ok(format!("{:o}", octal(word)?)),
        Kind::Enum(names) => Ok(one_of(word, names)?.to_owned()),
        Kind::Events => Ok(parse_events(word)?.to_string()),
        Kind::Version => version(word),
        Kind::Text | Kind::Secret => text(word),
        Kind::Bind
        | Kind::Save
        | Kind::ClientLimits
        | Kind::Percentiles
        | Kind::OomScores
        | Kind::Primary
        | Kind::Directive => Err(Invalid::word_count()),
    }
}

fn join<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// `yes` or `no`, in any case.
pub(super) fn boolean(word: &str) -> Result<bool, Invalid> {
    if word.eq_ignore_ascii_case("yes") {
        Ok(true)
    } else if word.eq_ignore_ascii_case("no") {
        Ok(false)
    } else {
        Err(Invalid::new("argument must be 'yes' or 'no'"))
    }
}

/// A decimal integer of the range, in the one spelling Redis accepts: no sign but `-`, no leading
/// zero, no space.
fn integer(word: &str, min: i64, max: i64) -> Result<i64, Invalid> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let spelt =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let number = word.parse::<i64>().ok().filter(|_| spelt);
    let number = number.ok_or_else(|| Invalid::new("argument couldn't be parsed into an integer"))?;
    if (min..=max).contains(&number) { Ok(number) } else { Err(out_of_range(min, max)) }
}

fn out_of_range(min: impl fmt::Display, max: impl fmt::Display) -> Invalid {
    Invalid::new(format!("argument must be between {min} and {max} inclusive"))
}

/// A size in bytes of the range. Where Redis would let a number wrap around, this is out of range.
fn memory(word: &str, min: u64, max: u64) -> Result<u64, Invalid> {
    match memory_size::parse(word) {
        Ok(bytes) if (min..=max).contains(&bytes) => Ok(bytes),
        Ok(_) | Err(SizeError::Overflow) => Err(out_of_range(min, max)),
        Err(SizeError::Malformed) => Err(Invalid::new("argument must be a memory value")),
    }
}

fn memory_or_percent(word: &str) -> Result<String, Invalid> {
    let malformed = || Invalid::new("argument must be a memory or percent value");
    if let Some(number) = word.strip_suffix('%') {
        let percent = integer(number, 0, i64::MAX).map_err(|_| malformed())?;
        if percent > 100 {
            return Err(Invalid::new("percentage argument must be less or equal to 100"));
        }
        return Ok(format!("{percent}%"));
    }
    match memory_size::parse(word) {
        Ok(bytes) => Ok(bytes.to_string()),
        Err(SizeError::Overflow) => Err(out_of_range(0, u64::MAX)),
        Err(SizeError::Malformed) => Err(malformed()),
    }
}

/// Permission bits, in octal.
pub(super) fn octal(word: &str) -> Result<u32, Invalid> {
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let bits = u32::from_str_radix(word, 8).ok().filter(|_| digits);
    let bits = bits.ok_or_else(|| Invalid::new("argument couldn't be parsed as an octal number"))?;
    if bits <= 0o777 { Ok(bits) } else { Err(Invalid::new("argument must be between 0 and 777 inclusive")) }
}

fn one_of(word: &str, names: &[&'static str]) -> Result<&'static str, Invalid> {
    let found = names.iter().find(|name| name.eq_ignore_ascii_case(word));
    found.copied().ok_or_else(|| {
        Invalid::new(format!("argument(s) must be one of the following: {}", names.join(", ")))
    })
}

fn oom_scores(words: &[&str]) -> Result<String, Invalid> {
    if words.len() != 3 {
        return Err(Invalid::word_count());
    }
    if words.iter().any(|word| integer(word, -2000, 2000).is_err()) {
        return Err(Invalid::new("Invalid oom-score-adj-values, elements must be between -2000 and 2000."));
    }
    Ok(words.join(" "))
}

/// A primary, or nothing for `no one`.
fn primary(words: &[&str]) -> Result<String, Invalid> {
    match words {
        [] => Ok(String::new()),
        [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") => Ok(String::new()),
        [host, port] if integer(port, 1, 65_535).is_ok() => Ok(format!("{host} {port}")),
        [_, _] => Err(Invalid::new("Invalid master port")),
        _ => Err(Invalid::word_count()),
    }
}

/// A version of three numbers, which clients compare part by part.
fn version(word: &str) -> Result<String, Invalid> {
    let parts: Vec<&str> = word.split('.').collect();
    if parts.len() == 3 && parts.iter().all(|part| integer(part, 0, 255).is_ok()) {
        Ok(word.to_owned())
    } else {
        Err(Invalid::new("argument must be a version of three numbers, each at most 255, such as 7.2.4"))
    }
}

/// Free text. A NUL would end a path, a host name or a process title early, elsewhere.
fn text(word: &str) -> Result<String, Invalid> {
    if word.contains('\0') {
        return Err(Invalid::new("argument must not contain a NUL byte"));
    }
    Ok(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::table::Unit;

    #[track_caller]
    fn check(kind: Kind, word: &str, expected: Result<&str, &str>) {
        let got = canonical(kind, &[word], "");
        let expected = expected.map(str::to_owned).map_err(Invalid::new);
        assert_eq!(got, expected, "{kind:?} {word:?}");
    }

    #[test]
    fn booleans_have_two_words() {
        check(Kind::Bool, "yes", Ok("yes"));
        check(Kind::Bool, "NO", Ok("no"));
        for word in ["", "maybe", "true", "1", "yes "] {
            check(Kind::Bool, word, Err("argument must be 'yes' or 'no'"));
        }
    }

    #[test]
    fn integers_print_their_range() {
        let kind = Kind::Int { min: -1, max: 65_535, unit: Unit::None };
        check(kind, "-1", Ok("-1"));
        check(kind, "0", Ok("0"));
        check(kind, "65535", Ok("65535"));
        for word in ["-2", "65536", "9223372036854775807"] {
            check(kind, word, Err("argument must be between -1 and 65535 inclusive"));
        }
        for word in ["", "-", "abc", "1.5", "010", "+1", " 1", "1kb", "99999999999999999999"] {
            check(kind, word, Err("argument couldn't be parsed into an integer"));
        }
        check(Kind::Clamped { min: 1, max: 500 }, "0", Ok("1"));
        check(Kind::Clamped { min: 1, max: 500 }, "9000", Ok("500"));
    }

    #[test]
    fn sizes_print_their_range() {
        let kind = Kind::Memory { min: 1024, max: 1 << 30 };
        check(kind, "1kb", Ok("1024"));
        check(kind, "1GB", Ok("1073741824"));
        for word in ["1000", "2gb", "99999999999999999999", "17179869184gb"] {
            check(kind, word, Err("argument must be between 1024 and 1073741824 inclusive"));
        }
        for word in ["", "-1", "1GiB", "foo"] {
            check(kind, word, Err("argument must be a memory value"));
        }
        check(Kind::MemoryOrPercent, "5%", Ok("5%"));
        check(Kind::MemoryOrPercent, "1kb", Ok("1024"));
        check(Kind::MemoryOrPercent, "101%", Err("percentage argument must be less or equal to 100"));
        for word in ["%", "x%", "-5%", "x", "1.5%"] {
            check(Kind::MemoryOrPercent, word, Err("argument must be a memory or percent value"));
        }
    }

    #[test]
    fn the_other_single_words() {
        check(Kind::Octal, "0755", Ok("755"));
        check(Kind::Octal, "999", Err("argument couldn't be parsed as an octal number"));
        check(Kind::Octal, "+7", Err("argument couldn't be parsed as an octal number"));
        check(Kind::Octal, "1777", Err("argument must be between 0 and 777 inclusive"));
        check(Kind::Enum(&["always", "no"]), "ALWAYS", Ok("always"));
        check(Kind::Enum(&["always", "no"]), "", Err("argument(s) must be one of the following: always, no"));
        check(Kind::Version, "7.2.4", Ok("7.2.4"));
        for word in ["7.2", "7.2.4.1", "7.2.x", "", "07.2.4", "7.2.256"] {
            assert!(canonical(Kind::Version, &[word], "").is_err(), "{word}");
        }
        check(Kind::Text, "a b", Ok("a b"));
        check(Kind::Text, "a\0b", Err("argument must not contain a NUL byte"));
        check(Kind::OomScores, "0 200 800", Ok("0 200 800"));
        check(Kind::OomScores, "1 2", Err("wrong number of arguments"));
        check(Kind::Bool, "yes no", Err("argument must be 'yes' or 'no'"));
        assert_eq!(canonical(Kind::Bool, &["yes", "no"], ""), Err(Invalid::word_count()));
        assert_eq!(canonical(Kind::Bool, &[], ""), Err(Invalid::word_count()));
    }
}
