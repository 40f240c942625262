//! Tests of commands over a whole store.

mod scripts;
mod session;
mod syntax;
mod values;
