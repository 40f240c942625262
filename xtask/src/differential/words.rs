//! The vocabularies: what stands for `key`, `value`, `index` and so on in a template.
//!
//! There are few keys, fields and members, so that commands meet. Numbers are mostly small, because small ones hit
//! something, and now and then at the edge of what fits, where programs go wrong.

use super::lua::{LIBRARIES, SCRIPTS};
use super::template::Word;
use crate::rng::Rng;

/// Words that are wrong in most places, or right in a surprising way. No zero byte is among them: there Redis cuts off what
/// an error repeats, and KVDB goes on.
const ODD: &[&str] = &[
    "",
    "x",
    "0",
    "-1",
    "1",
    "+1",
    " 1",
    "1 ",
    "01",
    "-0",
    "1.0",
    "1e3",
    "0x10",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "4294967296",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551616",
    "(1",
    "[a",
    "-",
    "+",
    "*",
    "$",
    ">",
    "~",
    "NX",
    "XX",
    "GET",
    "COUNT",
    "LIMIT",
    "WITHSCORES",
    "f0",
    "\r\n",
    "\u{e9}",
];

/// Numbers at the edge, and what only looks like one.
const ODD_NUMBERS: &[&str] = &[
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "4294967295",
    "-2147483649",
    "x",
    "",
    "01",
    "1.5",
];

/// What the names of keys begin with; see [`super::families::Family::home`].
const HOMES: &[&str] = &["string", "hash", "list", "set", "zset", "stream"];

/// What a user may do.
const ACL_RULES: &[&str] = &[
    "on",
    "off",
    "nopass",
    "resetpass",
    ">secret",
    "<secret",
    ">other",
    "<nothing",
    "~string*",
    "~*",
    "~hash?",
    "%R~hash*",
    "%W~list*",
    "%RW~set*",
    "%X~set*",
    "allkeys",
    "resetkeys",
    "&news*",
    "&*",
    "allchannels",
    "resetchannels",
    "+get",
    "+set",
    "-set",
    "-get",
    "+@read",
    "-@write",
    "+@all",
    "-@all",
    "+@string",
    "-@list",
    "allcommands",
    "nocommands",
    "+config|get",
    "-config|set",
    "+config",
    "-config",
    "+publish",
    "+subscribe",
    "reset",
    "(+get ~string*)",
    "(~* +@read)",
    "(%R~list* +lmove &*)",
    "clearselectors",
    "wobble",
    "+wobble",
    "+@wobble",
    "+get|x",
    "-config|wobble",
    "(on)",
    "(+get",
    "~",
    "&",
    "",
];

/// Settings that both servers have, with the same values in both.
const SETTINGS: &[&str] = &[
    "hash-max-listpack-entries",
    "hash-max-ziplist-entries",
    "hash-max-listpack-value",
    "list-max-listpack-size",
    "set-max-intset-entries",
    "zset-max-listpack-entries",
    "zset-max-ziplist-value",
    "zset-max-*",
    "proto-max-bulk-len",
    "APPENDFSYNC",
    "notify-keyspace-events",
    "timeout",
    "hll-sparse-max-bytes",
    "stream-node-max-*",
    "requirepass",
];

pub(super) fn odd(rng: &mut Rng) -> Word {
    pick(ODD, rng).as_bytes().to_vec()
}

/// One of the choices of a template's word.
pub(super) fn one_of(word: &str, home: &str, rng: &mut Rng) -> Word {
    let choices: Vec<&str> = word.split('|').collect();
    let chosen = pick(&choices, rng);
    if chosen.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return from_vocabulary(chosen, home, rng);
    }
    // Keywords are taken in any case.
    match rng.below(20) {
        0 if chosen.bytes().all(|byte| byte.is_ascii_uppercase()) => chosen.to_ascii_lowercase().into_bytes(),
        _ => chosen.as_bytes().to_vec(),
    }
}

fn from_vocabulary(name: &str, home: &str, rng: &mut Rng) -> Word {
    let text = match name {
        "key" => {
            let home = if home.is_empty() || rng.one_in(8) { pick(HOMES, rng) } else { home };
            format!("{home}{}", rng.below(4))
        }
        // Keys that only commands for their kind write: what others do with them may differ.
        "sketch" => format!("sketch{}", rng.below(4)),
        "text" => format!("text{}", rng.below(3)),
        "lexkey" => format!("lex{}", rng.below(2)),
        "anykey" => {
            let kind = pick(&["key", "key", "key", "sketch", "text", "lexkey"], rng);
            return from_vocabulary(kind, home, rng);
        }
        "value" => return value(rng),
        "letters" => letters(rng, 40),
        "field" => format!("f{}", rng.below(8)),
        "member" => match rng.below(4) {
            0 => rng.below(30).to_string(),
            1 => format!("m{}", rng.below(1000)),
            _ => format!("m{}", rng.below(10)),
        },
        "int" if rng.one_in(10) => pick(ODD_NUMBERS, rng).to_owned(),
        "int" => match rng.below(3) {
            0 => signed(rng, 100_000).to_string(),
            _ => signed(rng, 20).to_string(),
        },
        "index" if rng.one_in(30) => pick(ODD_NUMBERS, rng).to_owned(),
        "index" => signed(rng, 12).to_string(),
        "count" if rng.one_in(20) => signed(rng, 1000).to_string(),
        "count" => signed(rng, 12).to_string(),
        "positive" if rng.one_in(20) => pick(ODD_NUMBERS, rng).to_owned(),
        "positive" => rng.below(12).to_string(),
        "offset" if rng.one_in(20) => pick(ODD_NUMBERS, rng).to_owned(),
        "offset" if rng.one_in(20) => rng.below(70_000).to_string(),
        "offset" => rng.below(60).to_string(),
        "bit" if rng.one_in(20) => pick(ODD_NUMBERS, rng).to_owned(),
        "bit" if rng.one_in(10) => rng.below(600_000).to_string(),
        "bit" => rng.below(80).to_string(),
        "bittype" => format!("{}{}", pick(&["u", "i"], rng), rng.below(66)),
        "nth" => format!("#{}", rng.below(20)),
        "float" => pick(
            &[
                "0", "1", "1.5", "-0.25", "3.0e-3", "1e10", "-7", "0.1", "100", "inf", "-inf", "nan", "x",
                "1e308", "0x1p3",
            ],
            rng,
        )
        .to_owned(),
        "score" => match rng.below(12) {
            0 => {
                pick(&["inf", "-inf", "+inf", "nan", "x", "", "1e308", "-1e308", "1e-300", "0x10", "-0"], rng)
                    .to_owned()
            }
            1 => format!("{}.{}", signed(rng, 10), rng.below(1000)),
            2 => signed(rng, 1 << 55).to_string(),
            _ => signed(rng, 10).to_string(),
        },
        "scorebound" => match rng.below(4) {
            0 => pick(&["-inf", "+inf", "inf", "(inf", "nan", "(x", "(", "x"], rng).to_owned(),
            1 => format!("({}", signed(rng, 10)),
            _ => signed(rng, 10).to_string(),
        },
        "lexbound" => match rng.below(4) {
            0 => pick(&["-", "+", "[", "(", "m1", "x"], rng).to_owned(),
            1 => format!("(m{}", rng.below(10)),
            _ => format!("[m{}", rng.below(10)),
        },
        "ttl" => seconds(rng, 1),
        "ttlms" => seconds(rng, 1000),
        "at" => moment(rng, 1),
        "atms" => moment(rng, 1000),
        "pattern" => {
            let patterns = [
                "*",
                "s*",
                "hash?",
                "[hl]*[0-2]",
                "*[13]",
                "s*r*0",
                "",
                "f*",
                "m*",
                "m[0-4]",
                r"\*",
                "[^s]*",
                "lex*",
                "string1",
            ];
            pick(&patterns, rng).to_owned()
        }
        "db" => pick(&["0", "0", "0", "1", "1", "2", "-1", "16", "x", "4294967296"], rng).to_owned(),
        "longitude" => match rng.below(20) {
            0 => pick(&["180", "-180", "180.1", "x", "nan", "inf"], rng).to_owned(),
            _ => format!("{:.6}", between(rng, -180.0, 180.0)),
        },
        "latitude" => match rng.below(20) {
            0 => pick(&["85.05112878", "-85.05112878", "85.06", "x", "-90"], rng).to_owned(),
            _ => format!("{:.6}", between(rng, -85.0, 85.0)),
        },
        "distance" => match rng.below(20) {
            0 => pick(&["0", "-1", "x", "nan", "1e400", "30000"], rng).to_owned(),
            _ => format!("{:.3}", between(rng, 0.0, 9000.0)),
        },
        "unit" => pick(&["m", "km", "km", "km", "ft", "mi", "KM", "parsec"], rng).to_owned(),
        "group" => format!("g{}", rng.below(2)),
        "consumer" => format!("c{}", rng.below(2)),
        "id" => match rng.below(16) {
            0 => pick(
                &["0", "0-0", "5", "x", "-1", "1-x", "18446744073709551615-18446744073709551615", "7-*", ""],
                rng,
            )
            .to_owned(),
            _ => format!("{}-{}", 1 + rng.below(30), rng.below(4)),
        },
        "idbound" => match rng.below(4) {
            0 => pick(&["-", "+", "0", "(5-1", "(3", "x", "(-", "9"], rng).to_owned(),
            _ => format!("{}-{}", rng.below(30), rng.below(4)),
        },
        "idle" => pick(&["0", "0", "0", "3600000", "-1", "x"], rng).to_owned(),
        // Short enough to wait for; never 0, which waits for ever. Nothing is too large: 7.0 takes that for negative.
        "timeout" => pick(&["0.001", "0.002", "0.01", "0.001", "-1", "x", "", "nan"], rng).to_owned(),
        "timeoutms" => pick(&["1", "2", "10", "-1", "x", ""], rng).to_owned(),
        "channel" => format!("news{}", rng.below(3)),
        "channelpattern" => pick(&["news*", "n*[01]", "news?", "*", "nothing", "news0"], rng).to_owned(),
        "script" => pick_pair(SCRIPTS, rng).0.to_owned(),
        "sha" if rng.one_in(10) => {
            pick(&["x", "", "0000000000000000000000000000000000000000"], rng).to_owned()
        }
        "sha" if rng.one_in(4) => pick_pair(SCRIPTS, rng).1.to_uppercase(),
        "sha" => pick_pair(SCRIPTS, rng).1.to_owned(),
        "library" => pick(LIBRARIES, rng).to_owned(),
        "libname" => format!("lib{}", rng.below(3)),
        "func" => format!("func{}", rng.below(4)),
        "user" => format!("user{}", rng.below(2)),
        "aclrule" => pick(ACL_RULES, rng).to_owned(),
        "setting" => pick(SETTINGS, rng).to_owned(),
        "junk" => return odd(rng),
        _ => panic!("the templates have no vocabulary {name:?}"),
    };
    text.into_bytes()
}

/// Strings of the kinds that are kept differently: empty, integers, short, long, binary, very long.
fn value(rng: &mut Rng) -> Word {
    match rng.below(60) {
        0 => Vec::new(),
        1 => vec![0xff; rng.below(60) as usize],
        2 => (0..rng.below(40)).map(|_| rng.below(256) as u8).collect(),
        3 => letters(rng, 200).into_bytes(),
        4 if rng.one_in(6) => vec![b'a' + rng.below(26) as u8; 16_000 + rng.below(60_000) as usize],
        5..20 => signed(rng, 1000).to_string().into_bytes(),
        20..22 => pick(ODD_NUMBERS, rng).as_bytes().to_vec(),
        22..24 => pick(&["1.5", "-0.25", "3e2", " 1", "inf"], rng).as_bytes().to_vec(),
        _ => letters(rng, 20).into_bytes(),
    }
}

fn letters(rng: &mut Rng, longest: u64) -> String {
    (0..rng.below(longest)).map(|_| char::from(b'a' + rng.below(4) as u8)).collect()
}

/// A time to live that outlives the run, or ends at once. No two are likely the same, so that GT and LT do not depend on
/// the millisecond.
fn seconds(rng: &mut Rng, factor: u64) -> String {
    match rng.below(12) {
        0 => pick(
            &["0", "-1", "x", "", "1.5", "9223372036854775807", "-9223372036854775808", "9223372036854775"],
            rng,
        )
        .to_owned(),
        _ => ((10_000 + rng.below(10_000_000)) * factor).to_string(),
    }
}

/// A moment after the year 2100, or one that has been.
fn moment(rng: &mut Rng, factor: u64) -> String {
    match rng.below(12) {
        0 => {
            pick(&["0", "-1", "1", "1000000", "x", "9223372036854775807", "9223372036854775"], rng).to_owned()
        }
        _ => ((4_102_444_800 + rng.below(10_000_000)) * factor).to_string(),
    }
}

fn signed(rng: &mut Rng, bound: u64) -> i64 {
    rng.below(2 * bound + 1).cast_signed() - bound.cast_signed()
}

fn between(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * (rng.below(1 << 53) as f64 / (1_u64 << 53) as f64)
}

fn pick_pair(choices: &[(&'static str, &'static str)], rng: &mut Rng) -> (&'static str, &'static str) {
    choices[rng.below(choices.len() as u64) as usize]
}

fn pick<'a>(choices: &[&'a str], rng: &mut Rng) -> &'a str {
    choices[rng.below(choices.len() as u64) as usize]
}
