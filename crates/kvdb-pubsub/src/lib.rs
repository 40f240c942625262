//! Publish and subscribe: who gets what.
//!
//! A *subscriber* is a client with a number that listens to *channels* by name, to *patterns* that match names of
//! channels, and to *shard channels*, which are names of their own that patterns do not see. The [`Registry`] knows who
//! listens to what; a [`Subscriber`] is one client's side of it and belongs to that client's connection. Publishing asks
//! the registry for the [`Receivers`] of a name: first those of the channel, in the order in which they came, then, for
//! every pattern that matches, those of the pattern. A client that is reached in three ways gets the message three times,
//! and is counted three times.
//!
//! ```
//! use std::sync::Arc;
//! use kvdb_pubsub::{Kind, Message, Receivers, Registry, Subscriber};
//!
//! let registry = Arc::new(Registry::new(42));
//! let mut anna = Subscriber::new(Arc::clone(&registry), 1);
//! let mut bert = Subscriber::new(Arc::clone(&registry), 2);
//! assert_eq!(anna.subscribe(Kind::Channel, b"news.sport"), 1);
//! assert_eq!(anna.subscribe(Kind::Pattern, b"news.*"), 2);
//! assert_eq!(bert.subscribe(Kind::Channel, b"news.sport"), 1);
//!
//! let mut receivers = Receivers::default();
//! registry.publish(b"news.sport", &mut receivers);
//! assert_eq!(receivers.len(), 3, "what PUBLISH replies");
//! assert_eq!(receivers.direct(), [1, 2]);
//! let message = Message { channel: b"news.sport", payload: b"1:0" };
//! for (pattern, clients) in receivers.by_pattern() {
//!     assert_eq!((&pattern[..], clients, message.channel), (&b"news.*"[..], &[1][..], &b"news.sport"[..]));
//! }
//! assert!(registry.publish(b"news.sport", &mut receivers), "they are the same, and were not looked for");
//!
//! drop(anna); // a client that is gone listens to nothing
//! registry.publish(b"news.sport", &mut receivers);
//! assert_eq!(receivers.len(), 1);
//! ```
//!
//! # Many publishers
//!
//! Workers publish at the same time. Names are spread over independently locked shards by their hash, publishing takes
//! one of them for reading, and no lock is held while anything is delivered: receivers are copied out as numbers. Where
//! no client listens to any channel or pattern, publishing reads two counters, and who publishes to one channel many
//! times in a row keeps the receivers that were found, while nobody comes or goes. Patterns are filed under their
//! *literal prefix*, what they have before the first special byte, and a publisher looks only at those whose prefix the
//! channel has, one look-up for each length of a prefix that is in use. Patterns with the same literal prefix (`*a` and
//! `*b` have the empty one) are tried one after another.
//!
//! A client that comes or goes takes time for its own subscriptions only, however many others listen to the same.
//!
//! # What this crate does not do
//!
//! It sends nothing, queues nothing and writes no frames; it does not know which worker a client lives on, nor whether
//! it may listen.

mod channels;
pub mod glob;
mod message;
mod patterns;
mod receivers;
mod registry;
mod sharded;
mod subscriber;
mod subscribers;
mod topics;

pub use message::Message;
pub use receivers::Receivers;
pub use registry::Registry;
pub use subscriber::{Kind, Subscriber};

/// The number of a client. The server chooses it; no two clients may have the same at one time.
pub type ClientId = u64;
