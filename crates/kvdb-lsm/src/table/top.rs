//! The top of a partitioned index: for every partition its low key, its data blocks, and where its
//! filter and its index are.
//!
//! ```text
//! payload := entry*
//! entry   := klen varint | key | length of the data blocks varint
//!          | filter length varint, crc u32 | index length varint, crc u32
//! ```
//! Filter and index of a partition lie side by side, in the order of the partitions, behind the
//! data blocks. All offsets follow from the lengths.

use super::lows::Lows;
use super::{DATA_START, Handle};
use crate::varint;

/// A partition: a run of data blocks with an index and a filter of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    /// Where the data blocks begin.
    pub(super) data_start: u64,
    /// Where they end.
    pub(super) data_end: u64,
    /// The filter; without one, the length is 0.
    pub(super) filter: Handle,
    /// The index.
    pub(super) index: Handle,
}

/// # Invariants
/// Partition `n` holds exactly the keys `k` with `lows[n] <= k < lows[n+1]`. The data blocks of the
/// partitions follow each other, and so do their filters and indexes.
#[derive(Debug, Default)]
pub(super) struct Top {
    lows: Lows,
    partitions: Vec<Partition>,
}

impl Top {
    /// Adds a partition; `low` is above every key of the partition before.
    pub(super) fn push(&mut self, low: &[u8], partition: Partition) {
        self.lows.push(low);
        self.partitions.push(partition);
    }

    /// The stored form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (n, partition) in self.partitions.iter().enumerate() {
            let key = self.lows.get(n);
            varint::write(&mut out, key.len() as u64);
            out.extend_from_slice(key);
            varint::write(&mut out, partition.data_end - partition.data_start);
            for handle in [partition.filter, partition.index] {
                varint::write(&mut out, u64::from(handle.len));
                out.extend_from_slice(&handle.crc.to_le_bytes());
            }
        }
        out
    }

    /// Reads a stored top of a table whose data blocks end at `data_end` and whose partitions end
    /// at `end`.
    pub(super) fn decode(mut rest: &[u8], data_end: u64, end: u64) -> Result<Self, &'static str> {
        const CUT: &str = "an entry of the top index is cut";
        let mut top = Self::default();
        let (mut data, mut offset) = (DATA_START, data_end);
        let varint = |rest: &mut &[u8]| {
            let (value, used) = varint::read(rest).ok_or(CUT)?;
            *rest = &rest[used..];
            Ok::<u64, &str>(value)
        };
        let mut handle = |rest: &mut &[u8]| {
            let len = u32::try_from(varint(rest)?).map_err(|_| CUT)?;
            let crc = rest.split_off(..4).ok_or(CUT)?;
            let crc = u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]);
            let handle = Handle { offset, len, crc };
            offset = offset
                .checked_add(u64::from(len))
                .filter(|&behind| behind <= end)
                .ok_or("a partition of the index reaches beyond the partitions")?;
            Ok::<Handle, &str>(handle)
        };
        while !rest.is_empty() {
            let klen = usize::try_from(varint(&mut rest)?).map_err(|_| CUT)?;
            let key = rest.split_off(..klen).ok_or(CUT)?;
            let data_start = data;
            data = data
                .checked_add(varint(&mut rest)?)
                .filter(|&behind| behind > data_start && behind <= data_end)
                .ok_or("the data of a partition reaches beyond the data")?;
            let (filter, index) = (handle(&mut rest)?, handle(&mut rest)?);
            top.lows.try_push(key)?;
            top.partitions.push(Partition { data_start, data_end: data, filter, index });
        }
        if data != data_end || offset != end || top.partitions.is_empty() {
            return Err("the partitions of the index do not cover the data");
        }
        top.lows.seal();
        Ok(top)
    }

    /// The number of partitions.
    pub(super) const fn len(&self) -> usize {
        self.partitions.len()
    }

    /// Partition `n`, which is below [`Top::len`].
    pub(super) fn partition(&self, n: usize) -> &Partition {
        &self.partitions[n]
    }

    /// The low key of a partition.
    pub(super) fn low(&self, n: usize) -> &[u8] {
        self.lows.get(n)
    }

    /// The number of the only partition that can hold `key`; the first one for keys before all.
    pub(super) fn find(&self, key: &[u8]) -> usize {
        self.lows.find(key)
    }

    /// The memory of the top, in bytes.
    pub(super) const fn memory(&self) -> usize {
        self.lows.memory() + self.partitions.capacity() * size_of::<Partition>()
    }
}
