//! Conversations that nobody has written: commands put together at random, said to a store and to a Redis server.

use kvdb_resp::{OwnedArgs, Value};
use kvdb_store::EventClasses;

use super::local::Local;
use super::notation::{Directive, show};
use super::oracle::Oracle;

/// Commands with a `|` between the choices for an argument; `K` is a key, `H` one of a hash, `S` of a set, `Z` of a sorted
/// set, `V` a value, `M` a member, `N` a number, `B` an offset in bits, `F` a field type, `T` a time to live that does not
/// end before the conversation does. Replies with the time that is left are no part of it, nor are the bytes of a sketch's
/// header, where KVDB does not keep what PFCOUNT computes.
const TEMPLATES: &[&str] = &[
    "GET K",
    "SET K V",
    "SET K V NX|XX|GET|KEEPTTL|EX|junk",
    "SET K V NX|XX|GET|KEEPTTL NX|XX|GET|KEEPTTL",
    "SET K V EX|PX|EXAT|PXAT T NX|XX|GET|KEEPTTL",
    "SET K N",
    "SETNX K V",
    "SETEX|PSETEX K T V",
    "GETSET K V",
    "GETDEL K",
    "GETEX K PERSIST",
    "GETEX K EX|PX|EXAT T",
    "MGET K K K",
    "MSET K V K V",
    "MSETNX K V K V",
    "APPEND K V",
    "STRLEN K",
    "SETRANGE K N V",
    "GETRANGE|SUBSTR K N N",
    "INCR|DECR K",
    "INCRBY|DECRBY K N",
    "INCRBYFLOAT K N|1.5|-0.25|1e10|inf|3.0e-3",
    "LCS K K LEN",
    "LCS K K IDX MINMATCHLEN N WITHMATCHLEN",
    "LCS K K",
    "SETBIT K B 0|1",
    "GETBIT K B",
    "BITCOUNT K",
    "BITCOUNT K N N BIT|BYTE",
    "BITPOS K 0|1",
    "BITPOS K 0|1 N",
    "BITPOS K 0|1 N N BIT|BYTE",
    "BITOP AND|OR|XOR|NOT K K",
    "BITOP AND|OR|XOR K K K K",
    "BITFIELD K GET F B SET F B N OVERFLOW WRAP|SAT|FAIL INCRBY F B N SET F B N GET F B",
    "BITFIELD K OVERFLOW SAT|FAIL INCRBY F #N N INCRBY F #N N",
    "BITFIELD_RO K GET F B GET F B",
    "PFADD P V V N N",
    "PFADD P N",
    "PFCOUNT P",
    "PFCOUNT P P P",
    "PFMERGE P P P",
    "PFDEBUG TODENSE|DECODE|ENCODING P",
    "PFCOUNT K",
    "GETRANGE P 16 -1",
    "PERSIST K",
    "EXISTS K",
    "HSET H V V",
    "HSET H N V V N",
    "HSET H V V V",
    "HSETNX H V V",
    "HMSET H V V N N",
    "HGET|HEXISTS|HSTRLEN H V",
    "HMGET H V N V",
    "HDEL H V N",
    "HLEN H",
    "HINCRBY H N N",
    "HINCRBY H V N",
    "HINCRBYFLOAT H N N|1.5|-0.25|1e10|inf|3.0e-3",
    "HRANDFIELD H N|junk WITHVALUES extra",
    "HSCAN H 0 COUNT 1000 MATCH nothing*",
    "HGET|HDEL K V",
    "HSET K V V",
    "TYPE H",
    "RENAME H H",
    "COPY H H REPLACE",
    "DEL H",
    "LPUSH|RPUSH L V N",
    "LPUSH|RPUSH L N N N V V V V N N",
    "LPUSHX|RPUSHX L V V",
    "LPOP|RPOP L",
    "LPOP|RPOP L N",
    "LLEN L",
    "LRANGE L N N",
    "LRANGE L 0 -1",
    "LINDEX L N",
    "LSET L N V",
    "LINSERT L BEFORE|AFTER|junk N V",
    "LINSERT L BEFORE|AFTER V N",
    "LREM L N N",
    "LREM L N V",
    "LTRIM L N N",
    "LPOS L N RANK 1|2|-1|-2|0|x|-9223372036854775807 COUNT|MAXLEN N",
    "LPOS L N COUNT|MAXLEN N MAXLEN|COUNT N",
    "LPOS L V COUNT N",
    "LMOVE L L LEFT|RIGHT LEFT|RIGHT",
    "RPOPLPUSH L L",
    "LMPOP 1|2|3 L L LEFT|RIGHT COUNT N",
    "LMPOP 2 L L LEFT|RIGHT",
    "LPUSH|LLEN K V",
    "RENAME L L",
    "COPY L L REPLACE",
    "BLPOP|BRPOP L L 0.01",
    "BLMOVE L L LEFT|RIGHT LEFT|RIGHT 0.01",
    "BLMPOP 0.01 2 L L LEFT|RIGHT COUNT N",
    "RENAME|RENAMENX K H",
    "RENAME|RENAMENX L K",
    "COPY K K",
    "COPY K L DB 1 REPLACE",
    "COPY L K DB 0",
    "MOVE K 0|1",
    "MOVE H 0|1",
    "DEL|UNLINK K L K P",
    "EXPIRE|PEXPIRE|EXPIREAT|PEXPIREAT K T",
    "EXPIRE|PEXPIRE|EXPIREAT|PEXPIREAT H T NX|XX",
    "PERSIST H",
    "TYPE|TTL|EXPIRETIME|DUMP N",
    "OBJECT ENCODING|REFCOUNT N",
    "TOUCH|EXISTS K H L K",
    "SELECT 0|1",
    "MULTI",
    "EXEC",
    "EXEC",
    "EXEC",
    "DISCARD",
];

/// Likewise, of sets.
const SETS: &[&str] = &[
    "SADD S M",
    "SADD S M M M",
    "SADD S M M M M M M M M M M",
    "SREM S M M",
    "SISMEMBER S M",
    "SMISMEMBER S M M M",
    "SCARD S",
    "SMEMBERS S",
    "SMOVE S S M",
    "SMOVE S K M",
    "SPOP S 100",
    "SPOP S 1|junk extra",
    "SRANDMEMBER S 100",
    "SRANDMEMBER S -3 extra",
    "SINTER|SUNION|SDIFF S S",
    "SINTER|SUNION|SDIFF S S S",
    "SINTER|SUNION|SDIFF S K S",
    "SINTERSTORE|SUNIONSTORE|SDIFFSTORE S S S",
    "SINTERSTORE|SUNIONSTORE|SDIFFSTORE S S S S",
    "SINTERSTORE|SUNIONSTORE|SDIFFSTORE S K S",
    "SINTERCARD 2 S S",
    "SINTERCARD 3 S S S LIMIT N",
    "SINTERCARD N S S LIMIT|junk 1",
    "SSCAN S 0 COUNT 100",
    "SSCAN S 0 MATCH 1* COUNT 100",
    "SSCAN S x|0 COUNT|TYPE 0|-1|x",
    "SADD|SREM|SISMEMBER|SMISMEMBER K M",
    "SCARD|SMEMBERS K",
    "SET K V",
    "DEL S",
    "RENAME S S",
    "COPY S S REPLACE",
];

/// Likewise, of sorted sets; `X` is a score, `E` an end of a range of scores and `A` one of members. Those of the keys `Y`
/// have members of one score.
const SORTED_SETS: &[&str] = &[
    "ZADD Z X M",
    "ZADD Z X M X M X M",
    "ZADD Z X M X M X M X M X M X M X M X M",
    "ZADD Z NX|XX|GT|LT|CH|INCR X M",
    "ZADD Z NX|XX|GT|LT|CH NX|XX|GT|LT|CH|INCR X M X M",
    "ZADD Z NX|XX|GT|LT|CH NX|XX|GT|LT|CH|INCR X|x M",
    "ZADD Y 1 M 1 M 1 M",
    "ZINCRBY Z X|nx M",
    "ZREM Z M M",
    "ZREM Y M",
    "ZSCORE Z M",
    "ZMSCORE Z M M M",
    "ZCARD Z",
    "ZCOUNT Z E E",
    "ZLEXCOUNT Y A A",
    "ZRANK|ZREVRANK Z M",
    "ZRANGE Z N N",
    "ZRANGE Z N N WITHSCORES|REV|junk",
    "ZRANGE Z N N REV WITHSCORES",
    "ZRANGE Z 0 -1 WITHSCORES",
    "ZRANGE Z E E BYSCORE",
    "ZRANGE Z E E BYSCORE REV|WITHSCORES LIMIT 0|1|2|-1 0|1|2|-1|-2",
    "ZRANGE Y A A BYLEX",
    "ZRANGE Y A A BYLEX REV LIMIT 0|1|2 1|2|-1",
    "ZRANGE Z N N LIMIT|BYSCORE|BYLEX 0|WITHSCORES 1|LIMIT",
    "ZRANGEBYSCORE|ZREVRANGEBYSCORE Z E E",
    "ZRANGEBYSCORE|ZREVRANGEBYSCORE Z E E WITHSCORES|REV LIMIT 1 2",
    "ZRANGEBYLEX|ZREVRANGEBYLEX Y A A",
    "ZRANGEBYLEX|ZREVRANGEBYLEX Y A A LIMIT|WITHSCORES 1 2",
    "ZREVRANGE Z N N",
    "ZREVRANGE Z N N WITHSCORES",
    "ZRANGESTORE Z Z N N",
    "ZRANGESTORE Z Z E E BYSCORE",
    "ZRANGESTORE Z Z E E BYSCORE REV LIMIT 1 2",
    "ZRANGESTORE Y Y A A BYLEX",
    "ZREMRANGEBYRANK Z N N",
    "ZREMRANGEBYSCORE Z E E",
    "ZREMRANGEBYLEX Y A A",
    "ZPOPMIN|ZPOPMAX Z",
    "ZPOPMIN|ZPOPMAX Z 0|1|2|-1|x",
    "ZMPOP 2 Z Z MIN|MAX|junk COUNT 0|1|2|x",
    "ZMPOP 0|1|2|3|x Z Z MIN|MAX",
    "ZRANDMEMBER Z 100 WITHSCORES",
    "ZRANDMEMBER Z -3 junk",
    "ZUNION|ZINTER|ZDIFF 2 Z Z WITHSCORES",
    "ZUNION|ZINTER|ZDIFF 3 Z S Z WITHSCORES",
    "ZUNION|ZINTER 2 Z Z WEIGHTS X X AGGREGATE SUM|MIN|MAX WITHSCORES",
    "ZUNION|ZINTER 2 Z Z AGGREGATE sum|x",
    "ZUNION|ZINTER|ZDIFF 0|1|2|3|x Z Z WITHSCORES|WEIGHTS",
    "ZUNIONSTORE|ZINTERSTORE|ZDIFFSTORE Z 2 Z Z",
    "ZUNIONSTORE|ZINTERSTORE Z 3 Z S Z WEIGHTS X X X AGGREGATE SUM|MIN|MAX",
    "ZUNIONSTORE|ZINTERSTORE|ZDIFFSTORE Z 2 Z K WITHSCORES",
    "ZINTERCARD 2 Z Z LIMIT 0|1|2|-1|x",
    "ZINTERCARD 2 Z S",
    "ZSCAN Z 0 COUNT 100",
    "ZSCAN Z x|0 COUNT|TYPE 0|-1|x",
    "ZADD K X M",
    "ZREM|ZSCORE|ZRANK K M",
    "ZCARD|ZPOPMIN K",
    "ZRANGE|ZCOUNT K 0 1",
    "SET K V",
    "SADD S M M M",
    "DEL Z",
    "DEL Y",
    "RENAME Z Z",
    "COPY Z Z REPLACE",
];

/// Likewise, of streams: `XS` is the key of one, `AI` an id for a new entry, `I` an id, `G` a group, `C` a consumer. When
/// consumers were seen, and for how long entries wait, is no part of it, nor how many consumers a group has, which Redis
/// 7.0 makes only when they get something.
const STREAMS: &[&str] = &[
    "XADD XS AI V V",
    "XADD XS AI V V N N",
    "XADD XS AI f V",
    "XADD XS AI f V",
    "XADD XS MAXLEN|MINID =|~|7 AI AI V V",
    "XADD XS NOMKSTREAM MAXLEN N AI V V",
    "XLEN XS",
    "XRANGE XS I I",
    "XRANGE XS - + COUNT N",
    "XREVRANGE XS I I COUNT N",
    "XREVRANGE XS + -",
    "XDEL XS I I",
    "XTRIM XS MAXLEN N",
    "XTRIM XS MINID I",
    "XSETID XS 20-40|x",
    "XSETID XS 20-40|20-60 ENTRIESADDED N MAXDELETEDID I",
    "XREAD COUNT N STREAMS XS XS I I",
    "XREAD STREAMS XS I",
    "XGROUP CREATE XS G I MKSTREAM|junk",
    "XGROUP CREATE XS G 0",
    "XGROUP CREATE XS G $ ENTRIESREAD N",
    "XGROUP SETID XS G I ENTRIESREAD N",
    "XGROUP DESTROY XS G",
    "XGROUP DELCONSUMER XS G C",
    "XREADGROUP GROUP G C COUNT N STREAMS XS >",
    "XREADGROUP GROUP G C COUNT N STREAMS XS >",
    "XREADGROUP GROUP G C NOACK COUNT 1|2 STREAMS XS >",
    "XREADGROUP GROUP G C COUNT N STREAMS XS I",
    "XREADGROUP GROUP G C STREAMS XS XS > >|0",
    "XACK XS G I I I",
    "XPENDING XS G",
    "XPENDING XS G IDLE 3600000 I I N C",
    "XCLAIM XS G C 0 I I I",
    "XCLAIM XS G C 0 I I I FORCE|JUSTID",
    "XCLAIM XS G C 3600000|-1 I FORCE JUSTID|RETRYCOUNT N",
    "XAUTOCLAIM XS G C 0 I COUNT 7|1|2|0 JUSTID",
    "XAUTOCLAIM XS G C 0|3600000 I",
    "XADD|XRANGE|XTRIM K 1-1 f v",
    "DEL XS",
    "RENAME XS XS",
    "COPY XS XS REPLACE",
];

/// Commands whose replies have no order.
const UNORDERED: &[&str] =
    &["SMEMBERS", "SPOP", "SRANDMEMBER", "SINTER", "SUNION", "SDIFF", "SSCAN", "ZSCAN"];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn command(&mut self, templates: &[&str]) -> OwnedArgs {
        let template = self.pick(templates);
        template.split(' ').map(|word| self.word(word)).collect()
    }

    fn word(&mut self, word: &str) -> Vec<u8> {
        let numbers = ["0", "1", "-1", "2", "3", "7", "8", "-8", "15", "64", "100", "-100", "1000", "66000"];
        let odd_numbers =
            ["9223372036854775807", "-9223372036854775808", "9223372036854775808", "x", "", "01"];
        match word {
            "K" => format!("key{}", self.below(5)).into_bytes(),
            "H" => format!("hash{}", self.below(4)).into_bytes(),
            "L" => format!("list{}", self.below(4)).into_bytes(),
            "S" => format!("set{}", self.below(5)).into_bytes(),
            "Z" => format!("sorted{}", self.below(5)).into_bytes(),
            "Y" => format!("same{}", self.below(2)).into_bytes(),
            "X" if self.below(12) == 0 => {
                self.pick(&["inf", "-inf", "nan", "x", "", " 1", "1e3", "0x10"]).into()
            }
            "X" => format!("{}", (self.below(20) as f64 - 6.0) / 2.0).into_bytes(),
            "E" if self.below(4) == 0 => {
                self.pick(&["-inf", "+inf", "(0", "(1.5", "(-inf", "nan", "x", "", " 1"]).into()
            }
            "E" => format!("{}", (self.below(20) as f64 - 6.0) / 2.0).into_bytes(),
            "A" if self.below(3) == 0 => self.pick(&["-", "+", "[", "(", "x", "", "[m", "(m5", "+x"]).into(),
            "A" => [self.pick(&["[", "("]).as_bytes(), &self.word("M")].concat(),
            "M" => match self.below(8) {
                0..3 => self.below(15).to_string().into_bytes(),
                3 => self.pick(&["", "-1", "01", "70000", "-3000000000", "9223372036854775807"]).into(),
                4 if self.below(4) == 0 => vec![b'm'; 60 + self.below(8)],
                _ => format!("m{}", self.below(12)).into_bytes(),
            },
            "XS" => format!("stream{}", self.below(3)).into_bytes(),
            "G" => self.pick(&["g", "group"]).into(),
            "C" => self.pick(&["alice", "bob", "carol"]).into(),
            // Ids of entries to be added: few of them go back.
            "AI" if self.below(3) > 0 => "20-*".into(),
            "AI" => format!("{}-{}", self.below(21), self.pick(&["*", "0", "1", "5", "x"])).into_bytes(),
            "I" if self.below(8) == 0 => self
                .pick(&[
                    "-",
                    "+",
                    "(",
                    "(3",
                    "(20-2",
                    "x",
                    "$",
                    ">",
                    "5",
                    "20",
                    "0-0",
                    "18446744073709551615-18446744073709551615",
                ])
                .into(),
            "I" if self.below(2) == 0 => format!("20-{}", self.below(30)).into_bytes(),
            "I" => format!("{}-{}", self.below(22), self.below(6)).into_bytes(),
            "P" => format!("sketch{}", self.below(4)).into_bytes(),
            "F" => format!("{}{}", self.pick(&["u", "i"]), self.below(66)).into_bytes(),
            "B" if self.below(10) == 0 => self.pick(&odd_numbers[2..]).into(),
            "B" if self.below(4) == 0 => self.below(600_000).to_string().into_bytes(),
            "B" => self.below(70).to_string().into_bytes(),
            "N" if self.below(10) == 0 => self.pick(&odd_numbers).into(),
            "N" => self.pick(&numbers).into(),
            "T" => self.pick(&["1000000", "86400000", "0", "-1", "x", "9223372036854775807"]).into(),
            "#N" => format!("#{}", self.below(20)).into_bytes(),
            "V" => match self.below(8) {
                0 => Vec::new(),
                1 => self.below(100_000).to_string().into_bytes(),
                2 => vec![0xff; self.below(40)],
                // Beyond what is kept in place, and beyond what is kept in one row.
                3 if self.below(4) == 0 => vec![b'a' + self.below(26) as u8; 16_000 + self.below(60_000)],
                _ => (0..self.below(20)).map(|_| b'a' + self.below(4) as u8).collect(),
            },
            choices => {
                let choices: Vec<&str> = choices.split('|').collect();
                self.pick(&choices).into()
            }
        }
    }
}

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
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut local = Local::new();
    let families = [TEMPLATES, SETS, SORTED_SETS, STREAMS];
    for number in 0..commands {
        match random.below(300) {
            0 => local.direct(Directive::Reopen),
            1 => local.direct(Directive::Evict),
            2..12 => local.make_room(random.below(2) == 0, random.below(3)),
            12 => local.direct(Directive::Advance(2_000_000_000)),
            _ => {}
        }
        let family = random.below(families.len());
        let command = random.command(families[family]);
        local.run(command.as_args());
        if number % 8 == 0 {
            local.check_accounts();
        }
    }
    local.make_room(false, 0);
    local.check_accounts();
}

/// Says `commands` random commands to both and returns where the replies, or the events of keys, differ first. Objects are dropped and the store
/// is reopened now and then, which no reply may show.
pub(super) fn compare(address: &str, seed: u64, commands: usize) -> Result<(), String> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
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
