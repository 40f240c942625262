//! Delivering what is published.

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use kvdb_commands::families::pubsub::write_message;
use kvdb_pubsub::{Message, Receivers};
use kvdb_resp::{Protocol, Reply};

use crate::node::Node;

thread_local! {
    /// Room for the receivers of a message.
    static RECEIVERS: RefCell<Receivers> = RefCell::default();
}

/// A message in the bytes of each protocol, made when the first receiver wants it.
#[derive(Default)]
struct Frames {
    resp2: Vec<u8>,
    resp3: Vec<u8>,
}

impl Frames {
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
    RECEIVERS.with_borrow_mut(|receivers| {
        if shard {
            node.registry.publish_to_shard(channel, receivers);
        } else {
            node.registry.publish(channel, receivers);
        }
        if receivers.is_empty() {
            return 0;
        }
        let message = Message::new(channel, payload);
        let deliver = |clients: &[u64], pattern: Option<&[u8]>| {
            let (mut frames, limit) = (Frames::default(), node.hot.pubsub_buffer.load(Ordering::Relaxed));
            node.clients.each(clients, |client| {
                let write = |reply: &mut Reply<'_>| write_message(reply, &message, pattern, shard);
                node.push(client, frames.get(client.speaks(), write), depends_on, limit);
            });
        };
        deliver(receivers.direct(), None);
        receivers.by_pattern().for_each(|(pattern, clients)| deliver(clients, Some(pattern)));
        receivers.len()
    })
}

/// How often a message would be sent.
pub fn receivers(node: &Node, channel: &[u8], shard: bool) -> usize {
    RECEIVERS.with_borrow_mut(|receivers| {
        if shard {
            node.registry.publish_to_shard(channel, receivers);
        } else {
            node.registry.publish(channel, receivers);
        }
        receivers.len()
    })
}
