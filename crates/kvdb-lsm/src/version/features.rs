//! Features: what a reader or writer of a database must know, as bits.
//!
//! There are three sets. A feature in *compat* may be ignored by who does not know it; one in
//! *ro_compat* allows reading, but not writing; one in *incompat* allows nothing.

use super::edit::Reader;
use crate::varint;

/// Tables of format 2.
const TABLE_FORMAT_2: u64 = 1;
/// Values in blob files.
const BLOB_FILES: u64 = 2;

/// The features of a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Features {
    compat: u64,
    ro_compat: u64,
    incompat: u64,
}

impl Features {
    /// What a database has that this version writes to.
    pub(crate) const WRITTEN: Self = Self { compat: 0, ro_compat: 0, incompat: TABLE_FORMAT_2 };

    /// What a database has from its first blob file on.
    pub(crate) const WITH_BLOBS: Self =
        Self { compat: 0, ro_compat: 0, incompat: TABLE_FORMAT_2 | BLOB_FILES };

    /// All that this version knows.
    const KNOWN: Self = Self::WITH_BLOBS;

    /// Adds the features of another set.
    pub(crate) const fn insert(&mut self, other: Self) {
        self.compat |= other.compat;
        self.ro_compat |= other.ro_compat;
        self.incompat |= other.incompat;
    }

    /// Whether this version can read the database; `Err` says why not.
    pub(crate) fn check_readable(&self) -> Result<(), String> {
        let unknown = self.incompat & !Self::KNOWN.incompat;
        if unknown == 0 {
            return Ok(());
        }
        Err(format!(
            "the database has features (incompatible bits {unknown:#x}) that this version does not know; \
             open it with the version that wrote it, or a newer one"
        ))
    }

    /// Whether this version can read the database and write to it; `Err` says why not.
    pub(crate) fn check_writable(&self) -> Result<(), String> {
        self.check_readable()?;
        let unknown = self.ro_compat & !Self::KNOWN.ro_compat;
        if unknown == 0 {
            return Ok(());
        }
        Err(format!(
            "the database has features (bits {unknown:#x}) with which this version may only read it, and it was \
             opened for writing; open it with the version that wrote it, or a newer one"
        ))
    }

    /// The sets: compat, ro_compat, incompat.
    pub(crate) const fn bits(self) -> [u64; 3] {
        [self.compat, self.ro_compat, self.incompat]
    }

    /// The body of the field of an edit.
    pub(super) fn encode(&self, body: &mut Vec<u8>) {
        for bits in self.bits() {
            varint::write(body, bits);
        }
    }

    pub(super) fn decode(body: &mut Reader<'_>) -> Result<Self, &'static str> {
        Ok(Self { compat: body.varint()?, ro_compat: body.varint()?, incompat: body.varint()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_features_are_judged_by_their_set() {
        let known = Features::KNOWN;
        assert_eq!(known.check_writable(), Ok(()));
        assert_eq!(Features { compat: u64::MAX, ..known }.check_writable(), Ok(()));
        let read_only = Features { ro_compat: 1 << 9, ..known };
        assert_eq!(read_only.check_readable(), Ok(()));
        assert!(read_only.check_writable().is_err_and(|why| why.contains("0x200")));
        let foreign = Features { incompat: known.incompat | 1 << 4, ..known };
        assert!(foreign.check_readable().is_err_and(|why| why.contains("bits 0x10)")));
        assert!(foreign.check_writable().is_err());
    }
}
