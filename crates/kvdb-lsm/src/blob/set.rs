//! The blob files of a version: where references lead.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Blob, BlobFile, BlobRef, Record};
use crate::db::files::{BLOB_DIR, blob_name};
use crate::error::Error;
use crate::table::Fill;

/// Blob files by number, open.
#[derive(Debug, Clone, Default)]
pub(crate) struct BlobSet(BTreeMap<u64, Arc<BlobFile>>);

impl FromIterator<Arc<BlobFile>> for BlobSet {
    fn from_iter<I: IntoIterator<Item = Arc<BlobFile>>>(files: I) -> Self {
        Self(files.into_iter().map(|file| (file.number(), file)).collect())
    }
}

impl BlobSet {
    /// The files, in the order of their numbers.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<BlobFile>> {
        self.0.values()
    }

    /// The file of this number.
    pub(crate) fn get(&self, number: u64) -> Option<&Arc<BlobFile>> {
        self.0.get(&number)
    }

    fn find(&self, reference: &BlobRef) -> Result<&BlobFile, Error> {
        self.0.get(&reference.file).map(|file| &**file).ok_or_else(|| {
            let path = PathBuf::from(BLOB_DIR).join(blob_name(reference.file));
            Error::corruption(&path, reference.offset, "a table refers to the blob file, but it is not there")
        })
    }

    /// The value of `key` that `reference` leads to. May read the disk.
    pub(crate) fn value(&self, key: &[u8], reference: &BlobRef, fill: Fill) -> Result<Arc<Blob>, Error> {
        self.find(reference)?.value(key, reference, fill)
    }

    /// The value that `reference` leads to, if it is in memory.
    pub(crate) fn cached(&self, reference: &BlobRef) -> Option<Arc<Blob>> {
        self.get(reference.file)?.cached(reference)
    }

    /// The record of `key` that `reference` leads to. Reads the disk.
    pub(crate) fn record(&self, key: &[u8], reference: &BlobRef) -> Result<Record, Error> {
        self.find(reference)?.record(key, reference)
    }
}
