//! The KVDB server: what stands between the sockets and the keyspace.

pub mod settings;
