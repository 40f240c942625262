//! What Redis itself passes. It is always the same release with the same suite, so what it has passed is kept between
//! runs: a file for each unit and mode, a name of a test on each line.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Counts, Mode, run_unit};
use crate::failure::Outcome;
use crate::server::{Build, Product};
use crate::workspace;

use super::skip::SkipList;
use super::suite::Suite;

/// Redis, and what it has passed so far.
pub(super) struct Baseline {
    program: PathBuf,
    kept: PathBuf,
    mode: Mode,
}

impl Baseline {
    pub(super) fn new(mode: Mode) -> Outcome<Self> {
        let kept = workspace::kept("conformance")?.join("baseline").join(mode.name());
        fs::create_dir_all(&kept)?;
        Ok(Self { program: Product::Redis.program(Build::Fast)?, kept, mode })
    }

    /// The names of the tests of a unit that Redis passes with nothing left out.
    pub(super) fn passed(&self, suite: &Suite, unit: &str) -> Outcome<Vec<String>> {
        let file = self.kept.join(unit.replace('/', "_")).with_extension("txt");
        if let Some(names) = read(&file) {
            return Ok(names);
        }
        let Counts { passed, .. } =
            run_unit(suite, unit, Product::Redis, &self.program, &SkipList::default(), self.mode)?;
        fs::write(file, passed.iter().map(|name| format!("{name}\n")).collect::<String>())?;
        Ok(passed)
    }
}

fn read(file: &Path) -> Option<Vec<String>> {
    Some(fs::read_to_string(file).ok()?.lines().map(str::to_owned).collect())
}
