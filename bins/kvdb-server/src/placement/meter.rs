//! Reads from the system how much the workers and the cores have done.

use std::fs;
use std::time::{Duration, Instant};

use super::sizing::Look;

/// The time from one look to the next. The system counts idle time in hundredths of a second.
const STRETCH: Duration = Duration::from_millis(200);

/// What had been counted at some moment.
#[derive(Debug, Clone, Copy)]
struct Counted {
    at: Instant,
    busy: Duration,
    idle: Duration,
}

/// The last look.
#[derive(Debug, Default)]
pub struct Meter {
    last: Option<Counted>,
}

impl Meter {
    /// What has happened since the last look, if that is long enough ago and the system tells; `tasks` are the workers'
    /// threads.
    pub(super) fn look(&mut self, tasks: impl Iterator<Item = i32>) -> Option<Look> {
        let at = Instant::now();
        if self.last.is_some_and(|last| at - last.at < STRETCH) {
            return None;
        }
        let busy = tasks.map(time_of_task).sum::<Option<Duration>>()?;
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let cores = rustix::thread::sched_getaffinity(None).ok()?;
        let idle = idle_time(&stat, rustix::param::clock_ticks_per_second(), |core| cores.is_set(core))?;
        let last = self.last.replace(Counted { at, busy, idle })?;
        let stretch = (at - last.at).as_secs_f64();
        let share = |now: Duration, before: Duration| now.saturating_sub(before).as_secs_f64() / stretch;
        Some(Look { busy: share(busy, last.busy), idle: share(idle, last.idle) })
    }
}

/// The processor time of a thread of this process.
fn time_of_task(task: i32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/self/task/{task}/schedstat")).ok()?;
    Some(Duration::from_nanos(text.split_ascii_whitespace().next()?.parse().ok()?))
}

/// The time that these cores have been idle, or have waited for a disk only, together, from the text of `/proc/stat`.
fn idle_time(stat: &str, hertz: u64, is_ours: impl Fn(usize) -> bool) -> Option<Duration> {
    let mut ticks = 0u64;
    let mut cores = 0;
    for line in stat.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(core) = words.next().and_then(|word| word.strip_prefix("cpu")?.parse().ok()) else {
            continue;
        };
        if is_ours(core) {
            let mut times = words.map(|word| word.parse::<u64>().unwrap_or(0)).skip(3);
            ticks += times.next()? + times.next().unwrap_or(0);
            cores += 1;
        }
    }
    (cores > 0).then(|| Duration::from_micros(ticks.saturating_mul(1_000_000) / hertz.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "cpu  9 9 9 90 9 9\ncpu0 1 2 3 400 50 6 7\ncpu1 1 2 3 30 4 6\ncpu12 1 1 1 7\nintr 5 6\n";

    #[test]
    fn idle_time_is_that_of_the_cores_that_are_ours() {
        let idle = |is_ours: fn(usize) -> bool| idle_time(STAT, 100, is_ours);
        assert_eq!(idle(|_| true), Some(Duration::from_millis(4910)));
        assert_eq!(idle(|core| core == 1), Some(Duration::from_millis(340)));
        assert_eq!(idle(|core| core == 12), Some(Duration::from_millis(70)));
        assert_eq!(idle(|core| core == 5), None, "that core is not there");
        assert_eq!(idle_time("", 100, |_| true), None);
    }

    #[test]
    fn a_thread_that_works_is_seen_working() {
        let task = rustix::thread::gettid().as_raw_nonzero().get();
        let mut meter = Meter::default();
        assert_eq!(meter.look([task].into_iter()), None, "there is nothing to compare with");
        assert_eq!(meter.look([task].into_iter()), None, "that was only just now");
        let look = loop {
            if let Some(look) = meter.look([task].into_iter()) {
                break look;
            }
        };
        assert!(look.busy > 0.0 && look.idle >= 0.0, "{look:?}");
        assert_eq!(time_of_task(-1), None);
    }
}
