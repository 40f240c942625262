//! Integration tests of the storage engine, in one binary.

mod db_crash;
mod db_damage;
mod db_faults;
mod db_filter;
mod db_hostile;
mod db_model;
mod db_nemesis;
mod db_runtime;
mod db_support;
mod db_threads;
mod db_unlogged;
mod log_alone;
mod log_basic;
mod log_crash;
mod log_damage;
mod log_faults;
mod sim_vfs;
mod support;
