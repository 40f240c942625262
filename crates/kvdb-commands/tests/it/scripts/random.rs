//! Conversations that nobody has written: commands put together at random, said to a store and to a Redis server.

use kvdb_resp::{OwnedArgs, Value};
use kvdb_store::EventClasses;

use super::local::Local;
use super::notation::{Directive, show};
use super::oracle::Oracle;
use super::vocabulary::{FAMILIES, Random, SETS, SORTED_SETS, STREAMS, TEMPLATES};

/// Commands whose replies have no order.
const UNORDERED: &[&str] =
    &["SMEMBERS", "SPOP", "SRANDMEMBER", "SINTER", "SUNION", "SDIFF", "SSCAN", "ZSCAN"];

/// The lines that show a reply; without the order that it does not have.
fn show_any(command: &OwnedArgs, mut reply: Value) -> Vec<String> {
    let name = command.as_args().name().to_ascii_uppercase();
    if UNORDERED.iter().any(|unordered| unordered.as_bytes() == name) {
        sort(&mut reply);
    }
    show(&reply)
}

fn sort(reply: &mut Value) {
    if let Value::Array(elements) | Value::Set(elements) = reply {
        elements.iter_mut().for_each(sort);
        // A walk shows the pairs of a sorted set one after the other; their scores follow from their members.
        elements.sort_by_key(show);
    }
}

/// Events but for that of the deadline of a key that has passed when it was set: Redis finds that out when it comes by.
fn events(all: Vec<String>) -> impl Iterator<Item = String> {
    all.into_iter().filter(|event| !event.starts_with("(event) expired "))
}

/// Says random commands to a store from which keys are deleted for want of room now and then, and counts anew what it holds.
pub(super) fn keep_accounts(seed: u64, commands: usize) {
    let mut random = Random::new(seed);
    let mut local = Local::new();
    for number in 0..commands {
        match random.below(300) {
            0 => local.direct(Directive::Reopen),
            1 => local.direct(Directive::Evict),
            2..12 => local.make_room(random.below(2) == 0, random.below(3)),
            12 => local.direct(Directive::Advance(2_000_000_000)),
            13..16 => local.direct(Directive::Advance(500)),
            16..20 => local.expire(),
            _ => {}
        }
        let family = FAMILIES[random.below(FAMILIES.len())];
        let command = random.command(family);
        local.run(command.as_args());
        if number % 8 == 0 {
            local.check_accounts();
        }
    }
    local.make_room(false, 0);
    local.check_accounts();
}

/// Says the commands that these bytes choose, and counts anew what a store holds.
pub(super) fn follow(bytes: &[u8]) {
    let (mut random, mut local) = (Random::given(bytes), Local::new());
    while !random.is_exhausted() {
        let family = FAMILIES[random.below(FAMILIES.len())];
        let command = random.command(family);
        local.run(command.as_args());
    }
    local.check_accounts();
}

/// Says `commands` random commands to both and returns where the replies, or the events of keys, differ first. Objects are dropped and the store
/// is reopened now and then, which no reply may show.
pub(super) fn compare(address: &str, seed: u64, commands: usize) -> Result<(), String> {
    let mut random = Random::new(seed);
    let (mut local, mut oracle) = (Local::new(), Oracle::connect(address));
    let all = Directive::Events(EventClasses::parse("EAmn").expect("these are letters of classes"));
    local.direct(all);
    oracle.direct(all);
    let mut said = Vec::new();
    // Most of a conversation is about one kind of values.
    let families = [TEMPLATES, SETS, SORTED_SETS, STREAMS];
    let mostly = families[seed as usize % families.len()];
    for _ in 0..commands {
        match random.below(200) {
            0 => local.direct(Directive::Reopen),
            1..5 => local.direct(Directive::Evict),
            _ => {}
        }
        let templates = if random.below(8) > 0 { mostly } else { families[random.below(families.len())] };
        let command = random.command(templates);
        let mut ours =
            local.run(command.as_args()).map(|value| show_any(&command, value)).unwrap_or_default();
        ours.extend(events(local.events()));
        let mut theirs = show_any(&command, oracle.run(command.as_args()));
        theirs.extend(events(oracle.events()));
        let mut shown = format!("{command:?}");
        shown.truncate(300);
        said.push(shown);
        if ours != theirs {
            let last = said[said.len().saturating_sub(12)..].join("\n  ");
            let cut = |lines: Vec<String>| lines.join("\n    ").chars().take(1000).collect::<String>();
            return Err(format!(
                "seed {seed}, after\n  {last}\n  Redis:\n    {}\n  KVDB:\n    {}\n",
                cut(theirs),
                cut(ours)
            ));
        }
    }
    Ok(())
}
