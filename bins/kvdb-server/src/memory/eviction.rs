//! Room under the policies of Redis: keys are deleted above `maxmemory`, or commands refused.
//!
//! What counts is the data and what clients have sent or are to get. Memtables, the indexes of tables, the block cache
//! and the buffers of the workers do not: they have limits of their own, and to delete keys makes memtables grow. The
//! work before one command is bounded; what is left is for the rounds of maintenance.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kvdb_store::{Env, Evicted, Eviction, Order, Scratch};

use crate::node::Node;
use crate::settings::MemoryPolicy;

/// The longest time that keys are deleted before one command, or in one go.
const AT_A_TIME: Duration = Duration::from_micros(500);

/// Whether there is room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Free,
    /// There is not, and keys are being deleted.
    Shrinking,
    /// There is not, and there is nothing to delete.
    Full,
}

/// Which keys a policy deletes; none where it deletes none.
pub fn eviction(policy: MemoryPolicy, samples: usize) -> Option<Eviction> {
    let (expiring_only, order) = match policy {
        MemoryPolicy::VolatileLru | MemoryPolicy::VolatileLfu => (true, Order::Use),
        MemoryPolicy::VolatileRandom => (true, Order::Random),
        MemoryPolicy::VolatileTtl => (true, Order::Deadline),
        MemoryPolicy::AllKeysLru | MemoryPolicy::AllKeysLfu => (false, Order::Use),
        MemoryPolicy::AllKeysRandom => (false, Order::Random),
        MemoryPolicy::NoEviction | MemoryPolicy::Tiered => return None,
    };
    Some(Eviction { expiring_only, order, samples })
}

impl Node {
    /// Bytes that count where keys are deleted above `maxmemory`.
    pub fn cache_bytes(&self) -> u64 {
        (self.store.occupied() + self.client_bytes.load(Ordering::Relaxed)) as u64
    }

    /// Deletes keys, for a moment, if there is no room and the policy says so.
    pub fn make_room(&self, env: Env, scratch: &mut Scratch) -> Room {
        let Some(limit) = self.hot.cache_limit() else { return Room::Free };
        // While clients are paused nothing changes, and nothing is refused for want of room.
        if self.cache_bytes() <= limit || self.is_paused_for_writes(env.now) {
            return Room::Free;
        }
        let Some(how) = eviction(self.hot.policy(), self.hot.samples.load(Ordering::Relaxed)) else {
            return Room::Full;
        };
        let for_objects = limit.saturating_sub(self.client_bytes.load(Ordering::Relaxed) as u64);
        let began = Instant::now();
        let bytes = usize::try_from(for_objects).unwrap_or(usize::MAX);
        match self.store.evict(&how, bytes, env, scratch, || began.elapsed() < AT_A_TIME) {
            _ if self.cache_bytes() <= limit => Room::Free,
            Ok(Evicted { keys: 0, passed_over: false }) => Room::Full,
            Ok(_) => Room::Shrinking,
            // The command will say so itself.
            Err(refusal) => {
                tracing::debug!(%refusal, "keys are not deleted now");
                Room::Shrinking
            }
        }
    }
}
