//! The registry against a model and from many threads, and patterns against the obvious matcher.

mod glob;
mod model;
mod threads;
