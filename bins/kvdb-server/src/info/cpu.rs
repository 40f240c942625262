//! `# CPU`: the processor time of the process, of its children, and of its first thread.

use std::time::Duration;

use super::text::Text;

/// Where the numbers of a `stat` file that are read here begin, counted from behind the name of the command.
const USER_TIME: usize = 11;

/// Processor time in the system and in the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Times {
    system: Duration,
    user: Duration,
}

#[derive(Default)]
pub(super) struct Cpu {
    process: Times,
    children: Times,
    main_thread: Times,
}

impl Cpu {
    /// What the system says, to the hundredth of a second; zeros where it has no `/proc`.
    pub(super) fn gather() -> Self {
        let hertz = rustix::param::clock_ticks_per_second();
        let stat = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (process, children) = parse(&stat("/proc/self/stat"), hertz);
        // The first thread of a process has the number of the process.
        let (main_thread, _) = parse(&stat(&format!("/proc/self/task/{}/stat", std::process::id())), hertz);
        Self { process, children, main_thread }
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.section("CPU");
        let mut pair = |kind: &str, times: Times| {
            let seconds = |time: Duration| format!("{}.{:06}", time.as_secs(), time.subsec_micros());
            text.field(&format!("used_cpu_sys{kind}"), seconds(times.system));
            text.field(&format!("used_cpu_user{kind}"), seconds(times.user));
        };
        pair("", self.process);
        pair("_children", self.children);
        pair("_main_thread", self.main_thread);
    }
}

/// The times of a process or thread and of its children that have ended, from its `stat` file. The name of the command,
/// in parentheses, may itself have spaces and parentheses.
fn parse(stat: &str, hertz: u64) -> (Times, Times) {
    let numbers = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut times = numbers.split_ascii_whitespace().skip(USER_TIME).map(|ticks| {
        let ticks: u64 = ticks.parse().unwrap_or(0);
        Duration::from_micros(ticks.saturating_mul(1_000_000) / hertz.max(1))
    });
    let mut next = || times.next().unwrap_or_default();
    let (user, system) = (next(), next());
    let (children_user, children_system) = (next(), next());
    (Times { system, user }, Times { system: children_system, user: children_user })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) 9 (b c)) S 1 2 3 4 5 6 7 8 9 10 1234 56 7 8 20 0";
        let (own, children) = parse(stat, 100);
        assert_eq!(own, Times { system: Duration::from_millis(560), user: Duration::from_millis(12_340) });
        assert_eq!(children, Times { system: Duration::from_millis(80), user: Duration::from_millis(70) });
        assert_eq!(parse("", 0), Default::default());
    }

    #[test]
    fn seconds_have_six_decimals() {
        let process = Times { system: Duration::from_millis(1_050), user: Duration::from_secs(7) };
        let mut text = Text::default();
        Cpu { process, ..Cpu::default() }.write(&mut text);
        let text = text.finish();
        assert!(text.contains("used_cpu_sys:1.050000\r\nused_cpu_user:7.000000\r\n"), "{text}");
        assert_eq!(text.lines().count(), 7, "a header and six fields");
    }

    #[test]
    fn this_process_has_used_some_time() {
        let began = std::time::Instant::now();
        let used = loop {
            let Times { system, user } = Cpu::gather().process;
            if system + user > Duration::ZERO || began.elapsed() > Duration::from_secs(10) {
                break system + user;
            }
        };
        assert!(used > Duration::ZERO);
    }
}
