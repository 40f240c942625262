//! Glob patterns, as KEYS, SCAN, PSUBSCRIBE, CONFIG GET and the ACL match them.
//!
//! `*` matches any run of bytes, `?` one byte, `[a-z]` and `[^a-z]` one byte of a class, and `\`
//! takes the next byte literally. Matching is over bytes, not characters.
//!
//! Patterns come from clients, so the time must be bounded. Every element but `*` consumes exactly one byte. So what stands
//! before the first star is compared with the beginning of the text, what stands behind the last one with its end, and what
//! stands between two is looked for from left to right: the first place where it fits leaves the most to what follows, and no
//! decision is ever taken back. In a short text each place is tried, at most |pattern| × |text| steps. In a long one
//! literal bytes are searched for in linear time, and anything else by a bit for each element, which all move on together
//! with each byte: 256 × |pattern| steps before, and one for each byte of the text and 64 elements. (Of the few patterns with
//! thousands of elements between two stars each place is tried all the same.)
//!
//! A few corners follow Redis rather than taste, because applications see them:
//! - the empty text is matched by the empty pattern alone, not by `*`;
//! - an unclosed class ends at the end of the pattern, and a lone trailing `\` is itself;
//! - the bounds of a range may come in either order, and are compared as signed bytes;
//! - an escaped byte inside a class is compared with its case, even when case is ignored.

/// Whether an ASCII letter matches its other case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Bytes are compared as they are.
    Sensitive,
    /// ASCII letters are equal to their other case.
    Ignored,
}

/// Whether the whole of `text` matches `pattern`.
///
/// ```
/// # use kvdb_pubsub::glob::{Case, matches};
/// assert!(matches(b"user:*:[0-9]", b"user:anna:7", Case::Sensitive));
/// assert!(!matches(b"user:?", b"user:10", Case::Sensitive));
/// ```
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    counted(pattern, text, case, &mut || ())
}

/// As [`matches`]; calls `step` for every element that is compared with a byte, and whatever takes as long.
fn counted(pattern: &[u8], text: &[u8], case: Case, step: &mut impl FnMut()) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut pattern, mut text) = (pattern, text);
    while pattern.first() != Some(&b'*') {
        let Some((&byte, behind)) = text.split_first() else { return pattern.is_empty() };
        step();
        let Some(length) = element(pattern, byte, case) else { return false };
        (pattern, text) = (&pattern[length..], behind);
    }
    loop {
        while let [b'*', behind @ ..] = pattern {
            pattern = behind;
        }
        if pattern.is_empty() {
            return true;
        }
        let segment = Segment::of(pattern, case);
        pattern = &pattern[segment.bytes.len()..];
        if pattern.is_empty() {
            let start = text.len().checked_sub(segment.elements);
            return start.is_some_and(|start| segment.fits(&text[start..], step));
        }
        let Some(at) = segment.find(text, step) else { return false };
        text = &text[at + segment.elements..];
    }
}

/// A text that is no longer than this is searched place by place: anything else has to be prepared first.
const SHORT_TEXT: usize = 1024;

/// Of more elements than this none are prepared: that would take as much memory as it spares time.
const MOST_ELEMENTS: usize = 4096;

/// What stands between two stars, or behind the last one.
struct Segment<'p> {
    bytes: &'p [u8],
    /// How many elements these are: so many bytes of a text does it match.
    elements: usize,
    case: Case,
}

impl<'p> Segment<'p> {
    /// The one that opens `pattern`.
    fn of(pattern: &'p [u8], case: Case) -> Self {
        let (mut end, mut elements) = (0, 0);
        while end < pattern.len() && pattern[end] != b'*' {
            end += element_length(&pattern[end..]);
            elements += 1;
        }
        Self { bytes: &pattern[..end], elements, case }
    }

    /// Whether a text begins so.
    fn fits(&self, text: &[u8], step: &mut impl FnMut()) -> bool {
        let mut rest = self.bytes;
        for &byte in text {
            if rest.is_empty() {
                break;
            }
            step();
            let Some(length) = element(rest, byte, self.case) else { return false };
            rest = &rest[length..];
        }
        rest.is_empty()
    }

    /// Where it matches first.
    fn find(&self, text: &[u8], step: &mut impl FnMut()) -> Option<usize> {
        let last = text.len().checked_sub(self.elements)?;
        if text.len() <= SHORT_TEXT {
            (0..=last).find(|&at| self.fits(&text[at..], step))
        } else if self.case == Case::Sensitive && is_literal(self.bytes) {
            let found = memchr::memmem::find(text, self.bytes);
            (0..found.unwrap_or(text.len())).for_each(|_| step());
            found
        } else if self.elements <= MOST_ELEMENTS {
            self.find_by_bits(text, step)
        } else {
            (0..=last).find(|&at| self.fits(&text[at..], step))
        }
    }

    /// As [`Self::find`]. Bit `i` of a state is set where the last `i + 1` bytes of the text match as many elements.
    fn find_by_bits(&self, text: &[u8], step: &mut impl FnMut()) -> Option<usize> {
        const BITS: usize = u64::BITS as usize;
        let words = self.elements.div_ceil(BITS);
        // For each byte, which elements match it.
        let mut matched = vec![0_u64; (u8::MAX as usize + 1) * words];
        let (mut rest, mut number) = (self.bytes, 0);
        while !rest.is_empty() {
            for byte in 0..=u8::MAX {
                step();
                if element(rest, byte, self.case).is_some() {
                    matched[usize::from(byte) * words + number / BITS] |= 1 << (number % BITS);
                }
            }
            rest = &rest[element_length(rest)..];
            number += 1;
        }
        let mut state = vec![0_u64; words];
        let last = self.elements - 1;
        for (read, &byte) in text.iter().enumerate() {
            let mut carry = 1;
            for (word, matched) in state.iter_mut().zip(&matched[usize::from(byte) * words..]) {
                step();
                let next_carry = *word >> (BITS - 1);
                *word = (*word << 1 | carry) & matched;
                carry = next_carry;
            }
            if state[last / BITS] >> (last % BITS) & 1 == 1 {
                return Some(read - last);
            }
        }
        None
    }
}

/// Whether `pattern` has no special byte, so that it matches itself alone.
#[must_use]
pub fn is_literal(pattern: &[u8]) -> bool {
    literal_prefix(pattern).len() == pattern.len()
}

/// What `pattern` has before its first special byte. Every text that it matches begins so, when case is not ignored.
#[must_use]
pub fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    &pattern[..pattern.iter().position(special).unwrap_or(pattern.len())]
}

/// The length of the element that opens `pattern` (not a star) when it matches `byte`.
fn element(pattern: &[u8], byte: u8, case: Case) -> Option<usize> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ..] => {
            let (length, matched) = class(pattern, byte, case);
            matched.then_some(length)
        }
        [b'\\', literal, ..] => equal(literal, byte, case).then_some(2),
        [literal, ..] => equal(literal, byte, case).then_some(1),
    }
}

/// The length of the element that opens `pattern`, which is not empty.
fn element_length(pattern: &[u8]) -> usize {
    match *pattern {
        [b'[', ..] => class(pattern, 0, Case::Sensitive).0,
        [b'\\', _, ..] => 2,
        _ => 1,
    }
}

/// The length of the class that opens `pattern`, and whether it matches `byte`.
fn class(pattern: &[u8], byte: u8, case: Case) -> (usize, bool) {
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = if negated { 2 } else { 1 };
    let mut found = false;
    loop {
        match pattern[at..] {
            [] => break,
            [b'\\', literal, ..] => {
                found |= literal == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [first, b'-', last, ..] => {
                found |= in_range(first, last, byte, case);
                at += 3;
            }
            [literal, ..] => {
                found |= equal(literal, byte, case);
                at += 1;
            }
        }
    }
    (at, found != negated)
}

fn in_range(first: u8, last: u8, byte: u8, case: Case) -> bool {
    let (mut low, mut high) = (first.cast_signed(), last.cast_signed());
    if low > high {
        std::mem::swap(&mut low, &mut high);
    }
    let fold = |byte: i8| fold(byte.cast_unsigned(), case).cast_signed();
    (fold(low)..=fold(high)).contains(&fold(byte.cast_signed()))
}

fn equal(a: u8, b: u8, case: Case) -> bool {
    fold(a, case) == fold(b, case)
}

fn fold(byte: u8, case: Case) -> u8 {
    match case {
        Case::Sensitive => byte,
        Case::Ignored => byte.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), Case::Sensitive)
    }

    #[test]
    fn stars() {
        assert!(glob("*", "a"));
        assert!(glob("a*c", "abbc"));
        assert!(glob("a**c*", "ac"));
        assert!(glob("*ab*ab", "abaabab"));
        assert!(!glob("a*c", "acb"));
        assert!(!glob("*ab*ab", "aab"));
    }

    #[test]
    fn the_empty_text_is_matched_by_the_empty_pattern_alone() {
        assert!(glob("", ""));
        assert!(!glob("", "a"));
        assert!(!glob("*", ""));
        assert!(!glob("**", ""));
        assert!(!glob("?", ""));
        assert!(!glob("[^a]", ""));
    }

    #[test]
    fn classes() {
        assert!(glob("h[ae]llo", "hello"));
        assert!(!glob("h[ae]llo", "hillo"));
        assert!(glob("h[^e]llo", "hallo"));
        assert!(glob("[z-a]", "m"), "bounds in either order");
        assert!(glob("[a-", "-"), "too short for a range");
        assert!(glob("[a-]", "]"), "a range up to the bracket");
        assert!(glob("[abc", "b"), "unclosed");
        assert!(!glob("[", "["));
        assert!(glob("[^", "["));
        assert!(!glob("[]", "]"));
        assert!(glob("[^]", "]"));
        assert!(glob(r"[\]]", "]"));
        assert!(glob(r"[\", r"\"), "a trailing escape is itself");
    }

    #[test]
    fn ranges_compare_signed_bytes() {
        let matches = |pattern: &[u8], byte| matches(pattern, &[byte], Case::Sensitive);
        assert!(matches(b"[a-\xff]", b'A'));
        assert!(!matches(b"[a-\xff]", b'z'));
        assert!(matches(b"[\x80-\xff]", 0x90));
    }

    #[test]
    fn escapes() {
        assert!(glob(r"\*", "*"));
        assert!(!glob(r"\*", "a"));
        assert!(glob(r"a\", r"a\"));
        assert!(glob(r"\\", r"\"));
    }

    #[test]
    fn case_is_ignored_except_for_an_escape_in_a_class() {
        let matches = |pattern: &[u8], text: &[u8]| matches(pattern, text, Case::Ignored);
        assert!(matches(b"MAX*", b"maxmemory"));
        assert!(matches(b"[A-C]x", b"bX"));
        assert!(matches(br"\a", b"A"));
        assert!(!matches(br"[\a]", b"A"));
    }

    #[test]
    fn hostile_patterns_end() {
        let pattern = b"a*".repeat(2_000);
        let text = vec![b'a'; 10_000];
        assert!(matches(&pattern, &text, Case::Sensitive));
        let pattern = [pattern.as_slice(), b"b"].concat();
        assert!(!matches(&pattern, &text, Case::Sensitive));
    }

    /// The steps that a match takes.
    fn steps(pattern: &[u8], text: &[u8], case: Case) -> usize {
        let mut steps = 0;
        counted(pattern, text, case, &mut || steps += 1);
        steps
    }

    #[test]
    fn the_steps_are_bounded_by_pattern_and_text() {
        // Every place of the text nearly fits.
        let hostile = |element: &str, length: usize| {
            let element = element.repeat(length);
            [
                format!("*{element}b*"),
                format!("*{element}*b"),
                format!("{element}*{element}?b*"),
                format!("*{element}b"),
            ]
        };
        for element in ["a", "?", "[ab]", "\\a", "a*", "?*", "[^c]*a"] {
            for (length, text) in [(10, 500), (100, 1_000), (10, 50_000), (100, 50_000), (400, 50_000)] {
                for pattern in hostile(element, length) {
                    for case in [Case::Sensitive, Case::Ignored] {
                        let (pattern, text) = (pattern.as_bytes(), vec![b'a'; text]);
                        let taken = steps(pattern, &text, case);
                        let (p, t) = (pattern.len(), text.len());
                        // A text that has been searched so far that it is short is searched place by place again.
                        let allowed =
                            if t <= SHORT_TEXT { p * t } else { 256 * p + t * (p / 64 + 1) + p * SHORT_TEXT };
                        let name = String::from_utf8_lossy(&pattern[..pattern.len().min(30)]);
                        assert!(taken <= allowed, "{name} ({p}) and {t} bytes: {taken} steps");
                    }
                }
            }
        }
    }

    #[test]
    fn long_texts_match_as_short_ones_do() {
        for (pattern, end, expected) in [
            ("*needle*", "needle", true),
            ("*needle*", "needl", false),
            ("*n[de]edl?*", "needle!", true),
            ("*N[DE]EDL?", "needle", false),
            ("*ne\\edle*x", "needle x", true),
            ("*ne\\edle*x", "needl x", false),
            ("*?*?*e", "needle", true),
        ] {
            for filling in [0, 10, 2_000] {
                let text = format!("{}{end}", "-".repeat(filling));
                assert_eq!(glob(pattern, &text), expected, "{pattern} and {filling} bytes before {end}");
            }
        }
        let long = "[ab]".repeat(150);
        let text = format!("{}{}{}", "c".repeat(2_000), "ab".repeat(75), "c".repeat(2_000));
        assert!(glob(&format!("*{long}*"), &text) && !glob(&format!("*{long}a*"), &text));
        assert!(matches(b"*NEEDLE*", format!("{}needle{0}", "-".repeat(2_000)).as_bytes(), Case::Ignored));
    }

    #[test]
    fn literal_patterns() {
        assert!(is_literal(b"news.sport"));
        assert!(["a*", "a?", "[a]", r"\a"].iter().all(|pattern| !is_literal(pattern.as_bytes())));
    }
}
