//! The options of SET and GETEX, and the deadlines that they and SETEX ask for.

use kvdb_resp::Args;

use crate::errors::{self, CommandError};
use crate::values::number::parse_i64;

/// Which command has the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// SET: everything but PERSIST.
    Set,
    /// GETEX: a time to live or PERSIST.
    GetEx,
}

/// When SET writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Only if the key does not exist (NX).
    IfAbsent,
    /// Only if the key exists (XX).
    IfThere,
}

/// What becomes of the key's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life<'a> {
    /// Nothing was said: SET removes it, GETEX leaves it.
    Unsaid,
    /// It stays (KEEPTTL).
    Keep,
    /// It goes (PERSIST).
    Forever,
    /// It is set (EX, PX, EXAT, PXAT).
    Until(Until<'a>),
}

/// A deadline as a client writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Until<'a> {
    text: &'a [u8],
    clock: Clock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    /// Milliseconds in the unit of the number.
    unit: i64,
    /// Whether the number counts from 1970 rather than from now.
    absolute: bool,
}

/// The options read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetOptions<'a> {
    /// NX or XX.
    pub(super) condition: Option<Condition>,
    /// Whether the value before is replied.
    pub(super) get: bool,
    /// What becomes of the deadline.
    pub(super) life: Life<'a>,
}

impl<'a> SetOptions<'a> {
    /// Reads the options in `args`. One of them may be repeated, and the last counts; two that contradict each other are
    /// a syntax error.
    pub(super) fn parse(args: Args<'a>, form: Form) -> Result<Self, CommandError> {
        let mut options = Self { condition: None, get: false, life: Life::Unsaid };
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            options.take(name, &mut args, form).ok_or(errors::SYNTAX)?;
        }
        Ok(options)
    }

    fn take(&mut self, name: &[u8], rest: &mut impl Iterator<Item = &'a [u8]>, form: Form) -> Option<()> {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if let Some(clock) = Clock::named(name) {
            match self.life {
                Life::Unsaid => {}
                Life::Until(until) if until.clock == clock => {}
                _ => return None,
            }
            self.life = Life::Until(Until { text: rest.next()?, clock });
        } else if form == Form::GetEx {
            if !is("PERSIST") || matches!(self.life, Life::Until(_)) {
                return None;
            }
            self.life = Life::Forever;
        } else if is("NX") && self.condition != Some(Condition::IfThere) {
            self.condition = Some(Condition::IfAbsent);
        } else if is("XX") && self.condition != Some(Condition::IfAbsent) {
            self.condition = Some(Condition::IfThere);
        } else if is("GET") {
            self.get = true;
        } else if is("KEEPTTL") && !matches!(self.life, Life::Until(_)) {
            self.life = Life::Keep;
        } else {
            return None;
        }
        Some(())
    }
}

impl Clock {
    fn named(name: &[u8]) -> Option<Self> {
        const NAMES: [(&str, Clock); 4] = [
            ("EX", Clock { unit: 1000, absolute: false }),
            ("PX", Clock { unit: 1, absolute: false }),
            ("EXAT", Clock { unit: 1000, absolute: true }),
            ("PXAT", Clock { unit: 1, absolute: true }),
        ];
        NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())).map(|(_, clock)| *clock)
    }
}

impl<'a> Until<'a> {
    /// So many seconds from now.
    pub(super) fn seconds(text: &'a [u8]) -> Self {
        Self { text, clock: Clock { unit: 1000, absolute: false } }
    }

    /// So many milliseconds from now.
    pub(super) fn milliseconds(text: &'a [u8]) -> Self {
        Self { text, clock: Clock { unit: 1, absolute: false } }
    }

    /// The deadline in Unix milliseconds, for a command of this name. It may have passed, if the client said a moment.
    ///
    /// # Errors
    /// The text is not an integer, not positive, or too large for `i64` milliseconds.
    pub(super) fn deadline(self, now: u64, command: &str) -> Result<u64, CommandError> {
        let number = parse_i64(self.text).ok_or(errors::NOT_INTEGER)?;
        let base = if self.clock.absolute { Some(0) } else { i64::try_from(now).ok() };
        let milliseconds = number.checked_mul(self.clock.unit).filter(|_| number > 0);
        let deadline = milliseconds.and_then(|milliseconds| milliseconds.checked_add(base?));
        deadline
            .and_then(|deadline| u64::try_from(deadline).ok())
            .ok_or_else(|| errors::invalid_expire(command))
    }
}
