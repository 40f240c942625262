//! Replies as a server writes them.

use std::fmt;
use std::io::Write;

use crate::double::DoubleText;
use crate::number::{push_header, push_signed_header};

/// The version of the protocol that a connection has agreed on with `HELLO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Strings, errors, integers, arrays, nulls.
    #[default]
    Resp2,
    /// RESP2 and maps, sets, doubles, booleans, big numbers, verbatim strings, pushes.
    Resp3,
}

/// Appends replies to a buffer in the connection's protocol. A type that RESP2 lacks is written
/// as the RESP2 type that Redis uses in its place.
///
/// The header of an aggregate is written first and its elements after it; that there are as many
/// as announced is up to the caller. Where the number is known only at the end, one of the
/// `deferred_` methods stands in for it.
///
/// ```
/// use kvdb_resp::{Protocol, Reply};
///
/// let mut out = Vec::new();
/// let mut reply = Reply::new(&mut out, Protocol::Resp3);
/// reply.map(1);
/// reply.bulk(b"score");
/// reply.double(1.5);
/// assert_eq!(out, b"%1\r\n$5\r\nscore\r\n,1.5\r\n");
/// ```
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
    /// The length of the buffer at which it is full.
    full_at: usize,
}

impl<'a> Reply<'a> {
    /// Replies at the end of `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol, full_at: usize::MAX }
    }

    /// The protocol replies are written in.
    #[inline]
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the protocol for what follows: `HELLO` is answered in the one it has asked for.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Allows about so many bytes from here on, and no more than were allowed before: a string that
    /// begins behind them is left out, and [`is_full`](Self::is_full) tells. Whoever sets a limit has
    /// to ask, and to take back what is no whole reply.
    #[inline]
    pub fn limit(&mut self, bytes: usize) {
        self.full_at = self.full_at.min(self.out.len().saturating_add(bytes));
    }

    /// Takes every [`limit`](Self::limit) back.
    #[inline]
    pub fn lift_limit(&mut self) {
        self.full_at = usize::MAX;
    }

    /// How many bytes are still allowed.
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        self.full_at.saturating_sub(self.out.len())
    }

    /// Whether what was written has come to the [`limit`](Self::limit).
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.out.len() >= self.full_at
    }

    /// The length of the buffer: a mark to [`truncate`](Self::truncate) to.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// What was written since `mark` was taken with [`len`](Self::len).
    #[must_use]
    pub fn since(&self, mark: usize) -> &[u8] {
        self.out.get(mark..).unwrap_or_default()
    }

    /// Whether the buffer is empty.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes back everything written since `mark` was taken with [`len`](Self::len).
    pub fn truncate(&mut self, mark: usize) {
        self.out.truncate(mark);
    }

    /// Appends bytes that are replies already.
    #[inline]
    pub fn raw(&mut self, replies: &[u8]) {
        self.out.extend_from_slice(replies);
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status line. CR, LF and NUL become spaces.
    #[inline]
    pub fn simple(&mut self, status: &str) {
        self.line(b'+', status.as_bytes());
    }

    /// An error: its code (`ERR`, `WRONGTYPE`) and a sentence. CR, LF and NUL become spaces, so
    /// that a text with input in it cannot forge a second reply.
    pub fn error(&mut self, message: impl AsRef<[u8]>) {
        self.line(b'-', message.as_ref());
    }

    /// [`error`](Self::error) with a formatted message.
    pub fn error_fmt(&mut self, message: fmt::Arguments<'_>) {
        self.out.push(b'-');
        let start = self.out.len();
        self.out.write_fmt(message).expect("writing to a vector does not fail");
        self.end_line(start);
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, n: i64) {
        push_signed_header(self.out, b':', n);
    }

    /// A binary-safe string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        if self.is_full() {
            return;
        }
        self.out.reserve(bytes.len() + 32);
        push_header(self.out, b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A string that holds an integer in decimal, as a counter's value is read.
    #[inline]
    pub fn bulk_integer(&mut self, n: i64) {
        self.bulk(itoa::Buffer::new().format(n).as_bytes());
    }

    /// No value, where there could be a string.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// No value, where there could be an array.
    #[inline]
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The head of `len` elements in order.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.aggregate(Aggregate::Array, len);
    }

    /// The head of `len` pairs, each a key and a value. RESP2: an array of both.
    #[inline]
    pub fn map(&mut self, len: usize) {
        self.aggregate(Aggregate::Map, len);
    }

    /// The head of `len` elements without order or duplicates. RESP2: an array.
    #[inline]
    pub fn set(&mut self, len: usize) {
        self.aggregate(Aggregate::Set, len);
    }

    /// The head of an out-of-band message of `len` elements. RESP2: an array.
    #[inline]
    pub fn push(&mut self, len: usize) {
        self.aggregate(Aggregate::Push, len);
    }

    /// A floating point number. RESP2: its text as a string.
    pub fn double(&mut self, value: f64) {
        let text = DoubleText::new(value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// A floating point number whose text is not the shortest one. RESP2: a string.
    pub fn decimal(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// True or false. RESP2: 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.protocol, value) {
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
        });
    }

    /// An integer of any size, as decimal text. RESP2: a string.
    pub fn big_number(&mut self, decimal: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(decimal.as_bytes()),
            Protocol::Resp3 => self.line(b'(', decimal.as_bytes()),
        }
    }

    /// Text to be shown as it is, `format` being `txt` or `mkd`. RESP2: a string.
    pub fn verbatim(&mut self, format: &[u8; 3], text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.out.reserve(text.len() + 36);
                push_header(self.out, b'=', text.len() + 4);
                self.out.extend_from_slice(format);
                self.out.push(b':');
                self.out.extend_from_slice(text.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// The head of an array of a length that [`finish`](Self::finish) will tell.
    pub fn deferred_array(&mut self) -> Deferred {
        self.defer(Aggregate::Array)
    }

    /// The head of a map of a number of pairs that [`finish`](Self::finish) will tell.
    pub fn deferred_map(&mut self) -> Deferred {
        self.defer(Aggregate::Map)
    }

    /// The head of a set of a length that [`finish`](Self::finish) will tell.
    pub fn deferred_set(&mut self) -> Deferred {
        self.defer(Aggregate::Set)
    }

    /// Puts the length of a deferred aggregate in its place. Of nested ones, the inner is
    /// finished first. A length of more than one digit moves what has been written since.
    ///
    /// # Panics
    /// If the head has been truncated away.
    pub fn finish(&mut self, deferred: Deferred, len: usize) {
        let mut header = Vec::new();
        let (marker, len) = deferred.kind.header(self.protocol, len);
        push_header(&mut header, marker, len);
        let head = deferred.at..deferred.at + PLACEHOLDER.len();
        debug_assert_eq!(self.out[head.start + 1..head.end], PLACEHOLDER[1..]);
        self.out.splice(head, header);
    }

    fn defer(&mut self, kind: Aggregate) -> Deferred {
        let at = self.out.len();
        self.out.extend_from_slice(PLACEHOLDER);
        Deferred { at, kind }
    }

    #[inline]
    fn aggregate(&mut self, kind: Aggregate, len: usize) {
        let (marker, len) = kind.header(self.protocol, len);
        push_header(self.out, marker, len);
    }

    #[inline]
    fn line(&mut self, marker: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.push(marker);
        let start = self.out.len();
        self.out.extend_from_slice(text);
        self.end_line(start);
    }

    fn end_line(&mut self, start: usize) {
        for byte in &mut self.out[start..] {
            if matches!(byte, b'\r' | b'\n' | 0) {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }
}

/// The place of a length that is not known yet; see [`Reply::deferred_array`].
#[derive(Debug)]
#[must_use = "an aggregate that is not finished stays empty"]
pub struct Deferred {
    at: usize,
    kind: Aggregate,
}

/// What stands in for a deferred head: an empty array, and as long as most heads.
const PLACEHOLDER: &[u8; 4] = b"*0\r\n";

#[derive(Debug, Clone, Copy)]
enum Aggregate {
    Array,
    Map,
    Set,
    Push,
}

impl Aggregate {
    #[inline]
    fn header(self, protocol: Protocol, len: usize) -> (u8, usize) {
        match (protocol, self) {
            (_, Self::Array) | (Protocol::Resp2, Self::Set | Self::Push) => (b'*', len),
            (Protocol::Resp2, Self::Map) => (b'*', len * 2),
            (Protocol::Resp3, Self::Map) => (b'%', len),
            (Protocol::Resp3, Self::Set) => (b'~', len),
            (Protocol::Resp3, Self::Push) => (b'>', len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Reply<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, protocol));
        String::from_utf8(out).unwrap().replace("\r\n", "|")
    }

    #[test]
    fn a_full_reply_takes_no_more_strings() {
        let mut out = b"+OK\r\n".to_vec();
        let mut reply = Reply::new(&mut out, Protocol::Resp2);
        reply.limit(10);
        reply.limit(1_000);
        assert_eq!(reply.room(), 10);
        reply.bulk(b"four");
        assert!(reply.is_full() && reply.room() == 0);
        reply.bulk(b"more");
        reply.lift_limit();
        reply.bulk(b"five");
        assert_eq!(out, b"+OK\r\n$4\r\nfour\r\n$4\r\nfive\r\n");
    }

    #[test]
    fn each_type_has_its_spelling_in_each_protocol() {
        type Case = (fn(&mut Reply<'_>), &'static str, &'static str);
        let cases: [Case; 19] = [
            (|r| r.ok(), "+OK|", "+OK|"),
            (|r| r.simple("PONG"), "+PONG|", "+PONG|"),
            (|r| r.error("ERR no"), "-ERR no|", "-ERR no|"),
            (|r| r.integer(-42), ":-42|", ":-42|"),
            (|r| r.bulk(b""), "$0||", "$0||"),
            (|r| r.bulk_integer(-7), "$2|-7|", "$2|-7|"),
            (|r| r.null(), "$-1|", "_|"),
            (|r| r.null_array(), "*-1|", "_|"),
            (|r| r.array(10_000), "*10000|", "*10000|"),
            (|r| r.map(3), "*6|", "%3|"),
            (|r| r.set(0), "*0|", "~0|"),
            (|r| r.push(2), "*2|", ">2|"),
            (|r| r.double(0.1), "$3|0.1|", ",0.1|"),
            (|r| r.double(f64::NEG_INFINITY), "$4|-inf|", ",-inf|"),
            (|r| r.boolean(true), ":1|", "#t|"),
            (|r| r.boolean(false), ":0|", "#f|"),
            (|r| r.big_number("123"), "$3|123|", "(123|"),
            (|r| r.decimal("1.50"), "$4|1.50|", ",1.50|"),
            (|r| r.verbatim(b"txt", "hi"), "$2|hi|", "=6|txt:hi|"),
        ];
        for (write, resp2, resp3) in cases {
            assert_eq!(written(Protocol::Resp2, write), resp2);
            assert_eq!(written(Protocol::Resp3, write), resp3);
        }
    }

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        let hostile = "ERR a\r\n:1\r\nb\0";
        assert_eq!(written(Protocol::Resp2, |r| r.error(hostile)), "-ERR a  :1  b |");
        assert_eq!(written(Protocol::Resp2, |r| r.simple("a\nb")), "+a b|");
        assert_eq!(written(Protocol::Resp3, |r| r.big_number("1\r\n2")), "(1  2|");
        let formatted = written(Protocol::Resp2, |r| {
            r.error_fmt(format_args!("ERR '{}'", "x\r\ny"));
        });
        assert_eq!(formatted, "-ERR 'x  y'|");
    }

    #[test]
    fn deferred_lengths_are_filled_in_from_the_inside_out() {
        let nested = |r: &mut Reply<'_>| {
            let outer = r.deferred_array();
            for n in [0, 2, 12] {
                let inner = r.deferred_map();
                for i in 0..n {
                    r.integer(i);
                    r.null();
                }
                r.finish(inner, n as usize);
            }
            r.finish(outer, 3);
            r.ok();
        };
        let pairs: String = (0..12).map(|i| format!(":{i}|_|")).collect();
        let expected = format!("*3|%0|%2|:0|_|:1|_|%12|{pairs}+OK|");
        assert_eq!(written(Protocol::Resp3, nested), expected);
        assert!(written(Protocol::Resp2, nested).starts_with("*3|*0|*4|:0|$-1|"));
    }

    #[test]
    fn a_partly_written_reply_can_be_taken_back() {
        let text = written(Protocol::Resp2, |r| {
            r.ok();
            let mark = r.len();
            r.array(2);
            r.bulk(b"half");
            r.truncate(mark);
            r.error("ERR changed my mind");
        });
        assert_eq!(text, "+OK|-ERR changed my mind|");
    }
}
