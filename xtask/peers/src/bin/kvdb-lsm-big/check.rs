//! Reads a whole database and compares every row with what it must be.

use std::sync::atomic::Ordering;
use std::time::Instant;

use kvdb_lsm::{Iter, Report};

use crate::data::{Data, Versions};
use crate::{Outcome, gigabytes, say};

/// Every row is there, none besides, each with its version; with `latest`, with one between both. One append may be in
/// the database and not yet among the versions.
pub fn contents(data: &Data, mut rows: Iter, versions: &Versions, latest: Option<&Versions>) -> Outcome {
    let began = Instant::now();
    let mut buffer = Vec::new();
    let mut expected = 0;
    let mut bytes = 0;
    while let Some((key, value)) = rows.next_entry()? {
        if Data::number(key) != Some(expected) || expected >= data.entries {
            return Err(format!("row {expected} is missing or followed by another: {key:?}").into());
        }
        let Some(version) = data.version(expected, value, &mut buffer) else {
            return Err(format!("row {expected} has a value that was never written").into());
        };
        let at = expected as usize;
        let least = versions[at].load(Ordering::Acquire);
        let most = latest.map_or(least, |latest| latest[at].load(Ordering::Acquire).wrapping_add(1));
        if version.wrapping_sub(least) > most.wrapping_sub(least) {
            return Err(format!("row {expected} has version {version}, not {least} to {most}").into());
        }
        bytes += (key.len() + value.len()) as u64;
        expected += 1;
    }
    if expected != data.entries {
        return Err(format!("the rows end at {expected}, not at {}", data.entries).into());
    }
    let seconds = began.elapsed().as_secs_f64();
    say(
        "compared",
        format_args!("{expected} rows, {}, each as it must be, in {seconds:.0} s", gigabytes(bytes)),
    );
    Ok(())
}

/// Nothing is damaged.
pub fn report(what: &str, report: &Report) -> Outcome {
    if let Some(problem) = report.problems.first() {
        return Err(format!("{} problems; the first: {problem}", report.problems.len()).into());
    }
    say(what, format_args!("{} tables, {}, no problem", report.tables, gigabytes(report.bytes)));
    Ok(())
}
