//! Integration tests of the storage engine, in one binary.

mod db_crash;
mod db_damage;
mod db_faults;
mod db_formats;
mod db_hostile;
#[cfg(kvdb_shuttle)]
mod db_interleavings;
mod db_lies;
mod db_metamorphic;
mod db_model;
mod db_support;
mod db_threads;
mod db_views;
mod db_walks;
mod log_basic;
mod log_crash;
mod log_damage;
mod log_faults;
mod sim_vfs;
mod support;
