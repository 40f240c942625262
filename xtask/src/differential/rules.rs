//! When two replies count as equal, and the list of true differences.
//!
//! As a rule replies are equal when they are the same in type, order and every byte. What is compared otherwise stands in
//! [`EXCEPTIONS`], each with its reason. Error texts are the same but for control characters in what they repeat, which
//! KVDB shows as spaces.

use super::reply::{Reply, number_text};
use super::settle::chosen_id;
use super::template::Word;

/// How the replies to a command are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The same in every byte.
    Exact,
    /// An array as a multiset.
    Unordered,
    /// An array of names and values, or a map, as a multiset of pairs.
    UnorderedPairs,
    /// Strings that are numbers, as numbers.
    Numbers,
    /// Integers may be this far apart, as long as none is negative.
    Near(i64),
    /// Names and values of what is the server's own are left out, and moments are not compared.
    StreamInfo,
    /// The third of the four fields of every entry is a time that may differ.
    PendingEntries,
    /// Names of encodings that stand for each other.
    Encoding,
    /// What a whole iteration returns, as a set; cursors are not compared.
    Scan,
    /// Any choice of those that are there, as many as were asked for.
    RandomChoice,
    /// As a choice, and the same elements are removed from the other side.
    RandomRemoval,
    /// The server chooses the ID: the other is given the same.
    ChosenId,
    /// The consumer that the command names is made first, on both sides.
    KnownConsumer,
    /// Said by the client that listens; what it hears is compared, in any order.
    Listener,
    /// What the client that listens hears then is compared too.
    Heard,
    /// Each server restores what the other one dumps, and has the same then.
    Dump,
    /// What a user may do is put in other words.
    Account,
    /// The user who may not do something is named, or not.
    Denial,
    /// As many as that.
    Length,
    /// Members that are equally far away may stand for each other.
    Ties,
    /// Keys that have expired may count.
    CountOfKeys,
    /// Refused by KVDB alone where Redis 7.2 refuses it too.
    SetId,
}

impl Rule {
    /// Whether one look at two replies is enough, so that the command may stand in a transaction.
    pub(super) fn needs_replies_only(self) -> bool {
        !matches!(
            self,
            Self::Scan
                | Self::RandomChoice
                | Self::RandomRemoval
                | Self::ChosenId
                | Self::KnownConsumer
                | Self::Listener
                | Self::Heard
                | Self::Dump
                | Self::Ties
                | Self::CountOfKeys
                | Self::SetId
        )
    }
}

/// Commands whose replies are not compared byte by byte, and why.
pub(super) const EXCEPTIONS: &[(&[&str], Rule, &str)] = &[
    (
        &["KEYS", "SMEMBERS", "HKEYS", "HVALS", "SINTER", "SUNION", "SDIFF"],
        Rule::Unordered,
        "Redis replies in the order of a hash table, which it does not promise",
    ),
    (
        &["HGETALL"],
        Rule::UnorderedPairs,
        "Redis replies in the order of a hash table, which it does not promise",
    ),
    (
        &[
            "ZADD",
            "ZINCRBY",
            "ZSCORE",
            "ZMSCORE",
            "ZRANGE",
            "ZREVRANGE",
            "ZRANGEBYSCORE",
            "ZREVRANGEBYSCORE",
            "ZPOPMIN",
            "ZPOPMAX",
            "BZPOPMIN",
            "BZPOPMAX",
            "ZMPOP",
            "BZMPOP",
            "ZUNION",
            "ZINTER",
            "ZDIFF",
        ],
        Rule::Numbers,
        "KVDB prints scores as Redis 7.2 does, with the fewest digits; 7.0 prints seventeen",
    ),
    (
        &["TTL", "EXPIRETIME", "OBJECT IDLETIME"],
        Rule::Near(2),
        "seconds are counted from when the command came, and it came to one server later",
    ),
    (&["PTTL", "PEXPIRETIME"], Rule::Near(2000), "as with TTL, in milliseconds"),
    (
        &["XINFO"],
        Rule::StreamInfo,
        "times pass, the radix tree is Redis' own, and 7.2 tells more times than 7.0",
    ),
    (&["XPENDING"], Rule::PendingEntries, "the time since an entry was delivered passes"),
    (
        &["OBJECT ENCODING"],
        Rule::Encoding,
        "KVDB names the encodings of Redis 7.2, which has listpacks for short lists and for small sets, and \
         makes a set or a sorted set for as many elements as the command names; and it goes by what \
         a string is, where Redis remembers how it was made",
    ),
    (
        &["SCAN", "HSCAN", "SSCAN", "ZSCAN"],
        Rule::Scan,
        "cursors and the order of an iteration are the server's own",
    ),
    (
        &["RANDOMKEY", "SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER"],
        Rule::RandomChoice,
        "any choice is right that is one of what is there",
    ),
    (
        &["XCLAIM", "XAUTOCLAIM", "XREADGROUP"],
        Rule::KnownConsumer,
        "KVDB makes the consumer as Redis 7.2 does; 7.0 makes it when it gets its first entry",
    ),
    (&["SPOP"], Rule::RandomRemoval, "any choice is right that is one of what is there"),
    (
        &["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"],
        Rule::Listener,
        "one command has many replies, and those that name all channels have no order",
    ),
    (&["PUBLISH", "SPUBLISH"], Rule::Heard, "several patterns that match have no order"),
    (
        &["PUBSUB CHANNELS", "PUBSUB SHARDCHANNELS", "FUNCTION LIST", "ACL USERS", "ACL CAT"],
        Rule::Unordered,
        "Redis replies in the order of a hash table, which it does not promise",
    ),
    (&["ACL DRYRUN"], Rule::Denial, "KVDB names the user as Redis 7.2 does; 7.0 says this user"),
    (&["CONFIG GET"], Rule::UnorderedPairs, "as with HGETALL"),
    (
        &["DBSIZE"],
        Rule::CountOfKeys,
        "keys past their deadline count until they are deleted, which each server does when it likes",
    ),
    (
        &["XSETID"],
        Rule::SetId,
        "KVDB refuses IDs below one that has been deleted, as Redis 7.2 does; 7.0 takes them where the stream has no entries \
         above",
    ),
    (&["DUMP"], Rule::Dump, "the same value has many dumps"),
    (
        &["ACL GETUSER"],
        Rule::Account,
        "KVDB keeps the rules for commands in the words of the operator, as Redis 7.2 does, and shows a flag that 7.0 has \
         and does not show; 7.0 makes up shorter rules",
    ),
];

/// For a type: what KVDB may call what Redis 7.0 calls otherwise.
const ENCODINGS: &[(&str, &str, &str)] = &[
    ("string", "embstr", "raw"),
    ("list", "listpack", "quicklist"),
    ("set", "listpack", "hashtable"),
    ("set", "listpack", "intset"),
    ("set", "hashtable", "intset"),
    ("zset", "skiplist", "listpack"),
    // SORT leaves a sorted set of Redis in another form than it found it in.
    ("zset", "listpack", "skiplist"),
];

/// Whether two names of an encoding stand for each other in a value of this type.
pub(super) fn same_encoding(kind: &Reply, ours: &Reply, theirs: &Reply) -> bool {
    let is_row = |(of, a, b): &(&str, &str, &str)| {
        [kind, ours, theirs].map(Reply::bytes) == [of, a, b].map(|text| Some(text.as_bytes()))
    };
    ours == theirs || ENCODINGS.iter().any(is_row)
}

/// The command in capitals, and its first argument after it when it has subcommands.
fn names_of(command: &[Word]) -> (String, String) {
    let upper =
        |word: Option<&Word>| String::from_utf8_lossy(word.map_or(&[], Vec::as_slice)).to_ascii_uppercase();
    let name = upper(command.first());
    let with_first = format!("{name} {}", upper(command.get(1)));
    (name, with_first)
}

pub(super) fn rule_of(command: &[Word]) -> Rule {
    let (name, with_first) = names_of(command);
    if name == "XADD" && chosen_id(command).is_some() {
        return Rule::ChosenId;
    }
    if is_unsorted(command) {
        return Rule::Length;
    }
    if is_cut_by_distance(command) {
        return Rule::Ties;
    }
    let found = EXCEPTIONS
        .iter()
        .find(|(names, ..)| names.iter().any(|listed| *listed == name || *listed == with_first));
    found.map_or(Rule::Exact, |(_, rule, _)| *rule)
}

/// Whether a command sorts by nothing: then a set has its own order, and a part of it is any part. What is in keys for
/// sorted sets alone has an order.
fn is_unsorted(command: &[Word]) -> bool {
    let sorts = |word: &Word| word.eq_ignore_ascii_case(b"SORT") || word.eq_ignore_ascii_case(b"SORT_RO");
    let by_nothing = |pair: &[Word]| pair[0].eq_ignore_ascii_case(b"BY") && !pair[1].contains(&b'*');
    command.first().is_some_and(sorts)
        && command.windows(2).any(by_nothing)
        && !command[1].starts_with(b"lex")
}

/// Whether a geo command replies or stores the nearest: Redis sorts just so far, by an algorithm that turns round what is
/// equal, and which of the equal ones have room is left to it. With ANY, and where there is room for all, the order is that
/// in which they were found.
fn is_cut_by_distance(command: &[Word]) -> bool {
    let has = |option: &str| command.iter().any(|word| word.eq_ignore_ascii_case(option.as_bytes()));
    let is_geo = command.first().is_some_and(|name| name.to_ascii_uppercase().starts_with(b"GEO"));
    is_geo && has("COUNT") && !has("ANY")
}

/// Whether the replies are equal by the rule; those of rules that need more than replies are compared as they are.
pub(super) fn agree(rule: Rule, ours: &Reply, theirs: &Reply) -> bool {
    if ours == theirs {
        return true;
    }
    if let (Reply::Error(ours), Reply::Error(theirs)) = (ours, theirs) {
        return printable(ours) == printable(theirs) || is_newer_text(ours, theirs);
    }
    match rule {
        Rule::Near(distance) => match (ours, theirs) {
            (Reply::Integer(ours), Reply::Integer(theirs)) => {
                *ours >= 0 && *theirs >= 0 && (ours - theirs).abs() <= distance
            }
            _ => false,
        },
        Rule::Encoding => {
            ENCODINGS.iter().any(|(kind, ..)| same_encoding(&Reply::Simple((*kind).to_owned()), ours, theirs))
        }
        _ => normal(rule, ours) == normal(rule, theirs),
    }
}

/// How errors begin that Redis 7.2 and KVDB word in one way, and Redis 7.0 in another.
const NEWER_TEXTS: &[(&str, &str)] = &[
    ("ERR Unbalanced 'xread' list of streams", "ERR Unbalanced XREAD list of streams"),
    ("ERR Unbalanced 'xreadgroup' list of streams", "ERR Unbalanced XREAD list of streams"),
    (
        "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        "ERR The ID specified in XSETID is smaller than the target stream top item",
    ),
];

fn is_newer_text(ours: &str, theirs: &str) -> bool {
    NEWER_TEXTS.iter().any(|(new, old)| ours.starts_with(new) && theirs.starts_with(old))
}

fn printable(error: &str) -> String {
    let text: String = error.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim_end().to_owned()
}

/// The reply without what the rule leaves open.
pub(super) fn normal(rule: Rule, reply: &Reply) -> Reply {
    let reply = reply.clone();
    match rule {
        Rule::Unordered => sorted(reply),
        Rule::UnorderedPairs => match reply {
            Reply::Array(flat) if flat.len() % 2 == 0 => {
                sorted(Reply::Array(flat.chunks(2).map(|pair| Reply::Array(pair.to_vec())).collect()))
            }
            Reply::Map(mut pairs) => {
                pairs.sort();
                Reply::Map(pairs)
            }
            other => other,
        },
        Rule::Numbers => reply.map_leaves(&number),
        Rule::StreamInfo => without(reply, OWN_OF_STREAMS).map_leaves(&without_moment),
        Rule::PendingEntries => without_times(reply),
        Rule::Account => without_flag(without(reply, &["commands"])),
        Rule::Denial => reply.map_leaves(&without_subject),
        Rule::Length => match reply.elements() {
            Some(elements) => Reply::Integer(elements.len() as i64),
            None => reply,
        },
        _ => reply,
    }
}

fn sorted(reply: Reply) -> Reply {
    match reply {
        Reply::Array(mut elements) => {
            elements.sort();
            Reply::Array(elements)
        }
        Reply::Set(mut elements) => {
            elements.sort();
            Reply::Set(elements)
        }
        other => other,
    }
}

fn number(leaf: Reply) -> Reply {
    match &leaf {
        Reply::Bulk(bytes) => match str::from_utf8(bytes).ok().and_then(number_text) {
            // Redis loses the sign of a zero where it keeps the set in a listpack.
            Some(text) if text == "-0.0" => Reply::Bulk(b"0.0".to_vec()),
            Some(text) => Reply::Bulk(text.into_bytes()),
            None => leaf,
        },
        Reply::Double(text) if text == "-0.0" => Reply::Double("0.0".to_owned()),
        _ => leaf,
    }
}

/// A user without a flag that Redis 7.0 does not show.
fn without_flag(reply: Reply) -> Reply {
    let all = |elements: Vec<Reply>| -> Vec<Reply> {
        let kept = elements.into_iter().filter(|element| element.bytes() != Some(b"sanitize-payload"));
        kept.map(without_flag).collect()
    };
    match reply {
        Reply::Array(elements) => Reply::Array(all(elements)),
        Reply::Set(elements) => Reply::Set(all(elements)),
        Reply::Map(pairs) => {
            Reply::Map(pairs.into_iter().map(|(name, value)| (name, without_flag(value))).collect())
        }
        other => other,
    }
}

/// What somebody may not do, without who that is.
fn without_subject(leaf: Reply) -> Reply {
    let denial = leaf.bytes().and_then(|bytes| {
        let text = str::from_utf8(bytes).ok()?;
        (text.starts_with("This user ") || text.starts_with("User "))
            .then(|| text.find(" has no "))?
            .map(|at| &text[at..])
    });
    match denial {
        Some(denial) => Reply::Bulk(denial.as_bytes().to_vec()),
        None => leaf,
    }
}

/// What XINFO tells and every server has its own of.
const OWN_OF_STREAMS: &[&str] =
    &["idle", "inactive", "seen-time", "active-time", "radix-tree-keys", "radix-tree-nodes"];

/// Replaces a moment in Unix milliseconds of this century.
fn without_moment(leaf: Reply) -> Reply {
    match leaf {
        Reply::Integer(number) if (1_000_000_000_000..4_000_000_000_000).contains(&number) => {
            Reply::Integer(0)
        }
        other => other,
    }
}

fn without(reply: Reply, names: &[&str]) -> Reply {
    let is_named =
        |reply: &Reply| reply.bytes().is_some_and(|bytes| names.iter().any(|name| name.as_bytes() == bytes));
    match reply {
        Reply::Array(elements) => {
            let mut kept = Vec::new();
            let mut elements = elements.into_iter();
            while let Some(element) = elements.next() {
                if is_named(&element) {
                    elements.next();
                } else {
                    kept.push(without(element, names));
                }
            }
            Reply::Array(kept)
        }
        Reply::Map(pairs) => {
            let kept = pairs.into_iter().filter(|(name, _)| !is_named(name));
            Reply::Map(kept.map(|(name, value)| (name, without(value, names))).collect())
        }
        other => other,
    }
}

fn without_times(reply: Reply) -> Reply {
    let Reply::Array(entries) = reply else { return reply };
    let entries = entries.into_iter().map(|entry| match entry {
        Reply::Array(mut fields) if fields.len() == 4 => {
            fields.remove(2);
            Reply::Array(fields)
        }
        other => other,
    });
    Reply::Array(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Word> {
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn bulks(texts: &[&str]) -> Reply {
        Reply::Array(texts.iter().map(|text| Reply::Bulk(text.as_bytes().to_vec())).collect())
    }

    #[test]
    fn rules_are_found_by_name_in_any_case_and_by_subcommand() {
        assert_eq!(rule_of(&words("smembers k")), Rule::Unordered);
        assert_eq!(rule_of(&words("Object Encoding k")), Rule::Encoding);
        assert_eq!(rule_of(&words("OBJECT HELP")), Rule::Exact);
        assert_eq!(rule_of(&words("XADD k * f v")), Rule::ChosenId);
        assert_eq!(rule_of(&words("XADD k 1-1 f v")), Rule::Exact);
        assert_eq!(rule_of(&words("georadius k 1 1 9 m count 2")), Rule::Ties);
        assert_eq!(rule_of(&words("GEORADIUS k 1 1 9 m COUNT 2 ANY")), Rule::Exact);
        assert_eq!(rule_of(&words("GEORADIUS k 1 1 9 m ASC")), Rule::Exact);
        assert_eq!(rule_of(&[]), Rule::Exact);
    }

    #[test]
    fn each_rule_leaves_open_what_it_says_and_no_more() {
        let (ab, ba, bb) = (bulks(&["a", "b"]), bulks(&["b", "a"]), bulks(&["b", "b"]));
        assert!(
            agree(Rule::Unordered, &ab, &ba)
                && !agree(Rule::Exact, &ab, &ba)
                && !agree(Rule::Unordered, &ab, &bb)
        );
        let (pairs, turned) = (bulks(&["a", "1", "b", "2"]), bulks(&["b", "2", "a", "1"]));
        assert!(agree(Rule::UnorderedPairs, &pairs, &turned));
        assert!(!agree(Rule::UnorderedPairs, &pairs, &bulks(&["a", "2", "b", "1"])));
        assert!(agree(Rule::Numbers, &bulks(&["m", "0.1"]), &bulks(&["m", "0.10000000000000001"])));
        assert!(!agree(Rule::Numbers, &bulks(&["m", "0.1"]), &bulks(&["m", "0.2"])));
        assert!(agree(Rule::Near(2), &Reply::Integer(5), &Reply::Integer(7)));
        assert!(!agree(Rule::Near(2), &Reply::Integer(-1), &Reply::Integer(-2)));
        assert!(agree(Rule::StreamInfo, &bulks(&["a", "1", "idle", "5"]), &bulks(&["a", "1", "idle", "6"])));
        assert!(!agree(Rule::StreamInfo, &bulks(&["a", "1", "idle", "5"]), &bulks(&["a", "2", "idle", "5"])));
        let (listpack, quicklist) = (Reply::Bulk(b"listpack".to_vec()), Reply::Bulk(b"quicklist".to_vec()));
        assert!(
            agree(Rule::Encoding, &listpack, &quicklist) && !agree(Rule::Encoding, &quicklist, &listpack)
        );
        let kind = |text: &str| Reply::Simple(text.to_owned());
        assert!(same_encoding(&kind("list"), &listpack, &quicklist));
        assert!(!same_encoding(&kind("set"), &listpack, &quicklist));
        let denied = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        let (old, new) =
            ("This user has no permissions to run 'get'", "User anna has no permissions to run 'get'");
        assert!(
            agree(Rule::Denial, &denied(new), &denied(old))
                && !agree(Rule::Exact, &denied(new), &denied(old))
        );
        assert!(!agree(Rule::Denial, &denied(new), &denied("This user has no permissions to run 'set'")));
        assert_eq!(rule_of(&words("sort k by nosort limit 0 1")), Rule::Length);
        assert_eq!(rule_of(&words("SORT_RO lex1 BY nosort")), Rule::Exact);
        assert_eq!(rule_of(&words("SORT k BY string* STORE by")), Rule::Exact);
        assert!(agree(Rule::Length, &ab, &bb) && !agree(Rule::Length, &ab, &bulks(&["a"])));
        let error = |text: &str| Reply::Error(text.to_owned());
        assert!(!agree(Rule::Unordered, &error("ERR a"), &error("ERR b")));
        assert!(agree(Rule::Exact, &error("ERR a b  "), &error("ERR a\tb")));
        let (new, old) = NEWER_TEXTS[0];
        assert!(
            agree(Rule::Exact, &error(new), &error(old)) && !agree(Rule::Exact, &error(old), &error(new))
        );
    }

    #[test]
    fn every_exception_has_a_reason() {
        assert!(EXCEPTIONS.iter().all(|(names, _, reason)| !names.is_empty() && reason.len() > 10));
    }
}
