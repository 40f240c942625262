//! An index: for every data block of a table, or of a partition of one, the shortest key that
//! separates it from the block before.
//!
//! ```text
//! payload := entry*
//! entry   := klen varint | key | length varint | crc u32
//! ```
//! In format 1, the offset of the block (varint) is in front of its length.

use super::lows::Lows;
use super::{Format, Handle};
use crate::varint;

/// # Invariants
/// Block `n` holds exactly the keys `k` with `lows[n] <= k < lows[n+1]`. Blocks follow each other
/// in the file without a gap.
#[derive(Debug, Default)]
pub(crate) struct Index {
    lows: Lows,
    handles: Vec<Handle>,
}

impl Index {
    /// Adds a block; `low` is above every key of the block before.
    pub(super) fn push(&mut self, low: &[u8], handle: Handle) {
        self.lows.push(low);
        self.handles.push(handle);
    }

    /// The length of the entry of a block in the stored form.
    pub(super) const fn entry_len(low: &[u8], handle: &Handle) -> usize {
        varint::len(low.len() as u64) + low.len() + varint::len(handle.len as u64) + 4
    }

    /// The stored form.
    pub(super) fn encode(&self, format: Format) -> Vec<u8> {
        let mut out = Vec::new();
        for (n, handle) in self.handles.iter().enumerate() {
            let key = self.lows.get(n);
            varint::write(&mut out, key.len() as u64);
            out.extend_from_slice(key);
            if format == Format::V1 {
                varint::write(&mut out, handle.offset);
            }
            varint::write(&mut out, u64::from(handle.len));
            out.extend_from_slice(&handle.crc.to_le_bytes());
        }
        out
    }

    /// Reads a stored index of the data blocks from `start` to `end`.
    pub(super) fn decode(
        mut rest: &[u8],
        format: Format,
        start: u64,
        end: u64,
    ) -> Result<Self, &'static str> {
        const CUT: &str = "an index entry is cut";
        let mut index = Self::default();
        let mut next = start;
        let varint = |rest: &mut &[u8]| {
            let (value, used) = varint::read(rest).ok_or(CUT)?;
            *rest = &rest[used..];
            Ok::<u64, &str>(value)
        };
        while !rest.is_empty() {
            let klen = usize::try_from(varint(&mut rest)?).map_err(|_| CUT)?;
            let key = rest.split_off(..klen).ok_or(CUT)?;
            let offset = if format == Format::V1 { varint(&mut rest)? } else { next };
            let len = u32::try_from(varint(&mut rest)?).map_err(|_| CUT)?;
            let crc = rest.split_off(..4).ok_or(CUT)?;
            if offset != next || len == 0 {
                return Err("the data blocks do not follow each other");
            }
            next = offset
                .checked_add(u64::from(len))
                .filter(|&behind| behind <= end)
                .ok_or("a data block reaches beyond the data")?;
            index.lows.try_push(key)?;
            let crc = u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]);
            index.handles.push(Handle { offset, len, crc });
        }
        if next != end || index.handles.is_empty() {
            return Err("the index does not cover the data");
        }
        index.lows.seal();
        index.handles.shrink_to_fit();
        Ok(index)
    }

    /// The low key of a block.
    pub(super) fn low(&self, n: usize) -> &[u8] {
        self.lows.get(n)
    }

    /// The number of data blocks.
    pub(super) const fn len(&self) -> usize {
        self.handles.len()
    }

    /// The handle of block `n`, which is below [`Index::len`].
    pub(super) fn handle(&self, n: usize) -> Handle {
        self.handles[n]
    }

    /// The number of the only block that can hold `key`; the first one for keys before all.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> usize {
        self.lows.find(key)
    }

    /// The memory of the index, in bytes.
    pub(crate) const fn memory(&self) -> usize {
        self.lows.memory() + self.handles.capacity() * size_of::<Handle>()
    }
}
