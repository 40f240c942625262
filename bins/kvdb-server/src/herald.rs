//! The herald: hears from the store what happens to keys and tells those who want to know, subscribers and clients that
//! keep what they have read.

use std::io::Write;
use std::sync::{Arc, Weak};

use kvdb_store::{Audience, Event, EventClasses, News};

use crate::node::Node;
use crate::publish::publish;

/// See the module's text. The node owns the store that tells the herald, so it is held weakly.
struct Herald(Weak<Node>);

/// Has the node's clients told of what happens to keys.
pub fn listen(node: &Arc<Node>) {
    node.store.set_audience(Box::new(Herald(Arc::downgrade(node))));
}

impl Audience for Herald {
    fn hear(&self, news: &[News]) {
        let Some(node) = self.0.upgrade() else { return };
        for news in news {
            match news {
                News::Event { event, db, key, depends_on } => {
                    publish_event(&node, *event, *db, key, *depends_on)
                }
                News::Stale { key, readers, by } => node.tracking.tell_readers(&node, key, readers, *by),
                News::Changed { keys, by } => node.tracking.tell_prefixes(&node, keys, *by),
                News::Emptied => node.tracking.tell_all(&node),
            }
        }
    }
}

/// Publishes an event on the channel of the key and on the one of the event, as far as they are wanted. As a reply does,
/// it waits until what it tells of is safe.
fn publish_event(node: &Node, event: Event, db: u16, key: &[u8], depends_on: u64) {
    let wanted = node.store.events();
    let mut channel = Vec::new();
    if wanted.contains(EventClasses::KEYSPACE) {
        // Writing to memory does not fail.
        let _ = write!(channel, "__keyspace@{db}__:");
        channel.extend_from_slice(key);
        publish(node, &channel, event.name.as_bytes(), false, depends_on);
    }
    if wanted.contains(EventClasses::KEYEVENT) {
        channel.clear();
        let _ = write!(channel, "__keyevent@{db}__:{}", event.name);
        publish(node, &channel, key, false, depends_on);
    }
}
