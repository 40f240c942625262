//! Replies of both protocols as values that can be compared, sorted and shown.

use std::fmt;

/// A reply with its type on the wire. Three kinds of nothing are three replies: a client sees the difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    NilBulk,
    NilArray,
    Null,
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Set(Vec<Self>),
    /// In the one text that [`number_text`] gives to all texts of a number.
    Double(String),
    Boolean(bool),
    BigNumber(String),
    Verbatim(Vec<u8>),
    Push(Vec<Self>),
}

impl Reply {
    pub(super) fn is_queued(&self) -> bool {
        *self == Self::Simple("QUEUED".to_owned())
    }

    pub(super) fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// The elements of an array or a set.
    pub(super) fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) | Self::Set(elements) => Some(elements),
            _ => None,
        }
    }

    /// The bytes of a string.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bulk(bytes) => Some(bytes),
            Self::Simple(text) | Self::Double(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The scalars of the reply one after the other, without the structure around them.
    pub(super) fn leaves(&self) -> Vec<Self> {
        match self {
            Self::Array(elements) | Self::Set(elements) | Self::Push(elements) => {
                elements.iter().flat_map(Self::leaves).collect()
            }
            Self::Map(pairs) => {
                pairs.iter().flat_map(|(key, value)| [key.leaves(), value.leaves()].concat()).collect()
            }
            scalar => vec![scalar.clone()],
        }
    }

    /// Changes every scalar, at any depth.
    pub(super) fn map_leaves(self, change: &impl Fn(Self) -> Self) -> Self {
        let all =
            |elements: Vec<Self>| elements.into_iter().map(|element| element.map_leaves(change)).collect();
        match self {
            Self::Array(elements) => Self::Array(all(elements)),
            Self::Set(elements) => Self::Set(all(elements)),
            Self::Push(elements) => Self::Push(all(elements)),
            Self::Map(pairs) => {
                let changed =
                    pairs.into_iter().map(|(key, value)| (key.map_leaves(change), value.map_leaves(change)));
                Self::Map(changed.collect())
            }
            scalar => change(scalar),
        }
    }
}

/// The same text for every text of the same double, `None` where there is no number.
pub(super) fn number_text(text: &str) -> Option<String> {
    text.parse::<f64>().ok().map(|number| format!("{number:?}"))
}

/// As redis-cli would show it, on one line, long ones cut.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, open: &str, elements: &[Self], close: &str| {
            write!(f, "{open}")?;
            for (at, element) in elements.iter().enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                write!(f, "{comma}{element}")?;
            }
            write!(f, "{close}")
        };
        match self {
            Self::Simple(text) => write!(f, "{text}"),
            Self::Error(text) => write!(f, "(error) {text}"),
            Self::Integer(number) => write!(f, "(integer) {number}"),
            Self::Bulk(bytes) => write!(f, "{}", quoted(bytes)),
            Self::Verbatim(bytes) => write!(f, "(verbatim) {}", quoted(bytes)),
            Self::NilBulk => write!(f, "(nil)"),
            Self::NilArray => write!(f, "(nil array)"),
            Self::Null => write!(f, "(null)"),
            Self::Double(text) => write!(f, "(double) {text}"),
            Self::Boolean(value) => write!(f, "({value})"),
            Self::BigNumber(text) => write!(f, "(big number) {text}"),
            Self::Array(elements) => list(f, "[", elements, "]"),
            Self::Set(elements) => list(f, "~[", elements, "]"),
            Self::Push(elements) => list(f, ">[", elements, "]"),
            Self::Map(pairs) => {
                write!(f, "{{")?;
                for (at, (key, value)) in pairs.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{key}: {value}")?;
                }
                write!(f, "}}")
            }
        }
    }
}

/// Bytes between quotes, as redis-cli takes them too.
pub(super) fn quoted(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let cut = &bytes[..bytes.len().min(SHOWN)];
    let rest = if bytes.len() > SHOWN { format!(" ({} bytes)", bytes.len()) } else { String::new() };
    format!("\"{}\"{rest}", cut.escape_ascii())
}
