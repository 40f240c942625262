//! Glob patterns, as KEYS, SCAN, PSUBSCRIBE, CONFIG GET and the ACL match them.
//!
//! `*` matches any run of bytes, `?` one byte, `[a-z]` and `[^a-z]` one byte of a class, and `\`
//! takes the next byte literally. Matching is over bytes, not characters.
//!
//! Patterns come from clients, so the time must be bounded: every element but `*` consumes exactly
//! one byte, hence it is enough to remember the *last* star and to let it swallow one byte more
//! whenever what follows it fails. That is at most |pattern| × |text| steps, without recursion.
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
    if text.is_empty() {
        return pattern.is_empty();
    }
    let mut at = 0; // in `pattern`
    let mut read = 0; // in `text`
    // Where to resume when an element fails: behind the last star, and the text it has not swallowed.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        let rest = &pattern[at..];
        if rest.first() == Some(&b'*') {
            at += 1;
            if at == pattern.len() {
                return true;
            }
            star = Some((at, read));
            continue;
        }
        match element(rest, text[read], case) {
            Some(length) => {
                at += length;
                read += 1;
            }
            None => {
                let Some((behind, from)) = star else {
                    return false;
                };
                at = behind;
                read = from + 1;
                star = Some((behind, read));
            }
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
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

    #[test]
    fn literal_patterns() {
        assert!(is_literal(b"news.sport"));
        assert!(["a*", "a?", "[a]", r"\a"].iter().all(|pattern| !is_literal(pattern.as_bytes())));
    }
}
