//! The footer: the last bytes of a sealed blob file.
//!
//! ```text
//! footer := records u64 | end of the records u64 | file number u64 | compat u64 | incompat u64
//!         | content u128 | zero u32 | crc u32 | magic 8                            (72 bytes)
//! ```

use crate::compression::ZSTD as ZSTD_CODEC;

/// The last bytes of every blob file.
const MAGIC: [u8; 8] = *b"KVDBBLB\0";
pub(super) const LEN: usize = 72;
const CRC_AT: usize = LEN - 12;

/// There are values compressed with zstd.
const ZSTD: u64 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) records: u64,
    /// Where the records end.
    pub(super) data_end: u64,
    pub(super) file_number: u64,
    /// What a reader must know to read the file.
    pub(super) incompat: u64,
    /// XXH3-128 of everything before the footer: whoever compares the ends of two files compares
    /// the files.
    pub(super) content: u128,
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
    /// The features of a file with or without values compressed with zstd.
    pub(super) const fn features(used_zstd: bool) -> u64 {
        if used_zstd { ZSTD } else { 0 }
    }

    pub(super) fn encode(&self) -> [u8; LEN] {
        let mut out = Vec::with_capacity(LEN);
        // No feature so far that a reader may ignore.
        for number in [self.records, self.data_end, self.file_number, 0, self.incompat] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.content.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out.extend_from_slice(&MAGIC);
        let mut bytes = [0; LEN];
        bytes.copy_from_slice(&out);
        bytes
    }

    /// Reads the footer of a file of `file_len` bytes.
    pub(super) fn decode(bytes: &[u8; LEN], file_len: u64) -> Result<Self, FooterError> {
        let damaged = |what| Err(FooterError::Damaged(what));
        if !bytes.ends_with(&MAGIC) {
            return damaged("the file does not end as a blob file");
        }
        if crc32fast::hash(&bytes[..CRC_AT]).to_le_bytes() != bytes[CRC_AT..CRC_AT + 4] {
            return damaged("the checksum of the footer does not match");
        }
        let number = |n: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[8 * n..8 * n + 8]);
            u64::from_le_bytes(number)
        };
        let incompat = number(4);
        if incompat & !ZSTD != 0 {
            let unknown = incompat & !ZSTD;
            let what = format!("it uses features (bits {unknown:#x}) that this version does not know");
            return Err(FooterError::Unsupported(what));
        }
        if incompat & ZSTD != 0 && !cfg!(feature = "zstd") {
            let what = "it has values compressed with zstd, which this build was made without";
            return Err(FooterError::Unsupported(what.to_owned()));
        }
        let footer = Self {
            records: number(0),
            data_end: number(1),
            file_number: number(2),
            incompat,
            content: u128::from(number(5)) | u128::from(number(6)) << 64,
        };
        let fits =
            footer.data_end >= super::DATA_START && footer.data_end.checked_add(LEN as u64) == Some(file_len);
        if fits { Ok(footer) } else { damaged("the records and the footer do not fill the file") }
    }
}

/// Whether a record with this codec needs [`ZSTD`].
pub(super) const fn is_zstd(codec: u8) -> bool {
    codec == ZSTD_CODEC
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footer() -> Footer {
        Footer { records: 3, data_end: 4000, file_number: 9, incompat: 0, content: u128::MAX - 5 }
    }

    #[test]
    fn it_comes_back_and_no_changed_byte_passes() {
        let (bytes, len) = (footer().encode(), 4000 + LEN as u64);
        assert_eq!(Footer::decode(&bytes, len), Ok(footer()));
        assert!(Footer::decode(&bytes, len + 1).is_err());
        for at in 0..LEN {
            let mut bad = bytes;
            bad[at] ^= 4;
            assert!(matches!(Footer::decode(&bad, len), Err(FooterError::Damaged(_))), "byte {at}");
        }
    }

    #[test]
    fn an_unknown_feature_is_named_and_is_no_damage() {
        let bytes = Footer { incompat: 1 << 40, ..footer() }.encode();
        let Err(FooterError::Unsupported(what)) = Footer::decode(&bytes, 4000 + LEN as u64) else {
            panic!("the file was read");
        };
        assert!(what.contains("0x10000000000"), "{what}");
    }
}
