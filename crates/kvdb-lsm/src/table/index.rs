//! The index of a table: for every data block, the shortest key that separates it from the block
//! before. Held in memory for as long as the table is open.
//!
//! ```text
//! payload := entry*
//! entry   := klen varint | key | offset varint | length varint | crc u32
//! ```

use super::{DATA_START, Handle};
use crate::varint;

/// # Invariants
/// `lows` ascends strictly. Block `n` holds exactly the keys `k` with `lows[n] <= k < lows[n+1]`.
/// Blocks follow each other in the file without a gap.
#[derive(Debug, Default)]
pub(super) struct Index {
    keys: Vec<u8>,
    /// The end of each low key in `keys`.
    ends: Vec<u32>,
    handles: Vec<Handle>,
}

impl Index {
    /// Adds a block; `low` is above every key of the block before.
    pub(super) fn push(&mut self, low: &[u8], handle: Handle) {
        self.keys.extend_from_slice(low);
        let end = u32::try_from(self.keys.len());
        self.ends.push(end.expect("a table is cut long before its index reaches 4 GiB"));
        self.handles.push(handle);
    }

    /// The stored form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.keys.len() + self.handles.len() * 16);
        for (n, handle) in self.handles.iter().enumerate() {
            let key = self.low(n);
            varint::write(&mut out, key.len() as u64);
            out.extend_from_slice(key);
            varint::write(&mut out, handle.offset);
            varint::write(&mut out, u64::from(handle.len));
            out.extend_from_slice(&handle.crc.to_le_bytes());
        }
        out
    }

    /// Reads a stored index whose data blocks end at `data_end`.
    pub(super) fn decode(mut rest: &[u8], data_end: u64) -> Result<Self, &'static str> {
        const CUT: &str = "an index entry is cut";
        let mut index = Self::default();
        let mut next_offset = DATA_START;
        let varint = |rest: &mut &[u8]| {
            let (value, used) = varint::read(rest).ok_or(CUT)?;
            *rest = &rest[used..];
            Ok::<u64, &str>(value)
        };
        while !rest.is_empty() {
            let klen = usize::try_from(varint(&mut rest)?).map_err(|_| CUT)?;
            let key = rest.split_off(..klen).ok_or(CUT)?;
            let offset = varint(&mut rest)?;
            let len = u32::try_from(varint(&mut rest)?).map_err(|_| CUT)?;
            let crc = rest.split_off(..4).ok_or(CUT)?;
            if offset != next_offset || len == 0 {
                return Err("the data blocks do not follow each other");
            }
            if let Some(last) = index.ends.len().checked_sub(1)
                && index.low(last) >= key
            {
                return Err("the keys of the index do not ascend");
            }
            next_offset = offset
                .checked_add(u64::from(len))
                .filter(|&end| end <= data_end)
                .ok_or("a data block reaches beyond the data")?;
            let crc = u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]);
            index.push(key, Handle { offset, len, crc });
        }
        if next_offset == data_end && !index.handles.is_empty() {
            Ok(index)
        } else {
            Err("the index does not cover the data")
        }
    }

    /// The low key of a block.
    pub(super) fn low(&self, n: usize) -> &[u8] {
        let start = n.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.keys[start as usize..self.ends[n] as usize]
    }

    /// The number of data blocks.
    pub(super) const fn len(&self) -> usize {
        self.handles.len()
    }

    /// The handle of a block, if there is one of this number.
    pub(super) fn handle(&self, n: usize) -> Option<&Handle> {
        self.handles.get(n)
    }

    /// The number of the only block that can hold `key`; the first one for keys before all.
    pub(super) fn find(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.low(middle) <= key {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The memory of the index, in bytes.
    pub(super) const fn memory(&self) -> usize {
        self.keys.capacity()
            + self.ends.capacity() * size_of::<u32>()
            + self.handles.capacity() * size_of::<Handle>()
    }
}
