//! The table of engines beside each other, and the plot of what stalls hide.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::engine_rows::Row;
use super::plot;
use crate::failure::{Outcome, While};

/// The engine that the others are compared with.
const MEASURE: &str = "rocksdb";
/// The distance of the samples of throughput, as the program takes them.
const SLICE_SECONDS: f64 = 0.25;

/// One row for each workload and engine.
///
/// What is left to do in the background when the last operation returned is waited for, in seconds of the column *wait*,
/// and its CPU time and bytes count.
pub(super) fn table(rows: &[&Row]) -> Outcome<String> {
    let mut out = String::from(
        "| workload | engine | ops/s | CPU ns/op | CPU ratio | p50 µs | p99 µs | p99.9 µs | max ms | slowest second | \
         wait s | write amp. | read B/op | space amp. | RSS MiB |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let mut workloads: Vec<&str> = Vec::new();
    for row in rows {
        if !workloads.contains(&row.workload.as_str()) {
            workloads.push(&row.workload);
        }
    }
    for workload in workloads {
        let rows: Vec<&&Row> = rows.iter().filter(|row| row.workload == workload).collect();
        let measure = rows.iter().find(|row| row.engine == MEASURE && row.outgrew().is_none());
        let measure = measure.map(|row| cpu_per_op(row)).transpose()?;
        for row in rows {
            if let Some(limit) = row.outgrew() {
                let engine = &row.engine;
                let cells = "| – ".repeat(12);
                writeln!(out, "| {workload} | {engine} | killed at {} MiB {cells}|", limit >> 20)?;
                continue;
            }
            let get = |name: &str| row.number(name);
            let (ops, own, user) = (get("ops")?, cpu_per_op(row)?, get("user_bytes")?);
            let ratio = measure.map_or_else(|| "–".to_owned(), |measure| format!("{:.2}", own / measure));
            let amplification =
                if user > 0.0 { format!("{:.1}", get("written_bytes")? / user) } else { "–".to_owned() };
            writeln!(
                out,
                "| {workload} | {} | {:.0} | {own:.0} | {ratio} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} % | {:.1} | \
                 {amplification} | {:.0} | {:.2} | {:.0} |",
                row.engine,
                ops / get("seconds")?.max(1e-9),
                get("p50_ns")? / 1e3,
                get("p99_ns")? / 1e3,
                get("p999_ns")? / 1e3,
                get("max_ns")? / 1e6,
                slowest_second(&row.slices()) * 100.0,
                get("settle_seconds")?,
                get("read_bytes")? / ops.max(1.0),
                get("disk_bytes")? / get("live_bytes")?.max(1.0),
                get("resident_bytes")? / f64::from(1 << 20),
            )?;
        }
    }
    Ok(out)
}

fn cpu_per_op(row: &Row) -> Outcome<f64> {
    Ok(row.number("cpu_ns")? / row.number("ops")?.max(1.0))
}

/// The throughput of the slowest whole second, as a share of the mean.
fn slowest_second(slices: &[f64]) -> f64 {
    let per_second = (1.0 / SLICE_SECONDS) as usize;
    // The last slice is cut by the end.
    let whole = &slices[..slices.len().saturating_sub(1)];
    let seconds: Vec<f64> = whole.chunks_exact(per_second).map(|second| second.iter().sum()).collect();
    let mean = seconds.iter().sum::<f64>() / seconds.len().max(1) as f64;
    let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    if mean > 0.0 { least / mean } else { 1.0 }
}

/// Draws the throughput of the overwrites; returns whether there were any.
pub(super) fn draw(rows: &[&Row], path: &Path, set: &str) -> Outcome<bool> {
    let lines: Vec<plot::Line> = rows
        .iter()
        .filter(|row| row.workload == "overwrite" && row.outgrew().is_none())
        .map(|row| plot::Line {
            name: row.engine.clone(),
            values: row.slices().iter().map(|slice| slice / SLICE_SECONDS).collect(),
        })
        .collect();
    if lines.is_empty() {
        return Ok(false);
    }
    let title = format!("overwrite, {set}");
    fs::write(path, plot::draw(&title, "operations a second", SLICE_SECONDS, &lines))
        .while_doing(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_was_killed_has_a_row_without_figures() {
        let row = Row::outgrown("in memory", "redb", "overwrite", 64 << 20);
        let text = table(&[&row]).expect("a table");
        let line = text.lines().last().expect("a row");
        assert!(line.starts_with("| overwrite | redb | killed at 64 MiB | –"), "{line}");
        let cells = |line: &str| line.matches('|').count();
        assert_eq!(Some(cells(line)), text.lines().next().map(cells));
    }

    #[test]
    fn the_slowest_second_is_a_share_of_the_mean() {
        assert_eq!(slowest_second(&[10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 3.0]), 1.0);
        assert_eq!(slowest_second(&[10.0, 10.0, 10.0, 10.0, 0.0, 0.0, 10.0, 0.0, 3.0]), 0.4);
        assert_eq!(slowest_second(&[5.0]), 1.0);
    }
}
