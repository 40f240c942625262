//! How many workers should serve. Nothing here measures, so it is tested apart from machines.
//!
//! Fewer serve where others want the cores and fewer can do the work. More serve where cores are free, whether for what the
//! workers cannot do or for a while anyway. And where workers have been at their limit for long, more are tried whoever
//! has the cores: the system may give them some of those all the same. Whether fewer can do the work, and whether more do
//! more of it, is not known before it is tried, so both are trials, and undone if they were in vain. The load may have
//! changed while a trial was on. So one that was undone is compared once more, with what is done after it.

/// What has happened in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    /// Cores' worth of time that the workers have used.
    pub(super) busy: f64,
    /// The same with the time for which they could have used a core and got none.
    pub(super) wanted: f64,
    /// Cores' worth of time that nobody has used, of the cores that the process may run on, or nobody of any importance.
    pub(super) idle: f64,
    /// Commands a second.
    pub(super) done: f64,
}

/// Cores that are this idle leave no room for another thread.
const CROWDED: f64 = 0.25;
/// Cores that are this idle leave room for one. In between they are crowded if the workers have waited for a core for
/// longer than cores were idle.
const ROOM: f64 = 0.5;
/// Workers that use less than this together are not worth moving anything for.
const WORTHWHILE: f64 = 0.4;
/// The use that a worker may come to when it takes over what others did. It gets by with less than they needed.
const FULL: f64 = 1.05;
/// What each worker wants above which more of them would help.
const STRAINED: f64 = 0.85;
/// What must still be done, of what was done before, when fewer serve.
const ENOUGH: f64 = 0.93;
/// The same where a command takes at most that much of the time that it took before. Whoever wants the cores has the rest,
/// and how much is done at some moment depends on them, too.
const ENOUGH_FOR_LESS: f64 = 0.8;
const LESS: f64 = 0.85;
/// What must be done, of what was done before, when more serve, unless a command takes less time than before.
const MORE: f64 = 1.05;
/// How often in a row the same must have been seen, to have fewer workers serve and to have more.
const LOOKS_FOR_FEWER: u32 = 3;
const LOOKS_FOR_MORE: u32 = 2;
/// How often in a row most of the cores must have been free, to have all workers serve.
const LOOKS_FOR_ALL: u32 = 25;
/// Looks of a trial before those that count, and those.
const LOOKS_TO_SETTLE: u32 = 2;
const LOOKS_OF_TRIAL: u32 = 3;
/// Looks without a change after one, at first. Each change doubles it, up to the most, so that a load on the border does
/// not go to and fro.
const REST: u32 = 5;
const LONGEST_REST: u32 = 300;
/// Looks without a change after which the next one is as the first.
const FORGOTTEN: u32 = 2 * LONGEST_REST;

/// The same seen several times in a row.
#[derive(Debug, Default)]
struct Series {
    looks: u32,
    /// The number of workers that the most cautious of the looks asks for.
    workers: usize,
    sum: Work,
}

/// What was done, and the time of the workers that it took, over several looks.
#[derive(Debug, Default, Clone, Copy)]
struct Work {
    looks: u32,
    done: f64,
    busy: f64,
}

impl Work {
    fn add(&mut self, look: Look) {
        self.looks += 1;
        self.done += look.done;
        self.busy += look.busy;
    }

    /// Commands a second.
    fn rate(self) -> f64 {
        self.done / f64::from(self.looks)
    }

    /// Time that a command takes.
    fn cost(self) -> f64 {
        self.busy / self.done
    }
}

impl Series {
    fn see(&mut self, workers: Option<usize>, cautious: fn(usize, usize) -> usize, look: Look) {
        match workers {
            None => *self = Self::default(),
            Some(workers) => {
                self.workers = if self.looks == 0 { workers } else { cautious(self.workers, workers) };
                self.looks += 1;
                self.sum.add(look);
            }
        }
    }

    /// The number that is asked for after so many looks.
    fn after(&self, looks: u32) -> Option<usize> {
        (self.looks >= looks).then_some(self.workers)
    }
}

/// Fewer workers, to see whether they do as much, or more, to see whether they do more.
#[derive(Debug)]
struct Trial {
    before: usize,
    serving: usize,
    work_before: Work,
    looks: u32,
    work: Work,
}

impl Trial {
    /// Whether what was done in the trial compares badly with what `others` do, as many as served before it.
    fn is_worse_than(&self, others: Work) -> bool {
        if self.serving > self.before {
            return self.work.rate() < MORE * others.rate() && self.work.cost() >= others.cost();
        }
        let enough = if self.work.cost() <= LESS * others.cost() { ENOUGH_FOR_LESS } else { ENOUGH };
        self.work.rate() < enough * others.rate()
    }
}

/// A trial that was undone, and what is done since.
#[derive(Debug)]
struct Undone {
    trial: Trial,
    /// The rest that there was before it was undone.
    rest: u32,
    looks: u32,
    work_after: Work,
}

/// What has been seen so far.
#[derive(Debug)]
pub(super) struct Sizing {
    fewer: Series,
    more: Series,
    strained: u32,
    free: u32,
    trial: Option<Trial>,
    undone: Option<Undone>,
    since_change: u32,
    rest: u32,
}

impl Default for Sizing {
    fn default() -> Self {
        Self {
            fewer: Series::default(),
            more: Series::default(),
            strained: 0,
            free: 0,
            trial: None,
            undone: None,
            since_change: FORGOTTEN,
            rest: REST,
        }
    }
}

impl Sizing {
    /// Takes a look into account; returns how many workers should serve if that is another number than do.
    pub(super) fn judge(&mut self, look: Look, serving: usize, all: usize) -> Option<usize> {
        let is_strained = look.wanted >= STRAINED * serving as f64 && serving < all;
        self.fewer.see(fewer(look, serving), usize::max, look);
        self.more.see(more(look, serving, all).filter(|_| is_strained), usize::min, look);
        self.strained = if is_strained { self.strained + 1 } else { 0 };
        let is_free = look.idle >= (all as f64 / 2.0).max(1.0) && serving < all;
        self.free = if is_free { self.free + 1 } else { 0 };
        self.since_change = self.since_change.saturating_add(1);
        if self.since_change > FORGOTTEN {
            self.rest = REST;
        }
        if let Some(trial) = self.failed_trial(look, serving) {
            let before = trial.before;
            self.undone = Some(Undone { trial, rest: self.rest, looks: 0, work_after: Work::default() });
            self.change();
            self.rest = LONGEST_REST;
            return Some(before);
        }
        self.doubt(look, serving);
        if self.since_change <= self.rest {
            return None;
        }
        let in_spite = (self.strained >= LONGEST_REST).then_some((2 * serving).min(all));
        let (workers, before) = if let Some(fewer) = self.fewer.after(LOOKS_FOR_FEWER) {
            (fewer, Some(self.fewer.sum))
        } else if self.free >= LOOKS_FOR_ALL {
            (all, None)
        } else if let Some(more) = self.more.after(LOOKS_FOR_MORE) {
            (more, Some(self.more.sum))
        } else {
            (in_spite?, None)
        };
        self.trial = before.map(|work_before| Trial {
            before: serving,
            serving: workers,
            work_before,
            looks: 0,
            work: Work::default(),
        });
        self.change();
        Some(workers)
    }

    fn change(&mut self) {
        (self.fewer, self.more) = Default::default();
        (self.strained, self.free, self.since_change) = (0, 0, 0);
        self.rest = (2 * self.rest).min(LONGEST_REST);
    }

    /// The trial that is on, if it is over now and has failed.
    fn failed_trial(&mut self, look: Look, serving: usize) -> Option<Trial> {
        let mut trial = self.trial.take_if(|trial| trial.serving == serving)?;
        trial.looks += 1;
        if trial.looks > LOOKS_TO_SETTLE {
            trial.work.add(look);
        }
        if trial.looks < LOOKS_TO_SETTLE + LOOKS_OF_TRIAL {
            self.trial = Some(trial);
            return None;
        }
        // Fewer that do less since there is less to do have not failed.
        let could_not = trial.serving > trial.before || look.wanted >= STRAINED * serving as f64;
        (could_not && trial.is_worse_than(trial.work_before)).then_some(trial)
    }

    /// Ends the long rest after a trial that was undone only because the load was another one before it.
    fn doubt(&mut self, look: Look, serving: usize) {
        let Some(mut undone) = self.undone.take_if(|undone| undone.trial.before == serving) else { return };
        undone.looks += 1;
        if undone.looks > LOOKS_TO_SETTLE {
            undone.work_after.add(look);
        }
        if undone.looks < LOOKS_TO_SETTLE + LOOKS_OF_TRIAL {
            self.undone = Some(undone);
        } else if !undone.trial.is_worse_than(undone.work_after) {
            self.rest = undone.rest;
        }
    }
}

/// The number to serve where the cores are wanted by others and what the workers do fits into fewer.
fn fewer(look: Look, serving: usize) -> Option<usize> {
    let needed = (look.busy / FULL).ceil().max(1.0) as usize;
    let waited = look.wanted - look.busy;
    let is_crowded = look.idle < CROWDED || (look.idle < ROOM && waited > look.idle);
    (is_crowded && look.busy >= WORTHWHILE && needed < serving).then_some(needed)
}

/// The number to serve where cores are free for what those that serve cannot do.
fn more(look: Look, serving: usize, all: usize) -> Option<usize> {
    let free = (look.idle as usize).clamp(1, serving);
    (look.idle >= ROOM).then(|| (serving + free).min(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(busy: f64, idle: f64) -> Look {
        Look { busy, wanted: busy, idle, done: 1000.0 }
    }

    /// What is decided at each of so many equal looks.
    fn decisions(sizing: &mut Sizing, looks: u32, look: Look, serving: usize, all: usize) -> Vec<usize> {
        (0..looks).filter_map(|_| sizing.judge(look, serving, all)).collect()
    }

    #[test]
    fn workers_without_cores_of_their_own_become_fewer() {
        assert_eq!(decisions(&mut Sizing::default(), 3, look(0.97, 0.05), 2, 2), [1]);
        assert_eq!(decisions(&mut Sizing::default(), 3, look(3.1, 0.2), 8, 8), [3]);
    }

    #[test]
    fn they_stay_where_cores_are_free_or_little_is_done_or_all_are_needed() {
        for look in [look(0.9, 1.0), look(0.2, 0.0), look(1.2, 0.0), look(1.9, 0.1)] {
            assert!(decisions(&mut Sizing::default(), 50, look, 2, 2).is_empty(), "{look:?}");
        }
    }

    #[test]
    fn strained_workers_become_more_where_cores_are_free_but_not_more_than_there_are() {
        let decide = |look, serving, all| decisions(&mut Sizing::default(), 2, look, serving, all);
        assert_eq!(decide(look(0.9, 0.9), 1, 8), [2]);
        assert_eq!(decide(look(3.9, 12.0), 4, 16), [8], "at most twice as many");
        assert_eq!(decide(look(3.9, 3.5), 4, 16), [7]);
        assert_eq!(decide(look(3.9, 3.5), 4, 5), [5]);
        assert_eq!(decide(Look { wanted: 0.9, ..look(0.3, 0.6) }, 1, 2), [2], "it waits for a core");
        assert!(decide(look(0.9, 0.3), 1, 8).is_empty());
        assert!(decide(look(1.0, 9.0), 1, 1).is_empty());
        assert!(decide(look(0.7, 9.0), 1, 8).is_empty());
    }

    #[test]
    fn all_serve_when_most_cores_have_been_free_for_a_while() {
        let decide = |idle, all| decisions(&mut Sizing::default(), LOOKS_FOR_ALL, look(0.3, idle), 1, all);
        assert_eq!(decide(1.2, 2), [2]);
        assert_eq!(decide(4.0, 8), [8]);
        assert!(decide(0.9, 2).is_empty());
        assert!(decide(3.9, 8).is_empty());
    }

    #[test]
    fn one_look_alone_decides_nothing() {
        let mut sizing = Sizing::default();
        let (crowded, free) = (look(0.9, 0.0), look(0.9, 1.0));
        for look in [crowded, crowded, free, crowded, crowded, free] {
            assert_eq!(sizing.judge(look, 2, 2), None);
        }
    }

    #[test]
    fn the_most_cautious_look_counts() {
        let mut sizing = Sizing::default();
        assert_eq!(sizing.judge(look(4.0, 0.1), 8, 8), None);
        assert_eq!(sizing.judge(look(5.1, 0.1), 8, 8), None);
        assert_eq!(sizing.judge(look(0.5, 0.1), 8, 8), Some(5), "and not 1");
        let mut sizing = Sizing::default();
        assert_eq!(sizing.judge(look(3.9, 2.0), 4, 8), None);
        assert_eq!(sizing.judge(look(3.9, 4.0), 4, 8), Some(6));
    }

    #[test]
    fn fewer_that_do_less_are_given_up_for_a_while() {
        let mut sizing = Sizing::default();
        assert_eq!(decisions(&mut sizing, 3, look(1.0, 0.0), 2, 2), [1]);
        let slower = Look { wanted: 1.0, done: 900.0, ..look(0.8, 0.0) };
        assert_eq!(decisions(&mut sizing, LOOKS_TO_SETTLE + LOOKS_OF_TRIAL, slower, 1, 2), [2]);
        assert!(decisions(&mut sizing, LONGEST_REST, look(1.0, 0.0), 2, 2).is_empty());
        assert_eq!(decisions(&mut sizing, 1, look(1.0, 0.0), 2, 2), [1], "then it is tried again");
    }

    #[test]
    fn a_trial_that_a_change_of_the_load_has_spoilt_is_made_again_soon() {
        let of_trial = LOOKS_TO_SETTLE + LOOKS_OF_TRIAL;
        let crowded = |done| Look { wanted: 1.0, done, ..look(0.9, 0.0) };
        let mut sizing = Sizing::default();
        assert_eq!(decisions(&mut sizing, 3, crowded(1200.0), 2, 2), [1]);
        assert_eq!(decisions(&mut sizing, of_trial, crowded(800.0), 1, 2), [2], "it does less");
        assert_eq!(decisions(&mut sizing, 4 * REST + 1, crowded(790.0), 2, 2), [1], "but two do no more now");
        assert!(decisions(&mut sizing, 100, crowded(800.0), 1, 2).is_empty());

        let (alone, together) =
            (|done| Look { done, ..look(0.95, 0.6) }, |done| Look { done, ..look(1.1, 0.3) });
        let mut sizing = Sizing::default();
        assert_eq!(decisions(&mut sizing, LOOKS_FOR_MORE, alone(1200.0), 1, 2), [2]);
        assert_eq!(decisions(&mut sizing, of_trial, together(1000.0), 2, 2), [1]);
        assert_eq!(decisions(&mut sizing, 4 * REST + 1, alone(800.0), 1, 2), [2]);
        assert!(decisions(&mut sizing, of_trial, together(1000.0), 2, 2).is_empty());
    }

    #[test]
    fn fewer_that_do_a_little_less_for_much_less_time_stay() {
        let crowded = Look { wanted: 1.2, ..look(1.0, 0.0) };
        for (done, busy, stays) in [(900.0, 0.75, true), (900.0, 0.8, false), (790.0, 0.5, false)] {
            let mut sizing = Sizing::default();
            assert_eq!(decisions(&mut sizing, 3, crowded, 2, 2), [1]);
            let now = Look { wanted: 1.0, done, ..look(busy, 0.0) };
            let undone = decisions(&mut sizing, LOOKS_TO_SETTLE + LOOKS_OF_TRIAL, now, 1, 2);
            assert_eq!(undone.is_empty(), stays, "{done} {busy}");
        }
    }

    #[test]
    fn fewer_stay_that_do_as_much_or_have_less_to_do() {
        for after in [look(0.9, 0.1), Look { done: 100.0, ..look(0.2, 0.1) }] {
            let mut sizing = Sizing::default();
            assert_eq!(decisions(&mut sizing, 3, look(1.0, 0.0), 2, 2), [1]);
            assert!(decisions(&mut sizing, 100, after, 1, 2).is_empty(), "{after:?}");
        }
    }

    #[test]
    fn cores_are_crowded_where_workers_wait_for_them_longer_than_they_are_idle() {
        let seen = |wanted, idle| Look { wanted, ..look(0.8, idle) };
        let decide = |look| decisions(&mut Sizing::default(), 3, look, 2, 2);
        assert_eq!(decide(seen(1.3, 0.45)), [1]);
        assert!(decide(seen(1.2, 0.45)).is_empty(), "they hardly wait");
        assert!(decide(seen(1.6, 0.55)).is_empty(), "there is room");
    }

    #[test]
    fn more_that_do_no_more_are_given_up_for_a_while() {
        let alone = look(0.95, 0.6);
        let together = |done| Look { done, ..look(1.1, 0.3) };
        let of_trial = LOOKS_TO_SETTLE + LOOKS_OF_TRIAL;
        let mut sizing = Sizing::default();
        assert_eq!(decisions(&mut sizing, LOOKS_FOR_MORE, alone, 1, 2), [2]);
        assert_eq!(decisions(&mut sizing, of_trial, together(1040.0), 2, 2), [1]);
        assert!(decisions(&mut sizing, LONGEST_REST, alone, 1, 2).is_empty());
        assert_eq!(decisions(&mut sizing, 1, alone, 1, 2), [2], "then it is tried again");
        assert!(decisions(&mut sizing, of_trial, together(1200.0), 2, 2).is_empty(), "and stays if it does");
    }

    #[test]
    fn workers_that_are_strained_for_long_become_more_whoever_has_the_cores() {
        let strained = Look { wanted: 1.0, ..look(0.6, 0.0) };
        assert_eq!(decisions(&mut Sizing::default(), LONGEST_REST, strained, 1, 8), [2]);
    }

    #[test]
    fn a_load_on_the_border_goes_to_and_fro_less_and_less_often() {
        let mut sizing = Sizing::default();
        let mut serving = 2;
        let mut changes = Vec::new();
        for n in 0..10_000 {
            let seen = if serving == 2 { Look { done: 1060.0, ..look(1.0, 0.1) } } else { look(0.95, 0.6) };
            if let Some(next) = sizing.judge(seen, serving, 2) {
                serving = next;
                changes.push(n);
            }
        }
        let gaps: Vec<_> = changes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.is_sorted(), "{gaps:?}");
        assert_eq!(gaps.last(), Some(&(LONGEST_REST as i32 + 1)));
    }

    #[test]
    fn after_a_long_quiet_time_it_is_quick_again() {
        let mut sizing = Sizing::default();
        let crowded = look(0.9, 0.0);
        decisions(&mut sizing, 10 * LONGEST_REST, crowded, 2, 2);
        assert!(decisions(&mut sizing, LONGEST_REST + 1, crowded, 2, 2).len() <= 1);
        assert!(decisions(&mut sizing, FORGOTTEN, look(0.0, 2.0), 2, 2).is_empty());
        assert_eq!(decisions(&mut sizing, LOOKS_FOR_FEWER, crowded, 2, 2), [1]);
        assert_eq!(decisions(&mut sizing, 2 * REST + 1, crowded, 2, 2), [1]);
    }
}
