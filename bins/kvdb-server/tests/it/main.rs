//! The integration tests of the server, in one binary.

mod error_texts;
mod handshakes;
mod harness;
mod limits;
mod protocol;
mod settings;
