//! Requests from bytes, resumable at every byte.

use crate::ProtocolError;
use crate::args::{Args, Span};
use crate::{inline, number};

/// Bounds on one request. They hold before anything is allocated for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Arguments per multibulk request, the name included.
    pub max_args: usize,
    /// Bytes per argument (`proto-max-bulk-len`).
    pub max_bulk: usize,
    /// Bytes per inline command and per header line, without the line ending.
    pub max_inline: usize,
    /// Until the peer has authenticated, a request may have ten arguments of 16384 bytes.
    pub authenticated: bool,
}

impl Default for Limits {
    /// An authenticated peer and the limits that Redis ships with.
    fn default() -> Self {
        Self {
            max_args: 1024 * 1024,
            max_bulk: 512 * 1024 * 1024,
            max_inline: 64 * 1024,
            authenticated: true,
        }
    }
}

const UNAUTHENTICATED_ARGS: usize = 10;
const UNAUTHENTICATED_BULK: usize = 16384;

impl Limits {
    #[inline]
    fn check_args(&self, count: usize) -> Result<(), ProtocolError> {
        if count > self.max_args {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        if count > UNAUTHENTICATED_ARGS && !self.authenticated {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        Ok(())
    }

    #[inline]
    fn check_bulk(&self, len: usize) -> Result<(), ProtocolError> {
        if len > self.max_bulk {
            return Err(ProtocolError::InvalidBulkLength);
        }
        if len > UNAUTHENTICATED_BULK && !self.authenticated {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        Ok(())
    }

    fn line(&self) -> usize {
        self.max_inline.min(u32::MAX as usize / 2)
    }
}

/// What a call of [`Decoder::decode`] found at the start of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// A request, to be read with [`Decoder::args`] before its `consumed` bytes are dropped.
    Request {
        /// Length of the request on the wire.
        consumed: usize,
    },
    /// `consumed` bytes that ask for nothing and get no reply: an empty line, `*0`, `*-1`.
    Skip {
        /// Length on the wire.
        consumed: usize,
    },
    /// The request goes on beyond the buffer.
    Incomplete {
        /// A good length for the buffer to be able to hold: above its present length, and
        /// otherwise the least the request can be. A peer that announces much and sends little
        /// does not make this large: it is bounded by twice what has arrived or 64 KiB.
        needed: usize,
    },
}

const NEEDED_FLOOR: usize = 64 * 1024;

/// `bulk` while the next thing to read is a header.
const HEADER: u32 = u32::MAX;

/// The longest body that keeps every offset of a request below `HEADER`.
const MAX_REQUEST: u64 = HEADER as u64 - 1;

/// Splits a byte stream into requests; one per connection.
///
/// The buffer passed to [`decode`](Self::decode) starts at the first byte of the request being
/// decoded. After [`Decoded::Incomplete`] the caller calls again with the same bytes and more, at
/// the same address or another, and decoding goes on where it stopped. After
/// [`Decoded::Request`] and [`Decoded::Skip`] the caller drops the consumed bytes, and the next
/// call begins the next request.
///
/// # Invariants
/// - What a stream decodes to does not depend on how it is cut into buffers.
/// - `at` is 0 between requests; while a multibulk is under way, `left` arguments are missing and
///   the next header (`bulk == HEADER`) or body starts at `at`.
/// - Every span ends at or before `at`.
/// - `unquoted` is empty unless the request is an inline command with quotes, in which case the
///   spans refer to it instead of the caller's buffer.
#[derive(Debug)]
pub struct Decoder {
    spans: Vec<Span>,
    unquoted: Vec<u8>,
    at: u32,
    left: u32,
    bulk: u32,
    /// Where to go on searching for the end of a line, if that is beyond its start.
    searched: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { spans: Vec::new(), unquoted: Vec::new(), at: 0, left: 0, bulk: HEADER, searched: 0 }
    }
}

/// Spans and unquoted bytes that [`Decoder::shrink`] lets a connection keep.
const KEPT_SPANS: usize = 16;
const KEPT_UNQUOTED: usize = 128;

impl Decoder {
    /// Reads the request at the start of `buf`, or as much of it as there is.
    ///
    /// # Errors
    /// If the bytes are not a request or exceed `limits`. The stream cannot be resynchronised:
    /// the caller replies and closes. The decoder is left as after [`reset`](Self::reset).
    #[inline]
    pub fn decode(&mut self, buf: &[u8], limits: &Limits) -> Result<Decoded, ProtocolError> {
        let decoded = self.resume(buf, limits);
        if decoded.is_err() {
            self.reset();
        }
        decoded
    }

    /// The arguments of the request that [`decode`](Self::decode) has just found in `buf`.
    #[inline]
    #[must_use]
    pub fn args<'a>(&'a self, buf: &'a [u8]) -> Args<'a> {
        let base = if self.unquoted.is_empty() { buf } else { &self.unquoted };
        Args::new(base, &self.spans)
    }

    /// Forgets a request under way; the next buffer starts a new one.
    pub fn reset(&mut self) {
        self.spans.clear();
        self.unquoted.clear();
        self.rewind();
    }

    /// Gives back memory that an unusually long request has left behind. For the end of a turn:
    /// the arguments of the last request are gone, while a request under way goes on.
    pub fn shrink(&mut self) {
        if self.at == 0 {
            self.spans.clear();
            self.unquoted.clear();
        }
        self.spans.shrink_to(KEPT_SPANS);
        self.unquoted.shrink_to(KEPT_UNQUOTED);
    }

    /// Bytes of memory held beyond the decoder itself.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.unquoted.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    fn rewind(&mut self) {
        self.at = 0;
        self.left = 0;
        self.bulk = HEADER;
        self.searched = 0;
    }

    #[inline]
    fn resume(&mut self, buf: &[u8], limits: &Limits) -> Result<Decoded, ProtocolError> {
        if self.at == 0 {
            self.spans.clear();
            self.unquoted.clear();
            let (count, next) = match short_header(buf, 0, b'*') {
                Some(header) => header,
                None => match self.begin(buf, limits)? {
                    Begun::Multibulk { count, next } => (count, next),
                    Begun::Elsewise(decoded) => return Ok(decoded),
                },
            };
            limits.check_args(count)?;
            if count == 0 {
                self.rewind();
                return Ok(Decoded::Skip { consumed: next });
            }
            self.left = u32::try_from(count).map_err(|_| ProtocolError::InvalidMultibulkLength)?;
            self.at = next as u32;
        }
        self.read_arguments(buf, limits)
    }

    #[inline]
    fn read_arguments(&mut self, buf: &[u8], limits: &Limits) -> Result<Decoded, ProtocolError> {
        let mut at = self.at as usize;
        let mut left = self.left;
        let mut bulk = self.bulk;
        while left > 0 {
            let len = if bulk == HEADER {
                let (len, next) = match short_header(buf, at, b'$') {
                    Some(header) => header,
                    None => match self.long_bulk_header(buf, at, limits)? {
                        Some(header) => header,
                        None => return Ok(self.pause(buf, at, left, HEADER, 6)),
                    },
                };
                limits.check_bulk(len)?;
                if next as u64 + len as u64 + 2 > MAX_REQUEST {
                    return Err(ProtocolError::RequestTooLarge);
                }
                at = next;
                len
            } else {
                bulk as usize
            };
            let end = at + len;
            let Some(terminator) = buf.get(end..end + 2) else {
                return Ok(self.pause(buf, at, left, len as u32, len + 2));
            };
            if terminator != b"\r\n" {
                return Err(ProtocolError::MissingBulkTerminator);
            }
            bulk = HEADER;
            self.spans.push(Span { start: at as u32, len: len as u32 });
            at = end + 2;
            left -= 1;
        }
        self.rewind();
        Ok(Decoded::Request { consumed: at })
    }

    /// Notes where to go on, at `at` with at least `more` bytes to come from there.
    #[cold]
    fn pause(&mut self, buf: &[u8], at: usize, left: u32, bulk: u32, more: usize) -> Decoded {
        self.at = at as u32;
        self.left = left;
        self.bulk = bulk;
        // The arguments after this one are at least `$0\r\n\r\n` each.
        let least = at + more + (left as usize - 1) * 6;
        Decoded::Incomplete { needed: least.clamp(buf.len() + 1, NEEDED_FLOOR.max(buf.len() * 2)) }
    }

    /// The start of a request that is not a short multibulk header.
    #[cold]
    fn begin(&mut self, buf: &[u8], limits: &Limits) -> Result<Begun, ProtocolError> {
        match buf.first() {
            None => Ok(Begun::Elsewise(Decoded::Incomplete { needed: 1 })),
            Some(b'*') => match self.header(buf, 0, limits) {
                Header::Unfinished => Ok(Begun::Elsewise(Decoded::Incomplete { needed: buf.len() + 1 })),
                Header::TooLong => Err(ProtocolError::MultibulkHeaderTooLong),
                Header::Number(None, _) => Err(ProtocolError::InvalidMultibulkLength),
                Header::Number(Some(n), next) => Ok(Begun::Multibulk {
                    // A negative count is an empty request.
                    count: usize::try_from(n.max(0)).map_err(|_| ProtocolError::InvalidMultibulkLength)?,
                    next,
                }),
            },
            Some(_) => self.inline(buf, limits).map(Begun::Elsewise),
        }
    }

    #[cold]
    fn long_bulk_header(
        &mut self,
        buf: &[u8],
        at: usize,
        limits: &Limits,
    ) -> Result<Option<(usize, usize)>, ProtocolError> {
        match buf.get(at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(&got) => return Err(ProtocolError::ExpectedBulk { got }),
        }
        match self.header(buf, at, limits) {
            Header::Unfinished => Ok(None),
            Header::TooLong => Err(ProtocolError::BulkHeaderTooLong),
            Header::Number(n, next) => match n.map(usize::try_from) {
                Some(Ok(len)) => Ok(Some((len, next))),
                _ => Err(ProtocolError::InvalidBulkLength),
            },
        }
    }

    /// Reads the header line at `at`: a marker, a number, CRLF.
    fn header(&mut self, buf: &[u8], at: usize, limits: &Limits) -> Header {
        let bound = (at + limits.line() + 1).min(buf.len());
        let from = at.max(self.searched as usize);
        let Some(cr) = memchr::memchr(b'\r', &buf[from..bound]).map(|i| from + i) else {
            self.note_searched(bound);
            return if bound > at + limits.line() { Header::TooLong } else { Header::Unfinished };
        };
        self.note_searched(cr);
        match buf.get(cr + 1) {
            None => Header::Unfinished,
            Some(b'\n') => Header::Number(number::parse_i64(&buf[at + 1..cr]), cr + 2),
            Some(_) => Header::Number(None, cr + 2),
        }
    }

    /// Lines need not be searched for their end before `offset` any more.
    fn note_searched(&mut self, offset: usize) {
        self.searched = u32::try_from(offset).unwrap_or(u32::MAX);
    }

    fn inline(&mut self, buf: &[u8], limits: &Limits) -> Result<Decoded, ProtocolError> {
        let window = &buf[..buf.len().min(limits.line() + 2)];
        let searched = self.searched as usize;
        let Some(lf) = memchr::memchr(b'\n', &window[searched..]).map(|i| i + searched) else {
            self.note_searched(window.len());
            return if window.len() == limits.line() + 2 {
                Err(ProtocolError::InlineTooLong)
            } else {
                Ok(Decoded::Incomplete { needed: buf.len() + 1 })
            };
        };
        let line = window[..lf].strip_suffix(b"\r").unwrap_or(&window[..lf]);
        if line.len() > limits.line() {
            return Err(ProtocolError::InlineTooLong);
        }
        self.searched = 0;
        inline::split(line, &mut self.spans, &mut self.unquoted)?;
        let consumed = lf + 1;
        Ok(if self.spans.is_empty() { Decoded::Skip { consumed } } else { Decoded::Request { consumed } })
    }
}

enum Begun {
    Multibulk { count: usize, next: usize },
    Elsewise(Decoded),
}

enum Header {
    Unfinished,
    TooLong,
    /// The number, unless malformed, and the offset after the line.
    Number(Option<i64>, usize),
}

/// Reads `<marker>N\r\n` at `at` for an N of one or two digits: nearly every header there is.
/// `None` leaves the decision to the general code, be the header longer, malformed or cut off.
#[inline(always)]
fn short_header(buf: &[u8], at: usize, marker: u8) -> Option<(usize, usize)> {
    let &[m, first, second, third, fourth, ..] = buf.get(at..)?.first_chunk::<8>()?;
    let tens = first.wrapping_sub(b'0');
    if m != marker || tens > 9 {
        return None;
    }
    if second == b'\r' {
        return (third == b'\n').then_some((usize::from(tens), at + 4));
    }
    let units = second.wrapping_sub(b'0');
    if units > 9 || tens == 0 || third != b'\r' || fourth != b'\n' {
        return None;
    }
    Some((usize::from(tens) * 10 + usize::from(units), at + 5))
}
