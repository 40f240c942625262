//! Inline commands: a line of words, as typed into telnet.
//!
//! Words are separated by white space. Within double quotes `\xHH`, `\n`, `\r`, `\t`, `\b` and
//! `\a` stand for bytes and a backslash makes any other byte literal; within single quotes only
//! `\'` is special. Quotes may open anywhere in a word, but what follows a closing quote must be
//! white space or the end of the line.

use crate::ProtocolError;
use crate::args::Span;

/// Splits `line`, which starts its buffer, into `spans` of the line itself, or, if it contains a
/// quote, into spans of `unquoted`. The caller passes both empty and a line of less than 4 GiB.
pub(crate) fn split(line: &[u8], spans: &mut Vec<Span>, unquoted: &mut Vec<u8>) -> Result<(), ProtocolError> {
    let quoted = memchr::memchr2(b'"', b'\'', line).is_some();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|&byte| is_space(byte)) {
            at += 1;
        }
        if at == line.len() {
            return Ok(());
        }
        let start;
        let end;
        if quoted {
            start = unquoted.len();
            at = unquote_word(line, at, unquoted)?;
            end = unquoted.len();
        } else {
            start = at;
            while line.get(at).is_some_and(|&byte| !ends_word(byte)) {
                at += 1;
            }
            end = at;
        }
        spans.push(Span { start: start as u32, len: (end - start) as u32 });
    }
}

/// Appends the word that starts at `at` without its quotes; answers where it ends.
fn unquote_word(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Result<usize, ProtocolError> {
    while let Some(&byte) = line.get(at) {
        match byte {
            b'"' => return closing_quote(line, unquote_double(line, at + 1, word)?),
            b'\'' => return closing_quote(line, unquote_single(line, at + 1, word)?),
            byte if ends_word(byte) => break,
            byte => word.push(byte),
        }
        at += 1;
    }
    Ok(at)
}

/// A closing quote ends the word: checks what follows it.
fn closing_quote(line: &[u8], after: usize) -> Result<usize, ProtocolError> {
    match line.get(after) {
        Some(&byte) if !is_space(byte) => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(after),
    }
}

fn unquote_double(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Result<usize, ProtocolError> {
    loop {
        match line.get(at..).unwrap_or_default() {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'"', ..] => return Ok(at + 1),
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex_digit(*high) << 4 | hex_digit(*low));
                at += 4;
            }
            [b'\\', escaped, ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                at += 2;
            }
            [byte, ..] => {
                word.push(*byte);
                at += 1;
            }
        }
    }
}

fn unquote_single(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Result<usize, ProtocolError> {
    loop {
        match line.get(at..).unwrap_or_default() {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\'', ..] => return Ok(at + 1),
            [b'\\', b'\'', ..] => {
                word.push(b'\'');
                at += 2;
            }
            [byte, ..] => {
                word.push(*byte);
                at += 1;
            }
        }
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// White space between words and after a closing quote, as C's `isspace` has it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// White space that ends a word. Redis, whose choice this is, leaves vertical tab and form feed
/// out here: they are part of a word they do not start.
fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Args;

    fn words(line: &str) -> Result<Vec<String>, ProtocolError> {
        let (mut spans, mut unquoted) = (Vec::new(), Vec::new());
        split(line.as_bytes(), &mut spans, &mut unquoted)?;
        let base = if unquoted.is_empty() { line.as_bytes() } else { &unquoted };
        let args = Args::new(base, &spans);
        Ok(args.iter().map(|w| w.escape_ascii().to_string()).collect())
    }

    #[test]
    fn words_are_split_and_unquoted_as_redis_does() {
        let cases: [(&str, &[&str]); 12] = [
            ("", &[]),
            ("  \t ", &[]),
            ("SET  k\tv ", &["SET", "k", "v"]),
            ("ECHO a\rb", &["ECHO", "a", "b"]),
            (" \x0bECHO x\x0by", &["ECHO", "x\\x0by"]),
            (r#"ECHO """#, &["ECHO", ""]),
            (r#""""#, &[""]),
            (r#"ECHO a"b c""#, &["ECHO", "ab c"]),
            (r#"ECHO "\x41\xzz\q\"" 'it\'s\n'"#, &["ECHO", "Axzzq\\\"", "it\\\'s\\\\n"]),
            (r#""\n\r\t\b\a\\""#, &["\\n\\r\\t\\x08\\x07\\\\"]),
            (r#""\x0A\xfF""#, &["\\n\\xff"]),
            (r#"'a"b' "c'd""#, &["a\\\"b", "c\\\'d"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line).unwrap(), expected, "{line:?}");
        }
    }

    #[test]
    fn quotes_must_balance() {
        for line in [
            r#"""#,
            "'",
            r#"ECHO "a"#,
            r#"ECHO "a"b"#,
            "ECHO 'a'b",
            r#"ECHO "a\"#,
            r#"ECHO "a\""#,
            r#"ECHO 'a\'"#,
            r#"ECHO "a"'b'"#,
        ] {
            assert_eq!(words(line), Err(ProtocolError::UnbalancedQuotes), "{line:?}");
        }
    }
}
