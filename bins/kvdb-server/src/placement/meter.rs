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
    task: TaskTime,
    idle: Duration,
    done: u64,
}

/// The time of a thread, or of several.
#[derive(Debug, Clone, Copy, Default)]
struct TaskTime {
    on_a_core: Duration,
    waiting_for_one: Duration,
}

/// The last look.
#[derive(Debug, Default)]
pub(super) struct Meter {
    last: Option<Counted>,
}

impl Meter {
    /// What has happened since the last look, if that is long enough ago and the system tells; `tasks` are the workers'
    /// threads, `done` is the number of commands that they have run.
    pub(super) fn look(&mut self, tasks: impl Iterator<Item = i32>, done: u64) -> Option<Look> {
        let at = Instant::now();
        if self.last.is_some_and(|last| at - last.at < STRETCH) {
            return None;
        }
        let task = tasks.map(time_of_task).try_fold(TaskTime::default(), |sum, task| {
            let task = task?;
            Some(TaskTime {
                on_a_core: sum.on_a_core + task.on_a_core,
                waiting_for_one: sum.waiting_for_one + task.waiting_for_one,
            })
        })?;
        let now = Counted { at, task, idle: idle_time()?, done };
        let last = self.last.replace(now)?;
        let stretch = (at - last.at).as_secs_f64();
        let share = |now: Duration, before: Duration| now.saturating_sub(before).as_secs_f64() / stretch;
        let busy = share(task.on_a_core, last.task.on_a_core);
        Some(Look {
            busy,
            wanted: busy + share(task.waiting_for_one, last.task.waiting_for_one),
            idle: share(now.idle, last.idle),
            done: done.saturating_sub(last.done) as f64 / stretch,
        })
    }
}

/// The time of a thread of this process.
fn time_of_task(task: i32) -> Option<TaskTime> {
    let text = fs::read_to_string(format!("/proc/self/task/{task}/schedstat")).ok()?;
    let mut times = text.split_ascii_whitespace().map(|nanos| nanos.parse().map(Duration::from_nanos));
    Some(TaskTime { on_a_core: times.next()?.ok()?, waiting_for_one: times.next()?.ok()? })
}

/// The time that the cores which this thread may run on have been idle, together.
fn idle_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let cores = rustix::thread::sched_getaffinity(None).ok()?;
    // Who is nice gives way, unless this process is as nice.
    let counts_nice = rustix::process::getpriority_process(None).is_ok_and(|nice| nice <= 0);
    let of = usize::try_from(cores.count()).ok()?;
    parse_stat(&stat, rustix::param::clock_ticks_per_second(), counts_nice, |core| cores.is_set(core), of)
}

/// As [`idle_time`], from the text of `/proc/stat`, which a container may show with other numbers of cores: nothing unless
/// all of ours are there. Waiting for a disk is being idle.
fn parse_stat(
    stat: &str,
    hertz: u64,
    counts_nice: bool,
    is_ours: impl Fn(usize) -> bool,
    of: usize,
) -> Option<Duration> {
    let mut ticks = 0u64;
    let mut found = 0;
    for line in stat.lines() {
        let mut words = line.split_ascii_whitespace();
        let core = words.next().and_then(|word| word.strip_prefix("cpu")?.parse().ok());
        if core.is_some_and(&is_ours) {
            let mut time = || words.next().and_then(|word| word.parse::<u64>().ok());
            let (_user, nice, _system, idle, disk) =
                (time()?, time()?, time()?, time()?, time().unwrap_or(0));
            ticks += idle + disk + if counts_nice { nice } else { 0 };
            found += 1;
        }
    }
    (found == of && of > 0).then(|| Duration::from_micros(ticks.saturating_mul(1_000_000) / hertz.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "cpu  9 9 9 90 9 9\ncpu0 1 2 3 400 50 6 7\ncpu1 1 2 3 30 4 6\ncpu12 1 1 1 7\nintr 5 6\n";

    #[test]
    fn idle_time_is_that_of_the_cores_that_are_ours() {
        let idle = |is_ours: fn(usize) -> bool, of| parse_stat(STAT, 100, false, is_ours, of);
        assert_eq!(idle(|_| true, 3), Some(Duration::from_millis(4910)));
        assert_eq!(idle(|core| core == 1, 1), Some(Duration::from_millis(340)));
        assert_eq!(idle(|core| core == 12, 1), Some(Duration::from_millis(70)));
        assert_eq!(idle(|core| core == 5, 1), None, "that core is not there");
        assert_eq!(idle(|core| core > 0, 4), None, "not all of them are");
        assert_eq!(parse_stat("", 100, false, |_| true, 0), None);
        assert_eq!(parse_stat("cpu0 1 x 3 4\n", 100, false, |_| true, 1), None);
        assert_eq!(parse_stat(STAT, 100, true, |_| true, 3), Some(Duration::from_millis(4960)));
    }

    #[test]
    fn a_look_is_at_what_has_happened_since_the_last_one() {
        let task = rustix::thread::gettid().as_raw_nonzero().get();
        let mut meter = Meter::default();
        assert_eq!(meter.look([task].into_iter(), 0), None, "there is nothing to compare with");
        if time_of_task(task).is_none() || idle_time().is_none() {
            // Then no look ever tells anything, and nothing is decided.
            assert!(meter.last.is_none());
            return;
        }
        assert_eq!(meter.look([task].into_iter(), 0), None, "that was only just now");
        let look = loop {
            if let Some(look) = meter.look([task].into_iter(), 100) {
                break look;
            }
        };
        assert!(look.busy >= 0.0 && look.wanted >= look.busy && look.idle >= 0.0, "{look:?}");
        assert!(look.done > 0.0 && look.done <= 500.0, "{look:?}");
        assert!(time_of_task(-1).is_none());
    }
}
