//! Patterns against the obvious recursive matcher.

use kvdb_pubsub::glob::{Case, is_literal, literal_prefix, matches};
use proptest::prelude::*;

/// The definition, for patterns without the corners that the unit tests pin down. Exponential.
fn model(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| model(rest, &text[skipped..])),
        ([b'?', rest @ ..], [_, behind @ ..]) => model(rest, behind),
        ([b'\\', literal, rest @ ..], [byte, behind @ ..]) => literal == byte && model(rest, behind),
        ([b'[', rest @ ..], [byte, behind @ ..]) => {
            let close = rest.iter().position(|byte| *byte == b']').expect("classes are closed");
            let (negated, class) = match &rest[..close] {
                [b'^', class @ ..] => (true, class),
                class => (false, class),
            };
            let found = match class {
                [low, b'-', high] => (low..=high).contains(&byte),
                class => class.contains(byte),
            };
            found != negated && model(&rest[close + 1..], behind)
        }
        ([literal, rest @ ..], [byte, behind @ ..]) => literal == byte && model(rest, behind),
        _ => false,
    }
}

fn patterns() -> impl Strategy<Value = Vec<u8>> {
    let elements =
        ["*", "*", "?", "a", "b", "c", "[ab]", "[^a]", "[a-b]", "[^b-c]", "[]", "[^]", r"\*", r"\a"];
    proptest::collection::vec(proptest::sample::select(elements.to_vec()), 0..8)
        .prop_map(|elements| elements.concat().into_bytes())
}

proptest! {
    #[test]
    fn patterns_mean_what_they_say(pattern in patterns(), text in "[abc*]{1,8}") {
        let expected = model(&pattern, text.as_bytes());
        prop_assert_eq!(matches(&pattern, text.as_bytes(), Case::Sensitive), expected);
        prop_assert!(!expected || text.as_bytes().starts_with(literal_prefix(&pattern)));
    }

    #[test]
    fn case_is_ignored_on_both_sides(pattern in "[a-cA-C*?]{0,6}", text in "[a-cA-C]{1,6}") {
        let expected = model(pattern.to_lowercase().as_bytes(), text.to_lowercase().as_bytes());
        prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), Case::Ignored), expected);
    }

    #[test]
    fn literals_match_themselves(text in proptest::collection::vec(any::<u8>(), 0..20), other in proptest::collection::vec(any::<u8>(), 0..20)) {
        if is_literal(&text) {
            prop_assert!(matches(&text, &text, Case::Sensitive));
            prop_assert_eq!(matches(&text, &other, Case::Sensitive), text == other);
        }
        let escaped: Vec<u8> = text.iter().flat_map(|byte| [b'\\', *byte]).collect();
        prop_assert!(matches(&escaped, &text, Case::Sensitive));
    }
}
