//! Tests of the crate as its users see it.

mod functions;
mod hostile;
mod limits;
mod mock;
mod notation;
mod oracle;
mod roundtrip;
mod scripts;
