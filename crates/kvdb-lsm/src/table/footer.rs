//! The footer: the last bytes of a table, from which everything else is found.
//!
//! ```text
//! footer   := filter section | index section | properties section
//!           | file number u64 | end of the data u64 | compat u64 | incompat u64
//!           | zero u32 | crc u32 | magic 8                                         (96 bytes)
//! section  := offset u64 | length u32 | crc u32
//! footer 1 := (filter | index | properties: offset u64, length u32)
//!           | file number u64 | zero u64 | crc u32 | magic 8                       (64 bytes)
//! ```

use super::{DATA_START, Format, Handle};

/// The last bytes of every table.
const MAGIC: [u8; 8] = *b"KVDBSST\0";
const LEN_V1: usize = 64;
const LEN_V2: usize = 96;

/// The index is cut into partitions, and the filter with it.
pub(super) const PARTITIONED: u64 = 1;
/// There are blocks compressed with zstd.
pub(super) const ZSTD: u64 = 2;
/// There are entries whose values lie in blob files.
pub(super) const BLOBS: u64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) format: Format,
    /// Offsets, lengths with envelopes, and checksums; format 1 does not have the last.
    pub(super) filter: Handle,
    pub(super) index: Handle,
    pub(super) properties: Handle,
    pub(super) file_number: u64,
    /// Where the data blocks end. Partitions lie between here and the filter.
    pub(super) data_end: u64,
    /// What a reader must know to read the table.
    pub(super) incompat: u64,
}

/// Why a footer was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FooterError {
    /// It is not what was written.
    Damaged(&'static str),
    /// It is sound, but of a newer version or another build.
    Unsupported(String),
}

impl Footer {
    /// The length of the footer in a format.
    pub(super) const fn len(format: Format) -> usize {
        match format {
            Format::V1 => LEN_V1,
            Format::V2 => LEN_V2,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LEN_V2);
        for handle in [self.filter, self.index, self.properties] {
            out.extend_from_slice(&handle.offset.to_le_bytes());
            out.extend_from_slice(&handle.len.to_le_bytes());
            if self.format == Format::V2 {
                out.extend_from_slice(&handle.crc.to_le_bytes());
            }
        }
        out.extend_from_slice(&self.file_number.to_le_bytes());
        match self.format {
            Format::V1 => out.extend_from_slice(&[0; 8]),
            Format::V2 => {
                out.extend_from_slice(&self.data_end.to_le_bytes());
                // No feature so far that a reader may ignore.
                out.extend_from_slice(&0u64.to_le_bytes());
                out.extend_from_slice(&self.incompat.to_le_bytes());
                out.extend_from_slice(&[0; 4]);
            }
        }
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out.extend_from_slice(&MAGIC);
        out
    }

    /// Reads the footer of a file of `file_len` bytes. `bytes` are as many as the format has.
    pub(super) fn decode(bytes: &[u8], format: Format, file_len: u64) -> Result<Self, FooterError> {
        let damaged = |what| Err(FooterError::Damaged(what));
        if bytes.len() != Self::len(format) || !bytes.ends_with(&MAGIC) {
            return damaged("the file does not end as a table");
        }
        let crc_at = bytes.len() - MAGIC.len() - 4;
        if crc32fast::hash(&bytes[..crc_at]).to_le_bytes() != bytes[crc_at..crc_at + 4] {
            return damaged("the checksum of the footer does not match");
        }
        let mut rest = &bytes[..crc_at];
        let mut take = |len: usize| {
            let (field, behind) = rest.split_at(len);
            rest = behind;
            let mut value = [0; 8];
            value[..len].copy_from_slice(field);
            u64::from_le_bytes(value)
        };
        let mut section = || {
            let (offset, len) = (take(8), take(4) as u32);
            let crc = if format == Format::V2 { take(4) as u32 } else { 0 };
            Handle { offset, len, crc }
        };
        let (filter, index, properties) = (section(), section(), section());
        let file_number = take(8);
        let (data_end, incompat) = match format {
            Format::V1 if take(8) != 0 => {
                return damaged("the table has flags that this version does not know");
            }
            Format::V1 => (filter.offset, 0),
            Format::V2 => {
                let (data_end, _compat, incompat) = (take(8), take(8), take(8));
                (data_end, incompat)
            }
        };
        check_features(incompat)?;
        let footer = Self { format, filter, index, properties, file_number, data_end, incompat };
        let end = |handle: Handle| handle.offset.checked_add(u64::from(handle.len));
        let partitions_fit =
            if footer.is_partitioned() { data_end < filter.offset } else { data_end == filter.offset };
        let chained = data_end >= DATA_START
            && partitions_fit
            && end(filter) == Some(index.offset)
            && end(index) == Some(properties.offset)
            && end(properties) == file_len.checked_sub(bytes.len() as u64);
        if chained { Ok(footer) } else { damaged("the sections of the table do not fill the file") }
    }

    /// Whether the index is cut into partitions.
    pub(super) const fn is_partitioned(&self) -> bool {
        self.incompat & PARTITIONED != 0
    }
}

fn check_features(incompat: u64) -> Result<(), FooterError> {
    let unknown = incompat & !(PARTITIONED | ZSTD | BLOBS);
    if unknown != 0 {
        let what = format!("it uses features (bits {unknown:#x}) that this version does not know");
        return Err(FooterError::Unsupported(what));
    }
    if incompat & ZSTD != 0 && !cfg!(feature = "zstd") {
        let what = "it has blocks compressed with zstd, which this build was made without";
        return Err(FooterError::Unsupported(what.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footer(format: Format) -> Footer {
        let handle =
            |offset, crc| Handle { offset, len: 100, crc: if format == Format::V2 { crc } else { 0 } };
        Footer {
            format,
            filter: handle(500, 1),
            index: handle(600, 2),
            properties: handle(700, 3),
            file_number: 9,
            data_end: 500,
            incompat: 0,
        }
    }

    #[test]
    fn both_formats_come_back_and_no_changed_byte_passes() {
        for format in [Format::V1, Format::V2] {
            let footer = footer(format);
            let (bytes, len) = (footer.encode(), 800 + Footer::len(format) as u64);
            assert_eq!(bytes.len(), Footer::len(format));
            assert_eq!(Footer::decode(&bytes, format, len), Ok(footer));
            assert!(Footer::decode(&bytes, format, len + 1).is_err());
            for at in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= 4;
                assert!(matches!(Footer::decode(&bad, format, len), Err(FooterError::Damaged(_))));
            }
        }
    }

    #[test]
    fn an_unknown_feature_is_named_and_is_no_damage() {
        let bytes = Footer { incompat: 1 << 40, ..footer(Format::V2) }.encode();
        let Err(FooterError::Unsupported(what)) = Footer::decode(&bytes, Format::V2, 896) else {
            panic!("the table was read");
        };
        assert!(what.contains("0x10000000000"), "{what}");
    }
}
