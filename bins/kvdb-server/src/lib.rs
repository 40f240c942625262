//! The KVDB server: what stands between the sockets and the keyspace.
//!
//! # The life of a request
//!
//! A client's bytes arrive at one worker ([`serve`]), the thread that has served it since it was accepted ([`listener`])
//! or since the number of workers was last changed ([`placement`]). The connection ([`connection`]) receives them into the worker's buffer and hands them to a turn
//! ([`turn`]): every whole command in them is found in the table, latched, run and answered, one after the other. What
//! the commands changed is in the log's buffer by then, in order, and readable by everybody, but no reply that depends on
//! it has left. The worker goes on with the other connections that are ready; when it has run out of them, its gate
//! ([`gate`]) writes the log once for all of them, or waits for the log's thread to sync it, and sends the replies.
//!
//! A command that would have to wait for the disk does not: its connection is parked, an I/O thread of the store reads,
//! and the connection goes on when that is done. Expiry, eviction and idle clients are looked after by one thread
//! ([`maintenance`]).
//!
//! # Vocabulary
//!
//! * A *worker* is a thread with a runtime, buffers and counters of its own. A connection may move to another one, but only
//!   while nothing of it is under way.
//! * A *turn* is one batch of input of one connection. It knows no socket.
//! * *Settled* is the sequence up to which the log is as safe as the settings ask for.
//! * The *node* ([`node`]) is what all workers share.

pub mod access;
pub mod attendant;
pub mod blocked;
pub mod bootstrap;
pub mod checkpoint;
pub mod clients;
pub mod clock;
pub mod connection;
pub mod descriptors;
pub mod directory;
pub mod gate;
pub mod herald;
pub mod host;
pub mod hot;
pub mod info;
pub mod latency;
pub mod listener;
pub mod listening;
pub mod logging;
pub mod maintenance;
pub mod memory;
pub mod node;
pub mod pause;
pub mod placement;
pub mod publish;
pub mod rates;
pub mod redact;
pub mod scripting;
pub mod scrubbing;
pub mod serve;
pub mod settings;
pub mod slowlog;
pub mod stats;
pub mod timing;
pub mod tracking;
pub mod turn;
pub mod users;
pub mod window;
pub mod worker;
mod yielding;
