//! Between replies and Lua values, by the rules of the Redis documentation ("Lua API reference", data type conversion).
//!
//! Replies stay bytes as long as possible: what a command answers is read from its encoding straight into Lua values,
//! and what a script returns is written straight into the client's buffer.

mod from_reply;
mod to_reply;

pub(crate) use from_reply::{CommandReply, read_reply};
pub(crate) use to_reply::{WriteError, write_error, write_value};
