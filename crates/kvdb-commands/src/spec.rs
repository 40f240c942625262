//! The shape of a command: one row of the table says everything that is known about it.
//!
//! What a handler may do is in its type: a [`Handler::Read`] has no way to write, so the flags that clients see are
//! derived and cannot lie.

use std::fmt;

use kvdb_resp::{Args, Reply, parse_i64};
use kvdb_store::{ReadCx, WriteCx};
use smallvec::SmallVec;

use crate::errors::{CmdResult, CommandError};
use crate::keyspace_cx::KeyspaceCx;
use crate::session::SessionCx;

/// What a keyspace handler came to.
pub type KeyspaceResult = Result<KeyspaceOutcome, CommandError>;

/// How a keyspace command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyspaceOutcome {
    /// The reply is written; it depends on this sequence (0 for none).
    Done(u64),
    /// The command has to run where waiting for the disk is allowed; nothing has been written.
    NeedIo,
}

/// Who runs a command and what it may touch.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Looks at the declared keys.
    Read(fn(&mut ReadCx<'_>, Args<'_>, &mut Reply<'_>) -> CmdResult),
    /// Changes the declared keys.
    Write(fn(&mut WriteCx<'_>, Args<'_>, &mut Reply<'_>) -> CmdResult),
    /// Works on whole databases; by itself it may ask to be run on a thread that can wait.
    Keyspace(fn(&mut KeyspaceCx<'_, '_>, Args<'_>, &mut Reply<'_>) -> KeyspaceResult),
    /// Concerns the connection or the server.
    Session(fn(&mut SessionCx<'_>, Args<'_>, &mut Reply<'_>) -> CmdResult),
    /// Runs the queued commands of the connection: who runs commands does that (see [`crate::transaction`]).
    Exec,
    /// Runs a script, which may run other commands: who runs commands does that.
    Script,
    /// Does nothing itself: the first argument names a subcommand.
    Container,
}

/// Properties of a command that do not follow from its handler, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// Runs in constant or logarithmic time.
    pub const FAST: Self = Self(1);
    /// For operators.
    pub const ADMIN: Self = Self(1 << 1);
    /// Not from scripts.
    pub const NOSCRIPT: Self = Self(1 << 2);
    /// May be sent before authentication.
    pub const NO_AUTH: Self = Self(1 << 3);
    /// Allowed while data is being loaded.
    pub const LOADING: Self = Self(1 << 4);
    /// Allowed on a replica with stale data.
    pub const STALE: Self = Self(1 << 5);
    /// May make memory grow, so it is refused when there is none.
    pub const DENYOOM: Self = Self(1 << 6);
    /// May write although its handler is not a writer (FLUSHALL, SWAPDB).
    pub const WRITE: Self = Self(1 << 7);
    /// Only reads although its handler could do more: SCAN, DBSIZE; SORT_RO, which reaches for keys; XREAD, which waits. It
    /// replies also where the log takes no writes.
    pub const READONLY: Self = Self(1 << 8);
    /// Only reads, and stores what it has found out (PFCOUNT).
    pub const REMEMBERS: Self = Self(1 << 9);
    /// Works on keys that can only be known by looking (not used for routing).
    pub const MOVABLE_KEYS: Self = Self(1 << 10);
    /// Allowed while another client's script is busy.
    pub const ALLOW_BUSY: Self = Self(1 << 11);
    /// Its cost grows with the whole database, so a worker never runs it itself.
    pub const SLOW: Self = Self(1 << 12);
    /// Not `FAST` by Redis' count, but its cost grows only with its own arguments; like a fast command it is not timed on
    /// its own.
    pub const CHEAP: Self = Self(1 << 13);
    /// Not between MULTI and EXEC.
    pub const NO_MULTI: Self = Self(1 << 14);
    /// Runs at once also between MULTI and EXEC.
    pub const NOT_QUEUED: Self = Self(1 << 16);
    /// Runs a script that may write.
    pub const SCRIPT_WRITES: Self = Self(1 << 20);
    /// About subscriptions.
    pub const PUBSUB: Self = Self(1 << 18);
    /// Runs also on a RESP2 connection that has subscriptions.
    pub const WHILE_SUBSCRIBED: Self = Self(1 << 19);
    /// May wait where it finds nothing.
    pub const BLOCKING: Self = Self(1 << 17);
    /// Not while a replica takes over its primary's data.
    pub const NO_ASYNC_LOADING: Self = Self(1 << 15);

    /// Both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are in here.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A family of commands, as COMMAND DOCS and the ACL categories call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Strings.
    String,
    /// Bitmaps.
    Bitmap,
    /// HyperLogLogs.
    HyperLogLog,
    /// Hashes.
    Hash,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// Streams.
    Stream,
    /// Geographic indexes.
    Geo,
    /// Publishing and subscribing.
    PubSub,
    /// Transactions.
    Transactions,
    /// Scripts and functions.
    Scripting,
    /// Keys of any type.
    Generic,
    /// The connection.
    Connection,
    /// The cluster.
    Cluster,
    /// The server.
    Server,
}

impl Group {
    /// The name in COMMAND DOCS.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Bitmap => "bitmap",
            Self::HyperLogLog => "hyperloglog",
            Self::Hash => "hash",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Stream => "stream",
            Self::Geo => "geo",
            Self::PubSub => "pubsub",
            Self::Transactions => "transactions",
            Self::Scripting => "scripting",
            Self::Generic => "generic",
            Self::Connection => "connection",
            Self::Cluster => "cluster",
            Self::Server => "server",
        }
    }
}

/// Where keys stand among the arguments, and what is done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    /// Where.
    pub place: KeyPlace,
    /// What is done with them, as COMMAND INFO says: RO, RW, OW or RM, then access, update, insert or delete.
    pub flags: &'static [&'static str],
}

/// A rule by which keys are found among the arguments (the command's name is argument 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPlace {
    /// At fixed places.
    Range {
        /// The first key.
        first: u16,
        /// The last key; negative counts from the end, -1 being the last argument.
        last: i16,
        /// The distance from one key to the next.
        step: u16,
    },
    /// Behind an argument that says how many they are.
    Counted {
        /// That argument.
        count: u16,
    },
    /// Behind a word, in any case, wherever it stands.
    Behind {
        /// The word.
        word: &'static str,
        /// The first argument that may be the word.
        from: u16,
    },
    /// Behind a word, the first half of what follows: each key has something to go with it in the second half.
    Halved {
        /// The word.
        word: &'static str,
        /// The first argument that may be the word, as far as clients are told.
        from: u16,
        /// Options that may stand before the word, with how many arguments they have: one of those may look like the word.
        options: &'static [(&'static str, u16)],
    },
    /// Behind a word, the last time that it stands there as a word. Clients are told that they have to ask.
    LastBehind {
        /// The word.
        word: &'static str,
        /// The first argument that may be the word.
        from: u16,
        /// Options with how many arguments they have: one of those may look like the word.
        options: &'static [(&'static str, u16)],
    },
    /// At a fixed place, where that argument is not empty: then others are the keys.
    Nonempty {
        /// That argument.
        at: u16,
    },
    /// All behind a word, where another argument is empty. Clients are told to look for the word from the end on.
    AllBehind {
        /// The word.
        word: &'static str,
        /// The first argument that may be the word.
        from: u16,
        /// The argument that is empty.
        instead_of: u16,
        /// Options that may stand before the word, with how many arguments they have: one of those may look like the word.
        options: &'static [(&'static str, u16)],
    },
    /// Not among the arguments: what is stored names them.
    Unknown,
    /// No keys, but shard channels, which belong to slots as keys do: all arguments up to this one, negative as in a range.
    /// Clients are told, and nobody else looks at them.
    Channels {
        /// The last channel.
        last: i16,
    },
}

impl KeySpec {
    /// One key, argument 1.
    pub const fn one(flags: &'static [&'static str]) -> Self {
        Self::at(1, flags)
    }

    /// All arguments from 1 on.
    pub const fn all(flags: &'static [&'static str]) -> Self {
        Self::range(1, -1, 1, flags)
    }

    /// One key, this argument.
    pub const fn at(argument: u16, flags: &'static [&'static str]) -> Self {
        Self::range(argument, argument as i16, 1, flags)
    }

    /// From one argument to another by steps; see [`KeyPlace::Range`].
    pub const fn range(first: u16, last: i16, step: u16, flags: &'static [&'static str]) -> Self {
        Self { place: KeyPlace::Range { first, last, step }, flags }
    }

    /// All arguments up to one, which are shard channels.
    pub const fn channels(last: i16) -> Self {
        Self { place: KeyPlace::Channels { last }, flags: &["not_key"] }
    }

    /// As many arguments behind this one as it says.
    pub const fn counted(count: u16, flags: &'static [&'static str]) -> Self {
        Self { place: KeyPlace::Counted { count }, flags }
    }

    /// The argument behind a word that may stand from some argument on.
    pub const fn behind(word: &'static str, from: u16, flags: &'static [&'static str]) -> Self {
        Self { place: KeyPlace::Behind { word, from }, flags }
    }

    /// The positions of the keys among the arguments. Where arguments are not what the command takes, there may be more
    /// or fewer than it would use.
    #[inline]
    pub fn positions<'a>(&self, args: Args<'a>) -> Positions<'a> {
        let len = args.len();
        let (next, end, step, word) = match self.place {
            KeyPlace::Range { first, last, step } => {
                let last = if last < 0 {
                    len.saturating_sub(usize::from(last.unsigned_abs()))
                } else {
                    usize::from(last.unsigned_abs())
                };
                (first, (last + 1).min(len), step, None)
            }
            KeyPlace::Counted { count } => {
                let keys = args.get(usize::from(count)).and_then(parse_i64).unwrap_or(0);
                let keys = usize::try_from(keys).unwrap_or(0);
                (count + 1, (usize::from(count) + 1).saturating_add(keys).min(len), 1, None)
            }
            KeyPlace::Behind { word, from } => (from + 1, len, 1, Some(word)),
            KeyPlace::LastBehind { word, from, options } => {
                let next = last_behind(args, word, from, options).unwrap_or(len);
                return Positions { args, word: None, next, end: (next + 1).min(len), step: 1 };
            }
            KeyPlace::Nonempty { at } => {
                let is_key = args.get(at.into()).is_some_and(|key| !key.is_empty());
                (at, if is_key { usize::from(at) + 1 } else { 0 }, 1, None)
            }
            KeyPlace::AllBehind { word, from, instead_of, options } => {
                let empty = args.get(instead_of.into()).is_some_and(<[u8]>::is_empty);
                let next = if empty { behind_options(args, word, from, options) } else { None };
                return Positions { args, word: None, next: next.unwrap_or(len), end: len, step: 1 };
            }
            KeyPlace::Unknown | KeyPlace::Channels { .. } => (0, 0, 1, None),
            KeyPlace::Halved { word, options, .. } => {
                let first = behind_options(args, word, 1, options).unwrap_or(len);
                return Positions { args, word: None, next: first, end: first + (len - first) / 2, step: 1 };
            }
        };
        Positions { args, word, next: next.into(), end, step: step.into() }
    }
}

/// The argument behind a word that stands behind options, if there is one.
fn behind_options(args: Args<'_>, word: &str, from: u16, options: &[(&str, u16)]) -> Option<usize> {
    let mut at = usize::from(from);
    loop {
        let arg = args.get(at)?;
        if arg.eq_ignore_ascii_case(word.as_bytes()) {
            return (at + 1 < args.len()).then_some(at + 1);
        }
        let option = options.iter().find(|(name, _)| arg.eq_ignore_ascii_case(name.as_bytes()));
        at += 1 + option.map_or(0, |&(_, arguments)| usize::from(arguments));
    }
}

/// The argument behind the last of a word among options, if there is one.
fn last_behind(args: Args<'_>, word: &str, from: u16, options: &[(&str, u16)]) -> Option<usize> {
    let (mut at, mut last) = (usize::from(from), None);
    while let Some(arg) = args.get(at) {
        if arg.eq_ignore_ascii_case(word.as_bytes()) {
            last = (at + 1 < args.len()).then_some(at + 1).or(last);
            at += 1;
        }
        let option = options.iter().find(|(name, _)| arg.eq_ignore_ascii_case(name.as_bytes()));
        at += 1 + option.map_or(0, |&(_, arguments)| usize::from(arguments));
    }
    last
}

/// The positions of keys among arguments; see [`KeySpec::positions`].
#[derive(Debug, Clone)]
pub struct Positions<'a> {
    args: Args<'a>,
    /// What has to stand before a key.
    word: Option<&'static str>,
    next: usize,
    end: usize,
    step: usize,
}

impl Iterator for Positions<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.next < self.end {
            let at = self.next;
            self.next += self.step;
            if self.word.is_none_or(|word| self.args[at - 1].eq_ignore_ascii_case(word.as_bytes())) {
                return Some(at);
            }
        }
        None
    }
}

/// One row of the command table.
pub struct CommandSpec {
    /// The name in lower case; of a subcommand, the subcommand's alone.
    pub name: &'static str,
    /// The number of arguments, the name included; negative for at least so many. A subcommand counts both names.
    pub arity: i16,
    /// What does not follow from the handler.
    pub flags: Flags,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// ACL categories beside those that follow from group, handler and flags (`@dangerous`, `@keyspace`, `@blocking` …).
    pub categories: &'static [&'static str],
    /// The family.
    pub group: Group,
    /// The version of Redis that introduced it.
    pub since: &'static str,
    /// The cost.
    pub complexity: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The arguments behind the name(s), in the notation of [`crate::syntax`]: `key [EX seconds|PX milliseconds] [field …]`.
    pub syntax: &'static str,
    /// What runs it.
    pub handler: Handler,
    /// Its subcommands.
    pub subcommands: &'static [Self],
}

impl fmt::Debug for CommandSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CommandSpec").field(&self.name).finish()
    }
}

impl CommandSpec {
    /// Whether the number of arguments is right.
    #[inline]
    pub fn takes(&self, len: usize) -> bool {
        let wanted = usize::from(self.arity.unsigned_abs());
        if self.arity >= 0 { len == wanted } else { len >= wanted }
    }

    /// Whether it changes data.
    pub fn is_write(&self) -> bool {
        self.may_write() && !self.flags.has(Flags::READONLY)
    }

    /// Whether it may store anything at all, if only what it has found out.
    pub fn may_write(&self) -> bool {
        (matches!(self.handler, Handler::Write(_)) && !self.flags.has(Flags::READONLY))
            || self.flags.has(Flags::REMEMBERS)
            || self.flags.has(Flags::WRITE)
            || self.flags.has(Flags::SCRIPT_WRITES)
    }

    /// The key of a command that has one, its first argument.
    #[inline]
    pub fn only_key<'a>(&self, args: Args<'a>) -> Option<&'a [u8]> {
        match self.keys {
            [KeySpec { place: KeyPlace::Range { first: 1, last: 1, .. }, .. }] => args.get(1),
            _ => None,
        }
    }

    /// The positions of all keys.
    pub fn key_positions(&self, args: Args<'_>) -> SmallVec<[usize; 4]> {
        self.keys.iter().flat_map(|spec| spec.positions(args)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvdb_resp::OwnedArgs;

    fn found(spec: KeySpec, words: &[&str]) -> Vec<usize> {
        spec.positions(OwnedArgs::from_iter(words).as_args()).collect()
    }

    #[test]
    fn keys_are_found_from_both_ends_and_in_steps() {
        let all = |spec: KeySpec, len| found(spec, &["x"].repeat(len));
        assert_eq!(all(KeySpec::one(&[]), 2), [1]);
        assert_eq!(all(KeySpec::one(&[]), 1), [0; 0]);
        assert_eq!(all(KeySpec::all(&[]), 4), [1, 2, 3]);
        assert_eq!(all(KeySpec::all(&[]), 0), [0; 0]);
        assert_eq!(all(KeySpec::range(1, -1, 2, &[]), 5), [1, 3]);
        assert_eq!(all(KeySpec::range(2, -2, 1, &[]), 5), [2, 3]);
    }

    #[test]
    fn keys_are_found_by_their_number() {
        let counted = |words: &str| found(KeySpec::counted(2, &[]), &words.split(' ').collect::<Vec<_>>());
        assert_eq!(counted("ZUNIONSTORE d 2 a b WEIGHTS 1 2"), [3, 4]);
        assert_eq!(counted("ZUNIONSTORE d 9223372036854775807 a b"), [3, 4]);
        for wrong in ["ZUNIONSTORE d -1 a", "ZUNIONSTORE d x a", "ZUNIONSTORE d 0 a", "ZUNIONSTORE d"] {
            assert_eq!(counted(wrong), [0; 0], "{wrong}");
        }
    }

    #[test]
    fn keys_are_the_first_half_behind_a_word_that_is_no_argument_of_an_option() {
        const PLACE: KeyPlace =
            KeyPlace::Halved { word: "STREAMS", from: 4, options: &[("COUNT", 1), ("GROUP", 2)] };
        let halved =
            |words: &str| found(KeySpec { place: PLACE, flags: &[] }, &words.split(' ').collect::<Vec<_>>());
        assert_eq!(halved("XREADGROUP GROUP g c STREAMS a b > >"), [5, 6]);
        assert_eq!(halved("XREADGROUP NOACK COUNT 5 GROUP streams streams streams a >"), [8]);
        assert_eq!(halved("XREADGROUP COUNT STREAMS STREAMS a >"), [4]);
        assert_eq!(halved("XREADGROUP GROUP g c STREAMS a b >"), [5], "they do not go in pairs");
        for none in ["XREADGROUP GROUP g c STREAMS", "XREADGROUP GROUP g STREAMS a >", "XREADGROUP"] {
            assert_eq!(halved(none), [0; 0], "{none}");
        }
    }

    #[test]
    fn keys_are_found_behind_the_last_of_a_word_that_is_no_argument_of_an_option() {
        const PLACE: KeyPlace =
            KeyPlace::LastBehind { word: "STORE", from: 2, options: &[("LIMIT", 2), ("BY", 1), ("GET", 1)] };
        let last =
            |words: &str| found(KeySpec { place: PLACE, flags: &[] }, &words.split(' ').collect::<Vec<_>>());
        assert_eq!(last("SORT k STORE a ASC store b"), [6]);
        assert_eq!(last("SORT store STORE get STORE d"), [5]);
        assert_eq!(last("SORT k STORE a STORE"), [3], "the last has no key");
        for none in ["SORT k", "SORT k BY STORE x", "SORT k LIMIT STORE STORE x", "SORT k STORE", "SORT"] {
            assert_eq!(last(none), [0; 0], "{none}");
        }
        assert_eq!(found(KeySpec { place: KeyPlace::Unknown, flags: &[] }, &["SORT", "k"]), [0; 0]);
    }

    #[test]
    fn keys_are_one_argument_or_all_behind_a_word() {
        const OPTIONS: &[(&str, u16)] = &[("AUTH", 1), ("AUTH2", 2)];
        const ONE: KeyPlace = KeyPlace::Nonempty { at: 3 };
        const ALL: KeyPlace = KeyPlace::AllBehind { word: "KEYS", from: 6, instead_of: 3, options: OPTIONS };
        let keys = |words: &str| {
            let words: Vec<&str> = words.split(' ').map(|word| word.trim_matches('"')).collect();
            [ONE, ALL].map(|place| found(KeySpec { place, flags: &[] }, &words))
        };
        assert_eq!(keys("MIGRATE h 6379 k 0 9"), [vec![3], vec![]]);
        assert_eq!(keys("MIGRATE h 6379 \"\" 0 9 COPY AUTH2 keys x keys a b"), [vec![], vec![11, 12]]);
        assert_eq!(keys("MIGRATE h 6379 k 0 9 KEYS a"), [vec![3], vec![]]);
        assert_eq!(keys("MIGRATE h 6379 \"\" 0 9 KEYS"), [vec![], vec![]]);
        assert_eq!(keys("MIGRATE h 6379"), [vec![], vec![]]);
    }

    #[test]
    fn keys_are_found_behind_a_word() {
        let behind =
            |words: &str| found(KeySpec::behind("STORE", 3, &[]), &words.split(' ').collect::<Vec<_>>());
        assert_eq!(behind("SORT k STORE ASC store d"), [5]);
        assert_eq!(behind("SORT k ASC STORE STORE d STORE"), [4, 5]);
        assert_eq!(behind("SORT k"), [0; 0]);
    }
}
