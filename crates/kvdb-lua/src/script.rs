//! Scripts as values: their text, its SHA-1, and the flags of its first line.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The SHA-1 of a script's text, by which EVALSHA names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha([u8; 20]);

impl Sha {
    /// The digest of `text`.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        Self(sha1_smol::Sha1::from(text).digest().bytes())
    }

    /// Reads forty hexadecimal digits, of either case; anything else names no script.
    ///
    /// ```
    /// use kvdb_lua::Sha;
    ///
    /// let sha = Sha::of(b"return 1");
    /// assert_eq!(sha.to_string(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    /// assert_eq!(Sha::parse(b"E0E1f9fabfc9d4800c877a703b823ac0578ff8db"), Some(sha));
    /// assert_eq!(Sha::parse(b"e0e1"), None);
    /// ```
    #[must_use]
    pub fn parse(digits: &[u8]) -> Option<Self> {
        if digits.len() != 40 {
            return None;
        }
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |index: usize| char::from(pair[index]).to_digit(16);
            *byte = (digit(0)? * 16 + digit(1)?) as u8;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha({self})")
    }
}

/// What a script or function declares about itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Flags(u8);

/// Each flag with its name.
const FLAGS: [(&str, Flags); 5] = [
    ("no-writes", Flags::NO_WRITES),
    ("allow-oom", Flags::ALLOW_OOM),
    ("allow-stale", Flags::ALLOW_STALE),
    ("no-cluster", Flags::NO_CLUSTER),
    ("allow-cross-slot-keys", Flags::ALLOW_CROSS_SLOT_KEYS),
];

impl Flags {
    /// It changes nothing, and may be run by the read-only commands.
    pub const NO_WRITES: Self = Self(1);
    /// It may be run when there is no memory left.
    pub const ALLOW_OOM: Self = Self(1 << 1);
    /// It may be run by a replica that has lost its master.
    pub const ALLOW_STALE: Self = Self(1 << 2);
    /// It must not be run in a cluster.
    pub const NO_CLUSTER: Self = Self(1 << 3);
    /// It may touch keys of several slots.
    pub const ALLOW_CROSS_SLOT_KEYS: Self = Self(1 << 4);

    /// Whether all flags of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of those that are set, as FUNCTION LIST shows them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        FLAGS.into_iter().filter(move |(_, flag)| self.contains(*flag)).map(|(name, _)| name)
    }

    /// The flag of this name.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        FLAGS.into_iter().find(|(known, _)| known.as_bytes() == name).map(|(_, flag)| flag)
    }

    /// Both.
    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A script for EVAL and its kin, not yet compiled.
///
/// # Invariants
/// `sha` is the digest of `text`, and the first `code_start` bytes of the text are its shebang line without the line end.
pub struct Script {
    text: Box<[u8]>,
    sha: Sha,
    /// None without a shebang line.
    flags: Option<Flags>,
    code_start: usize,
    /// When it was last asked for, in ticks of its cache.
    pub(crate) last_use: AtomicU64,
}

impl Script {
    /// Reads the first line of a script. Whether the rest compiles is found out by [`Vm`](crate::Vm).
    ///
    /// # Errors
    /// The error reply for a shebang line that names another engine, an unknown option or an unknown flag.
    ///
    /// ```
    /// use kvdb_lua::{Flags, Script};
    ///
    /// let script = Script::new(b"#!lua flags=no-writes\nreturn redis.call('GET', KEYS[1])").unwrap();
    /// assert!(script.flags().is_some_and(|flags| flags.contains(Flags::NO_WRITES)));
    /// assert_eq!(Script::new(b"#!python\n").unwrap_err(), b"ERR Unexpected engine in script shebang: #!python");
    /// ```
    pub fn new(text: &[u8]) -> Result<Self, Vec<u8>> {
        let (flags, code_start) = match text {
            [b'#', b'!', ..] => {
                let line =
                    text.iter().position(|&byte| byte == b'\n').ok_or(b"ERR Invalid script shebang")?;
                (Some(shebang_flags(&text[..line])?), line)
            }
            _ => (None, 0),
        };
        Ok(Self { text: text.into(), sha: Sha::of(text), flags, code_start, last_use: AtomicU64::new(0) })
    }

    /// The text as it was given.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Its digest.
    #[must_use]
    pub fn sha(&self) -> Sha {
        self.sha
    }

    /// The flags of its shebang line. Without such a line there are none, and Redis treats the script as those of its
    /// earlier versions: what the script may do depends on each command, not on flags.
    #[must_use]
    pub fn flags(&self) -> Option<Flags> {
        self.flags
    }

    /// The text without the shebang line. The line end stays, so that lines keep their numbers.
    pub(crate) fn code(&self) -> &[u8] {
        &self.text[self.code_start..]
    }

    /// The bytes that it takes in a cache.
    pub(crate) fn footprint(&self) -> usize {
        self.text.len() + size_of::<Self>()
    }

    pub(crate) fn touch(&self, tick: u64) {
        // Other workers run it too: what need not change is left in their caches.
        if self.last_use.load(Ordering::Relaxed) != tick {
            self.last_use.store(tick, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({}, {} bytes)", self.sha, self.text.len())
    }
}

fn shebang_flags(line: &[u8]) -> Result<Flags, Vec<u8>> {
    let fail = |what: &str, text: &[u8]| Err([b"ERR ", what.as_bytes(), b": ", text].concat());
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    let engine = words.next().unwrap_or_default();
    if engine != b"#!lua" {
        return fail("Unexpected engine in script shebang", engine);
    }
    let mut flags = Flags::default();
    for word in words {
        let Some(names) = word.strip_prefix(b"flags=") else {
            return fail("Unknown lua shebang option", word);
        };
        if names.is_empty() {
            continue;
        }
        for name in names.split(|&byte| byte == b',') {
            match Flags::named(name) {
                Some(flag) => flags = flags.with(flag),
                None => return fail("Unexpected flag in script shebang", name),
            }
        }
    }
    Ok(flags)
}
