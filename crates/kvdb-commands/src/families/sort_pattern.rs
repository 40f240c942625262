//! The patterns of SORT: keys, and fields of hashes, that are named after elements.

use kvdb_store::types::Hash;
use kvdb_store::{ValueRef, WriteCx};

use crate::errors::CommandError;
use crate::exec::MAX_KEY_BYTES;

/// What makes a key of an element: the element stands in the place of the first `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pattern<'a> {
    before: &'a [u8],
    behind: &'a [u8],
    /// The field of the hash that the key holds, where it is not the key's own value that is meant.
    field: Option<&'a [u8]>,
}

/// What GET asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Get<'a> {
    /// The element itself.
    Element,
    /// The value that a pattern names.
    Pattern(Pattern<'a>),
    /// A pattern without a `*` names nothing.
    Nothing,
}

impl<'a> Get<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Self {
        if text == b"#" {
            return Self::Element;
        }
        Pattern::parse(text).map_or(Self::Nothing, Self::Pattern)
    }

    /// The pattern, if it is one.
    pub(super) fn pattern(&self) -> Option<Pattern<'a>> {
        match self {
            Self::Pattern(pattern) => Some(*pattern),
            Self::Element | Self::Nothing => None,
        }
    }
}

impl<'a> Pattern<'a> {
    /// Reads a pattern; none where it has no `*`. A field stands behind the first arrow after the `*`, unless nothing does.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let star = text.iter().position(|&byte| byte == b'*')?;
        let (before, behind) = (&text[..star], &text[star + 1..]);
        let arrow = behind.windows(2).position(|two| two == b"->").filter(|at| at + 2 < behind.len());
        Some(match arrow {
            Some(at) => Self { before, behind: &behind[..at], field: Some(&behind[at + 2..]) },
            None => Self { before, behind, field: None },
        })
    }

    /// Writes the key for an element; tells whether there can be such a key.
    pub(super) fn name(&self, element: &[u8], key: &mut Vec<u8>) -> bool {
        let len = self.before.len() + element.len() + self.behind.len();
        if len > MAX_KEY_BYTES {
            return false;
        }
        key.clear();
        [self.before, element, self.behind].iter().for_each(|part| key.extend_from_slice(part));
        true
    }

    /// The value for an element, if there is one of the right type. The run has reached for the key.
    pub(super) fn value<'c>(
        &self,
        cx: &'c mut WriteCx<'_>,
        element: &[u8],
        key: &mut Vec<u8>,
    ) -> Option<ValueRef<'c>> {
        if !self.name(element, key) {
            return None;
        }
        let now = cx.now();
        let object = cx.lookup(key)?;
        match self.field {
            Some(field) => object.elements::<Hash>()?.live(now).get(field),
            None => object.string(),
        }
    }
}

/// Reaches for the keys that patterns name for elements; tells whether they may be used now.
///
/// # Errors
/// When rows do not decode.
pub(super) fn reach<'e>(
    cx: &mut WriteCx<'_>,
    patterns: &[Pattern<'_>],
    elements: usize,
    element: impl Fn(usize) -> &'e [u8],
) -> Result<bool, CommandError> {
    let count = patterns.len().saturating_mul(elements);
    let name = |number: usize, key: &mut Vec<u8>| {
        patterns[number % patterns.len()].name(element(number / patterns.len()), key)
    };
    cx.reach_all(count, name).map_err(|message| CommandError::new(format!("ERR {message}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(&str, &str, Option<&str>)> {
        let show = |bytes| std::str::from_utf8(bytes).expect("it is a part of a text");
        Pattern::parse(text.as_bytes()).map(|p| (show(p.before), show(p.behind), p.field.map(show)))
    }

    #[test]
    fn a_pattern_is_cut_at_the_star_and_the_arrow() {
        assert_eq!(parts("weight_*"), Some(("weight_", "", None)));
        assert_eq!(parts("*"), Some(("", "", None)));
        assert_eq!(parts("a*b*c"), Some(("a", "b*c", None)));
        assert_eq!(parts("o:*:x->f"), Some(("o:", ":x", Some("f"))));
        assert_eq!(parts("a->b*"), Some(("a->b", "", None)), "an arrow before the star is none");
        assert_eq!(parts("*->"), Some(("", "->", None)), "an arrow to nothing is none");
        assert_eq!(parts("*->a->b"), Some(("", "", Some("a->b"))));
        assert_eq!(parts("nosort"), None);
        assert_eq!(Get::parse(b"#"), Get::Element);
        assert_eq!(Get::parse(b"##"), Get::Nothing);
    }

    #[test]
    fn no_key_is_longer_than_keys_may_be() {
        let pattern = Pattern::parse(b"a*b").expect("there is a star");
        let mut key = b"before".to_vec();
        assert!(pattern.name(b"xyz", &mut key));
        assert_eq!(key, b"axyzb");
        assert!(pattern.name(&vec![b'x'; MAX_KEY_BYTES - 2], &mut key));
        assert!(!pattern.name(&vec![b'x'; MAX_KEY_BYTES - 1], &mut key));
    }
}
