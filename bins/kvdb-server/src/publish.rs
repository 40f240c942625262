//! Delivering what is published.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kvdb_commands::families::pubsub::write_message;
use kvdb_pubsub::{Message, Receivers};
use kvdb_resp::{Protocol, Reply};

use crate::clients::ClientInfo;
use crate::node::Node;

/// Frames that are larger than this are given back.
const KEPT_FRAME: usize = 64 * 1024;

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

/// What a thread keeps from one message to the next.
#[derive(Default)]
struct Room {
    receivers: Receivers,
    /// The receivers themselves, by [`groups`], where two messages in a row had the same.
    known: Vec<Vec<Arc<ClientInfo>>>,
    frames: Frames,
}

impl Room {
    /// Finds who gets a message; tells whether they are those of the message before.
    fn find(&mut self, node: &Node, channel: &[u8], shard: bool) -> bool {
        let same = if shard {
            node.registry.publish_to_shard(channel, &mut self.receivers)
        } else {
            node.registry.publish(channel, &mut self.receivers)
        };
        if !same {
            self.known.clear();
        }
        same
    }
}

/// Those who listen to the channel itself, then those of each pattern that matches.
fn groups(receivers: &Receivers) -> impl Iterator<Item = (Option<&[u8]>, &[u64])> {
    let by_pattern = receivers.by_pattern().map(|(pattern, clients)| (Some(&pattern[..]), clients));
    std::iter::once((None, receivers.direct())).chain(by_pattern)
}

/// A message in the bytes of each protocol, made when the first receiver wants it.
#[derive(Default)]
struct Frames {
    resp2: Vec<u8>,
    resp3: Vec<u8>,
}

impl Frames {
    fn clear(&mut self) {
        for frame in [&mut self.resp2, &mut self.resp3] {
            frame.clear();
            frame.shrink_to(KEPT_FRAME);
        }
    }

    fn get(&mut self, protocol: Protocol, write: impl FnOnce(&mut Reply<'_>)) -> &[u8] {
        let frame = match protocol {
            Protocol::Resp2 => &mut self.resp2,
            Protocol::Resp3 => &mut self.resp3,
        };
        if frame.is_empty() {
            write(&mut Reply::new(frame, protocol));
        }
        frame
    }
}

/// Puts a message into the mailboxes of those who listen, to leave when this sequence is safe; returns how often. A receiver
/// who does not keep up is closed and holds nobody up.
pub fn publish(node: &Node, channel: &[u8], payload: &[u8], shard: bool, depends_on: u64) -> usize {
    ROOM.with_borrow_mut(|room| {
        let same = room.find(node, channel, shard);
        if room.receivers.is_empty() {
            return 0;
        }
        let Room { receivers, known, frames } = room;
        if same && known.is_empty() {
            known.extend(groups(receivers).map(|(_, clients)| node.clients.those(clients)));
        }
        let (message, limit) = (Message { channel, payload }, node.hot.pubsub_buffer.load(Ordering::Relaxed));
        for (at, (pattern, clients)) in groups(receivers).enumerate() {
            frames.clear();
            let deliver = |client: &ClientInfo| {
                let write = |reply: &mut Reply<'_>| write_message(reply, message, pattern, shard);
                node.push(client, frames.get(client.speaks(), write), depends_on, limit);
            };
            match known.get(at) {
                Some(known) => known.iter().map(|client| &**client).for_each(deliver),
                None => node.clients.each(clients, deliver),
            }
        }
        receivers.len()
    })
}

/// How often a message would be sent.
pub fn receivers(node: &Node, channel: &[u8], shard: bool) -> usize {
    ROOM.with_borrow_mut(|room| {
        room.find(node, channel, shard);
        room.receivers.len()
    })
}
