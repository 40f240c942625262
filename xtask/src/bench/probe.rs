//! What a server costs: CPU time, context switches and memory of its process and of every process that it forks.
#![expect(unsafe_code, reason = "clock_getcpuclockid and sysconf have no safe form in std")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Outcome, While};
use crate::process;

/// Everything a server has used since it started. Subtract two to get what happened between them.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Usage {
    pub(super) cpu: Duration,
    pub(super) switches: u64,
}

impl Usage {
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            switches: self.switches.saturating_sub(earlier.switches),
        }
    }
}

/// The usage of `server`, its threads (those that have ended too), and its children (those that have ended too).
pub(super) fn usage(server: u32) -> Outcome<Usage> {
    let mut cpu = cpu_time(server)? + reaped_children_time(server)?;
    let mut switches = context_switches(server);
    for child in process::descendants(server) {
        // A child may end at any moment; then it is in the parent's account from the next look on.
        cpu += cpu_time(child).unwrap_or_default();
        switches += context_switches(child);
    }
    Ok(Usage { cpu, switches })
}

/// The process's CPU clock: in nanoseconds, the same account as the scheduler's own statistics, and unlike the per-thread
/// files it does not forget threads that have ended.
fn cpu_time(pid: u32) -> Outcome<Duration> {
    let pid = i32::try_from(pid)?;
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls write to locals of the type that they expect.
    let error = unsafe {
        match libc::clock_getcpuclockid(pid, &mut clock) {
            0 if libc::clock_gettime(clock, &mut time) == 0 => 0,
            0 => libc::EINVAL,
            error => error,
        }
    };
    if error != 0 {
        let error = std::io::Error::from_raw_os_error(error);
        return Err(error).while_doing(|| format!("reading the CPU clock of process {pid}"));
    }
    Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
}

/// CPU time of children that have ended and were waited for, to the clock tick.
fn reaped_children_time(pid: u32) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; fields 16 and 17 of the file are the 14th and 15th after it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    // SAFETY: sysconf takes one constant.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) })?.max(1);
    Ok(Duration::from_nanos((ticks(13) + ticks(14)) * (1_000_000_000 / per_second)))
}

fn context_switches(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let statuses = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    statuses
        .map(|status| {
            field(&status, "voluntary_ctxt_switches:") + field(&status, "nonvoluntary_ctxt_switches:")
        })
        .sum()
}

/// Resident memory of the server itself in bytes.
pub(super) fn resident(pid: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(field(&status, "VmRSS:") * 1024)
}

/// Resident memory of the server when it gives back no more of it: what was written has gone to the disk by then, and the
/// allocator has returned what it keeps for a while, which takes ten seconds.
pub(super) fn resident_at_rest(server: u32) -> Outcome<u64> {
    const LOOK: Duration = Duration::from_millis(500);
    const AT_REST: Duration = Duration::from_secs(12);
    const LIMIT: Duration = Duration::from_secs(90);
    let start = Instant::now();
    let (mut least, mut since) = (resident(server)?, start);
    while since.elapsed() < AT_REST && start.elapsed() < LIMIT && !process::interrupted() {
        thread::sleep(LOOK);
        let now = resident(server)?;
        if now < least - least / 200 {
            (least, since) = (now, Instant::now());
        }
    }
    resident(server)
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Waits until `server` has used less than 2 % of a core for three seconds, at most `limit`, and returns its usage then:
/// what it does after the last reply belongs to the run that caused it. KVDB flushes what it holds in memory for the disk
/// after two seconds without a write.
pub(super) fn settle(server: u32, limit: Duration) -> Outcome<Usage> {
    const LOOK: Duration = Duration::from_millis(200);
    let deadline = Instant::now() + limit;
    let mut before = usage(server)?;
    let mut quiet = 0;
    while quiet < 15 && Instant::now() < deadline && !process::interrupted() {
        thread::sleep(LOOK);
        let now = usage(server)?;
        quiet = if now.since(before).cpu < LOOK / 50 { quiet + 1 } else { 0 };
        before = now;
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_in_an_ended_thread_and_in_a_child_is_counted() {
        let me = std::process::id();
        let before = usage(me).expect("readable");
        let spin = || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(30) {
                std::hint::spin_loop();
            }
        };
        thread::spawn(spin).join().expect("spins");
        let mut child = std::process::Command::new("sh");
        child.args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"]);
        assert!(child.status().expect("runs").success());
        let used = usage(me).expect("readable").since(before);
        assert!(used.cpu > Duration::from_millis(5), "{used:?}");
        assert!(resident(me).expect("readable") > 100_000);
    }
}
