//! Effects: the only way to change a key.
//!
//! A command reads, decides, and applies effects through its [`WriteCx`](crate::WriteCx). Applying does three things
//! together: it changes the resident object, it adds the changed rows to the batch of the run, and it keeps the counts
//! and the expiry index true. A follower that reads the same rows from its log ends with the same object.

/// A string to be stored.
#[derive(Debug, Clone, Copy)]
pub enum StringValue<'a> {
    /// Bytes as they are, even where they are the text of an integer.
    Raw(&'a [u8]),
    /// Bytes, stored as an integer where they are its canonical text.
    Bytes(&'a [u8]),
    /// An integer.
    Int(i64),
}

/// A change to one key.
#[derive(Debug, Clone, Copy)]
pub enum Effect<'a> {
    /// The key becomes this string, whatever it was.
    PutString {
        /// The string.
        value: StringValue<'a>,
        /// When the key dies, in Unix milliseconds.
        deadline: Option<u64>,
    },
    /// Bytes are written into the string at an offset; it grows, with zeros in a gap, where it is shorter. The key is
    /// made when it is not there; its deadline stays.
    WriteRange {
        /// Where, in bytes.
        offset: usize,
        /// What.
        bytes: &'a [u8],
    },
    /// The deadline changes; nothing happens when the key is not there.
    SetDeadline(Option<u64>),
    /// The key goes.
    Delete,
}
