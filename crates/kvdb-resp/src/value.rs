//! Replies as values, for clients and tests.

use std::fmt;

use crate::Reply;

/// One reply. Texts are bytes, since servers echo what clients send.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `+`: a status line.
    Simple(Vec<u8>),
    /// `-` or `!`: an error, its code first.
    Error(Vec<u8>),
    /// `:`.
    Integer(i64),
    /// `$`: a binary-safe string.
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` or `_`.
    Null,
    /// `*`.
    Array(Vec<Self>),
    /// `,`.
    Double(f64),
    /// `#`.
    Boolean(bool),
    /// `(`: an integer of any size, in decimal.
    BigNumber(Vec<u8>),
    /// `=`: text for people, with its three-letter format.
    Verbatim([u8; 3], Vec<u8>),
    /// `%`: pairs in the order sent.
    Map(Vec<(Self, Self)>),
    /// `~`.
    Set(Vec<Self>),
    /// `>`: a message that answers no request.
    Push(Vec<Self>),
}

impl Value {
    /// A [`Value::Simple`].
    #[must_use]
    pub fn simple(text: &str) -> Self {
        Self::Simple(text.as_bytes().to_vec())
    }

    /// A [`Value::Bulk`].
    #[must_use]
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(bytes.as_ref().to_vec())
    }

    /// A [`Value::Error`].
    #[must_use]
    pub fn error(message: &str) -> Self {
        Self::Error(message.as_bytes().to_vec())
    }

    /// The bytes of a string of any kind, errors excepted.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) | Self::BigNumber(bytes) | Self::Verbatim(_, bytes) => {
                Some(bytes)
            }
            _ => None,
        }
    }

    /// The number in an integer.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(n) => Some(*n),
            _ => None,
        }
    }

    /// The elements of an array, a set or a push.
    #[must_use]
    pub fn as_elements(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) | Self::Set(elements) | Self::Push(elements) => Some(elements),
            _ => None,
        }
    }

    /// Writes the value as a server would. RESP2 has fewer types, so that what is read back may
    /// be another value: a map, for one, an array.
    pub fn write(&self, reply: &mut Reply<'_>) {
        match self {
            Self::Simple(text) => reply.simple(&String::from_utf8_lossy(text)),
            Self::Error(message) => reply.error(message),
            Self::Integer(n) => reply.integer(*n),
            Self::Bulk(bytes) => reply.bulk(bytes),
            Self::Null => reply.null(),
            Self::Double(value) => reply.double(*value),
            Self::Boolean(value) => reply.boolean(*value),
            Self::BigNumber(text) => reply.big_number(&String::from_utf8_lossy(text)),
            Self::Verbatim(format, text) => reply.verbatim(format, &String::from_utf8_lossy(text)),
            Self::Array(elements) => {
                reply.array(elements.len());
                elements.iter().for_each(|element| element.write(reply));
            }
            Self::Set(elements) => {
                reply.set(elements.len());
                elements.iter().for_each(|element| element.write(reply));
            }
            Self::Push(elements) => {
                reply.push(elements.len());
                elements.iter().for_each(|element| element.write(reply));
            }
            Self::Map(pairs) => {
                reply.map(pairs.len());
                for (key, value) in pairs {
                    key.write(reply);
                    value.write(reply);
                }
            }
        }
    }
}

/// Bytes as escaped ASCII: a failed assertion should be readable.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(f, "Simple(\"{}\")", text.escape_ascii()),
            Self::Error(text) => write!(f, "Error(\"{}\")", text.escape_ascii()),
            Self::Integer(n) => write!(f, "Integer({n})"),
            Self::Bulk(bytes) => write!(f, "Bulk(\"{}\")", bytes.escape_ascii()),
            Self::Null => f.write_str("Null"),
            Self::Double(value) => write!(f, "Double({value:?})"),
            Self::Boolean(value) => write!(f, "Boolean({value})"),
            Self::BigNumber(text) => write!(f, "BigNumber({})", text.escape_ascii()),
            Self::Verbatim(format, text) => {
                write!(f, "Verbatim({}, \"{}\")", format.escape_ascii(), text.escape_ascii())
            }
            Self::Array(elements) => {
                f.write_str("Array")?;
                f.debug_list().entries(elements).finish()
            }
            Self::Set(elements) => {
                f.write_str("Set")?;
                f.debug_list().entries(elements).finish()
            }
            Self::Push(elements) => {
                f.write_str("Push")?;
                f.debug_list().entries(elements).finish()
            }
            Self::Map(pairs) => {
                f.write_str("Map")?;
                f.debug_map().entries(pairs.iter().map(|(key, value)| (key, value))).finish()
            }
        }
    }
}
