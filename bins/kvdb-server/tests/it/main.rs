//! The integration tests of the server, in one binary.

mod administration;
mod concurrency;
mod durability;
mod error_texts;
mod expiry;
mod faulty_disk;
mod handshakes;
mod harness;
mod idle_clients;
mod limits;
mod protocol;
mod rebinding;
mod settings;
mod tiering;
mod use_tracking;
mod waiting;
