//! Commands put together at random, or from bytes that somebody else has chosen.

use std::collections::VecDeque;

use kvdb_resp::OwnedArgs;

/// Commands with a `|` between the choices for an argument; `K` is a key, `H` one of a hash, `S` of a set, `Z` of a sorted
/// set, `FH` of a hash whose fields die, `V` a value, `M` a member, `N` a number, `B` an offset in bits, `F` a field type, `T` a time to live that does not
/// end before the conversation does. Replies with the time that is left are no part of it, nor are the bytes of a sketch's
/// header, where KVDB does not keep what PFCOUNT computes.
pub(super) const TEMPLATES: &[&str] = &[
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
pub(super) const SETS: &[&str] = &[
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
pub(super) const SORTED_SETS: &[&str] = &[
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
pub(super) const STREAMS: &[&str] = &[
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

/// Likewise, of deadlines of fields, which Redis has from 7.4 on.
pub(super) const FIELD_DEADLINES: &[&str] = &[
    "HSET FH V V N V",
    "HSET FH V V N V",
    "HSETEX FH EX|PX N FIELDS 2 V V N V",
    "HSETEX FH FNX|FXX|KEEPTTL FIELDS 1 V V",
    "HEXPIRE|HPEXPIRE FH N NX|XX|GT|LT FIELDS 2 V N",
    "HEXPIRE|HPEXPIRE FH N FIELDS 2 V N",
    "HPERSIST|HPTTL|HGETDEL FH FIELDS 2 V N",
    "HGETEX FH PERSIST FIELDS 1 V",
    "HGETEX FH PX N FIELDS 1 V",
    "HDEL FH V N",
    "HINCRBY FH N N",
    "HGETALL|HLEN FH",
    "EXPIRE FH T",
    "PERSIST FH",
    "COPY FH FH REPLACE",
    "RENAME FH FH",
    "MOVE FH 0|1",
    "SET FH V",
    "DEL FH",
    "SWAPDB 0 1",
    "FLUSHDB SYNC",
];

/// Likewise, of geographic indexes, which are sorted sets.
pub(super) const GEO: &[&str] = &[
    "GEOADD geo 13.361389|0|-170.5 38.115556|0|-85 M",
    "GEOADD geo 2.35|15.08 48.85|37.5 M 1|2 1|2 M",
    "GEOSEARCHSTORE Z geo FROMLONLAT 15 37 BYRADIUS 200|9000 km STOREDIST",
    "ZREM geo M M",
    "DEL geo",
];

/// All of them.
pub(super) const FAMILIES: [&[&str]; 6] = [TEMPLATES, SETS, SORTED_SETS, STREAMS, FIELD_DEADLINES, GEO];

/// Where choices come from.
pub(super) enum Random {
    /// The state of a generator.
    Seeded(u64),
    /// Bytes, and zeros behind the last of them.
    Given(VecDeque<u8>),
}

impl Random {
    /// A generator that gives the same for the same seed.
    pub(super) fn new(seed: u64) -> Self {
        Self::Seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Choices that are these bytes.
    pub(super) fn given(bytes: &[u8]) -> Self {
        Self::Given(bytes.iter().copied().collect())
    }

    /// Whether there are no more bytes.
    pub(super) fn is_exhausted(&self) -> bool {
        matches!(self, Self::Given(bytes) if bytes.is_empty())
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        match self {
            Self::Seeded(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                (*state % bound as u64) as usize
            }
            Self::Given(bytes) => {
                let mut next = || usize::from(bytes.pop_front().unwrap_or_default());
                let drawn = if bound <= 256 { next() } else { next() << 16 | next() << 8 | next() };
                drawn % bound
            }
        }
    }

    pub(super) fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    pub(super) fn command(&mut self, templates: &[&str]) -> OwnedArgs {
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
            "FH" => format!("fading{}", self.below(4)).into_bytes(),
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
