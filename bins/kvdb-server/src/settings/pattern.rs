//! The glob patterns of `CONFIG GET`: `*`, `?`, `[a-z]`, `[^a]` and `\` before a literal, without case.
//!
//! Setting names are short and ASCII, so the matcher works on bytes and backtracks only to the last
//! star: linear in practice, quadratic at worst, never exponential.

/// Whether `pattern` has no meaning beyond its own letters, and so names one setting.
pub(super) fn is_literal(pattern: &str) -> bool {
    !pattern.contains(['*', '?', '['])
}

/// Whether `name` matches `pattern`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, n));
            continue;
        }
        let step = match name.get(n) {
            None if p == pattern.len() => return true,
            None => return false,
            Some(byte) => one(&pattern[p..], *byte),
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((after, from))) => {
                star = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
            (None, None) => return false,
        }
    }
}

/// The length of the pattern element at the start of `pattern`, when it accepts `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => class(pattern, byte),
        b'\\' if pattern.len() > 1 => pattern[1].eq_ignore_ascii_case(&byte).then_some(2),
        literal => literal.eq_ignore_ascii_case(&byte).then_some(1),
    }
}

/// The length of the `[...]` at the start of `pattern`, when it accepts `byte`. An unclosed class
/// runs to the end of the pattern.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let byte = byte.to_ascii_lowercase();
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = if negated { 2 } else { 1 };
    let mut found = false;
    loop {
        match pattern.get(at..) {
            None | Some([]) => break,
            Some([b']', ..]) => {
                at += 1;
                break;
            }
            Some([b'\\', literal, ..]) => {
                found |= literal.to_ascii_lowercase() == byte;
                at += 2;
            }
            Some([from, b'-', to, ..]) if *to != b']' => {
                let (from, to) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
                found |= (from.min(to)..=from.max(to)).contains(&byte);
                at += 3;
            }
            Some([literal, ..]) => {
                found |= literal.to_ascii_lowercase() == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn globs_match_as_in_redis() {
        for (pattern, name) in [
            ("*", "hz"),
            ("*", ""),
            ("h*", "hz"),
            ("*z", "hz"),
            ("max*memory*", "maxmemory-policy"),
            ("HZ", "hz"),
            ("h?", "hz"),
            ("h[a-z]", "hz"),
            ("h[^a-y]", "hz"),
            ("h[z", "hz"),
            (r"h\z", "hz"),
            ("*-*-*", "tcp-a-b"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("", "hz"), ("h", "hz"), ("h??", "hz"), ("h[a-y]", "hz"), ("*a", "hz"), ("[", "hz")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn any_pattern_ends(pattern in r"[ab*?\[\]^\\-]{0,24}", name in "[ab-]{0,24}") {
            let _ = matches(&pattern, &name);
        }

        #[test]
        fn a_star_between_prefix_and_suffix_matches(a in "[a-z]{0,6}", b in "[a-z]{0,6}", c in "[a-z]{0,6}") {
            let pattern = format!("{a}*{c}");
            let name = format!("{a}{b}{c}");
            prop_assert!(matches(&pattern, &name));
        }
    }
}
