//! What HSCAN, SSCAN and ZSCAN have in common.

use kvdb_resp::{Args, Reply};

use crate::errors::{self, CommandError};
use crate::values::glob::{Case, matches};
use crate::values::number::parse_i64;

/// Elements that a call looks at unless it is told a number.
const DEFAULT_COUNT: usize = 10;

/// What a walk over elements leaves out, and how far it goes.
pub(super) struct ElementScan<'a> {
    /// Where to go on.
    pub cursor: u64,
    /// Elements to look at.
    pub count: usize,
    /// Whether the values are left out (HSCAN only).
    pub no_values: bool,
    pattern: Option<&'a [u8]>,
}

impl<'a> ElementScan<'a> {
    /// Whether an argument is a cursor; looked at before the key is.
    pub(super) fn check_cursor(cursor: &[u8]) -> Result<u64, CommandError> {
        super::keyspace::parse_cursor(cursor).ok_or(errors::INVALID_CURSOR)
    }

    /// Reads the arguments from the cursor on. `may_leave_values` says whether there are values to leave out.
    pub(super) fn parse(args: Args<'a>, may_leave_values: bool) -> Result<Self, CommandError> {
        let cursor = Self::check_cursor(&args[0])?;
        let mut scan = Self { cursor, count: DEFAULT_COUNT, no_values: false, pattern: None };
        let mut at = 1;
        while let Some(option) = args.get(at) {
            match (&*option.to_ascii_lowercase(), args.get(at + 1)) {
                (b"match", Some(pattern)) => scan.pattern = Some(pattern),
                (b"count", Some(count)) => {
                    let count = parse_i64(count).ok_or(errors::NOT_INTEGER)?;
                    scan.count = usize::try_from(count).ok().filter(|&n| n > 0).ok_or(errors::SYNTAX)?;
                }
                (b"novalues", _) if may_leave_values => {
                    scan.no_values = true;
                    at += 1;
                    continue;
                }
                _ => return Err(errors::SYNTAX),
            }
            at += 2;
        }
        Ok(scan)
    }

    /// Whether an element is wanted.
    pub(super) fn wants(&self, element: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| pattern == b"*" || matches(pattern, element, Case::Sensitive))
    }

    /// The reply where there is no key; its other arguments are not looked at.
    pub(super) fn reply_nothing(reply: &mut Reply<'_>) {
        Self::reply_cursor(reply, 0);
        reply.array(0);
    }

    /// Begins the reply: the cursor of the next call; an array of what was found follows.
    pub(super) fn reply_cursor(reply: &mut Reply<'_>, next: u64) {
        reply.array(2);
        reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    }
}
