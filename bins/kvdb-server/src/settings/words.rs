//! Words of a configuration line: splitting with Redis' quotes and escapes, and quoting back.
//!
//! A configuration written for Redis must mean the same here, down to the escapes inside double
//! quotes and the rule that a closing quote ends its word.

use std::fmt;

/// Why a line could not be split into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SplitError {
    /// A quote is not closed, or is followed by something other than a space.
    UnbalancedQuotes,
    /// The escapes of a word spell bytes that are not UTF-8.
    NotUtf8,
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnbalancedQuotes => "Unbalanced quotes in configuration line",
            Self::NotUtf8 => "The escapes in the line spell bytes that are not UTF-8",
        })
    }
}

impl std::error::Error for SplitError {}

/// White space between words, as C's `isspace` has it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Splits a line into words.
///
/// `"..."` understands `\xHH`, `\n`, `\r`, `\t`, `\b`, `\a` and `\` before any other character;
/// `'...'` understands only `\'`. A quoted part may start inside a word, but ends it.
///
/// # Errors
/// [`SplitError`] when the quotes do not balance or the escapes do not spell UTF-8.
pub(super) fn split(line: &str) -> Result<Vec<String>, SplitError> {
    let bytes = line.as_bytes();
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while bytes.get(at).copied().is_some_and(is_space) {
            at += 1;
        }
        if at == bytes.len() {
            return Ok(words);
        }
        let mut word = Vec::new();
        while let Some(&byte) = bytes.get(at).filter(|byte| !is_space(**byte)) {
            if byte == b'"' || byte == b'\'' {
                at = quoted(bytes, at, &mut word)?;
                if bytes.get(at).is_some_and(|next| !is_space(*next)) {
                    return Err(SplitError::UnbalancedQuotes);
                }
            } else {
                word.push(byte);
                at += 1;
            }
        }
        words.push(String::from_utf8(word).map_err(|_| SplitError::NotUtf8)?);
    }
}

/// Reads the quoted part that opens at `at` into `word`; the position after its closing quote.
fn quoted(bytes: &[u8], at: usize, word: &mut Vec<u8>) -> Result<usize, SplitError> {
    let quote = bytes[at];
    let mut at = at + 1;
    loop {
        match (bytes.get(at).copied(), bytes.get(at + 1).copied()) {
            (None, _) => return Err(SplitError::UnbalancedQuotes),
            (Some(byte), _) if byte == quote => return Ok(at + 1),
            (Some(b'\\'), Some(b'\'')) if quote == b'\'' => {
                word.push(b'\'');
                at += 2;
            }
            (Some(b'\\'), Some(next)) if quote == b'"' => {
                if let Some(byte) = hex_escape(&bytes[at..]) {
                    word.push(byte);
                    at += 4;
                    continue;
                }
                word.push(match next {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => other,
                });
                at += 2;
            }
            (Some(byte), _) => {
                word.push(byte);
                at += 1;
            }
        }
    }
}

/// The byte that `\xHH` at the start of `bytes` stands for.
fn hex_escape(bytes: &[u8]) -> Option<u8> {
    let [b'\\', b'x', high, low, ..] = bytes else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? * 16 + digit(*low)?)
}

/// One word as it must be written in a configuration file so that [`split`] gives it back.
#[must_use]
pub(super) fn quote(word: &str) -> String {
    let plain =
        |c: char| !c.is_control() && !c.is_ascii_whitespace() && !matches!(c, '"' | '\'' | '\\' | '#');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut quoted = String::with_capacity(word.len() + 2);
    quoted.push('"');
    for c in word.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(line: &str, words: &[&str]) {
        assert_eq!(split(line).unwrap(), words, "{line}");
    }

    #[test]
    fn splits_as_redis_does() {
        check("", &[]);
        check("  save  900\t1 ", &["save", "900", "1"]);
        check(r#"save """#, &["save", ""]);
        check(r#"a "b c" d"#, &["a", "b c", "d"]);
        check(r#"a "\x41\n\t\"\\\q""#, &["a", "A\n\t\"\\q"]);
        check(r"a 'b \' c\n'", &["a", r"b ' c\n"]);
        check(r#"a x"y z""#, &["a", "xy z"]);
        check(r#"a "\xc3\xa9" é"#, &["a", "é", "é"]);
        check(r#"a "\xzz""#, &["a", "xzz"]);
    }

    #[test]
    fn rejects_what_redis_rejects() {
        for line in [r#"a "b"#, "a 'b", r#"a "b"c"#, r#"a "b"'c'"#, r#"a "b\"#] {
            assert_eq!(split(line), Err(SplitError::UnbalancedQuotes), "{line}");
        }
        assert_eq!(split(r#"a "\xff""#), Err(SplitError::NotUtf8));
    }

    proptest! {
        #[test]
        fn a_quoted_word_splits_back_to_itself(word in any::<String>()) {
            prop_assert_eq!(split(&quote(&word)).unwrap(), vec![word]);
        }

        #[test]
        fn any_line_splits_or_fails_cleanly(line in any::<String>()) {
            let _ = split(&line);
        }
    }
}
