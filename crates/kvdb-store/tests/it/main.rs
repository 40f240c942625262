//! Tests of the keyspace as a whole: against a model, with other threads at work, and for what a reply depends on.

mod client;
mod collections;
mod dependence;
mod emptying;
mod expiry;
mod loading;
mod model;
mod racing;
mod sequences;
mod walking;
