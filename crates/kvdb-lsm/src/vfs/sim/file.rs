//! Files and locks of the simulated file system, while somebody has them open.

use super::State;
use super::inode::{Change, Stage};
use crate::vfs::VfsFile;
use crate::vfs::fault::FaultKind;
use parking_lot::Mutex;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// An open file of a [`SimVfs`](super::SimVfs).
pub(super) struct SimFile {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) inode: u64,
    pub(super) writable: bool,
}

/// A lock that is held.
pub(super) struct SimLock {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) path: PathBuf,
    pub(super) shared: bool,
}

fn no_space() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

pub(super) fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl SimFile {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let outcome = state.plain_operation();
        let to = if outcome.is_ok() { Stage::Durable } else { Stage::Lost };
        state.inode(self.inode).settle(to);
        state.syncs += u64::from(outcome.is_ok());
        outcome
    }

    fn writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl VfsFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state.lock();
        let wanted = match state.operation() {
            Ok(()) => buf.len(),
            Err(FaultKind::Short) => buf.len().div_ceil(2),
            Err(kind) => return Err(kind.error()),
        };
        let data = &state.inode(self.inode).cached;
        let from = position(offset)?.min(data.len());
        let count = wanted.min(data.len() - from);
        buf[..count].copy_from_slice(&data[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.writable()?;
        let mut state = self.state.lock();
        let wanted = match state.operation() {
            Ok(()) => buf.len(),
            Err(FaultKind::Short) => buf.len() / 2,
            Err(kind) => return Err(kind.error()),
        };
        let offset = position(offset)?;
        let free = usize::try_from(state.free()).unwrap_or(usize::MAX);
        let inode = state.inode(self.inode);
        let room = inode.cached.len().max(inode.reserved).saturating_add(free);
        let count = wanted.min(room.saturating_sub(offset));
        if count == 0 && wanted > 0 {
            return Err(no_space());
        }
        inode.change(Change::Write { offset, bytes: buf[..count].to_vec() });
        Ok(count)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.writable()?;
        let mut state = self.state.lock();
        state.plain_operation()?;
        let len = position(len)?;
        let free = state.free();
        let inode = state.inode(self.inode);
        if (len as u64).saturating_sub(inode.footprint()) > free {
            return Err(no_space());
        }
        inode.reserved = inode.reserved.max(len);
        if inode.cached.len() < len {
            inode.change(Change::SetLen(len));
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.writable()?;
        let mut state = self.state.lock();
        state.plain_operation()?;
        let len = position(len)?;
        let inode = state.inode(self.inode);
        inode.reserved = inode.reserved.min(len);
        inode.change(Change::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }

    fn start_writeback(&self, _offset: u64, _len: u64) -> io::Result<()> {
        self.state.lock().plain_operation()
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.plain_operation()?;
        Ok(state.inode(self.inode).cached.len() as u64)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.state.lock().inode(self.inode).handles -= 1;
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if !self.shared {
            state.locks.remove(&self.path);
        } else if let Some(count) = state.shared_locks.get_mut(&self.path) {
            *count -= 1;
            if *count == 0 {
                state.shared_locks.remove(&self.path);
            }
        }
    }
}
