//! One file for each family of commands: its rows of the table first, then the handlers in the same order.

pub mod bitfield;
pub mod bitmap;
pub mod client;
pub mod command;
pub mod config;
pub mod connection;
pub mod debug;
pub mod dump;
pub mod expire;
pub mod generic;
pub mod help;
pub mod hyperloglog;
pub mod keyspace;
pub mod latency;
pub mod memory;
pub mod persistence;
pub mod replication;
pub mod server;
mod set_options;
pub mod slowlog;
pub mod string;
pub mod string_number;
pub mod string_range;
mod string_value;
