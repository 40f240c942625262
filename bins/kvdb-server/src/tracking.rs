//! Clients that are told of changes of keys (CLIENT TRACKING): who they are, and sending it to them.
//!
//! Which clients have read which keys, the store knows. Here is who still wants to be told, in whose place, and which
//! clients are told of every key with a prefix. Only clients that track, and what is told, come here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kvdb_commands::families::client_tracking::{write_broken_redirect, write_invalidation};
use kvdb_commands::server::ClientKind;
use kvdb_commands::tracking::{Mode, Tracking};
use kvdb_resp::{Protocol, Reply};
use kvdb_store::Store;
use parking_lot::Mutex;

use crate::clients::ClientInfo;
use crate::node::Node;

/// A client that is told.
struct Tracked {
    client: Arc<ClientInfo>,
    tracking: Tracking,
}

impl Tracked {
    /// Whether it wants to know what this client has changed.
    fn wants(&self, by: u64) -> bool {
        !(self.tracking.no_loop && by == self.client.id)
    }
}

#[derive(Default)]
struct State {
    clients: HashMap<u64, Tracked>,
    /// The clients of each prefix, in the order in which they came.
    prefixes: HashMap<Box<[u8]>, Vec<u64>>,
    /// How many prefixes there are of each length: no others are looked up in a key.
    lengths: BTreeMap<usize, usize>,
}

/// The clients that are told.
///
/// # Invariants
///
/// * Each prefix has a client, and each of its clients tracks and has that prefix.
/// * Each length has a prefix.
#[derive(Default)]
pub struct TrackingClients {
    state: Mutex<State>,
    clients: AtomicUsize,
    prefixes: AtomicUsize,
}

impl TrackingClients {
    /// How many clients are told.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// How many prefixes clients are told of.
    pub fn prefixes(&self) -> usize {
        self.prefixes.load(Ordering::Relaxed)
    }

    /// Begins or changes what a client is told.
    pub fn set(&self, client: Arc<ClientInfo>, tracking: &Tracking, store: &Store) {
        let state = &mut *self.state.lock();
        state.forget(client.id);
        for prefix in &tracking.prefixes {
            let clients = state.prefixes.entry(prefix.clone()).or_default();
            if clients.is_empty() {
                *state.lengths.entry(prefix.len()).or_default() += 1;
            }
            clients.push(client.id);
        }
        client.tracks(Some(tracking));
        state.clients.insert(client.id, Tracked { client, tracking: tracking.clone() });
        self.count(state, store);
    }

    /// Ends what a client is told, if it is told anything.
    pub fn end(&self, id: u64, store: &Store) {
        if self.clients() == 0 {
            return;
        }
        let state = &mut *self.state.lock();
        if let Some(tracked) = state.forget(id) {
            tracked.client.tracks(None);
            self.count(state, store);
        }
    }

    fn count(&self, state: &State, store: &Store) {
        self.clients.store(state.clients.len(), Ordering::Relaxed);
        self.prefixes.store(state.prefixes.len(), Ordering::Relaxed);
        store.set_names_wanted(!state.prefixes.is_empty());
    }

    /// Tells the readers of a key that it has changed.
    pub fn tell_readers(&self, node: &Node, key: &[u8], readers: &[u64], by: u64) {
        let state = self.state.lock();
        for tracked in readers.iter().filter_map(|id| state.clients.get(id)) {
            // What it was noted for before it went over to prefixes is no longer of interest.
            if tracked.tracking.mode != Mode::Broadcast && tracked.wants(by) {
                send(node, tracked, Some(&[key]));
            }
        }
    }

    /// Tells those of its prefixes that keys have changed.
    pub fn tell_prefixes(&self, node: &Node, keys: &[Box<[u8]>], by: u64) {
        let state = self.state.lock();
        let mut by_prefix: HashMap<&[u8], Vec<&[u8]>> = HashMap::new();
        for key in keys {
            for prefix in state.prefixes_of(key) {
                by_prefix.entry(prefix).or_default().push(key);
            }
        }
        for (prefix, keys) in by_prefix {
            for tracked in state.prefixes[prefix].iter().filter_map(|id| state.clients.get(id)) {
                if tracked.wants(by) {
                    send(node, tracked, Some(&keys));
                }
            }
        }
    }

    /// Tells everybody that all keys may have changed.
    pub fn tell_all(&self, node: &Node) {
        self.state.lock().clients.values().for_each(|tracked| send(node, tracked, None));
    }
}

impl State {
    /// The prefixes that a key begins with.
    fn prefixes_of<'s>(&'s self, key: &'s [u8]) -> impl Iterator<Item = &'s [u8]> {
        let lengths = self.lengths.range(..=key.len()).map(|(&len, _)| len);
        lengths.filter_map(move |len| self.prefixes.get_key_value(&key[..len])).map(|(prefix, _)| &**prefix)
    }

    fn forget(&mut self, id: u64) -> Option<Tracked> {
        let tracked = self.clients.remove(&id)?;
        for prefix in &tracked.tracking.prefixes {
            if let Some(clients) = self.prefixes.get_mut(prefix) {
                clients.retain(|&other| other != id);
                if clients.is_empty() {
                    self.prefixes.remove(prefix);
                    self.lengths.entry(prefix.len()).and_modify(|prefixes| *prefixes -= 1);
                }
            }
        }
        self.lengths.retain(|_, prefixes| *prefixes > 0);
        Some(tracked)
    }
}

/// Sends a client, or the one that is told in its place, that keys have changed; all may have where none are named.
fn send(node: &Node, tracked: &Tracked, keys: Option<&[&[u8]]>) {
    let mut frame = Vec::new();
    let Some(target) = tracked.tracking.redirect else {
        // RESP2 has no messages between replies.
        if tracked.client.speaks() == Protocol::Resp3 {
            write_invalidation(&mut Reply::new(&mut frame, Protocol::Resp3), keys);
            push(node, &tracked.client, &frame);
        }
        return;
    };
    let receiver = node.clients.get(target).filter(|client| !client.is_closing() && !client.is_killed());
    let Some(receiver) = receiver else {
        tracked.client.redirect_is_broken();
        if tracked.client.speaks() == Protocol::Resp3 {
            write_broken_redirect(&mut Reply::new(&mut frame, Protocol::Resp3), target);
            push(node, &tracked.client, &frame);
        }
        return;
    };
    // A client of RESP2 reads a message where it listens to something.
    if receiver.speaks() == Protocol::Resp3 || receiver.kind() == ClientKind::PubSub {
        write_invalidation(&mut Reply::new(&mut frame, receiver.speaks()), keys);
        push(node, &receiver, &frame);
    }
}

/// Sends a frame at once, whether or not the change is safe already: to forget a value does no harm, and what is read
/// again waits for the change.
fn push(node: &Node, client: &ClientInfo, frame: &[u8]) {
    let limit = match client.kind() {
        ClientKind::PubSub => &node.hot.pubsub_buffer,
        ClientKind::Normal | ClientKind::Primary | ClientKind::Replica => &node.hot.output_buffer,
    };
    node.push(client, frame, 0, limit.load(Ordering::Relaxed));
}
