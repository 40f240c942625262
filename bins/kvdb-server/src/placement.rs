//! Which worker serves which connection.
//!
//! A client that has been accepted goes to the worker that has the fewest, and stays there while every worker has a core
//! of its own. Where the cores are wanted by others, often by the clients themselves, a second worker serves nobody better:
//! each finds fewer requests when it wakes, and most of a small command is the price of waking. Then connections move to
//! fewer workers, and back to more when cores are free (`Sizing` decides, from what `Meter` reads). The setting
//! `active-workers` fixes the number.
//!
//! A connection moves when it is woken and has nothing under way: it has been answered, it waits for nothing, and its next
//! bytes are still in its socket. Silent ones stay where they are and cost nothing there. What a change means for a
//! connection is in the `Plan`, which it compares with the last one that it has followed.

mod meter;
mod sizing;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use self::meter::Meter;
use self::sizing::Sizing;
use crate::serve::{Accepted, Arrival};
use crate::stats::WorkerStats;

/// Who serves, as it was last decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// Rises with every change.
    epoch: u32,
    /// How many workers served before.
    before: u16,
    /// How many serve: the first ones.
    serving: u16,
}

impl Plan {
    fn pack(self) -> u64 {
        u64::from(self.epoch) << 32 | u64::from(self.before) << 16 | u64::from(self.serving)
    }

    fn unpack(bits: u64) -> Self {
        Self { epoch: (bits >> 32) as u32, before: (bits >> 16) as u16, serving: bits as u16 }
    }

    /// Where the `n`-th connection goes that follows this plan at a worker, when it has followed another one before;
    /// `fewest` tells which of the first so many workers has the fewest connections.
    fn destination(
        self,
        worker: usize,
        n: usize,
        followed: Self,
        fewest: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        let (before, serving) = (usize::from(self.before), usize::from(self.serving));
        if worker >= serving {
            return Some(fewest(serving));
        }
        if self.epoch != followed.epoch.wrapping_add(1) {
            // It was silent while others moved.
            return Some(fewest(serving)).filter(|to| *to != worker);
        }
        if worker >= before || serving <= before {
            return None;
        }
        // Every new worker takes from one that there was: one of those that share the connections of this one.
        let shares = 1 + (serving - 1 - worker) / before;
        match n % shares {
            0 => None,
            share => Some(worker + share * before),
        }
    }
}

/// What has been seen so far of the load, by the thread that looks after it.
#[derive(Default)]
pub struct Watch {
    meter: Meter,
    sizing: Sizing,
}

/// See the module's text.
pub struct Placement {
    plan: AtomicU64,
    stats: Vec<Arc<WorkerStats>>,
    /// Where workers hear of new connections.
    doors: OnceLock<Vec<mpsc::UnboundedSender<Arrival>>>,
    moved: AtomicU64,
}

impl Placement {
    /// All workers serve.
    pub fn new(stats: Vec<Arc<WorkerStats>>) -> Self {
        let all = u16::try_from(stats.len()).unwrap_or(u16::MAX);
        let plan = Plan { epoch: 0, before: all, serving: all };
        Self { plan: AtomicU64::new(plan.pack()), stats, doors: OnceLock::new(), moved: AtomicU64::new(0) }
    }

    /// Tells where each worker takes connections from. What is set first stands.
    pub fn open(&self, doors: Vec<mpsc::UnboundedSender<Arrival>>) {
        let _ = self.doors.set(doors);
    }

    /// The plan in force, to be compared.
    #[inline]
    pub fn plan(&self) -> u64 {
        self.plan.load(Ordering::Relaxed)
    }

    /// How many workers serve.
    pub fn serving(&self) -> usize {
        usize::from(Plan::unpack(self.plan()).serving)
    }

    /// Connections that have moved since start.
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Connections of all workers.
    pub fn connections(&self) -> usize {
        self.stats.iter().map(|worker| worker.connections.load(Ordering::Relaxed)).sum()
    }

    /// Has this many workers serve from now on, as far as there are that many.
    pub fn set_serving(&self, serving: usize) {
        let serving = u16::try_from(serving.clamp(1, self.stats.len().max(1))).unwrap_or(u16::MAX);
        // A plan is never lost between two that change it: each connection counts how many it has missed.
        let _ = self.plan.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            let plan = Plan::unpack(bits);
            let next = Plan { epoch: plan.epoch.wrapping_add(1), before: plan.serving, serving };
            (plan.serving != serving).then(|| next.pack())
        });
    }

    /// Takes a look at what the workers and the machine have done since the last one, and changes how many serve if that
    /// is better; `done` is the number of commands that were run, `fixed` the number of workers that the settings ask for.
    pub fn tend(&self, watch: &mut Watch, done: u64, fixed: Option<usize>) {
        if let Some(fixed) = fixed {
            return self.set_serving(fixed);
        }
        let tasks = self.stats.iter().map(|worker| worker.task.load(Ordering::Relaxed));
        if self.stats.len() > 1
            && let Some(look) = watch.meter.look(tasks, done)
            && let Some(serving) = watch.sizing.judge(look, self.serving(), self.stats.len())
        {
            self.set_serving(serving);
        }
    }

    /// Where the `n`-th connection goes that follows this plan at a worker, if it does not stay; `followed` is the plan that
    /// it has followed before.
    pub fn destination(&self, plan: u64, worker: usize, n: usize, followed: u64) -> Option<usize> {
        Plan::unpack(plan).destination(worker, n, Plan::unpack(followed), |serving| self.fewest(serving))
    }

    /// The worker with the fewest connections among the first so many.
    fn fewest(&self, serving: usize) -> usize {
        let counts = self.stats.iter().take(serving).map(|worker| worker.connections.load(Ordering::Relaxed));
        counts.enumerate().min_by_key(|(_, count)| *count).map_or(0, |(index, _)| index)
    }

    /// Gives a client that has been accepted to the worker with the fewest. The plan that this goes by is the one that the
    /// connection has followed.
    pub fn place(&self, mut client: Accepted) {
        client.plan = self.plan();
        let serving = usize::from(Plan::unpack(client.plan).serving);
        // A worker that is gone means that the server is stopping.
        let _ = self.send(self.fewest(serving), Arrival::Accepted(client));
    }

    /// Gives a connection that leaves its worker to another one.
    ///
    /// # Errors
    /// With the connection, when that worker is gone since the server is stopping.
    pub fn relocate(&self, to: usize, arrival: Arrival) -> Result<(), Arrival> {
        self.send(to, arrival)?;
        self.moved.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn send(&self, to: usize, arrival: Arrival) -> Result<(), Arrival> {
        let Some(door) = self.doors.get().and_then(|doors| doors.get(to)) else { return Err(arrival) };
        let connections = &self.stats[to].connections;
        connections.fetch_add(1, Ordering::Relaxed);
        door.send(arrival).map_err(|refused| {
            connections.fetch_sub(1, Ordering::Relaxed);
            refused.0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(before: u16, serving: u16) -> Plan {
        Plan { epoch: 7, before, serving }
    }

    /// The plan before those.
    const LAST: Plan = Plan { epoch: 6, before: 1, serving: 1 };

    #[test]
    fn a_plan_survives_being_packed() {
        for plan in [plan(1, 2), plan(u16::MAX, 1), Plan { epoch: u32::MAX, before: 0, serving: u16::MAX }] {
            assert_eq!(Plan::unpack(plan.pack()), plan);
        }
    }

    #[test]
    fn connections_of_a_worker_that_serves_no_more_go_to_the_one_with_the_fewest() {
        let fewest = |serving| serving - 1;
        assert_eq!(plan(4, 2).destination(3, 0, LAST, fewest), Some(1));
        assert_eq!(plan(4, 2).destination(2, 9, LAST, fewest), Some(1));
        assert_eq!(plan(4, 2).destination(1, 0, LAST, fewest), None);
        assert_eq!(plan(2, 4).destination(5, 0, LAST, fewest), Some(3), "it has missed a plan");
    }

    #[test]
    fn new_workers_get_equal_shares_of_those_that_there_were() {
        for (before, serving) in [(1, 2), (1, 5), (2, 3), (3, 8), (4, 64)] {
            let mut got = vec![0; serving];
            let each = 1680;
            for worker in 0..before {
                for n in 0..each {
                    let to =
                        plan(before as u16, serving as u16).destination(worker, n, LAST, |_| unreachable!());
                    got[to.unwrap_or(worker)] += 1;
                }
            }
            for (worker, got) in got.iter().enumerate() {
                let share = 1 + (serving - 1 - worker % before) / before;
                assert_eq!(*got, each / share, "worker {worker} of {serving}, {before} before");
            }
        }
    }

    #[test]
    fn those_that_have_missed_a_plan_go_where_there_are_fewest() {
        let earlier = Plan { epoch: 5, ..LAST };
        assert_eq!(plan(4, 8).destination(0, 0, earlier, |_| 3), Some(3));
        assert_eq!(plan(4, 8).destination(3, 1, earlier, |_| 3), None);
        assert_eq!(plan(8, 4).destination(0, 0, earlier, |_| 1), Some(1));
    }

    #[test]
    fn those_on_new_workers_stay() {
        assert_eq!(plan(1, 2).destination(1, 1, LAST, |_| unreachable!()), None);
    }

    #[test]
    fn the_number_of_workers_is_held_within_what_there_is() {
        let placement = Placement::new((0..3).map(|_| Arc::default()).collect());
        let before = placement.plan();
        placement.set_serving(9);
        assert_eq!((placement.serving(), placement.plan()), (3, before), "nothing has changed");
        placement.set_serving(0);
        assert_eq!(placement.serving(), 1);
        assert_ne!(placement.plan(), before);
    }

    #[test]
    fn the_settings_have_the_last_word() {
        let placement = Placement::new((0..3).map(|_| Arc::default()).collect());
        placement.tend(&mut Watch::default(), 0, Some(2));
        assert_eq!(placement.serving(), 2);
    }
}
