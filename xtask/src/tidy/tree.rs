//! The files under the rules: what git tracks, and what it would track if it were added.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::source::Source;
use crate::failure::Outcome;
use crate::process;

/// A text file.
pub(super) struct File {
    /// Relative to the root, with `/` between the parts.
    pub(super) path: String,
    pub(super) text: String,
    /// Present for `.rs` files.
    pub(super) rust: Option<Source>,
}

pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

impl Tree {
    /// Reads the work tree at `root`; files that are not UTF-8 text are left out.
    pub(super) fn read(root: &Path) -> Outcome<Self> {
        let mut git = Command::new("git");
        git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let names = process::output(&mut git, Duration::from_secs(60))?;
        let mut files = Vec::new();
        for name in names.split('\0').filter(|name| !name.is_empty()) {
            // A file that git knows may have been removed or renamed since: then there is nothing to check.
            if let Ok(text) = fs::read_to_string(root.join(name)) {
                files.push(File::new(name, text));
            }
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| File::new(path, (*text).to_owned())).collect() }
    }

    /// The `.rs` files.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| Some((file, file.rust.as_ref()?)))
    }

    /// Whether a file, or a directory with files in it, has this path.
    pub(super) fn has(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        path.is_empty() || self.files.iter().any(|file| file.path == path || file.path.starts_with(&inside))
    }
}

impl File {
    fn new(path: &str, text: String) -> Self {
        let rust = path.ends_with(".rs").then(|| Source::new(path, &text));
        Self { path: path.to_owned(), text, rust }
    }

    /// The name of the library crate that the file belongs to: `kvdb-lsm` for `crates/kvdb-lsm/src/wal.rs`.
    pub(super) fn library(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }

    /// The last part of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}
