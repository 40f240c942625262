//! What a script has run, for the statistics. A run that has to begin again counts for nothing, so this is kept aside
//! until a run has ended.

use std::time::Duration;

use smallvec::SmallVec;

use crate::stats::WorkerStats;

/// Commands and errors of one run of a script.
///
/// # Invariants
///
/// * No command stands in `commands` twice, and no code in `errors`.
#[derive(Debug, Default)]
pub(super) struct Tally {
    commands: Vec<Line>,
    errors: Vec<(String, u64)>,
    /// The last error that a command replied to the script.
    last_error: Vec<u8>,
}

#[derive(Debug)]
struct Line {
    /// The command's index in the statistics.
    command: usize,
    calls: u64,
    failed: u64,
    rejected: u64,
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Ran,
    Failed,
    /// It was refused before it ran.
    Rejected,
}

impl Tally {
    /// Forgets everything: a run begins.
    pub(super) fn clear(&mut self) {
        self.commands.clear();
        self.errors.clear();
        self.last_error.clear();
    }

    /// Notes a command by its index. Scripts often repeat the last one.
    pub(super) fn note(&mut self, command: usize, fate: Fate) {
        let at = self.commands.iter().rposition(|line| line.command == command);
        let at = at.unwrap_or_else(|| {
            self.commands.push(Line { command, calls: 0, failed: 0, rejected: 0 });
            self.commands.len() - 1
        });
        let line = &mut self.commands[at];
        line.calls += u64::from(fate != Fate::Rejected);
        line.failed += u64::from(fate == Fate::Failed);
        line.rejected += u64::from(fate == Fate::Rejected);
    }

    /// Notes an error that a command replied.
    #[cold]
    pub(super) fn error(&mut self, text: &[u8]) {
        text.clone_into(&mut self.last_error);
        let code = text.split(|&byte| byte == b' ').next().unwrap_or_default();
        self.count(&String::from_utf8_lossy(code));
    }

    fn count(&mut self, code: &str) {
        match self.errors.iter_mut().find(|(known, _)| known == code) {
            Some((_, count)) => *count += 1,
            None => self.errors.push((code.to_owned(), 1)),
        }
    }

    /// Gives what was noted to the statistics of the worker that ran the script in this time; the error that the script
    /// itself replied, too, unless it is the one of a command that the script hands on.
    pub(super) fn hand_over(
        &mut self,
        stats: &WorkerStats,
        took: Duration,
        track: bool,
        error: Option<&[u8]>,
    ) {
        if let Some(text) = error.filter(|text| !self.has_told(text)) {
            let code = text.split(|byte| *byte == b' ').next().unwrap_or_default();
            self.count(&String::from_utf8_lossy(code));
        }
        let ran = self.commands.iter().filter(|line| line.calls > 0);
        let calls: SmallVec<[(usize, u64); 8]> = ran.map(|line| (line.command, line.calls)).collect();
        stats.turn(&calls, took, track);
        for line in self.commands.iter().filter(|line| line.failed + line.rejected > 0) {
            stats.refused(line.command, line.failed, line.rejected);
        }
        for (code, count) in &self.errors {
            stats.errors(code, *count);
        }
        self.clear();
    }

    /// Whether an error that ends a script is the last one that a command told it. Behind the text may stand where.
    fn has_told(&self, text: &[u8]) -> bool {
        !self.last_error.is_empty()
            && text
                .strip_prefix(self.last_error.as_slice())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b" script: "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::totals;
    use kvdb_commands::table;

    fn index(name: &str) -> usize {
        table::find(name.as_bytes()).expect("it is in the table").0
    }

    #[test]
    fn commands_are_counted_once_the_run_has_ended() {
        let stats = WorkerStats::new();
        let mut tally = Tally::default();
        tally.note(index("get"), Fate::Ran);
        tally.clear();
        for fate in [Fate::Ran, Fate::Failed, Fate::Rejected] {
            tally.note(index("set"), fate);
        }
        tally.note(index("incr"), Fate::Ran);
        tally.hand_over(&stats, Duration::from_micros(9), true, None);
        let sum = totals([&stats].into_iter());
        let set = sum.commands[index("set")];
        assert_eq!((set.calls, set.failed, set.rejected), (2, 1, 1));
        assert_eq!(sum.commands[index("incr")].nanos, 3000);
        assert_eq!(sum.commands[index("get")].calls, 0);
        assert_eq!(sum.processed, 3);
    }

    #[test]
    fn an_error_that_is_handed_on_counts_once() {
        let stats = WorkerStats::new();
        let mut tally = Tally::default();
        for (ends_in, counted) in [("ERR a", 1), ("ERR a script: 9a3e, on @user_script:1.", 1), ("MY a", 2)] {
            tally.error(b"ERR a");
            tally.hand_over(&stats, Duration::ZERO, true, Some(ends_in.as_bytes()));
            assert_eq!(totals([&stats].into_iter()).errors.values().sum::<u64>(), counted, "{ends_in}");
            stats.reset();
        }
    }
}
