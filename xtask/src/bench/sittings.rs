//! Samples kept in a file, so that a table can be made in several sittings: a shared machine is seldom quiet for as long as
//! all pairs take.
//!
//! One line for each sample: command, pipeline, server, requests, requests per second, p50 and p99 in milliseconds,
//! nanoseconds of CPU, context switches.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::time::Duration;

use super::drive::Seen;
use super::probe::Usage;
use super::{Case, Sample};
use crate::failure::{Outcome, While, fail};

const BASELINE: &str = "baseline";
const CANDIDATE: &str = "candidate";

/// Adds the samples of earlier sittings to `cases`; returns how many pairs the row with most of them has. A sitting may
/// have measured some of the commands only.
pub(super) fn read(path: &Path, cases: &mut [Case]) -> Outcome<u32> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error).while_doing(|| format!("reading {}", path.display())),
    };
    for line in text.lines() {
        add(line, cases).while_doing(|| format!("reading `{line}` in {}", path.display()))?;
    }
    if let Some(case) = cases.iter().find(|case| case.baseline.len() != case.candidate.len()) {
        fail!("{} holds a pair of {} that is not whole", path.display(), case.command.name);
    }
    let pairs = cases.iter().map(|case| case.baseline.len()).max().unwrap_or(0);
    Ok(u32::try_from(pairs)?)
}

fn add(line: &str, cases: &mut [Case]) -> Outcome {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [test, pipeline, server, requests, per_second, p50, p99, cpu, switches] = fields[..] else {
        fail!("a sample has nine fields");
    };
    let pipeline: usize = pipeline.parse()?;
    let Some(case) = cases.iter_mut().find(|case| case.command.name == test && case.pipeline == pipeline)
    else {
        return Ok(());
    };
    let seen = Seen {
        requests: requests.parse()?,
        per_second: per_second.parse()?,
        p50: p50.parse()?,
        p99: p99.parse()?,
    };
    let used = Usage { cpu: Duration::from_nanos(cpu.parse()?), switches: switches.parse()? };
    match server {
        BASELINE => case.baseline.push(Sample { seen, used }),
        CANDIDATE => case.candidate.push(Sample { seen, used }),
        _ => fail!("`{server}` is no server"),
    }
    Ok(())
}

/// Appends the last pair of every case.
pub(super) fn append_pair(path: &Path, cases: &[Case]) -> Outcome {
    let mut lines = String::new();
    for case in cases {
        for (server, samples) in [(BASELINE, &case.baseline), (CANDIDATE, &case.candidate)] {
            let Some(sample) = samples.last() else { continue };
            lines += &line(case, server, sample);
        }
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(lines.as_bytes()).while_doing(|| format!("writing {}", path.display()))
}

fn line(case: &Case, server: &str, sample: &Sample) -> String {
    let Sample { seen, used } = sample;
    format!(
        "{} {} {server} {} {} {} {} {} {}\n",
        case.command.name,
        case.pipeline,
        seen.requests,
        seen.per_second,
        seen.p50,
        seen.p99,
        used.cpu.as_nanos(),
        used.switches
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::commands;

    fn case() -> Case {
        Case {
            command: commands::named("set").expect("measured"),
            pipeline: 16,
            baseline: Vec::new(),
            candidate: Vec::new(),
        }
    }

    #[test]
    fn a_sample_reads_back() {
        let seen = Seen { requests: 7, per_second: 1234.5, p50: 0.25, p99: 3.0 };
        let sample = Sample { seen, used: Usage { cpu: Duration::from_nanos(98_765), switches: 3 } };
        let written = line(&case(), CANDIDATE, &sample);
        let mut cases = [case()];
        add(&written, &mut cases).expect("it reads");
        assert_eq!(line(&cases[0], CANDIDATE, &cases[0].candidate[0]), written);
        add("get 16 baseline 1 1 1 1 1 1", &mut cases).expect("another command is passed over");
        assert!(cases[0].baseline.is_empty());
        for broken in
            ["", "set 16 baseline 1 1 1 1 1", "set 16 nobody 1 1 1 1 1 1", "set 16 baseline x 1 1 1 1 1"]
        {
            assert!(add(broken, &mut cases).is_err(), "{broken}");
        }
    }
}
