//! What a client asks for with CLIENT TRACKING: to be told when keys change that it keeps.
//!
//! A client that *keeps* what a command reads is noted as a reader of the command's keys (see [`kvdb_store::News`]), and
//! told once when such a key changes. A client in *broadcast* mode is noted nowhere and told of every change of the keys
//! with its prefixes. Whom to tell, and how, is the server's part.

use std::collections::BTreeSet;

/// Of which keys a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Of all that it reads.
    #[default]
    Read,
    /// Of those that it reads with the command behind CLIENT CACHING YES (OPTIN).
    OptIn,
    /// Of all that it reads, but for the command behind CLIENT CACHING NO (OPTOUT).
    OptOut,
    /// Of all that begin with its prefixes (BCAST).
    Broadcast,
}

/// What a client has asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tracking {
    /// Of which keys it is told.
    pub mode: Mode,
    /// The client that is told in its place (REDIRECT).
    pub redirect: Option<u64>,
    /// Whether it is not told of what it changes itself (NOLOOP).
    pub no_loop: bool,
    /// The prefixes of a client in broadcast mode; none is the beginning of another.
    pub prefixes: BTreeSet<Box<[u8]>>,
    /// Whether CLIENT CACHING was said before this command.
    pub caching: bool,
}

impl Tracking {
    /// Whether the client keeps what the next command reads.
    pub fn keeps(&self) -> bool {
        match self.mode {
            Mode::Read => true,
            Mode::OptIn => self.caching,
            Mode::OptOut => !self.caching,
            Mode::Broadcast => false,
        }
    }

    /// Notes that a command has run: CLIENT CACHING counts for one, or for one transaction.
    pub fn ran(&mut self, name: &[u8], queues: bool) {
        if !queues && !name.eq_ignore_ascii_case(b"client") {
            self.caching = false;
        }
    }
}
