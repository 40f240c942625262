//! Reading what can be read of a damaged table.

use super::block::BlockCursor;
use super::reader::{Fill, Table};
use crate::entry::Entry;
use crate::error::Error;

/// Keys of a table that cannot be read.
#[derive(Debug)]
pub(crate) struct LostRange {
    /// The first key that may be lost.
    pub(crate) from: Vec<u8>,
    /// The first key that is not; `None` if the rest of the table is lost.
    pub(crate) to: Option<Vec<u8>>,
    /// Why.
    pub(crate) why: Error,
}

impl Table {
    /// Gives every entry that can be read to `each`, in order, and returns what is lost between
    /// them. A block is read wholly or not at all. Only an error of `each` ends the walk.
    pub(crate) fn salvage(
        &self,
        each: &mut dyn FnMut(Entry<'_>) -> Result<(), Error>,
    ) -> Result<Vec<LostRange>, Error> {
        let mut lost: Vec<LostRange> = Vec::new();
        let blocks = self.index().len();
        for number in 0..blocks {
            let to = (number + 1 < blocks).then(|| self.index().low(number + 1).to_vec());
            let first = self.properties().smallest.as_slice().max(self.index().low(number)).to_vec();
            match self.entries(number, to.as_deref()) {
                Ok(entries) => {
                    for (key, seq, value) in &entries {
                        each(Entry { key, seq: *seq, value: value.as_deref() })?;
                    }
                }
                Err(why) => match lost.last_mut().filter(|last| last.to.as_ref() == Some(&first)) {
                    Some(last) => last.to = to,
                    None => lost.push(LostRange { from: first, to, why }),
                },
            }
        }
        Ok(lost)
    }

    /// The entries of a block, all of them or none; their keys lie below `end`.
    fn entries(&self, number: usize, end: Option<&[u8]>) -> Result<Vec<OwnedEntry>, Error> {
        let block = self.block(number, Fill::Bypass)?;
        let malformed = |bad| self.malformed(number, bad);
        let mut cursor = BlockCursor::default();
        let mut entries: Vec<OwnedEntry> = Vec::new();
        block.seek_first(&mut cursor).map_err(malformed)?;
        while let Some(entry) = block.entry(&cursor) {
            let ascends = entries.last().is_none_or(|(last, ..)| last.as_slice() < entry.key);
            if !ascends || entry.key < self.index().low(number) || end.is_some_and(|end| entry.key >= end) {
                return Err(Error::corruption(self.path(), 0, "the keys of a block do not ascend"));
            }
            entries.push((entry.key.to_vec(), entry.seq, entry.value.map(<[u8]>::to_vec)));
            block.advance(&mut cursor).map_err(malformed)?;
        }
        Ok(entries)
    }
}

type OwnedEntry = (Vec<u8>, crate::batch::Seq, Option<Vec<u8>>);
