//! The keyspace events of commands, with the names and classes that Redis gives them.
//!
//! Those that no command causes, and the end of a key, are the store's: [`Event::DEL`] and its neighbours.

use kvdb_store::{Event, EventClasses};

const fn generic(name: &'static str) -> Event {
    Event::new(EventClasses::GENERIC, name)
}

const fn string(name: &'static str) -> Event {
    Event::new(EventClasses::STRING, name)
}

const fn hash(name: &'static str) -> Event {
    Event::new(EventClasses::HASH, name)
}

const fn list(name: &'static str) -> Event {
    Event::new(EventClasses::LIST, name)
}

const fn set(name: &'static str) -> Event {
    Event::new(EventClasses::SET, name)
}

const fn stream(name: &'static str) -> Event {
    Event::new(EventClasses::STREAM, name)
}

const fn zset(name: &'static str) -> Event {
    Event::new(EventClasses::ZSET, name)
}

/// A key has been given a deadline.
pub const EXPIRE: Event = generic("expire");
/// A deadline has been taken away.
pub const PERSIST: Event = generic("persist");
/// A key has got another name; told of the old one.
pub const RENAME_FROM: Event = generic("rename_from");
/// A key has got another name; told of the new one.
pub const RENAME_TO: Event = generic("rename_to");
/// A key has left its database.
pub const MOVE_FROM: Event = generic("move_from");
/// A key has come from another database.
pub const MOVE_TO: Event = generic("move_to");
/// A key is a copy now.
pub const COPY_TO: Event = generic("copy_to");
/// A key has been put back from a dump.
pub const RESTORE: Event = generic("restore");

/// A string has been stored, by SET and its like, or as the result of BITOP.
pub const SET: Event = string("set");
/// A string has got longer.
pub const APPEND: Event = string("append");
/// A part of a string has been overwritten.
pub const SETRANGE: Event = string("setrange");
/// A number has been changed, up or down.
pub const INCRBY: Event = string("incrby");
/// A number with a fraction has been changed.
pub const INCRBYFLOAT: Event = string("incrbyfloat");
/// Bits have been changed.
pub const SETBIT: Event = string("setbit");
/// Elements have been added to a sketch, or sketches merged.
pub const PFADD: Event = string("pfadd");

/// Fields have been stored.
pub const HSET: Event = hash("hset");
/// Fields have been removed.
pub const HDEL: Event = hash("hdel");
/// A field has been changed as a number.
pub const HINCRBY: Event = hash("hincrby");
/// A field has been changed as a number with a fraction.
pub const HINCRBYFLOAT: Event = hash("hincrbyfloat");
/// Fields have been given deadlines.
pub const HEXPIRE: Event = hash("hexpire");
/// Deadlines of fields have been taken away.
pub const HPERSIST: Event = hash("hpersist");

/// Elements have been added at the head.
pub const LPUSH: Event = list("lpush");
/// Elements have been added at the tail.
pub const RPUSH: Event = list("rpush");
/// Elements have been taken off the head.
pub const LPOP: Event = list("lpop");
/// Elements have been taken off the tail.
pub const RPOP: Event = list("rpop");
/// An element has been added beside another.
pub const LINSERT: Event = list("linsert");
/// An element has been overwritten.
pub const LSET: Event = list("lset");
/// Elements have been removed by their value.
pub const LREM: Event = list("lrem");
/// A list has been cut to a part.
pub const LTRIM: Event = list("ltrim");
/// What SORT has put in order is stored.
pub const SORTSTORE: Event = list("sortstore");

/// Members have been added to a set.
pub const SADD: Event = set("sadd");
/// Members have been removed from a set.
pub const SREM: Event = set("srem");
/// Members of a set have been drawn.
pub const SPOP: Event = set("spop");
/// An intersection is stored.
pub const SINTERSTORE: Event = set("sinterstore");
/// A union is stored.
pub const SUNIONSTORE: Event = set("sunionstore");
/// A difference is stored.
pub const SDIFFSTORE: Event = set("sdiffstore");

/// An entry has been added.
pub const XADD: Event = stream("xadd");
/// Entries have been deleted.
pub const XDEL: Event = stream("xdel");
/// The oldest entries have been removed.
pub const XTRIM: Event = stream("xtrim");
/// The last id of a stream has been set.
pub const XSETID: Event = stream("xsetid");
/// A group has been made.
pub const XGROUP_CREATE: Event = stream("xgroup-create");
/// The last id of a group has been set.
pub const XGROUP_SETID: Event = stream("xgroup-setid");
/// A group has been removed.
pub const XGROUP_DESTROY: Event = stream("xgroup-destroy");
/// A consumer has been made, by its own command or by the first that names it.
pub const XGROUP_CREATECONSUMER: Event = stream("xgroup-createconsumer");
/// A consumer has been removed.
pub const XGROUP_DELCONSUMER: Event = stream("xgroup-delconsumer");

/// Members have been removed from a sorted set.
pub const ZREM: Event = zset("zrem");
/// Members of a sorted set have been removed by rank.
pub const ZREMRANGEBYRANK: Event = zset("zremrangebyrank");
/// Members of a sorted set have been removed by score.
pub const ZREMRANGEBYSCORE: Event = zset("zremrangebyscore");
/// Members of a sorted set have been removed by their order.
pub const ZREMRANGEBYLEX: Event = zset("zremrangebylex");
/// Members of the lowest scores have been taken off.
pub const ZPOPMIN: Event = zset("zpopmin");
/// Members of the highest scores have been taken off.
pub const ZPOPMAX: Event = zset("zpopmax");
/// A union of sorted sets is stored.
pub const ZUNIONSTORE: Event = zset("zunionstore");
/// An intersection of sorted sets is stored.
pub const ZINTERSTORE: Event = zset("zinterstore");
/// A difference of sorted sets is stored.
pub const ZDIFFSTORE: Event = zset("zdiffstore");
/// A range of a sorted set is stored.
pub const ZRANGESTORE: Event = zset("zrangestore");
/// Members of a sorted set have been given scores, or positions.
pub const ZADD: Event = zset("zadd");
/// A number has been added to a score.
pub const ZINCR: Event = zset("zincr");
/// What GEOSEARCHSTORE has found is stored.
pub const GEOSEARCHSTORE: Event = zset("geosearchstore");
/// What GEORADIUS or GEORADIUSBYMEMBER has found is stored.
pub const GEORADIUSSTORE: Event = zset("georadiusstore");
