//! What a workload cost: time, latencies, processor time, bytes read and written, memory, space.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::engine::{Failure, failed};

/// Operations are counted in slices of this length, for the plot of throughput over time.
pub const SLICE: Duration = Duration::from_millis(250);

/// Running totals of this process.
#[derive(Debug, Clone, Copy)]
pub struct Totals {
    cpu: Duration,
    /// Bytes given to write calls and taken from read calls.
    written: u64,
    read: u64,
}

impl Totals {
    pub fn now() -> Result<Self, Failure> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes to a local of the type that it expects.
        if unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) } != 0 {
            return Err(failed("the process has no CPU clock"));
        }
        let cpu = Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
        let io = fs::read_to_string("/proc/self/io").map_err(failed)?;
        Ok(Self { cpu, written: field(&io, "wchar:"), read: field(&io, "rchar:") })
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Latencies and counts of one client thread.
pub struct Recorder {
    started: Instant,
    latencies: Histogram<u64>,
    slices: Vec<u64>,
}

impl Recorder {
    pub fn new(started: Instant) -> Self {
        let latencies = Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("the bounds are sound");
        Self { started, latencies, slices: Vec::new() }
    }

    /// Notes an operation that began at `began`; returns when it ended.
    pub fn note(&mut self, began: Instant) -> Instant {
        let ended = Instant::now();
        self.latencies.saturating_record((ended - began).as_nanos().max(1) as u64);
        let slice = ((ended - self.started).as_nanos() / SLICE.as_nanos()) as usize;
        if self.slices.len() <= slice {
            self.slices.resize(slice + 1, 0);
        }
        self.slices[slice] += 1;
        ended
    }

    pub fn merge(&mut self, other: &Self) {
        self.latencies.add(&other.latencies).expect("the bounds are the same");
        if self.slices.len() < other.slices.len() {
            self.slices.resize(other.slices.len(), 0);
        }
        for (sum, more) in self.slices.iter_mut().zip(&other.slices) {
            *sum += more;
        }
    }
}

/// The result of a workload.
pub struct Measured {
    recorder: Recorder,
    elapsed: Duration,
    settled: Duration,
    used: Totals,
    user_bytes: u64,
    disk_bytes: u64,
    live_bytes: u64,
    resident: u64,
}

impl Measured {
    /// `elapsed` is the time of the operations, `settled` that of the background work that they left behind.
    #[expect(clippy::too_many_arguments, reason = "a record of independent readings, built in one place")]
    pub fn new(
        recorder: Recorder,
        elapsed: Duration,
        settled: Duration,
        before: Totals,
        user_bytes: u64,
        live_bytes: u64,
        dir: &Path,
    ) -> Result<Self, Failure> {
        let after = Totals::now()?;
        let used = Totals {
            cpu: after.cpu.saturating_sub(before.cpu),
            written: after.written - before.written,
            read: after.read - before.read,
        };
        let status = fs::read_to_string("/proc/self/status").map_err(failed)?;
        Ok(Self {
            recorder,
            elapsed,
            settled,
            used,
            user_bytes,
            disk_bytes: bytes_under(dir)?,
            live_bytes,
            resident: field(&status, "VmRSS:") * 1024,
        })
    }

    /// One line: the names, then `key=value`, separated by tabs.
    pub fn to_line(&self, engine: &str, workload: &str) -> String {
        let ops = self.recorder.latencies.len();
        let seconds = self.elapsed.as_secs_f64();
        let quantile = |q: f64| self.recorder.latencies.value_at_quantile(q).to_string();
        let slices: Vec<String> = self.recorder.slices.iter().map(u64::to_string).collect();
        let fields = [
            ("ops", ops.to_string()),
            ("seconds", format!("{seconds:.3}")),
            ("settle_seconds", format!("{:.3}", self.settled.as_secs_f64())),
            ("cpu_ns", self.used.cpu.as_nanos().to_string()),
            ("p50_ns", quantile(0.5)),
            ("p99_ns", quantile(0.99)),
            ("p999_ns", quantile(0.999)),
            ("max_ns", self.recorder.latencies.max().to_string()),
            ("written_bytes", self.used.written.to_string()),
            ("read_bytes", self.used.read.to_string()),
            ("user_bytes", self.user_bytes.to_string()),
            ("disk_bytes", self.disk_bytes.to_string()),
            ("live_bytes", self.live_bytes.to_string()),
            ("resident_bytes", self.resident.to_string()),
            ("slices", slices.join(",")),
        ];
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{engine}\t{workload}\t{}", fields.join("\t"))
    }
}

/// The space that the files below a directory take on the disk.
fn bytes_under(dir: &Path) -> Result<u64, Failure> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A file may go while we look.
        let Ok(meta) = entry.metadata() else { continue };
        sum += if meta.is_dir() { bytes_under(&entry.path())? } else { meta.blocks() * 512 };
    }
    Ok(sum)
}
