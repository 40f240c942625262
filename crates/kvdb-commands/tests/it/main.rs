//! Tests of commands over a whole store.

mod reference;
mod scripts;
mod session;
mod syntax;
mod values;
