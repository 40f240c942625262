//! Power cuts at random moments of conversations put together at random: what comes back is the whole keyspace as it was
//! after some command, and that is no earlier one than the last that was durable.

use std::env;
use std::ops::Range;
use std::sync::Arc;

use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::vfs::SimVfs;

use super::contents::{Contents, Described, alive, difference};
use super::local::Local;
use super::notation::Directive;
use super::vocabulary::{FAMILIES, Random};

/// A factor from the environment stands for so many times more seeds, and a number for the first of them, which is the only
/// one when it is named alone.
fn seeds(usual: u64) -> Range<u64> {
    let number = |name| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = number("KVDB_TEST_SEED");
    match (first, number("KVDB_TEST_CASES")) {
        (Some(first), None) => first..first + 1,
        (first, factor) => {
            let first = first.unwrap_or_default();
            first..first + usual * factor.unwrap_or(1)
        }
    }
}

#[test]
fn a_power_cut_keeps_a_prefix_of_the_commands_with_all_durable_ones() {
    let seeds = seeds(24);
    let are_many = seeds.end - seeds.start > 10;
    let (kept, lost) =
        seeds.map(live_through_power_cuts).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    assert!(!are_many || (kept > 100 && lost > 10), "{kept} changes were kept, and {lost} lost");
}

/// Returns how many changes power cuts have left and taken.
fn live_through_power_cuts(seed: u64) -> (usize, usize) {
    const POLICIES: [SyncPolicy; 3] = [SyncPolicy::Always, SyncPolicy::EverySec, SyncPolicy::No];
    let mut random = Random::new(seed);
    let mut local = Local::on(SimVfs::new(), POLICIES[random.below(3)]);
    // What the store writes when it is made is no part of it.
    local.rows().log().sync().expect("nothing fails");
    let mut history = vec![(local.rows().log().appended(), Contents::new())];
    let (mut all_kept, mut all_lost) = (0, 0);
    for life in 0..4 {
        let mut said = Vec::new();
        for _ in 0..random.below(150) {
            happen(&mut local, &mut random);
            let family = FAMILIES[random.below(FAMILIES.len())];
            let command = random.command(family);
            let mut shown = format!("{command:?}");
            shown.truncate(200);
            said.push(shown);
            local.run(command.as_args());
            note(&mut local, &mut history);
        }
        let durable = local.rows().log().durable();
        local.lose_power(random.below(usize::MAX) as u64);
        let context = format!("seed {seed}, life {life}, after\n  {}", said.join("\n  "));
        let recovered = local.rows().log().appended();
        let last = history.last().map_or(0, |&(seq, _)| seq);
        assert!((durable..=last).contains(&recovered), "{context}\n{recovered}, {durable} of {last} durable");
        let kept = history.partition_point(|&(seq, _)| seq <= recovered);
        (all_kept, all_lost) = (all_kept + kept - 1, all_lost + history.len() - kept);
        let now = local.now();
        let found = contents(&mut local, &Contents::new());
        // Between two commands others delete what is dead, which nobody can see.
        let whole = history[kept - 1].0 == recovered;
        let candidates = if whole { kept - 1..kept } else { kept - 1..kept + 1 };
        let differences: Vec<String> = history[candidates]
            .iter()
            .filter_map(|(_, expected)| difference(&alive(expected, now), &alive(&found, now)))
            .collect();
        let all_differ = differences.len() == if whole { 1 } else { 2 };
        assert!(!all_differ, "{context}\nup to {recovered}: {}", differences.join("\nor "));
        local.warm_up();
        local.check_accounts();
        history = vec![(recovered, found)];
    }
    (all_kept, all_lost)
}

/// What happens to a store between commands.
fn happen(local: &mut Local, random: &mut Random) {
    let rows = local.rows().clone();
    match random.below(32) {
        0 => {
            rows.log().sync().expect("nothing fails");
        }
        1 => rows.log().write_out(rows.log().appended()).expect("nothing fails"),
        2 => rows.flush().expect("nothing fails"),
        3 => {
            rows.compact_step().expect("nothing fails");
        }
        4..8 => local.drop_objects(),
        8 => local.direct(Directive::Advance(500)),
        9 => local.expire(),
        10 if random.below(10) == 0 => local.make_room(true, 0),
        _ => {}
    }
    rows.flush_if_due().expect("nothing fails");
}

/// Notes what a store holds, if that has changed.
fn note(local: &mut Local, history: &mut Vec<(u64, Contents)>) {
    let seq = local.rows().log().appended();
    let (last, before) = history.last().expect("there is a beginning");
    if seq != *last {
        let contents = contents(local, before);
        history.push((seq, contents));
    }
}

/// All keys, those past their deadline included; what is as before is shared with it.
fn contents(local: &mut Local, before: &Contents) -> Contents {
    let share = |(key, described): ((u16, Vec<u8>), Described)| {
        let shared = before.get(&key).filter(|old| ***old == described).cloned();
        (key, shared.unwrap_or_else(|| Arc::new(described)))
    };
    local.contents().into_iter().map(share).collect()
}
