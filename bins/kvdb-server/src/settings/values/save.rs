//! `save`: after how many seconds and changes Redis would write a dump.

use super::Invalid;

/// One pair of `save`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last save.
    pub seconds: u64,
    /// Changes since the last save.
    pub changes: u64,
}

/// The save points that `words` name, in pairs.
///
/// # Errors
/// [`Invalid`] when a word has no pair, is no number, or the seconds are 0.
pub(in crate::settings) fn parse(words: &[&str]) -> Result<Vec<SavePoint>, Invalid> {
    let invalid = || Invalid::new("Invalid save parameters");
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(invalid());
    }
    let number = |word: &str| word.parse::<u32>().map(u64::from).map_err(|_| invalid());
    let points = pairs.iter().map(|[seconds, changes]| {
        let point = SavePoint { seconds: number(seconds)?, changes: number(changes)? };
        if point.seconds == 0 { Err(invalid()) } else { Ok(point) }
    });
    points.collect()
}

/// The canonical text of `words` added to `onto`; no words at all clear the list.
pub(super) fn canonical(words: &[&str], onto: &str) -> Result<String, Invalid> {
    let onto = if words.is_empty() { "" } else { onto };
    let points: Vec<String> = parse(&onto.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>())?
        .into_iter()
        .chain(parse(words)?)
        .map(|point| format!("{} {}", point.seconds, point.changes))
        .collect();
    Ok(points.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_add_up_and_nothing_clears() {
        assert_eq!(canonical(&["300", "10"], "900 1"), Ok("900 1 300 10".into()));
        assert_eq!(canonical(&["300", "10", "60", "0"], ""), Ok("300 10 60 0".into()));
        assert_eq!(canonical(&[], "900 1"), Ok(String::new()));
    }

    #[test]
    fn odd_words_are_refused() {
        for words in [&["900"][..], &["a", "b"], &["0", "1"], &["-1", "1"], &["10", "1", "20"]] {
            assert_eq!(canonical(words, ""), Err(Invalid::new("Invalid save parameters")), "{words:?}");
        }
    }
}
