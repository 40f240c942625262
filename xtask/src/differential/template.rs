//! The little language in which the tables of commands are written.
//!
//! A template is a line of words. A word in capitals, or without letters, stands for itself; `A|B` is one of several; a
//! word in small letters is the name of a [vocabulary](super::words). Words in brackets group others:
//!
//! * `[ GET ]` may be there or not;
//! * `< EX ttl / PX ttlms >` is one of several;
//! * `{ field value }` is there once or more often, now and then very often;
//! * `#{ key }` is the same with the number of repetitions before it, as `numkeys` is given.
//!
//! A template that begins with `!` is taken as it is: its words are not replaced by odd ones. Those are the commands that
//! could wait for ever, or reply without a bound, when they are told to.

use super::words;
use crate::rng::Rng;

/// What a word of a command is.
pub(super) type Word = Vec<u8>;

/// Makes a command from a template, for a family at home in keys with this prefix.
pub(super) fn expand(template: &str, home: &str, rng: &mut Rng) -> Vec<Word> {
    let mut command = Vec::new();
    let words: Vec<&str> = template.trim_start_matches('!').split_whitespace().collect();
    sequence(&words, home, rng, &mut command);
    command
}

/// Whether words of the template may be replaced by odd ones.
pub(super) fn may_be_bent(template: &str) -> bool {
    !template.starts_with('!')
}

fn sequence(words: &[&str], home: &str, rng: &mut Rng, out: &mut Vec<Word>) {
    let mut at = 0;
    while at < words.len() {
        let word = words[at];
        if !matches!(word, "[" | "<" | "{" | "#{") {
            out.push(words::one_of(word, home, rng));
            at += 1;
            continue;
        }
        let end = closing(words, at);
        let inside = &words[at + 1..end];
        match word {
            "[" if rng.one_in(2) => sequence(inside, home, rng, out),
            "[" => {}
            "<" => {
                let choices = alternatives(inside);
                let chosen = choices[rng.below(choices.len() as u64) as usize];
                sequence(chosen, home, rng, out);
            }
            _ => {
                let count = repetitions(rng);
                if word == "#{" {
                    out.push(count.to_string().into_bytes());
                }
                (0..count).for_each(|_| sequence(inside, home, rng, out));
            }
        }
        at = end + 1;
    }
}

/// Mostly few; sometimes so many that a collection changes its encoding.
fn repetitions(rng: &mut Rng) -> u64 {
    match rng.below(200) {
        0 => 100 + rng.below(500),
        1..10 => 5 + rng.below(20),
        _ => 1 + rng.below(3),
    }
}

/// Where the bracket that opens at `at` closes.
fn closing(words: &[&str], at: usize) -> usize {
    let mut depth = 0;
    for (offset, word) in words[at..].iter().enumerate() {
        match *word {
            "[" | "<" | "{" | "#{" => depth += 1,
            "]" | ">" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + offset;
        }
    }
    panic!("a bracket of a template does not close: {words:?}")
}

/// The parts between the slashes that stand in no bracket.
fn alternatives<'a, 'b>(words: &'a [&'b str]) -> Vec<&'a [&'b str]> {
    let mut depth = 0;
    words
        .split(|word| {
            match *word {
                "[" | "<" | "{" | "#{" => depth += 1,
                "]" | ">" | "}" => depth -= 1,
                _ => {}
            }
            *word == "/" && depth == 0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(template: &str) -> Vec<String> {
        let mut rng = Rng::new(1);
        let mut made: Vec<String> = (0..300)
            .map(|_| {
                let words = expand(template, "", &mut rng);
                words
                    .iter()
                    .map(|word| String::from_utf8_lossy(word).into_owned())
                    .collect::<Vec<_>>()
                    .join(" ")
                    .to_uppercase()
            })
            .collect();
        made.sort();
        made.dedup();
        made
    }

    #[test]
    fn options_and_alternatives_are_all_made() {
        assert_eq!(all("A [ B ]"), ["A", "A B"]);
        assert_eq!(all("A 0|1"), ["A 0", "A 1"]);
        assert_eq!(all("A < B [ C ] / < D / E > F >"), ["A B", "A B C", "A D F", "A E F"]);
    }

    #[test]
    fn repetitions_are_counted_where_that_is_asked_for() {
        let mut rng = Rng::new(2);
        let mut longest = 0;
        for _ in 0..1000 {
            let command = expand("SINTERCARD #{ 7 8 } LIMIT", "", &mut rng);
            let count: usize = String::from_utf8_lossy(&command[1]).parse().expect("a number");
            assert_eq!(command.len(), 3 + 2 * count);
            longest = longest.max(count);
        }
        assert!(longest > 100, "{longest}");
    }
}
