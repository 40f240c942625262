//! Walking the records of a blob file as they lie, also of a damaged one.

use std::path::Path;
use std::sync::Arc;

use super::DATA_START;
use super::footer;
use super::record::{self, HEAD, MAGIC, Record};
use crate::error::Error;
use crate::vfs::{Vfs, VfsFile, VfsFileExt};

/// The bytes looked through at once for the next record behind damage.
const WINDOW: usize = 64 << 10;

/// What stands in a blob file.
#[derive(Debug)]
pub(crate) enum ScannedRecord {
    /// A record with its offset.
    Record(u64, Record),
    /// Bytes that are no intact record.
    Unreadable { offset: u64, len: u64, why: &'static str },
}

/// A walk over a blob file. The footer is not looked at but for its place.
pub(crate) struct BlobScan {
    file: Arc<dyn VfsFile>,
    number: u64,
    at: u64,
    end: u64,
}

impl BlobScan {
    /// Walks the blob file `number`.
    pub(crate) fn new(vfs: &dyn Vfs, path: &Path, number: u64) -> Result<Self, Error> {
        let file = vfs.open_read(path).map_err(Error::io("open", path))?;
        let len = file.len().map_err(Error::io("measure", path))?;
        let mut end = len;
        let mut bytes = [0; footer::LEN];
        if let Some(at) = len.checked_sub(footer::LEN as u64) {
            file.read_exact_at(&mut bytes, at).map_err(Error::io("read", path))?;
            // Without a footer everything may be records.
            if footer::Footer::decode(&bytes, len).is_ok() {
                end = at;
            }
        }
        Ok(Self { file, number, at: DATA_START, end })
    }

    /// What comes next; `None` at the end.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<ScannedRecord>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let (offset, room) = (self.at, self.end - self.at);
        let mut head = [0; HEAD];
        let why = if room < HEAD as u64 {
            "the file ends within a record"
        } else {
            self.file.read_exact_at(&mut head, offset)?;
            match record::len_of(&head) {
                None => "there is no record",
                Some(len) if len > room => "the record reaches over the end of the file",
                Some(len) => {
                    let mut bytes = vec![0; len as usize];
                    self.file.read_exact_at(&mut bytes, offset)?;
                    match Record::open(bytes, self.number, offset) {
                        Ok(record) => {
                            self.at += len;
                            return Ok(Some(ScannedRecord::Record(offset, record)));
                        }
                        Err(why) => why,
                    }
                }
            }
        };
        self.at = self.find_next(offset + 1)?;
        Ok(Some(ScannedRecord::Unreadable { offset, len: self.at - offset, why }))
    }

    /// Where the next record may begin.
    fn find_next(&self, mut from: u64) -> std::io::Result<u64> {
        let mut window = vec![0; WINDOW];
        while from + (MAGIC.len() as u64) <= self.end {
            let len = (self.end - from).min(WINDOW as u64) as usize;
            self.file.read_exact_at(&mut window[..len], from)?;
            if let Some(at) = window[..len].windows(MAGIC.len()).position(|bytes| bytes == MAGIC) {
                return Ok(from + at as u64);
            }
            from += (len - MAGIC.len() + 1) as u64;
        }
        Ok(self.end)
    }
}
