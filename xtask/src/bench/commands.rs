//! The commands that are measured, and the data that must be there for each.
//!
//! Collections are of two sizes: many of ten or a hundred elements, as applications keep sessions, feeds and queues, and one
//! of a million, as they keep a leaderboard or an index. Redis packs the former tightly and hashes the latter.

/// A command as the generator sends it.
#[derive(Debug)]
pub(crate) struct Command {
    /// As it is chosen on the command line, and as the table has it in capitals.
    pub(crate) name: &'static str,
    pub(crate) template: &'static str,
    /// What is in the server before any command is measured.
    pub(super) data: Data,
    /// Sent as often as the command right before it is measured: what a pop takes away.
    pub(super) before: Option<&'static str>,
    /// Connections that listen to `channel` meanwhile.
    pub(super) subscribers: usize,
}

/// Which commands a run measures unless it names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Family {
    Strings,
    Types,
}

impl Family {
    pub(super) fn commands(self) -> &'static [Command] {
        match self {
            Self::Strings => STRINGS,
            Self::Types => TYPES,
        }
    }
}

/// Finds a command by name, for the command line.
pub(super) fn named(name: &str) -> Result<&'static Command, String> {
    let mut all = STRINGS.iter().chain(TYPES);
    all.find(|command| command.name == name).ok_or_else(|| {
        let names: Vec<&str> = STRINGS.iter().chain(TYPES).map(|command| command.name).collect();
        format!("`{name}` is not measured; these are: {}", names.join(", "))
    })
}

const fn over(data: Data, name: &'static str, template: &'static str) -> Command {
    Command { name, template, data, before: None, subscribers: 0 }
}

const STRINGS: &[Command] = &[
    over(Data::Strings, "get", "GET {key}"),
    over(Data::Strings, "set", "SET {key} {value}"),
    over(Data::Strings, "incr", "INCR counter:{rand}"),
    over(
        Data::Strings,
        "mset",
        "MSET {key} {value} {key} {value} {key} {value} {key} {value} {key} {value} \
         {key} {value} {key} {value} {key} {value} {key} {value} {key} {value}",
    ),
    over(Data::Strings, "setex", "SETEX ttl:{rand} 1000 {value}"),
    over(Data::Strings, "getrange", "GETRANGE {key} 0 31"),
];

const TYPES: &[Command] = &[
    over(Data::Hashes, "hset", "HSET hash:{below:100000} field:{below:10} {value}"),
    over(Data::Hashes, "hgetall", "HGETALL hash:{below:100000}"),
    over(Data::LargeHash, "hset-large", "HSET large-hash field:{below:1000000} {value}"),
    over(Data::Lists, "lpush", "LPUSH list:{below:10000} {value}"),
    Command {
        before: Some("LPUSH list:{below:10000} {value}"),
        ..over(Data::Lists, "lpop", "LPOP list:{below:10000}")
    },
    over(Data::Lists, "lrange-100", "LRANGE list:{below:10000} 0 99"),
    over(Data::Sets, "sadd", "SADD set:{below:10000} member:{below:200}"),
    over(Data::Sets, "smembers", "SMEMBERS set:{below:10000}"),
    over(Data::SortedSets, "zadd", "ZADD zset:{below:10000} {int} member:{below:100}"),
    over(Data::LargeSortedSet, "zadd-large", "ZADD large-zset {int} member:{below:1000000}"),
    over(Data::SortedSets, "zrange", "ZRANGE zset:{below:10000} 0 9"),
    over(Data::LargeSortedSet, "zrange-large", "ZREVRANGE large-zset 0 9 WITHSCORES"),
    over(Data::SortedSets, "zrangebyscore", "ZRANGEBYSCORE zset:{below:10000} {int} +inf LIMIT 0 10"),
    over(Data::Streams, "xadd", "XADD stream:{below:1000} * field {value}"),
    over(Data::Streams, "xrange", "XRANGE stream:{below:1000} - + COUNT 10"),
    over(
        Data::Positions,
        "geoadd",
        "GEOADD geo:{below:1000} 13.{below:1000000000000} 52.{below:1000000000000} member:{below:1000}",
    ),
    over(
        Data::Positions,
        "geosearch",
        "GEOSEARCH geo:{below:1000} FROMLONLAT 13.{below:1000000000000} 52.{below:1000000000000} BYRADIUS 5 km ASC",
    ),
    over(Data::None, "eval", "EVAL return(redis.call('incr',KEYS[1])) 1 counter:{below:100000}"),
    over(
        Data::None,
        "multi-10",
        "MULTI ; INCR {key} ; INCR {key} ; INCR {key} ; INCR {key} ; INCR {key} ; \
         INCR {key} ; INCR {key} ; INCR {key} ; INCR {key} ; INCR {key} ; EXEC",
    ),
    Command { subscribers: 1, ..over(Data::None, "publish-1", "PUBLISH channel {value}") },
    Command { subscribers: 100, ..over(Data::None, "publish-100", "PUBLISH channel {value}") },
];

/// What commands are measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    None,
    /// As many strings as the run is told to have.
    Strings,
    Hashes,
    LargeHash,
    Lists,
    Sets,
    SortedSets,
    LargeSortedSet,
    Streams,
    Positions,
}

impl Data {
    /// The command that makes it, how often that is sent, and how many keys there are then.
    pub(super) fn making(self, keyspace: u64) -> Option<(String, u64, u64)> {
        let many = |command: &str, elements: u32, element: fn(u32) -> String| {
            (0..elements).fold(command.to_owned(), |text, at| text + " " + &element(at))
        };
        Some(match self {
            Self::None => return None,
            Self::Strings => ("SET {key} {value}".to_owned(), keyspace, keyspace),
            Self::Hashes => {
                (many("HSET hash:{rand}", 10, |at| format!("field:{at:012} {{value}}")), 100_000, 100_000)
            }
            Self::LargeHash => ("HSET large-hash field:{rand} {value}".to_owned(), 1_000_000, 1),
            Self::Lists => (many("RPUSH list:{rand}", 100, |_| "{value}".to_owned()), 10_000, 10_000),
            Self::Sets => (many("SADD set:{rand}", 100, |at| format!("member:{at:012}")), 10_000, 10_000),
            Self::SortedSets => {
                (many("ZADD zset:{rand}", 100, |at| format!("{{int}} member:{at:012}")), 10_000, 10_000)
            }
            Self::LargeSortedSet => ("ZADD large-zset {int} member:{rand}".to_owned(), 1_000_000, 1),
            Self::Streams => ("XADD stream:{rand} * field {value}".to_owned(), 1_000_000, 1_000),
            Self::Positions => {
                let element =
                    |at| format!("13.{{below:1000000000000}} 52.{{below:1000000000000}} member:{at:012}");
                (many("GEOADD geo:{rand}", 1000, element), 1_000, 1_000)
            }
        })
    }

    /// What `{rand}` is drawn from when it is made.
    pub(super) fn range(self, commands: u64) -> u64 {
        if self == Self::Streams { 1_000 } else { commands }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::mix::Mix;

    #[test]
    fn every_command_and_what_makes_its_data_can_be_sent() {
        for command in STRINGS.iter().chain(TYPES) {
            Mix::of(command.name, command.template, 64).expect(command.name);
            assert_eq!(named(command.name).expect("named").template, command.template);
            if let Some((making, ..)) = command.data.making(10) {
                Mix::of("making", &making, 64).expect(command.name);
            }
        }
        assert!(named("nothing").is_err());
    }
}
