//! Point reads: one key or many, now or as a view sees them, with the disk or without.

use std::fmt;
use std::sync::Arc;

use super::Db;
use super::state::{FromMemory, Lookup, State};
use super::views::ReadView;
use crate::batch::Seq;
use crate::entry::NEWEST;
use crate::error::Error;

/// The answer of a lookup that must not touch a file.
#[derive(Debug)]
pub enum Cached {
    /// The key has this value.
    Found(Vec<u8>),
    /// The key does not exist.
    Absent,
    /// Only the disk can tell.
    NeedIo(Pending),
}

/// A lookup that memory could not answer. It remembers how far it got and goes on from there, on a
/// thread that may wait for the disk.
///
/// Its answer is that of the moment when it was begun: what was written since is not seen. It holds
/// on to the tables of that moment, so it should be finished or dropped soon.
pub struct Pending {
    state: Arc<State>,
    key: Vec<u8>,
    hash: u64,
    at: Seq,
    /// The candidates before this one do not know the key.
    candidate: usize,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("candidate", &self.candidate).finish_non_exhaustive()
    }
}

impl Pending {
    /// Reads what is missing from the disk, and answers as [`Db::get`] does.
    pub fn finish(self) -> Result<Option<Vec<u8>>, Error> {
        let lookup = Lookup { key: &self.key, hash: self.hash, at: self.at };
        let found = self.state.get_from_tables(lookup, self.candidate, owned)?;
        Ok(found.flatten())
    }
}

fn owned(value: Option<&[u8]>) -> Option<Vec<u8>> {
    value.map(<[u8]>::to_vec)
}

/// Copies a value into a buffer; returns whether there was one.
fn copy_into(value: Option<&[u8]>, buffer: &mut Vec<u8>) -> bool {
    buffer.clear();
    buffer.extend_from_slice(value.unwrap_or_default());
    value.is_some()
}

impl Db {
    /// The newest value of a key. May read the disk.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let state = self.core().state.load();
        Ok(state.get_with(Lookup::new(key, NEWEST), owned)?.flatten())
    }

    /// As [`Db::get`], into a buffer, whose content is replaced; returns whether the key exists.
    /// Where it does not, and after an error, the buffer is empty.
    pub fn get_into(&self, key: &[u8], buffer: &mut Vec<u8>) -> Result<bool, Error> {
        buffer.clear();
        let state = self.core().state.load();
        let found = state.get_with(Lookup::new(key, NEWEST), |value| copy_into(value, buffer))?;
        Ok(found.unwrap_or_default())
    }

    /// The newest values of many keys, in the order of the keys. May read the disk, and reads a
    /// block once for all keys in it. The values need not be of one moment;
    /// [`Db::multi_get_at`] gives those that are.
    pub fn multi_get<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let state = self.core().state.load_full();
        state.multi_get(keys, NEWEST)
    }

    /// The newest value of a key, if memory can tell: memtables, filters and the block cache.
    /// Never touches a file.
    ///
    /// # Errors
    /// [`Error::Corruption`] if a block in memory makes no sense.
    pub fn get_cached(&self, key: &[u8]) -> Result<Cached, Error> {
        let state = self.core().state.load();
        let lookup = Lookup::new(key, NEWEST);
        Ok(match state.get_cached(lookup, owned)? {
            FromMemory::Known(found) => found.flatten().map_or(Cached::Absent, Cached::Found),
            FromMemory::NeedIo { candidate } => Cached::NeedIo(Pending {
                state: Arc::clone(&state),
                key: key.to_vec(),
                hash: lookup.hash,
                at: lookup.at,
                candidate,
            }),
        })
    }

    /// The value of a key as a view sees it. May read the disk.
    pub fn get_at(&self, key: &[u8], view: &ReadView) -> Result<Option<Vec<u8>>, Error> {
        let lookup = Lookup::new(key, view.pin.seq);
        Ok(view.pin.state.get_with(lookup, owned)?.flatten())
    }

    /// The values of many keys as a view sees them; see [`Db::multi_get`].
    pub fn multi_get_at<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        view: &ReadView,
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        view.pin.state.multi_get(keys, view.pin.seq)
    }
}
