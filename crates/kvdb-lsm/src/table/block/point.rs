//! Finding one key in a data block, without a cursor: keys are compared where they lie.

use super::hash_index::{self, Hint};
use super::{Block, Malformed, common_prefix};
use crate::entry::Content;

impl Block {
    /// What the block says about `key`, whose hash this is: `None` if nothing.
    ///
    /// The walk knows how many bytes the key and the entry before have in common, and that the
    /// entry before is smaller. An entry that shares more than that with the one before is smaller
    /// too, and need not be looked at.
    pub(in crate::table) fn get(&self, hash: u64, key: &[u8]) -> Result<Option<Content<'_>>, Malformed> {
        let interval = match hash_index::look_up(self.buckets(), hash) {
            Hint::Absent => return Ok(None),
            Hint::Interval(interval) if interval < self.count => interval,
            Hint::Interval(_) => return Err(Malformed::Shape),
            Hint::Unknown => self.interval_of(key)?,
        };
        let end = if interval + 1 < self.count { self.restart(interval + 1) } else { self.restarts };
        let mut at = self.restart(interval);
        let mut matched = 0;
        let mut is_first = true;
        while at < end {
            let header = self.header(at)?;
            if is_first && header.shared > 0 {
                return Err(Malformed::Entry);
            }
            is_first = false;
            if header.shared <= matched {
                let suffix = &self.payload[header.suffix..header.value];
                let rest = &key[header.shared..];
                let common = common_prefix(suffix, rest);
                match (suffix.get(common), rest.get(common)) {
                    (None, None) => return self.content(&header).map(Some),
                    (Some(theirs), ours) if ours.is_none_or(|ours| theirs > ours) => return Ok(None),
                    _ => matched = header.shared + common,
                }
            }
            at = header.next;
        }
        Ok(None)
    }
}
