//! Families of commands around the data: what others hear, what runs on the server, and who may do what.

use super::families::Family;

/// The family of commands that wait, each until somebody else lets it go on: those that wake it are the rare ones.
pub(super) const WAKE_UPS: &str = "wake-ups";

pub(super) const MORE: &[Family] = &[
    // What subscribes is said by a client that does nothing else.
    Family {
        name: "pubsub",
        home: "",
        templates: &[
            "!SUBSCRIBE { channel }",
            "!PSUBSCRIBE { channelpattern }",
            "!SSUBSCRIBE channel",
            "!UNSUBSCRIBE|SUNSUBSCRIBE [ channel ]",
            "!PUNSUBSCRIBE [ channelpattern ]",
            "PUBLISH|SPUBLISH channel value",
            "PUBLISH channel value",
            "PUBLISH channel value",
            "PUBSUB CHANNELS|SHARDCHANNELS [ channelpattern ]",
            "PUBSUB NUMSUB|SHARDNUMSUB channel channel",
            "PUBSUB NUMPAT",
        ],
        rare: &["PUBSUB junk"],
    },
    Family {
        name: "scripts",
        home: "string",
        templates: &[
            "!EVAL script 1 key value",
            "!EVAL script 1 key|key|sketch|text member",
            "!EVAL_RO script 1 key value",
            "!EVALSHA|EVALSHA_RO sha 1 key value",
            "!SCRIPT LOAD script",
            "!SCRIPT EXISTS sha sha",
            "!EVAL script int key",
            "!SCRIPT junk",
        ],
        rare: &["!SCRIPT FLUSH [ SYNC|ASYNC|junk ]", "!EVAL script", "!EVALSHA junk 0"],
    },
    Family {
        name: "functions",
        home: "string",
        templates: &[
            "!FUNCTION LOAD [ REPLACE ] library",
            "!FUNCTION LOAD [ REPLACE ] library",
            "!FCALL func 1 key value",
            "!FCALL func 1 key value",
            "!FCALL_RO func 1 key value",
            "!FCALL|FCALL_RO func int key",
            "!FUNCTION DELETE libname",
            "!FUNCTION LIST [ LIBRARYNAME libname|lib* ] [ WITHCODE ]",
            "!FUNCTION LIST junk",
        ],
        rare: &["!FUNCTION FLUSH [ SYNC ]", "!FUNCTION junk"],
    },
    Family {
        name: "acl",
        home: "",
        templates: &[
            "!ACL SETUSER user { aclrule }",
            "!ACL SETUSER user { aclrule }",
            "!ACL GETUSER user",
            "!ACL DELUSER user",
            "!ACL USERS",
            "!ACL WHOAMI",
            "!ACL CAT",
            "!ACL DRYRUN user GET|DEL|TTL|LLEN|OBJECT|HGETALL key",
            "!ACL DRYRUN user SET|GETSET|APPEND|SETNX key value",
            "!ACL DRYRUN user COPY|RENAME|LMOVE key key",
            "!ACL DRYRUN user MSET key value key value",
            "!ACL DRYRUN user CONFIG GET|SET MAXMEMORY",
            "!ACL DRYRUN user PUBLISH channel value",
            "!ACL DRYRUN user SUBSCRIBE channel",
            "!ACL DRYRUN user PING|DBSIZE|WOBBLE|FLUSHALL",
        ],
        rare: &["!ACL junk", "!ACL CAT letters"],
    },
    // Whatever one server dumps, the other restores; see the rule.
    Family {
        name: "dump",
        home: "",
        templates: &["!DUMP anykey", "!DUMP anykey", "!DUMP stream0|stream1|zset0|zset1|hash0|list0|set0"],
        rare: &["DUMP key junk"],
    },
    Family {
        name: "settings",
        home: "",
        templates: &[
            // Not bent: many settings are the server's own.
            "!CONFIG GET setting",
            "!CONFIG GET setting setting",
            "!CONFIG GET",
            "OBJECT ENCODING anykey",
            "OBJECT ENCODING hash0|hash1|list0|list1|set0|set1|zset0|zset1",
        ],
        rare: &["CONFIG junk", "CONFIG RESETSTAT"],
    },
    Family {
        name: WAKE_UPS,
        home: "list",
        templates: &[
            "!BLPOP|BRPOP list0|list1 list2|list0 0",
            "!BLPOP list0|list1|list2|list3 0",
            "!BLMOVE list0|list1 list2|list3 LEFT|RIGHT LEFT|RIGHT 0",
            "!BRPOPLPUSH list0|list1 list0|list2 0",
            "!BLMPOP 0 2 list0|list1 list2|list3 LEFT|RIGHT [ COUNT 2 ]",
            "!BZPOPMIN|BZPOPMAX zset0|zset1 zset2|zset3 0",
            "!BZMPOP 0 2 zset0|zset1 zset2|zset3 MIN|MAX [ COUNT 2 ]",
            "!XREAD BLOCK 0 STREAMS stream0|stream1 $",
            "!XREAD COUNT 1 BLOCK 0 STREAMS stream0 stream1 $ $",
        ],
        rare: &[
            "!RPUSH|LPUSH list0|list1|list2|list3 { member }",
            "!RPUSH|LPUSH list0|list1 member",
            "!LMOVE|RPOPLPUSH list3 list0",
            "!LMOVE list0|list1|list2 list0|list1|list2|list3 LEFT RIGHT",
            "!RENAME list0|list1|list2 list0|list1|list2|list3",
            "!COPY list2|list3 list0|list1",
            "!SORT list2 ALPHA STORE list0|list1",
            "!DEL list0|list1|zset0|zset1",
            "!SET list0|zset0 value",
            "!ZADD zset0|zset1|zset2|zset3 { score member }",
            "!ZUNIONSTORE zset0|zset1 2 zset2 zset3",
            "!ZRANGESTORE zset0|zset1 zset2 0 -1",
            "!XADD stream0|stream1 id field value",
            "!XADD stream0|stream1 id field value",
            "!EVAL script 1 list0|list1|zset0 member",
        ],
    },
];
