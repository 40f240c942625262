//! Rules, what they come to, and that what is written down makes the same user again.

use kvdb_resp::OwnedArgs;
use proptest::prelude::*;

use super::accounts::DEFAULT;
use super::*;
use crate::table;

fn user(rules: &str) -> User {
    try_user(rules).expect("the rules are sound")
}

fn try_user(rules: &str) -> Result<User, RuleError> {
    let mut user = User::new(Defaults::default());
    let words = rules.split(' ').filter(|word| !word.is_empty()).map(str::as_bytes);
    for rule in join_selectors(words).expect("parentheses are closed") {
        user.apply(&rule, Defaults::default())?;
    }
    Ok(user)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("it was text")
}

fn described(rules: &str) -> String {
    text(user(rules).describe())
}

fn check(user: &User, line: &str) -> Result<(), Denied> {
    let args: OwnedArgs = line.split(' ').collect();
    let (_, spec) = table::find(args.as_args().name()).expect("the command is there");
    let sub = args.as_args().get(1).and_then(|name| table::find_subcommand(spec, name));
    user.check(sub.unwrap_or(spec), args.as_args())
}

fn allows(rules: &str, line: &str) -> bool {
    check(&user(rules), line).is_ok()
}

fn denied(rules: &str, line: &str) -> (Reason, usize) {
    let denied = check(&user(rules), line).expect_err("it is not allowed");
    (denied.reason, denied.at)
}

#[test]
fn a_selector_that_could_not_be_read_again_is_refused() {
    let (mut user, defaults) = (User::new(Defaults::default()), Defaults::default());
    for rule in [&b"(~a))"[..], b"( &\xff) )", b"(%R~x) +get)"] {
        assert_eq!(user.apply(rule, defaults), Err(RuleError::Syntax), "{}", rule.escape_ascii());
    }
    assert_eq!(user, User::new(defaults));
    user.apply(b"(~a)b +get)", defaults).expect("within a word it is like any other");
}

#[test]
fn users_are_described_as_redis_does() {
    assert_eq!(described(""), "off sanitize-payload resetchannels -@all");
    assert_eq!(text(User::unrestricted().describe()), "on nopass sanitize-payload ~* &* +@all");
    assert_eq!(
        described("on >abc ~a* %R~b %W~c %rw~d &news:* +@read -get +config|get (~x +set)"),
        "on sanitize-payload #ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad \
         ~a* %R~b %W~c ~d resetchannels &news:* -@all +@read -get +config|get (~x resetchannels -@all +set)"
    );
    assert_eq!(
        described("on nopass allkeys allchannels allcommands -debug"),
        "on nopass sanitize-payload ~* &* +@all -debug"
    );
}

#[test]
fn a_rule_takes_the_place_of_those_that_it_makes_void() {
    assert_eq!(text(user("+@all -get +get").root().describe_commands()), "+@all +get");
    assert_eq!(text(user("+config|get +config|set -config").root().describe_commands()), "-@all -config");
    assert_eq!(text(user("+@read -@read +@READ").root().describe_commands()), "-@all +@read");
    assert_eq!(text(user("-config +config|get").root().describe_commands()), "-@all -config +config|get");
    assert_eq!(text(user("+SELECT|0").root().describe_commands()), "-@all +select|0");
    assert_eq!(text(user("+get -@all").root().describe_commands()), "-@all");
    assert_eq!(text(user("%R~x %W~x").root().describe_keys()), "~x");
}

#[test]
fn what_is_no_rule_is_refused() {
    for (rules, error) in [
        ("+nothing", RuleError::Unknown),
        ("+@nothing", RuleError::Unknown),
        ("-select|0", RuleError::Unknown),
        ("+config|nothing", RuleError::Unknown),
        ("+config|get|x", RuleError::FirstArgOfSubcommand),
        ("+select|", RuleError::Syntax),
        ("nothing", RuleError::Syntax),
        ("%X~a", RuleError::Syntax),
        ("%RR~a", RuleError::Syntax),
        ("%~a", RuleError::Syntax),
        ("~* ~a", RuleError::AfterAllKeys),
        ("~* %R~a", RuleError::AfterAllKeys),
        ("&* &a", RuleError::AfterAllChannels),
        ("<absent", RuleError::NoSuchPassword),
        ("#abc", RuleError::BadHash),
        ("!abc", RuleError::BadHash),
        ("(on)", RuleError::Syntax),
        ("(+nothing)", RuleError::Unknown),
    ] {
        assert_eq!(try_user(rules).err(), Some(error), "{rules}");
    }
    let mut user = User::new(Defaults::default());
    for rule in [b"~a b".as_slice(), b"&a\0", b"+get|a b"] {
        assert_eq!(user.apply(rule, Defaults::default()), Err(RuleError::Syntax));
    }
    assert_eq!(join_selectors([b"on".as_slice(), b"(~a", b"+get"]), Err(1));
}

#[test]
fn commands_are_allowed_one_by_one_and_by_category() {
    assert!(allows("+get ~*", "GET k"));
    assert_eq!(denied("+get ~*", "SET k v"), (Reason::Command, 0));
    assert!(allows("+@all -@dangerous ~*", "SET k v"));
    assert_eq!(denied("+@all -@dangerous ~*", "CONFIG GET x"), (Reason::Command, 0));
    assert!(allows("+@all -config +config|get", "config get x"));
    assert_eq!(denied("+@all -config +config|get", "CONFIG SET a b"), (Reason::Command, 0));
    assert!(allows("+config", "config set a b"));
    assert_eq!(denied("+config -config|set", "CONFIG SET a b"), (Reason::Command, 0));
    assert!(allows("+select|1", "SELECT 1"));
    assert_eq!(denied("+select|1", "SELECT 2"), (Reason::Command, 0));
    assert_eq!(denied("+select|1 -select", "SELECT 1"), (Reason::Command, 0));
    assert!(allows("", "AUTH x"), "who may not even say who they are could never do anything");
}

#[test]
fn keys_are_allowed_for_reading_and_writing() {
    assert!(allows("+@all %R~k", "GET k"));
    assert_eq!(denied("+@all %R~k", "SET k v"), (Reason::Key, 1));
    assert!(allows("+@all %W~k", "SET k v"));
    assert_eq!(denied("+@all %W~k", "SET k v GET"), (Reason::Key, 1));
    assert_eq!(denied("+@all %W~k", "GET k"), (Reason::Key, 1));
    assert!(allows("+@all %W~k", "EXISTS k"), "it looks at no value");
    assert!(allows("+@all %R~from %W~to", "COPY from to"));
    assert_eq!(denied("+@all %R~from %R~to", "COPY from to"), (Reason::Key, 2));
    assert_eq!(denied("+@all ~a*", "MGET a1 a2 b"), (Reason::Key, 3));
    assert!(allows("+@all %R~k", "BITFIELD k GET u8 0"));
    assert_eq!(denied("+@all %R~k", "BITFIELD k SET u8 0 1"), (Reason::Key, 1));
    assert!(allows("+@all ~d %R~s*", "ZUNIONSTORE d 2 s1 s2"));
    assert_eq!(denied("+@all ~d %R~s*", "ZUNIONSTORE d 2 s1 t"), (Reason::Key, 4));
}

#[test]
fn channels_are_allowed_by_pattern_and_patterns_to_the_letter() {
    assert!(allows("+@all &news:*", "SUBSCRIBE news:a news:b"));
    assert_eq!(denied("+@all &news:*", "SUBSCRIBE news:a other"), (Reason::Channel, 2));
    assert!(allows("+@all &news:*", "PUBLISH news:a news"));
    assert_eq!(denied("+@all &news:*", "SPUBLISH other x"), (Reason::Channel, 1));
    assert!(allows("+@all &news:*", "PSUBSCRIBE news:*"));
    assert_eq!(denied("+@all &news:*", "PSUBSCRIBE news:a*"), (Reason::Channel, 1));
    assert!(allows("+@all", "UNSUBSCRIBE other"));
}

#[test]
fn one_selector_has_to_allow_all_of_a_command() {
    let rules = "+get ~a (+set ~b) (+mget ~c ~d)";
    assert!(allows(rules, "GET a") && allows(rules, "SET b 1") && allows(rules, "MGET c d"));
    assert_eq!(denied(rules, "GET b"), (Reason::Key, 1));
    assert_eq!(denied(rules, "MGET c b"), (Reason::Key, 2));
    assert_eq!(denied(rules, "DEL a"), (Reason::Command, 0));
    assert!(!allows(&format!("{rules} clearselectors"), "SET b 1"));
}

#[test]
fn passwords_come_and_go() {
    let alice = user("on >one >two <one");
    assert!(alice.admits(b"two") && !alice.admits(b"one") && !alice.admits(b""));
    assert!(user("on >one nopass").admits(b"anything"));
    assert!(!user("on >one resetpass").admits(b"one"));
    assert!(!user(">one").admits(b"one"), "the user is off");
    assert_eq!(user("on >one reset"), user(""));
}

#[test]
fn accounts_change_for_those_who_hold_them() {
    let accounts = Accounts::default();
    let rules = |text: &str| text.split(' ').map(|rule| rule.as_bytes().to_vec()).collect::<Vec<_>>();
    assert!(!accounts.requires_auth() && accounts.default_account().is_unrestricted());
    accounts.set(b"alice", &rules("on >x ~* &* +@all")).expect("the rules are sound");
    let alice = accounts.authenticate(b"alice", b"x").expect("it is the password");
    assert!(alice.is_unrestricted());
    assert!(accounts.authenticate(b"alice", b"y").is_none() && accounts.authenticate(b"bob", b"x").is_none());
    let wrong = accounts.set(b"alice", &rules("-get +nothing"));
    assert_eq!(wrong.expect_err("there is no such command"), (1, RuleError::Unknown));
    assert!(alice.is_unrestricted(), "all rules or none");
    accounts.set(b"alice", &rules("-get")).expect("the rules are sound");
    assert!(!alice.is_unrestricted() && check(&alice.user(), "GET k").is_err());
    assert!(accounts.remove(DEFAULT).is_none() && accounts.remove(b"bob").is_none());
    assert!(matches!(accounts.remove(b"alice"), Some(Change::Gone(gone)) if gone.name() == b"alice"));
    assert!(check(&alice.user(), "SET k v").is_err(), "it may do nothing any more");
    accounts.set_default_password(Some(b"secret"));
    assert!(accounts.requires_auth() && accounts.default_account().is_unrestricted());
    accounts.set_default_password(None);
    assert!(!accounts.requires_auth());
}

#[test]
fn a_file_takes_the_place_of_all_users() {
    let accounts = Accounts::default();
    for (name, rule) in [("alice", "+get"), ("bob", "+set"), ("carol", "+del")] {
        accounts.set(name.as_bytes(), &[rule.into()]).expect("the rule is sound");
    }
    let file = b"user alice +get\nuser bob +@all\nuser dora on\nuser default on nopass +get ~*";
    let changes = accounts.replace_all(parse_file(file, Defaults::default()).expect("it is sound"));
    let shown = |change: &Change| match change {
        Change::Gone(account) => format!("gone {}", String::from_utf8_lossy(account.name())),
        Change::Rights(account) => format!("rights {}", String::from_utf8_lossy(account.name())),
    };
    let mut shown: Vec<String> = changes.iter().map(shown).collect();
    shown.sort();
    assert_eq!(shown, ["gone bob", "gone carol", "rights default"]);
    assert!(!accounts.default_account().is_unrestricted());
    let again = parse_file(&accounts.describe_all(), Defaults::default()).expect("it was written so");
    assert!(accounts.replace_all(again).is_empty(), "nothing has changed");
}

/// Rules of every kind, most of them sound.
fn rule() -> impl Strategy<Value = String> {
    let selected = prop_oneof![
        Just("allkeys".to_owned()),
        Just("resetkeys".to_owned()),
        Just("&*".to_owned()),
        Just("resetchannels".to_owned()),
        Just("+@all".to_owned()),
        Just("-@all".to_owned()),
        "[~&][a-z*?\\[\\]]{0,4}",
        "%[RWrw]{1,2}~[a-z*]{0,3}",
        "[+-]@(read|write|admin|fast|dangerous|pubsub)",
        "[+-](get|set|config|config\\|get|config\\|set|acl|client|client\\|list|select|mget)",
        "\\+(select|get)\\|[0-9a-z]{1,2}",
    ];
    let inner =
        prop::collection::vec(selected.clone(), 0..4).prop_map(|rules| format!("({})", rules.join(" ")));
    prop_oneof![
        8 => selected,
        2 => inner,
        1 => "on|off|nopass|resetpass|clearselectors|skip-sanitize-payload|sanitize-payload|reset",
        1 => "[><][a-c]{1,2}",
    ]
}

proptest! {
    #[test]
    fn what_is_described_makes_the_same_user_again(rules in prop::collection::vec(rule(), 0..12)) {
        let mut user = User::new(Defaults::default());
        for rule in &rules {
            let before = user.clone();
            if user.apply(rule.as_bytes(), Defaults::default()).is_err() {
                prop_assert_eq!(&user, &before, "a rule that is wrong changes nothing");
            }
        }
        let line = [b"user u ", &*user.describe()].concat();
        let again = parse_file(&line, Defaults { all_channels: true }).expect("it was written so");
        prop_assert_eq!(again[b"u".as_slice()].describe(), user.describe());
        for line in ["GET k", "SET k v", "CONFIG GET x", "CONFIG SET a b", "SELECT 1", "PUBLISH a b", "ACL LIST"] {
            if table::find(line.split(' ').next().unwrap_or_default().as_bytes()).is_some() {
                prop_assert_eq!(check(&again[b"u".as_slice()], line), check(&user, line), "{}", line);
            }
        }
    }

    #[test]
    fn no_bytes_make_a_rule_fail_hard(rule in prop::collection::vec(any::<u8>(), 0..20)) {
        let mut user = User::new(Defaults::default());
        let _ = user.apply(&rule, Defaults::default());
        let line = [b"user u ", &*user.describe()].concat();
        prop_assert!(parse_file(&line, Defaults::default()).is_ok());
    }
}
