//! Commands said to a store in this process: the parts of the tests of kvdb-commands that do it, and a conversation that is
//! made of bytes.

#[path = "../../crates/kvdb-commands/tests/it/scripts/contents.rs"]
mod contents;
#[path = "../../crates/kvdb-commands/tests/it/scripts/local.rs"]
mod local;
mod model;
#[path = "../../crates/kvdb-commands/tests/it/scripts/notation.rs"]
mod notation;
#[path = "../../crates/kvdb-commands/tests/it/scripts/server.rs"]
mod server;
#[path = "../../crates/kvdb-commands/tests/it/scripts/vocabulary.rs"]
mod vocabulary;

use std::sync::Arc;

use kvdb_lsm::log::SyncPolicy;
use kvdb_lsm::vfs::SimVfs;

use self::contents::{Contents, alive, difference};
use self::local::Local;
use self::model::Model;
use self::notation::Directive;
use self::vocabulary::{FAMILIES, Random};

/// Commands of one conversation.
const COMMANDS: usize = 200;

/// Says what these bytes mean.
///
/// # Panics
/// When a reply is not that of the model, when what the store counts is not what is there, or when something else is there
/// after the store was closed and opened again.
pub fn converse(bytes: &[u8]) {
    let mut random = Random::given(bytes);
    let mut local = Local::on(SimVfs::new(), SyncPolicy::No);
    // Either some commands are compared with a model, or there is nothing that may not happen.
    let mut model = (random.below(2) == 0).then(Model::default);
    for number in 0..COMMANDS {
        if random.is_exhausted() {
            break;
        }
        match random.below(24) {
            0 => local.drop_objects(),
            1 => local.direct(Directive::Evict),
            2 => local.direct(Directive::Reopen),
            3 => local.direct(Directive::Advance(500)),
            4 => local.expire(),
            5 if model.is_none() => local.make_room(random.below(2) == 0, random.below(3)),
            _ => {}
        }
        match &mut model {
            Some(model) if random.below(3) > 0 => {
                let (command, expected) = model.command(&mut random);
                let reply = local.run(command.as_args());
                assert_eq!(reply, Some(expected), "the reply to {command:?}");
            }
            model => {
                let family = FAMILIES[random.below(FAMILIES.len())];
                let command = random.command(family);
                if model.is_none() || !moves_keys_of_others(command.as_args().name()) {
                    local.run(command.as_args());
                }
            }
        }
        local.rows().flush_if_due().expect("nothing fails");
        if number % 8 == 0 {
            local.check_accounts();
        }
    }
    let before = contents(&mut local);
    local.direct(Directive::Reopen);
    let (after, now) = (contents(&mut local), local.now());
    assert_eq!(difference(&alive(&before, now), &alive(&after, now)), None);
    local.warm_up();
    local.check_accounts();
}

/// Whether a command would disturb the keys that the model is about, or the client that asks for them.
fn moves_keys_of_others(name: &[u8]) -> bool {
    const NAMES: [&str; 6] = ["SELECT", "SWAPDB", "FLUSHDB", "MULTI", "EXEC", "DISCARD"];
    NAMES.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

fn contents(local: &mut Local) -> Contents {
    local.contents().into_iter().map(|(key, described)| (key, Arc::new(described))).collect()
}

#[cfg(test)]
mod tests {
    use super::converse;

    #[test]
    fn conversations_of_random_bytes_end_as_they_should() {
        for seed in 1..40_u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let bytes: Vec<u8> = (0..3_000)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state as u8
                })
                .collect();
            converse(&bytes);
        }
    }
}
