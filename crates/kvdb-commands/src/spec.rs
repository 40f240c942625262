//! The shape of a command: one row of the table says everything that is known about it.
//!
//! What a handler may do is in its type: a [`Handler::Read`] has no way to write, so the flags that clients see are
//! derived and cannot lie.

use kvdb_resp::{Args, Reply};
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
    /// Works on whole databases, shard by shard; may ask to be run on a thread that can wait.
    Keyspace(fn(&mut KeyspaceCx<'_>, Args<'_>, &mut Reply<'_>) -> KeyspaceResult),
    /// Concerns the connection or the server.
    Session(fn(&mut SessionCx<'_>, Args<'_>, &mut Reply<'_>) -> CmdResult),
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
    /// Only reads although its handler could do more (SCAN, DBSIZE). A keyed command with this and a handler that writes
    /// stores nothing but what it has found out (PFCOUNT): it replies also where the log takes no writes.
    pub const READONLY: Self = Self(1 << 8);
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
    /// Keys of any type.
    Generic,
    /// The connection.
    Connection,
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
            Self::Generic => "generic",
            Self::Connection => "connection",
            Self::Server => "server",
        }
    }
}

/// Where keys stand among the arguments (the command's name is argument 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    /// The first key.
    pub first: u16,
    /// The last key; negative counts from the end, -1 being the last argument.
    pub last: i16,
    /// The distance from one key to the next.
    pub step: u16,
    /// What is done with them, as COMMAND INFO says: RO, RW, OW or RM, then access, update, insert or delete.
    pub flags: &'static [&'static str],
}

impl KeySpec {
    /// One key, argument 1.
    pub const fn one(flags: &'static [&'static str]) -> Self {
        Self { first: 1, last: 1, step: 1, flags }
    }

    /// All arguments from 1 on.
    pub const fn all(flags: &'static [&'static str]) -> Self {
        Self { first: 1, last: -1, step: 1, flags }
    }

    /// The positions of the keys among `len` arguments.
    #[inline]
    pub fn positions(&self, len: usize) -> impl Iterator<Item = usize> + use<> {
        let last = if self.last < 0 {
            len.saturating_sub(usize::from(self.last.unsigned_abs()))
        } else {
            self.last as usize
        };
        (usize::from(self.first)..=last.min(len.saturating_sub(1))).step_by(usize::from(self.step))
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
        matches!(self.handler, Handler::Write(_)) || self.flags.has(Flags::WRITE)
    }

    /// The positions of all keys.
    pub fn key_positions(&self, len: usize) -> SmallVec<[usize; 4]> {
        self.keys.iter().flat_map(|spec| spec.positions(len)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_from_both_ends_and_in_steps() {
        let all = |spec: KeySpec, len| spec.positions(len).collect::<Vec<_>>();
        assert_eq!(all(KeySpec::one(&[]), 2), [1]);
        assert_eq!(all(KeySpec::one(&[]), 1), [0; 0]);
        assert_eq!(all(KeySpec::all(&[]), 4), [1, 2, 3]);
        assert_eq!(all(KeySpec { first: 1, last: -1, step: 2, flags: &[] }, 5), [1, 3]);
        assert_eq!(all(KeySpec { first: 2, last: -2, step: 1, flags: &[] }, 5), [2, 3]);
    }
}
