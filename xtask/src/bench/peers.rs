//! The programs of `xtask/peers`, a crate outside the workspace because it links other engines.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::failure::Outcome;
use crate::setup::{self, Part};
use crate::{process, workspace};

/// No build takes longer.
const LIMIT: Duration = Duration::from_secs(3600);

/// Builds the programs; returns the directory that they are in.
pub(super) fn build() -> Outcome<PathBuf> {
    setup::ensure(&[Part::Rocksdb])?;
    let dir = workspace::root()?.join("xtask/peers");
    let target = workspace::target()?.join("peers");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&dir).args(["build", "--release", "--locked"]).env("CARGO_TARGET_DIR", &target);
    process::run(&mut cargo, LIMIT)?;
    Ok(target.join("release"))
}
