//! Rules of users from a client or a file: whatever they are, a user can be written down, and what is written makes the
//! same user again.

#![no_main]

use kvdb_commands::acl::{Defaults, User, join_selectors, parse_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let defaults = Defaults::default();
    // A file of any text is read or refused.
    let _ = parse_file(data, defaults);
    let Ok(rules) = join_selectors(data.split(|&byte| byte == b'\n')) else { return };
    let mut user = User::new(defaults);
    for rule in &rules {
        let before = user.clone();
        if user.apply(rule, defaults).is_err() {
            assert_eq!(user, before, "a rule that is wrong changes nothing");
        }
    }
    let line = [b"user u ", &*user.describe()].concat();
    let users = parse_file(&line, defaults).expect("what was written can be read");
    assert_eq!(users[b"u".as_slice()].describe(), user.describe());
});
