//! Versions: which tables make up the database, and how that is made durable.
//!
//! A [`Version`] is an immutable picture of the levels. It changes by a [`VersionEdit`], which is
//! appended to the manifest and made durable *before* the new version is used. `CURRENT` names the
//! manifest.

mod blobs;
mod current;
mod edit;
mod features;
mod levels;
mod manifest;
mod reading;
mod records;
mod sublevels;
mod traits;
mod wear;

pub(crate) use self::blobs::{BlobState, BlobStates, of_tables as blobs_of_tables};
pub(crate) use self::current::{CURRENT, manifest_name, parse_manifest_name, read_current, write_current};
#[cfg(test)]
pub(crate) use self::edit::test_meta;
pub(crate) use self::edit::{FileMeta, VersionEdit};
pub(crate) use self::features::Features;
pub(crate) use self::levels::{LAST_LEVEL, LEVELS, LevelMetas, NewFiles, Version, VersionFile};
pub(crate) use self::manifest::{Manifest, ManifestError, Snapshot};
pub(crate) use self::reading::{
    ManifestRecord, forge as forge_manifest, parse as parse_manifest, read_manifest,
    read_records as read_manifest_records,
};
pub(crate) use self::sublevels::sublevels;
pub(crate) use self::traits::{MAX_CLASSES, Traits, Weight};
pub(crate) use self::wear::{Wear, Worn};

/// No file, segment or sequence ever gets a number from here on, so that counting on cannot
/// overflow whatever a file claims.
pub(crate) const NUMBER_LIMIT: u64 = 1 << 62;
