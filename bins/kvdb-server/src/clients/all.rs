//! All connections of a server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvdb_commands::server::ClientFilter;
use parking_lot::Mutex;

use super::{ClientInfo, MONITOR};

/// All connections, in the order of their numbers.
#[derive(Default)]
pub struct Clients {
    by_id: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
    next_id: AtomicU64,
}

impl Clients {
    /// A number for a new connection.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds a connection.
    pub fn add(&self, client: Arc<ClientInfo>) {
        self.by_id.lock().insert(client.id, client);
    }

    /// Forgets a connection, and what it has not taken: who publishes may hold it for longer.
    pub fn remove(&self, id: u64) {
        let removed = self.by_id.lock().remove(&id);
        if let Some(client) = removed {
            client.take_pushed();
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One by its number.
    pub fn get(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.by_id.lock().get(&id).cloned()
    }

    /// Those that a filter means, in the order of their numbers.
    pub fn matching(&self, filter: &ClientFilter, now: u64) -> Vec<Arc<ClientInfo>> {
        self.by_id.lock().values().filter(|client| client.matches(filter, now)).cloned().collect()
    }

    /// Those with these numbers, as far as there are any.
    pub fn those(&self, ids: &[u64]) -> Vec<Arc<ClientInfo>> {
        let by_id = self.by_id.lock();
        ids.iter().filter_map(|id| by_id.get(id)).cloned().collect()
    }

    /// Shows those with these numbers, as far as there are any.
    pub fn each(&self, ids: &[u64], mut visit: impl FnMut(&ClientInfo)) {
        let by_id = self.by_id.lock();
        ids.iter().filter_map(|id| by_id.get(id)).for_each(|client| visit(client));
    }

    /// Those that watch every command.
    pub fn monitors(&self) -> Vec<Arc<ClientInfo>> {
        self.by_id.lock().values().filter(|client| client.has(MONITOR)).cloned().collect()
    }
}
