//! A file whose writes are paced.

use std::io;
use std::sync::Arc;

use super::limiter::{Limiter, Purpose};
use super::syncs::Syncs;
use crate::vfs::VfsFile;

/// A file that is written in the background. Reads and syncs are not paced: nobody could do with
/// less of them.
pub(crate) struct PacedFile {
    file: Box<dyn VfsFile>,
    limiter: Arc<Limiter>,
    purpose: Purpose,
    syncs: Arc<Syncs>,
}

impl PacedFile {
    /// Its syncs are measured in `syncs`.
    pub(crate) fn new(
        file: Box<dyn VfsFile>,
        limiter: Arc<Limiter>,
        purpose: Purpose,
        syncs: Arc<Syncs>,
    ) -> Self {
        Self { file, limiter, purpose, syncs }
    }
}

impl VfsFile for PacedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.limiter.acquire(buf.len() as u64, self.purpose);
        self.file.write_at(buf, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.time(|| self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.syncs.time(|| self.file.sync_all())
    }

    fn start_writeback(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.start_writeback(offset, len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
