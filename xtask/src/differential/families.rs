//! The commands, family by family, as Redis 7.0 documents them, in the language of [templates](super::template).
//!
//! Options that a command refuses together are put together too. Some things are left out because their outcome is not
//! defined closely enough to be compared: trimming with `~`, SORT BY nosort and by texts that may be missing, ranges by name
//! over members of different scores (hence `lexkey`, whose scores nothing bends), bytes of a HyperLogLog (hence `sketch`),
//! the idle time of small integers, which Redis shares between keys, and selectors of users that begin in others (see
//! [`is_read_in_two_ways`](super::settle::is_read_in_two_ways)). Some limits were tightened after 7.0 (the least RANK of
//! LPOS, the longest timeouts): nothing goes beyond them.

use super::more_families::MORE;

/// Commands that belong together.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    /// What the names of most of its keys begin with, so that a command mostly finds a value of its own type; nothing for
    /// commands of any type.
    pub(super) home: &'static str,
    pub(super) templates: &'static [&'static str],
    /// Those that undo much of what others build up: one in fifty of the family's commands.
    pub(super) rare: &'static [&'static str],
}

/// What a server knows of a family.
#[derive(Debug)]
pub(super) struct Repertoire {
    pub(super) name: &'static str,
    pub(super) home: &'static str,
    pub(super) templates: Vec<&'static str>,
    pub(super) rare: Vec<&'static str>,
}

impl Family {
    /// Leaves out the templates of commands that `is_known` does not know.
    pub(super) fn known<E>(
        &self,
        is_known: &mut impl FnMut(&str) -> Result<bool, E>,
    ) -> Result<Repertoire, E> {
        let mut known = |templates: &[&'static str]| -> Result<Vec<&'static str>, E> {
            let mut known = Vec::new();
            for template in templates {
                let names = template.trim_start_matches('!').split(' ').next().unwrap_or_default();
                let mut all = true;
                for name in names.split('|') {
                    all = all && (name == NO_COMMAND || is_known(name)?);
                }
                if all {
                    known.push(*template);
                }
            }
            Ok(known)
        };
        Ok(Repertoire {
            name: self.name,
            home: self.home,
            templates: known(self.templates)?,
            rare: known(self.rare)?,
        })
    }
}

/// A name that no server knows.
const NO_COMMAND: &str = "WOBBLE";

/// The family whose commands enclose those of others.
pub(super) const TRANSACTIONS: &str = "transactions";

const FAMILIES: &[Family] = &[
    Family {
        name: "strings",
        home: "string",
        templates: &[
            "GET key",
            "SET key value",
            "SET key int",
            "SET key value [ NX|XX ] [ GET ] [ < EX ttl / PX ttlms / EXAT at / PXAT atms / KEEPTTL / junk > ]",
            "SET key value NX|XX|GET|KEEPTTL NX|XX|GET|KEEPTTL",
            "SETNX key value",
            "SETEX key ttl value",
            "PSETEX key ttlms value",
            "GETSET key value",
            "GETDEL key",
            "GETEX key [ < EX ttl / PX ttlms / EXAT at / PXAT atms / PERSIST / PERSIST EX ttl > ]",
            "MGET { anykey }",
            "MSET { key value }",
            "MSETNX { key value }",
            "APPEND key value",
            "STRLEN key",
            "SETRANGE key offset value",
            "GETRANGE|SUBSTR key index index",
            "INCR|DECR key",
            "INCRBY|DECRBY key int",
            "INCRBYFLOAT key float",
            "SET text letters",
            "!LCS text text [ LEN ] [ IDX ] [ MINMATCHLEN count ] [ WITHMATCHLEN ]",
            "!LCS text key LEN",
        ],
        rare: &[],
    },
    Family {
        name: "bitmaps",
        home: "string",
        templates: &[
            "SETBIT key bit 0|1",
            "SETBIT key bit int",
            "GETBIT key bit",
            "BITCOUNT key [ index index [ BIT|BYTE ] ]",
            "BITPOS key 0|1 [ index [ index [ BIT|BYTE ] ] ]",
            "BITOP AND|OR|XOR|NOT key { key }",
            "BITOP NOT key key",
            "BITFIELD key { < GET bittype bit|nth / SET bittype bit|nth int / INCRBY bittype bit|nth int / OVERFLOW WRAP|SAT|FAIL > }",
            "BITFIELD_RO key { GET bittype bit|nth }",
        ],
        rare: &[],
    },
    Family {
        name: "hyperloglogs",
        home: "string",
        templates: &[
            "PFADD sketch { value }",
            "PFADD sketch",
            "PFCOUNT { sketch }",
            "PFCOUNT key",
            "PFMERGE sketch { sketch }",
            "!PFMERGE sketch key",
            "!PFDEBUG ENCODING|DECODE|TODENSE sketch",
            "!STRLEN sketch",
            "!COPY sketch sketch [ REPLACE ]",
        ],
        rare: &["!PFDEBUG GETREG sketch"],
    },
    Family {
        name: "keys",
        home: "",
        templates: &[
            "DEL|UNLINK { anykey }",
            "EXISTS|TOUCH { anykey }",
            "TYPE anykey",
            "RENAME|RENAMENX key key",
            "RENAME sketch sketch",
            "COPY key key [ DB db ] [ REPLACE ]",
            "MOVE anykey db",
            "KEYS pattern",
            "RANDOMKEY",
            "SCAN 0 [ MATCH pattern ] [ COUNT positive ] [ TYPE STRING|LIST|SET|ZSET|HASH|STREAM|WOBBLE ]",
            "DBSIZE",
            "OBJECT ENCODING anykey",
            "OBJECT IDLETIME sketch",
            "OBJECT FREQ anykey",
            "OBJECT junk key",
            "SELECT db",
            "RESTORE key ttlms value [ REPLACE ] [ ABSTTL ]",
        ],
        rare: &["FLUSHDB [ SYNC ]", "FLUSHALL [ SYNC ]", "SWAPDB db db", "SELECT 0", "SELECT 0", "SELECT 0"],
    },
    Family {
        name: "expiry",
        home: "",
        templates: &[
            "EXPIRE anykey ttl [ NX|XX|GT|LT ]",
            "PEXPIRE anykey ttlms [ NX|XX|GT|LT ]",
            "EXPIREAT anykey at [ NX|XX|GT|LT ]",
            "PEXPIREAT anykey atms [ NX|XX|GT|LT ]",
            "EXPIRE anykey ttl NX|XX|GT|LT NX|XX|GT|LT",
            "PERSIST anykey",
            "TTL|PTTL anykey",
            "EXPIRETIME|PEXPIRETIME anykey",
        ],
        rare: &[],
    },
    Family {
        name: "connection",
        home: "",
        templates: &[
            "PING [ value ]",
            "ECHO value",
            "CLIENT SETNAME field|value",
            "CLIENT GETNAME",
            "CLIENT NO-EVICT ON|OFF|junk",
            "CLIENT junk",
            "WOBBLE letters int|letters",
            "SELECT 0",
        ],
        rare: &[],
    },
    Family {
        name: "hashes",
        home: "hash",
        templates: &[
            "HSET key { field value }",
            "HSET key { value value }",
            "HMSET key { field value }",
            "HSETNX key field value",
            "HGET key field",
            "HMGET key { field }",
            "HGETALL|HKEYS|HVALS|HLEN key",
            "HDEL key { field }",
            "HEXISTS|HSTRLEN key field",
            "HSET key field int",
            "HINCRBY key field int",
            "HINCRBYFLOAT key field float",
            "!HRANDFIELD key [ count [ WITHVALUES ] ]",
            "HSCAN key 0 [ MATCH pattern ] [ COUNT positive ]",
        ],
        rare: &[],
    },
    Family {
        name: "lists",
        home: "list",
        templates: &[
            "LPUSH|RPUSH key { value }",
            "LPUSH|RPUSH key { member }",
            "LPUSHX|RPUSHX key { value }",
            "LPOP|RPOP key [ positive ]",
            "LLEN key",
            "LINDEX key index",
            "LSET key index value",
            "LINSERT key BEFORE|AFTER member value",
            "LRANGE key index index",
            "LREM key index member",
            "LTRIM key index index",
            "LPOS key member [ COUNT positive ] [ MAXLEN positive ]",
            "!LPOS key member RANK count [ COUNT positive ] [ MAXLEN positive ]",
            "LMOVE key key LEFT|RIGHT LEFT|RIGHT",
            "RPOPLPUSH key key",
            "LMPOP #{ key } LEFT|RIGHT [ COUNT positive ]",
            "!BLPOP|BRPOP { key } timeout",
            "!BLMOVE key key LEFT|RIGHT LEFT|RIGHT timeout",
            "!BRPOPLPUSH key key timeout",
            "!BLMPOP timeout #{ key } LEFT|RIGHT [ COUNT count ]",
        ],
        rare: &[],
    },
    Family {
        name: "sort",
        home: "list",
        templates: &[
            "RPUSH|LPUSH key { positive }",
            "RPUSH key { member }",
            "SADD set0|set1 { positive }",
            "ZADD zset0|zset1 score positive",
            "SET string0|string1|string2|string3 positive",
            "HSET hash0|hash1|hash2 f0|f1 positive",
            "DEL string0|string1|hash1|key",
            "SORT|SORT_RO key [ BY string*|hash*->f0 ] [ LIMIT index index ] [ GET string*|hash*->f1|# ] [ ASC|DESC ]",
            "SORT|SORT_RO set0|set1|zset0|zset1 [ BY string*|hash*->f0 ] [ LIMIT index index ] [ GET string*|# ] [ ASC|DESC ]",
            "SORT|SORT_RO key [ LIMIT index index ] [ GET string*|# ] [ GET NOTHING ] [ ASC|DESC ] ALPHA",
            "SORT|SORT_RO key|zset0|zset1 BY NOSORT [ LIMIT index index ] [ GET string*|# ] [ ASC|DESC ]",
            "SORT|SORT_RO lexkey BY NOSORT [ LIMIT index index ] [ GET string*|# ] [ ASC|DESC ]",
            "SORT key|set0|zset0 [ LIMIT index index ] [ GET string*|hash*->f0 ] [ ASC|DESC ] ALPHA STORE key",
            "SORT key [ BY string* ] [ LIMIT index index ] [ ASC|DESC ] STORE key|string1",
            "SORT_RO key STORE key",
        ],
        rare: &[],
    },
    Family {
        name: "sets",
        home: "set",
        templates: &[
            "SADD key { member }",
            "SADD key { positive }",
            "SADD key { value }",
            "SREM key { member }",
            "SMEMBERS|SCARD key",
            "SISMEMBER key member",
            "SMISMEMBER key { member }",
            "SMOVE key key member",
            "!SPOP key [ count ]",
            "!SRANDMEMBER key [ count ]",
            "SINTER|SUNION|SDIFF { key }",
            "SINTERSTORE|SUNIONSTORE|SDIFFSTORE key { key }",
            "SINTERCARD #{ key } [ LIMIT positive ]",
            "SSCAN key 0 [ MATCH pattern ] [ COUNT positive ]",
        ],
        rare: &[],
    },
    Family {
        name: "sorted-sets",
        home: "zset",
        templates: &[
            "ZADD key [ NX|XX ] [ GT|LT ] [ CH ] { score member }",
            "ZADD key [ NX|XX ] [ GT|LT ] INCR score member",
            "!ZADD lexkey { 0 member }",
            "ZCARD key",
            "ZCOUNT key scorebound scorebound",
            "ZINCRBY key score member",
            "ZSCORE key member",
            "!ZRANK|ZREVRANK key member",
            "ZMSCORE key { member }",
            "ZREM key { member }",
            "ZPOPMIN|ZPOPMAX key [ positive ]",
            "ZMPOP #{ key } MIN|MAX [ COUNT positive ]",
            "!BZPOPMIN|BZPOPMAX { key } timeout",
            "!BZMPOP timeout #{ key } MIN|MAX [ COUNT count ]",
            "!ZRANDMEMBER key [ count [ WITHSCORES ] ]",
            "ZRANGE key index index [ REV ] [ WITHSCORES ]",
            "ZRANGE key scorebound scorebound BYSCORE [ REV ] [ LIMIT index index ] [ WITHSCORES ]",
            "ZRANGE lexkey lexbound lexbound BYLEX [ REV ] [ LIMIT index index ]",
            "ZRANGE key index index [ BYLEX ] [ BYSCORE ] [ LIMIT index index ]",
            "ZRANGESTORE key key index index [ REV ]",
            "ZRANGESTORE key key scorebound scorebound BYSCORE [ REV ] [ LIMIT index index ]",
            "ZRANGEBYSCORE|ZREVRANGEBYSCORE key scorebound scorebound [ WITHSCORES ] [ LIMIT index index ]",
            "ZRANGEBYLEX|ZREVRANGEBYLEX lexkey lexbound lexbound [ LIMIT index index ]",
            "ZREVRANGE key index index [ WITHSCORES ]",
            "ZLEXCOUNT|ZREMRANGEBYLEX lexkey lexbound lexbound",
            "ZREMRANGEBYRANK key index index",
            "ZREMRANGEBYSCORE key scorebound scorebound",
            "ZUNION|ZINTER #{ key } [ AGGREGATE SUM|MIN|MAX ] [ WITHSCORES ]",
            "ZUNION|ZINTER 2 key key WEIGHTS float float [ AGGREGATE SUM|MIN|MAX ] [ WITHSCORES ]",
            "ZUNIONSTORE|ZINTERSTORE key #{ key } [ AGGREGATE SUM|MIN|MAX ]",
            "ZUNIONSTORE|ZINTERSTORE key 2 key key WEIGHTS float float",
            "ZDIFF #{ key } [ WITHSCORES ]",
            "ZDIFFSTORE key #{ key }",
            "ZINTERCARD #{ key } [ LIMIT positive ]",
            "ZSCAN key 0 [ MATCH pattern ] [ COUNT positive ]",
        ],
        rare: &[],
    },
    Family {
        name: "geo",
        home: "zset",
        templates: &[
            "GEOADD key [ NX|XX ] [ CH ] { longitude latitude member }",
            "GEOADD key { longitude latitude member }",
            "GEOPOS|GEOHASH key { member }",
            "GEODIST key member member [ unit ]",
            "GEOSEARCH key < FROMMEMBER member / FROMLONLAT longitude latitude > < BYRADIUS distance unit / \
             BYBOX distance distance unit > [ ASC|DESC ] [ COUNT positive [ ANY ] ] [ WITHCOORD ] [ WITHDIST ] [ WITHHASH ]",
            "GEOSEARCHSTORE key key < FROMMEMBER member / FROMLONLAT longitude latitude > < BYRADIUS distance unit / \
             BYBOX distance distance unit > [ ASC|DESC ] [ COUNT positive ] [ STOREDIST ]",
            "GEORADIUS|GEORADIUS_RO key longitude latitude distance unit [ WITHCOORD ] [ WITHDIST ] [ WITHHASH ] \
             [ COUNT positive [ ANY ] ] [ ASC|DESC ]",
            "GEORADIUSBYMEMBER|GEORADIUSBYMEMBER_RO key member distance unit [ WITHCOORD ] [ WITHDIST ] [ WITHHASH ] \
             [ COUNT positive ] [ ASC|DESC ]",
            "GEORADIUS key longitude latitude distance unit [ COUNT positive ] STORE|STOREDIST key",
            "GEORADIUSBYMEMBER key member distance unit [ COUNT positive ] STORE|STOREDIST key [ WITHDIST ]",
            "GEOSEARCH key { < FROMMEMBER member / FROMLONLAT longitude latitude / BYRADIUS distance unit / \
             BYBOX distance distance unit / ASC|DESC|ANY|WITHDIST|STOREDIST / COUNT positive > }",
            "GEOSEARCHSTORE key key { < FROMMEMBER member / FROMLONLAT longitude latitude / BYRADIUS distance unit / \
             BYBOX distance distance unit / ASC|DESC|ANY|WITHDIST|STOREDIST / COUNT positive > }",
            "GEORADIUS|GEORADIUS_RO key longitude latitude distance unit { < ASC|ANY|WITHHASH|STORE / \
             COUNT positive / STORE|STOREDIST key > }",
            "ZADD key score member",
            "ZRANGE key 0 -1 WITHSCORES",
        ],
        rare: &[],
    },
    Family {
        name: "streams",
        home: "stream",
        templates: &[
            "XADD key [ NOMKSTREAM ] [ < MAXLEN|MINID [ = ] positive / MINID id > ] id { field value }",
            "XADD key id { field value }",
            "XADD key id { field value }",
            "XLEN key",
            "XRANGE|XREVRANGE key idbound idbound [ COUNT positive ]",
            "XRANGE key - +",
            "XREVRANGE key + - [ COUNT positive ]",
            "XDEL key { id }",
            "XTRIM key MAXLEN|MINID [ = ] positive [ LIMIT positive ]",
            "XREAD [ COUNT positive ] STREAMS < key id / key key id id / key $ >",
            "!XREAD BLOCK timeoutms STREAMS key $",
            "XGROUP CREATE key group id|$ [ MKSTREAM ] [ ENTRIESREAD positive ]",
            "XGROUP CREATE key group 0 MKSTREAM",
            "XGROUP SETID key group id|$ [ ENTRIESREAD positive ]",
            "XGROUP DESTROY key group",
            "XGROUP CREATECONSUMER|DELCONSUMER key group consumer",
            "XREADGROUP GROUP group consumer [ COUNT positive ] [ NOACK ] STREAMS key >|id",
            "XREADGROUP GROUP group consumer STREAMS key >",
            "XACK key group { id }",
            "XCLAIM key group consumer idle { id } [ IDLE idle ] [ RETRYCOUNT positive ] [ FORCE ] [ JUSTID ] [ LASTID id ]",
            "!XAUTOCLAIM key group consumer idle idbound [ COUNT count ] [ JUSTID ]",
            "XPENDING key group [ [ IDLE idle ] idbound idbound positive [ consumer ] ]",
            "XPENDING key group - + 10",
            "XINFO STREAM key [ FULL [ COUNT positive ] ]",
            "XINFO GROUPS key",
            "XINFO CONSUMERS key group",
            "XSETID key id [ ENTRIESADDED positive ] [ MAXDELETEDID id ]",
        ],
        rare: &["XADD key * field value", "XGROUP junk key group"],
    },
    // MULTI itself is not here: it is written with what belongs to it, as a whole.
    Family {
        name: TRANSACTIONS,
        home: "",
        templates: &["WATCH { key }", "UNWATCH", "EXEC|DISCARD"],
        rare: &[],
    },
];

/// All families.
pub(super) fn all() -> impl Iterator<Item = &'static Family> {
    FAMILIES.iter().chain(MORE)
}

/// The names of all families, for the command line.
pub(super) fn names() -> Vec<&'static str> {
    all().map(|family| family.name).collect()
}
