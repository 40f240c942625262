//! The footer: the last 64 bytes of a table, from which everything else is found.
//!
//! ```text
//! footer := filter offset u64, length u32 | index offset u64, length u32
//!         | properties offset u64, length u32 | file number u64 | flags u64 | crc u32 | magic 8
//! ```

/// The last bytes of every table.
const MAGIC: [u8; 8] = *b"KVDBSST\0";
pub(super) const FOOTER_LEN: usize = 64;
const CRC_AT: usize = 52;

/// A block that the footer names: offset and length with envelope.
pub(super) type Section = (u64, u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) filter: Section,
    pub(super) index: Section,
    pub(super) properties: Section,
    pub(super) file_number: u64,
}

impl Footer {
    pub(super) fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut out = [0; FOOTER_LEN];
        for (n, (offset, len)) in [self.filter, self.index, self.properties].iter().enumerate() {
            let at = n * 12;
            out[at..at + 8].copy_from_slice(&offset.to_le_bytes());
            out[at + 8..at + 12].copy_from_slice(&len.to_le_bytes());
        }
        out[36..44].copy_from_slice(&self.file_number.to_le_bytes());
        let crc = crc32fast::hash(&out[..CRC_AT]);
        out[CRC_AT..56].copy_from_slice(&crc.to_le_bytes());
        out[56..].copy_from_slice(&MAGIC);
        out
    }

    /// Reads the footer of a file of `file_len` bytes.
    pub(super) fn decode(bytes: &[u8; FOOTER_LEN], file_len: u64) -> Result<Self, &'static str> {
        if bytes[56..] != MAGIC {
            return Err("the file does not end as a table");
        }
        if crc32fast::hash(&bytes[..CRC_AT]).to_le_bytes() != bytes[CRC_AT..56] {
            return Err("the checksum of the footer does not match");
        }
        let long = |at: usize| {
            let mut value = [0; 8];
            value.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(value)
        };
        let section = |at: usize| {
            let len = [bytes[at + 8], bytes[at + 9], bytes[at + 10], bytes[at + 11]];
            (long(at), u32::from_le_bytes(len))
        };
        if long(44) != 0 {
            return Err("the table has flags that this version does not know");
        }
        let footer =
            Self { filter: section(0), index: section(12), properties: section(24), file_number: long(36) };
        let end = |(offset, len): Section| offset.checked_add(u64::from(len));
        let chained = footer.filter.0 >= super::DATA_START
            && end(footer.filter) == Some(footer.index.0)
            && end(footer.index) == Some(footer.properties.0)
            && end(footer.properties) == file_len.checked_sub(FOOTER_LEN as u64);
        if chained { Ok(footer) } else { Err("the sections of the table do not fill the file") }
    }
}
