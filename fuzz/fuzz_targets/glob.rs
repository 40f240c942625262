//! A client's pattern: whatever it is, it matches what a matcher over a table of all prefixes
//! matches, in both cases.

#![no_main]

use kvdb_commands::values::glob::{Case, is_literal, matches};
use libfuzzer_sys::fuzz_target;

/// Where the element that begins at `at` ends.
fn element_end(pattern: &[u8], at: usize) -> usize {
    match pattern[at] {
        b'\\' if at + 1 < pattern.len() => at + 2,
        b'[' => {
            let mut end = at + 1;
            if pattern.get(end) == Some(&b'^') {
                end += 1;
            }
            while end < pattern.len() && pattern[end] != b']' {
                let rest = &pattern[end..];
                end += match rest {
                    [b'\\', _, ..] => 2,
                    [_, b'-', _, ..] => 3,
                    _ => 1,
                };
            }
            (end + 1).min(pattern.len())
        }
        _ => at + 1,
    }
}

fn model(pattern: &[u8], text: &[u8], case: Case) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    // reached[n]: the elements so far match the first n bytes.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut at = 0;
    while at < pattern.len() {
        let end = element_end(pattern, at);
        let element = &pattern[at..end];
        let mut next = vec![false; text.len() + 1];
        for n in 0..=text.len() {
            if element == b"*" {
                next[n] = reached[n] || (n > 0 && next[n - 1]);
            } else if n > 0 && reached[n - 1] {
                next[n] = matches(element, &text[n - 1..n], case);
            }
        }
        reached = next;
        at = end;
    }
    reached[text.len()]
}

// The first byte says how long the pattern is; the rest is pattern and text.
fuzz_target!(|data: &[u8]| {
    let [length, rest @ ..] = data else {
        return;
    };
    let (pattern, text) = rest.split_at(usize::from(*length).min(rest.len()));
    for case in [Case::Sensitive, Case::Ignored] {
        assert_eq!(matches(pattern, text, case), model(pattern, text, case));
    }
    if is_literal(pattern) {
        assert_eq!(matches(pattern, text, Case::Sensitive), pattern == text);
    }
});
