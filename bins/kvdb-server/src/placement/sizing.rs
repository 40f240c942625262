//! How many workers should serve. Nothing here measures, so it is tested apart from machines.

/// What has happened in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    /// Cores' worth of time that the workers have used.
    pub(super) busy: f64,
    /// Cores' worth of time that nobody has used, of the cores that the process may run on.
    pub(super) idle: f64,
}

/// Cores that are this idle leave no room for another thread.
const CROWDED: f64 = 0.25;
/// Cores that are this idle leave room for one.
const ROOM: f64 = 0.5;
/// Workers that use less than this together are not worth moving anything for.
const WORTHWHILE: f64 = 0.4;
/// The use that a worker may come to when it takes over what others did. It gets by with less than they needed.
const FULL: f64 = 1.05;
/// Use of each worker above which more of them would help.
const STRAINED: f64 = 0.85;
/// How often in a row the same must have been seen, to have fewer workers serve and to have more.
const LOOKS_FOR_FEWER: u32 = 3;
const LOOKS_FOR_MORE: u32 = 2;
/// Looks without a change after one, at first. Each change doubles it, up to the most, so that a load on the border does
/// not go to and fro.
const REST: u32 = 5;
const LONGEST_REST: u32 = 300;
/// Looks without a change after which the next one is as the first.
const FORGOTTEN: u32 = 2 * LONGEST_REST;

/// What has been seen so far.
#[derive(Debug)]
pub(super) struct Sizing {
    crowded: u32,
    strained: u32,
    since_change: u32,
    rest: u32,
}

impl Default for Sizing {
    fn default() -> Self {
        Self { crowded: 0, strained: 0, since_change: FORGOTTEN, rest: REST }
    }
}

impl Sizing {
    /// Takes a look into account; returns how many workers should serve if that is another number than do.
    pub(super) fn judge(&mut self, look: Look, serving: usize, all: usize) -> Option<usize> {
        let fewer = fewer(look, serving);
        let more = more(look, serving, all);
        self.crowded = if fewer.is_some() { self.crowded + 1 } else { 0 };
        self.strained = if more.is_some() { self.strained + 1 } else { 0 };
        self.since_change = self.since_change.saturating_add(1);
        if self.since_change > FORGOTTEN {
            self.rest = REST;
        }
        if self.since_change <= self.rest {
            return None;
        }
        let fewer = fewer.filter(|_| self.crowded >= LOOKS_FOR_FEWER);
        let decided = fewer.or(more.filter(|_| self.strained >= LOOKS_FOR_MORE))?;
        self.rest = (2 * self.rest).min(LONGEST_REST);
        (self.since_change, self.crowded, self.strained) = (0, 0, 0);
        Some(decided)
    }
}

/// The number to serve where the cores are wanted by others and what the workers do fits into fewer.
fn fewer(look: Look, serving: usize) -> Option<usize> {
    let needed = (look.busy / FULL).ceil().max(1.0) as usize;
    (look.idle < CROWDED && look.busy >= WORTHWHILE && needed < serving).then_some(needed)
}

/// The number to serve where each of them is at its limit and cores are free.
fn more(look: Look, serving: usize, all: usize) -> Option<usize> {
    let is_strained = look.busy >= STRAINED * serving as f64 && look.idle >= ROOM && serving < all;
    let free = (look.idle as usize).clamp(1, serving);
    is_strained.then(|| (serving + free).min(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is decided at each of so many equal looks.
    fn decisions(sizing: &mut Sizing, looks: u32, look: Look, serving: usize, all: usize) -> Vec<usize> {
        (0..looks).filter_map(|_| sizing.judge(look, serving, all)).collect()
    }

    #[test]
    fn workers_without_cores_of_their_own_become_fewer() {
        let look = Look { busy: 0.97, idle: 0.05 };
        assert_eq!(decisions(&mut Sizing::default(), 3, look, 2, 2), [1]);
        let look = Look { busy: 3.1, idle: 0.2 };
        assert_eq!(decisions(&mut Sizing::default(), 3, look, 8, 8), [3]);
    }

    #[test]
    fn they_stay_where_cores_are_free_or_little_is_done_or_all_are_needed() {
        for look in [
            Look { busy: 0.9, idle: 1.0 },
            Look { busy: 0.2, idle: 0.0 },
            Look { busy: 1.2, idle: 0.0 },
            Look { busy: 1.9, idle: 0.1 },
        ] {
            assert!(decisions(&mut Sizing::default(), 50, look, 2, 2).is_empty(), "{look:?}");
        }
    }

    #[test]
    fn strained_workers_become_more_where_cores_are_free_but_not_more_than_there_are() {
        let decide = |look, serving, all| decisions(&mut Sizing::default(), 2, look, serving, all);
        assert_eq!(decide(Look { busy: 0.9, idle: 0.9 }, 1, 8), [2]);
        assert_eq!(decide(Look { busy: 3.9, idle: 12.0 }, 4, 16), [8], "at most twice as many");
        assert_eq!(decide(Look { busy: 3.9, idle: 3.5 }, 4, 16), [7]);
        assert_eq!(decide(Look { busy: 3.9, idle: 3.5 }, 4, 5), [5]);
        assert!(decide(Look { busy: 0.9, idle: 0.3 }, 1, 8).is_empty());
        assert!(decide(Look { busy: 1.0, idle: 9.0 }, 1, 1).is_empty());
        assert!(decide(Look { busy: 0.7, idle: 9.0 }, 1, 8).is_empty());
    }

    #[test]
    fn one_look_alone_decides_nothing() {
        let mut sizing = Sizing::default();
        let (crowded, free) = (Look { busy: 0.9, idle: 0.0 }, Look { busy: 0.9, idle: 1.0 });
        for look in [crowded, crowded, free, crowded, crowded, free] {
            assert_eq!(sizing.judge(look, 2, 2), None);
        }
    }

    #[test]
    fn a_load_on_the_border_goes_to_and_fro_less_and_less_often() {
        let mut sizing = Sizing::default();
        let mut serving = 2;
        let mut changes = Vec::new();
        for look in 0..10_000 {
            let seen =
                if serving == 2 { Look { busy: 1.0, idle: 0.1 } } else { Look { busy: 0.95, idle: 0.6 } };
            if let Some(next) = sizing.judge(seen, serving, 2) {
                serving = next;
                changes.push(look);
            }
        }
        let gaps: Vec<_> = changes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.is_sorted(), "{gaps:?}");
        assert_eq!(gaps.last(), Some(&(LONGEST_REST as i32 + 1)));
    }

    #[test]
    fn after_a_long_quiet_time_it_is_quick_again() {
        let mut sizing = Sizing::default();
        let crowded = Look { busy: 0.9, idle: 0.0 };
        decisions(&mut sizing, 10 * LONGEST_REST, crowded, 2, 2);
        assert!(decisions(&mut sizing, LONGEST_REST + 1, crowded, 2, 2).len() <= 1);
        let quiet = Look { busy: 0.0, idle: 2.0 };
        assert!(decisions(&mut sizing, FORGOTTEN, quiet, 2, 2).is_empty());
        assert_eq!(decisions(&mut sizing, LOOKS_FOR_FEWER, crowded, 2, 2), [1]);
        assert_eq!(decisions(&mut sizing, 2 * REST + 1, crowded, 2, 2), [1]);
    }
}
