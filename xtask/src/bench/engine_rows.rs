//! What the engines' program reported, and the file that it is kept in.
//!
//! A line is the data set, the engine and the workload, then `name=figure`, separated by tabs.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::failure::{Outcome, While, fail};

/// The figures of one workload of one engine on one data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) set: String,
    pub(super) engine: String,
    pub(super) workload: String,
    figures: BTreeMap<String, String>,
}

impl Row {
    /// `None` for a line that is something else.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t').map(str::to_owned);
        let (set, engine, workload) = (fields.next()?, fields.next()?, fields.next()?);
        let figures: BTreeMap<_, _> =
            fields.filter_map(|f| f.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()))).collect();
        (!figures.is_empty()).then_some(Self { set, engine, workload, figures })
    }

    /// That an engine was killed in this workload, or in one before it, because it wanted more memory than it may have.
    pub(super) fn outgrown(set: &str, engine: &str, workload: &str, limit: u64) -> Self {
        let figures = BTreeMap::from([("outgrown".to_owned(), limit.to_string())]);
        Self { set: set.to_owned(), engine: engine.to_owned(), workload: workload.to_owned(), figures }
    }

    /// The limit that the engine wanted more memory than, in bytes, if it did.
    pub(super) fn outgrew(&self) -> Option<u64> {
        self.figures.get("outgrown")?.parse().ok()
    }

    fn to_line(&self) -> String {
        let figures: Vec<String> =
            self.figures.iter().map(|(name, figure)| format!("\t{name}={figure}")).collect();
        format!("{}\t{}\t{}{}\n", self.set, self.engine, self.workload, figures.concat())
    }

    pub(super) fn number(&self, name: &str) -> Outcome<f64> {
        let text = self.figures.get(name).map(String::as_str).unwrap_or_default();
        text.parse::<f64>().while_doing(|| format!("reading the figure {name}"))
    }

    /// Operations in each slice of time.
    pub(super) fn slices(&self) -> Vec<f64> {
        let text = self.figures.get("slices").map(String::as_str).unwrap_or_default();
        text.split(',').filter_map(|slice| slice.parse().ok()).collect()
    }
}

/// All rows so far.
#[derive(Debug)]
pub(super) struct Rows {
    rows: Vec<Row>,
    file: Option<PathBuf>,
}

impl Rows {
    /// What `file` holds, which is also where more goes.
    pub(super) fn open(file: Option<&Path>) -> Outcome<Self> {
        let mut rows = Vec::new();
        if let Some(path) = file {
            let text = match fs::read_to_string(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
                other => other.while_doing(|| format!("reading {}", path.display()))?,
            };
            for line in text.lines() {
                let Some(row) = Row::parse(line) else { fail!("{} holds `{line}`", path.display()) };
                rows.push(row);
            }
        }
        Ok(Self { rows, file: file.map(Path::to_path_buf) })
    }

    pub(super) fn has(&self, set: &str, engine: &str, workload: &str) -> bool {
        self.rows.iter().any(|row| (&*row.set, &*row.engine, &*row.workload) == (set, engine, workload))
    }

    pub(super) fn add(&mut self, rows: Vec<Row>) -> Outcome {
        if let Some(path) = &self.file {
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir)?;
            }
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            let lines: String = rows.iter().map(Row::to_line).collect();
            file.write_all(lines.as_bytes()).while_doing(|| format!("writing {}", path.display()))?;
        }
        self.rows.extend(rows);
        Ok(())
    }

    /// The data sets, in the order in which they came.
    pub(super) fn sets(&self) -> Vec<String> {
        let mut sets: Vec<String> = Vec::new();
        for row in &self.rows {
            if !sets.contains(&row.set) {
                sets.push(row.set.clone());
            }
        }
        sets
    }

    pub(super) fn of(&self, set: &str) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.set == set).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back() {
        let line = "16/100 bytes, in memory\tkvdb\toverwrite\tops=7\tslices=1,2,3\n";
        let row = Row::parse(line.trim_end()).expect("a row");
        assert_eq!(row.to_line(), line);
        assert_eq!(row.number("ops").expect("a number"), 7.0);
        assert_eq!(row.slices(), [1.0, 2.0, 3.0]);
        assert!(row.number("bytes").is_err());
        assert_eq!(row.outgrew(), None);
        let outgrown = Row::outgrown("16/100 bytes, in memory", "redb", "overwrite", 77);
        assert_eq!(Row::parse(outgrown.to_line().trim_end()), Some(outgrown.clone()));
        assert_eq!(outgrown.outgrew(), Some(77));
        for broken in ["", "a\tb\tc", "a\tb\tops=1"] {
            assert_eq!(Row::parse(broken), None, "{broken}");
        }
    }
}
