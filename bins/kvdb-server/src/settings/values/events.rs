//! `notify-keyspace-events`: which events are published, and on which channels.

use kvdb_store::EventClasses;

use super::Invalid;

/// The classes that the letters of `word` name.
///
/// # Errors
/// [`Invalid`] when a letter names none.
pub(in crate::settings) fn parse(word: &str) -> Result<EventClasses, Invalid> {
    EventClasses::parse(word)
        .ok_or_else(|| Invalid::new("Invalid event class character. Use 'Ag$lshzxeKEtmdn'."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_letters_are_refused() {
        let error = parse("KQ").unwrap_err();
        assert_eq!(error.to_string(), "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    }
}
