//! Tests of the crate through its public interface: what a peer can send, whole, in pieces and
//! malformed, and what it gets back.

mod allocation;
mod bad_input;
mod connection;
mod replies;
mod requests;
