//! Integration tests of the storage engine, in one binary.

#[cfg(feature = "cli")]
mod cli;
mod db_backup;
mod db_blobs;
mod db_cache;
mod db_checkpoint;
mod db_crash;
mod db_damage;
mod db_faults;
mod db_filter;
mod db_formats;
mod db_hostile;
mod db_ingest;
#[cfg(kvdb_shuttle)]
mod db_interleavings;
mod db_levels;
mod db_lies;
mod db_metamorphic;
mod db_model;
mod db_nemesis;
mod db_read_only;
mod db_repair;
mod db_runtime;
mod db_scrub;
mod db_support;
mod db_threads;
mod db_unlogged;
mod db_views;
mod db_walks;
#[cfg(feature = "zstd")]
mod db_zstd;
mod hooked;
mod log_alone;
mod log_basic;
mod log_crash;
mod log_damage;
mod log_faults;
#[cfg(kvdb_shuttle)]
mod log_interleavings;
mod log_truncate;
mod sim_vfs;
mod support;
