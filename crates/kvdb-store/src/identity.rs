//! The rows of the store itself: the secret seed, and which space each database has.
//!
//! ```text
//! identity := 1 u8 | seed u64
//! spaces   := 1 u8 | next space u32 | databases u16 | space u32 …       (little-endian)
//! ```

use kvdb_lsm::Db;
use kvdb_lsm::batch::WriteBatch;

use crate::commit_log::CommitLog;
use crate::error::StoreError;
use crate::row::{IDENTITY_KEY, SPACES_KEY};

const FORMAT: u8 = 1;

pub(crate) struct Identity {
    pub(crate) seed: u64,
    pub(crate) spaces: Vec<u32>,
    pub(crate) next_space: u32,
}

impl Identity {
    /// Reads the rows, or writes them when the data is new; adds spaces when there are more databases than before.
    pub(crate) fn load_or_create(
        rows: &Db,
        log: &dyn CommitLog,
        databases: u16,
        fresh_seed: u64,
    ) -> Result<Self, StoreError> {
        let (mut identity, known) = match (rows.get(IDENTITY_KEY)?, rows.get(SPACES_KEY)?) {
            (Some(seed), Some(spaces)) => (
                Self::decode(&seed, &spaces)
                    .ok_or(StoreError::Damaged("identity or spaces do not decode"))?,
                true,
            ),
            (None, None) => (Self { seed: fresh_seed, spaces: Vec::new(), next_space: 0 }, false),
            _ => return Err(StoreError::Damaged("one of identity and spaces is missing")),
        };
        if known && identity.spaces.len() >= usize::from(databases) {
            // Databases beyond the setting keep their data for a later start with more of them.
            return Ok(identity);
        }
        while identity.spaces.len() < usize::from(databases) {
            identity.spaces.push(identity.next_space);
            identity.next_space += 1;
        }
        let mut batch = WriteBatch::new();
        let mut seed = vec![FORMAT];
        seed.extend_from_slice(&identity.seed.to_le_bytes());
        batch.put(IDENTITY_KEY, &seed);
        put_spaces(&mut batch, identity.next_space, &identity.spaces);
        log.append(&batch)?;
        Ok(identity)
    }

    fn decode(seed: &[u8], spaces: &[u8]) -> Option<Self> {
        let (&FORMAT, seed) = seed.split_first()? else { return None };
        let (&FORMAT, rest) = spaces.split_first()? else { return None };
        let (next, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let count = usize::from(u16::from_le_bytes(*count));
        let (chunks, []) = rest.as_chunks::<4>() else { return None };
        let spaces: Vec<u32> = chunks.iter().map(|c| u32::from_le_bytes(*c)).collect();
        let next_space = u32::from_le_bytes(*next);
        let sound = spaces.len() == count && spaces.iter().all(|&s| s < next_space);
        sound.then_some(Self { seed: u64::from_le_bytes(seed.try_into().ok()?), spaces, next_space })
    }
}

/// Adds the row of the spaces to a batch.
pub(crate) fn put_spaces(batch: &mut WriteBatch, next: u32, spaces: &[u32]) {
    let mut row = vec![FORMAT];
    row.extend_from_slice(&next.to_le_bytes());
    row.extend_from_slice(&(spaces.len() as u16).to_le_bytes());
    for space in spaces {
        row.extend_from_slice(&space.to_le_bytes());
    }
    batch.put(SPACES_KEY, &row);
}
