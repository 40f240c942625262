//! What a table has instead of a large value.
//!
//! ```text
//! reference := file varint | offset varint | record length varint | value length varint | crc u32
//! ```

use super::DATA_START;
use crate::varint;
use crate::version::NUMBER_LIMIT;

/// Where a value lies, and what its record must hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobRef {
    /// The number of the blob file.
    pub(crate) file: u64,
    /// The offset of the record in it.
    pub(crate) offset: u64,
    /// The length of the record.
    pub(crate) len: u32,
    /// The length of the value, decompressed.
    pub(crate) value_len: u32,
    /// The checksum in the record, repeated.
    pub(crate) crc: u32,
}

impl BlobRef {
    /// The longest stored form.
    pub(crate) const MAX_LEN: usize = 4 * varint::MAX_LEN + 4;

    /// Writes the stored form to the front of `out`; returns its length.
    pub(crate) fn encode(&self, out: &mut [u8; Self::MAX_LEN]) -> usize {
        let mut at = 0;
        for number in [self.file, self.offset, u64::from(self.len), u64::from(self.value_len)] {
            at += varint::write_to(&mut out[at..], number);
        }
        out[at..at + 4].copy_from_slice(&self.crc.to_le_bytes());
        at + 4
    }

    /// Reads the stored form, which is all of `bytes`; `None` if it makes no sense.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, crc) = bytes.split_last_chunk::<4>()?;
        let mut rest = numbers;
        let mut number = || {
            let (number, used) = varint::read(rest)?;
            rest = &rest[used..];
            Some(number)
        };
        let (file, offset) = (number()?, number()?);
        let (len, value_len) = (u32::try_from(number()?).ok()?, u32::try_from(number()?).ok()?);
        let is_sound = rest.is_empty()
            && (1..NUMBER_LIMIT).contains(&file)
            && (DATA_START..NUMBER_LIMIT).contains(&offset);
        is_sound.then(|| Self { file, offset, len, value_len, crc: u32::from_le_bytes(*crc) })
    }
}
