//! What a background thread does next: decided here, from what the databases want; done elsewhere.

use std::time::Duration;

/// The kinds of background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Writing memtables out.
    Flush,
    /// Merging tables.
    Compaction,
    /// Letting go of what no reader uses any more.
    Sweep,
}

/// One kind of work of one database.
///
/// # Invariants
/// At most one thread does it at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Task {
    /// There may be something to do.
    pub(super) wanted: bool,
    /// A thread is at it.
    pub(super) running: bool,
    /// Not before this time.
    pub(super) not_before: Option<Duration>,
}

impl Task {
    /// Whether a thread can begin at `now`.
    fn is_ready(&self, now: Duration) -> bool {
        self.wanted && !self.running && self.not_before.is_none_or(|time| time <= now)
    }

    /// When a thread can begin, if that is only a matter of time.
    fn ready_at(&self) -> Option<Duration> {
        if self.wanted && !self.running { self.not_before } else { None }
    }
}

/// The work of one database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tasks {
    pub(super) flush: Task,
    pub(super) compaction: Task,
    pub(super) sweep: Task,
}

impl Tasks {
    pub(super) const fn task(&self, kind: Kind) -> &Task {
        match kind {
            Kind::Flush => &self.flush,
            Kind::Compaction => &self.compaction,
            Kind::Sweep => &self.sweep,
        }
    }

    pub(super) const fn task_mut(&mut self, kind: Kind) -> &mut Task {
        match kind {
            Kind::Flush => &mut self.flush,
            Kind::Compaction => &mut self.compaction,
            Kind::Sweep => &mut self.sweep,
        }
    }

    /// Whether a thread works for the database.
    pub(super) const fn is_running(&self) -> bool {
        self.flush.running || self.compaction.running || self.sweep.running
    }
}

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// This work, for the database at this place.
    Run(usize, Kind),
    /// Nothing before this time, unless something changes.
    Wait(Option<Duration>),
}

/// Chooses for a thread that is free at `now`. `last` is the place of the database that was served
/// last; `compactions` says how many may run at once.
pub(super) fn next(databases: &[&Tasks], last: usize, compactions: usize, now: Duration) -> Next {
    let running = databases.iter().filter(|tasks| tasks.compaction.running).count();
    for kind in [Kind::Flush, Kind::Sweep, Kind::Compaction] {
        if kind == Kind::Compaction && running >= compactions {
            continue;
        }
        let in_turn = (1..=databases.len()).map(|step| (last + step) % databases.len());
        if let Some(at) = in_turn.into_iter().find(|&at| databases[at].task(kind).is_ready(now)) {
            return Next::Run(at, kind);
        }
    }
    let kinds = [Kind::Flush, Kind::Sweep, Kind::Compaction];
    let times = databases.iter().flat_map(|tasks| kinds.map(|kind| tasks.task(kind).ready_at()));
    Next::Wait(times.flatten().filter(|time| *time > now).min())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(kinds: &[Kind]) -> Tasks {
        let mut tasks = Tasks::default();
        for kind in kinds {
            tasks.task_mut(*kind).wanted = true;
        }
        tasks
    }

    const NOW: Duration = Duration::from_secs(9);

    #[test]
    fn flushes_go_before_compactions_of_any_database() {
        let (one, two) = (wants(&[Kind::Compaction]), wants(&[Kind::Compaction, Kind::Flush]));
        assert_eq!(next(&[&one, &two], 1, 1, NOW), Next::Run(1, Kind::Flush));
        assert_eq!(next(&[&one], 0, 1, NOW), Next::Run(0, Kind::Compaction));
        assert_eq!(next(&[], 0, 1, NOW), Next::Wait(None));
    }

    #[test]
    fn databases_take_turns() {
        let tasks = wants(&[Kind::Flush]);
        let all = [&tasks, &tasks, &tasks];
        assert_eq!(next(&all, 0, 1, NOW), Next::Run(1, Kind::Flush));
        assert_eq!(next(&all, 2, 1, NOW), Next::Run(0, Kind::Flush));
    }

    #[test]
    fn compactions_leave_a_thread_to_flushes() {
        let mut busy = wants(&[Kind::Compaction]);
        busy.compaction.running = true;
        let idle = wants(&[Kind::Compaction]);
        assert_eq!(next(&[&busy, &idle], 0, 1, NOW), Next::Wait(None));
        assert_eq!(next(&[&busy, &idle], 0, 2, NOW), Next::Run(1, Kind::Compaction));
    }

    #[test]
    fn nobody_does_the_same_work_twice_at_once() {
        let mut busy = wants(&[Kind::Flush]);
        busy.flush.running = true;
        assert_eq!(next(&[&busy], 0, 1, NOW), Next::Wait(None));
    }

    #[test]
    fn a_database_that_failed_waits_and_holds_up_nobody() {
        let mut failed = wants(&[Kind::Flush]);
        failed.flush.not_before = Some(NOW + Duration::from_millis(200));
        let sound = wants(&[Kind::Compaction]);
        assert_eq!(next(&[&failed, &sound], 1, 1, NOW), Next::Run(1, Kind::Compaction));
        assert_eq!(next(&[&failed], 0, 1, NOW), Next::Wait(Some(NOW + Duration::from_millis(200))));
        assert_eq!(next(&[&failed], 0, 1, NOW + Duration::from_secs(1)), Next::Run(0, Kind::Flush));
    }
}
