//! What can be wrong with the bytes a peer sent: [`ProtocolError`] on a server, [`ReplyError`] on
//! a client. Either way the stream has lost its framing, and the connection has to be closed.

use std::error::Error;
use std::fmt;

/// A request that is not RESP. The server answers `-ERR <this text>` and closes the connection,
/// since what follows cannot be trusted to start at a request.
///
/// The texts are those of Redis 7, which client libraries and their users match on; the last two
/// are cases in which Redis is more lenient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The number of arguments is not a canonical decimal number or is above
    /// [`Limits::max_args`](crate::Limits::max_args).
    InvalidMultibulkLength,
    /// The length of an argument is not a canonical decimal number, is negative or is above
    /// [`Limits::max_bulk`](crate::Limits::max_bulk).
    InvalidBulkLength,
    /// An argument does not start with `$`; a request holds nothing but bulk strings.
    ExpectedBulk {
        /// The byte found instead.
        got: u8,
    },
    /// An inline command is longer than [`Limits::max_inline`](crate::Limits::max_inline).
    InlineTooLong,
    /// The line that announces the number of arguments does not end.
    MultibulkHeaderTooLong,
    /// The line that announces the length of an argument does not end.
    BulkHeaderTooLong,
    /// A quote of an inline command is not closed, or is followed by something other than a space.
    UnbalancedQuotes,
    /// More than ten arguments before authentication.
    UnauthenticatedMultibulkLength,
    /// An argument of more than 16384 bytes before authentication.
    UnauthenticatedBulkLength,
    /// An argument is not followed by CRLF: its length was wrong.
    MissingBulkTerminator,
    /// One request of 4 GiB or more, the reach of the decoder's offsets.
    RequestTooLarge,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        f.write_str(match self {
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::InvalidBulkLength => "invalid bulk length",
            Self::ExpectedBulk { got } => {
                return match got {
                    b' '..=b'~' => write!(f, "expected '$', got '{}'", char::from(*got)),
                    b'\r' | b'\n' | 0 => f.write_str("expected '$', got ' '"),
                    _ => write!(f, "expected '$', got '\\x{got:02x}'"),
                };
            }
            Self::InlineTooLong => "too big inline request",
            Self::MultibulkHeaderTooLong => "too big mbulk count string",
            Self::BulkHeaderTooLong => "too big bulk count string",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
            Self::MissingBulkTerminator => "expected CRLF after bulk",
            Self::RequestTooLarge => "too big request",
        })
    }
}

impl Error for ProtocolError {}

/// A reply that is not RESP, or that exceeds what its reader is prepared to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyError {
    /// No RESP2 or RESP3 type starts with this byte.
    UnknownType(u8),
    /// A length or count is malformed.
    InvalidLength,
    /// An integer, double, big number or boolean is malformed.
    InvalidNumber,
    /// A line or a string does not end in CRLF, or a null is not empty.
    MissingTerminator,
    /// A verbatim string lacks its three-letter format.
    InvalidVerbatim,
    /// A string or line is longer than [`ReplyLimits::max_bulk`](crate::ReplyLimits::max_bulk).
    BulkTooLong,
    /// Aggregates are nested deeper than
    /// [`ReplyLimits::max_depth`](crate::ReplyLimits::max_depth).
    TooDeep,
    /// One reply announces more elements than
    /// [`ReplyLimits::max_elements`](crate::ReplyLimits::max_elements).
    TooManyElements,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::UnknownType(byte) => {
                return write!(f, "malformed reply: unknown type '{}'", byte.escape_ascii());
            }
            Self::InvalidLength => "malformed reply: invalid length",
            Self::InvalidNumber => "malformed reply: invalid number",
            Self::MissingTerminator => "malformed reply: missing CRLF",
            Self::InvalidVerbatim => "malformed reply: verbatim string without a format",
            Self::BulkTooLong => "the reply holds a string above the limit",
            Self::TooDeep => "the reply is nested above the limit",
            Self::TooManyElements => "the reply holds more elements than the limit",
        };
        f.write_str(what)
    }
}

impl Error for ReplyError {}
