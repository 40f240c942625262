//! Tests of commands over a whole store.

mod scripts;
mod values;
