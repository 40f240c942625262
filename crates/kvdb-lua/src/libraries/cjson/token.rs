//! JSON text as tokens.

use super::number::read_prefix;

/// A token. A string stands in the lexer's buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    /// No token: what is wrong.
    Fault(&'static str),
}

impl Token {
    /// The token's name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::String => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Fault(what) => what,
        }
    }
}

const INVALID_NUMBER: Token = Token::Fault("invalid number");
const INVALID_TOKEN: Token = Token::Fault("invalid token");
const INVALID_ESCAPE: &str = "invalid escape code";
const INVALID_UNICODE: &str = "invalid unicode escape code";

/// Reads tokens from a text.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// Whether numbers that JSON does not have are read.
    invalid_numbers: bool,
    /// The last string.
    pub(super) string: Vec<u8>,
}

impl<'a> Lexer<'a> {
    /// A NUL ends the text, as it ends strings in C.
    pub(super) fn new(text: &'a [u8], invalid_numbers: bool) -> Self {
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        Self { text: &text[..end], at: 0, invalid_numbers, string: Vec::new() }
    }

    /// Where the next token is looked for.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next token and where it begins, or where it is at fault.
    pub(super) fn next(&mut self) -> (Token, usize) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        let start = self.at;
        let rest = &self.text[start..];
        let (token, len) = match rest {
            [] => (Token::End, 0),
            [b'{', ..] => (Token::ObjectBegin, 1),
            [b'}', ..] => (Token::ObjectEnd, 1),
            [b'[', ..] => (Token::ArrayBegin, 1),
            [b']', ..] => (Token::ArrayEnd, 1),
            [b':', ..] => (Token::Colon, 1),
            [b',', ..] => (Token::Comma, 1),
            [b'"', ..] => return self.string(),
            [b'-' | b'0'..=b'9', ..] if self.invalid_numbers || !is_beyond_json(rest) => number(rest),
            [b'-' | b'0'..=b'9', ..] => (INVALID_NUMBER, 0),
            [b't', b'r', b'u', b'e', ..] => (Token::Boolean(true), 4),
            [b'f', b'a', b'l', b's', b'e', ..] => (Token::Boolean(false), 5),
            [b'n', b'u', b'l', b'l', ..] => (Token::Null, 4),
            [b'+' | b'i' | b'I' | b'n' | b'N', ..] if self.invalid_numbers && is_beyond_json(rest) => {
                number(rest)
            }
            _ => (INVALID_TOKEN, 0),
        };
        self.at += len;
        (token, start)
    }

    /// Goes behind the next token if it is this one.
    pub(super) fn take(&mut self, wanted: Token) -> bool {
        let before = self.at;
        let is_wanted = self.next().0 == wanted;
        if !is_wanted {
            self.at = before;
        }
        is_wanted
    }

    fn string(&mut self) -> (Token, usize) {
        let start = self.at;
        self.string.clear();
        let mut at = start + 1;
        loop {
            let rest = &self.text[at..];
            let plain = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
            self.string.extend_from_slice(&rest[..plain]);
            at += plain;
            match rest[plain..] {
                [] => return (Token::Fault("unexpected end of string"), at),
                [b'"', ..] => break,
                [_, ref escape @ ..] => match unescape(escape, &mut self.string) {
                    Ok(len) => at += 1 + len,
                    Err(what) => return (Token::Fault(what), at),
                },
            }
        }
        self.at = at + 1;
        (Token::String, start)
    }
}

fn number(text: &[u8]) -> (Token, usize) {
    match read_prefix(text) {
        Some((number, len)) => (Token::Number(number), len),
        None => (INVALID_NUMBER, 0),
    }
}

/// Whether this is a number that is none in JSON, if it is one at all.
fn is_beyond_json(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    match unsigned {
        [b'+', ..] => true,
        [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
        [first, ..] if *first <= b'9' => false,
        _ => unsigned
            .get(..3)
            .is_some_and(|word| [b"inf", b"nan"].iter().any(|known| word.eq_ignore_ascii_case(*known))),
    }
}

/// Appends what the escape that begins behind the backslash stands for; its length.
fn unescape(escape: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str> {
    let byte = match escape {
        [byte @ (b'"' | b'\\' | b'/'), ..] => *byte,
        [b'b', ..] => 8,
        [b'f', ..] => 12,
        [b'n', ..] => b'\n',
        [b'r', ..] => b'\r',
        [b't', ..] => b'\t',
        [b'u', digits @ ..] => return unescape_unicode(digits, out),
        [] => return Err("unexpected end of string"),
        _ => return Err(INVALID_ESCAPE),
    };
    out.push(byte);
    Ok(1)
}

/// As above for what follows `\u`: four digits, or eight in two such escapes for a surrogate pair.
fn unescape_unicode(text: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str> {
    let unit = |text: &[u8]| {
        let digits = text.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    };
    let first = unit(text).ok_or(INVALID_UNICODE)?;
    let (code, len) = match first {
        0xd800..=0xdbff => {
            let low =
                text[4..].strip_prefix(b"\\u").and_then(unit).filter(|low| (0xdc00..=0xdfff).contains(low));
            (0x10000 + ((first & 0x3ff) << 10 | low.ok_or(INVALID_UNICODE)? & 0x3ff), 11)
        }
        _ => (first, 5),
    };
    let character = char::from_u32(code).ok_or(INVALID_UNICODE)?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(len)
}
