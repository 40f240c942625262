//! Progress of operations that take long, and how a caller ends one early.

use std::ops::ControlFlow;

use crate::error::Error;

/// How far an operation has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The bytes that are behind it.
    pub done: u64,
    /// The bytes there are to do, as far as is known.
    pub total: u64,
}

/// A callback of an operation that takes long. It is called about once for every mebibyte, on the
/// thread that does the work; [`ControlFlow::Break`] ends the work with [`Error::Canceled`].
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// Lets an operation run to its end unwatched.
pub fn unwatched(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The bytes between two calls of a callback.
const REPORT_EVERY: u64 = 1 << 20;

/// Counts what is done and tells the callback.
///
/// # Invariants
/// `reported <= progress.done <= progress.total`.
pub(crate) struct Watch<'a> {
    callback: OnProgress<'a>,
    progress: Progress,
    reported: u64,
}

impl<'a> Watch<'a> {
    /// Watches an operation over `total` bytes; tells at once that it begins.
    pub(crate) fn begin(total: u64, callback: OnProgress<'a>) -> Result<Self, Error> {
        let mut watch = Self { callback, progress: Progress { done: 0, total }, reported: 0 };
        watch.report()?;
        Ok(watch)
    }

    /// Further bytes are done.
    pub(crate) fn add(&mut self, bytes: u64) -> Result<(), Error> {
        let done = self.progress.done.saturating_add(bytes);
        self.progress.done = done.min(self.progress.total);
        if self.progress.done - self.reported < REPORT_EVERY {
            return Ok(());
        }
        self.report()
    }

    /// Everything is done, whatever was counted. Too late to cancel.
    pub(crate) fn end(mut self) {
        self.progress.done = self.progress.total;
        let _ = (self.callback)(self.progress);
    }

    fn report(&mut self) -> Result<(), Error> {
        self.reported = self.progress.done;
        match (self.callback)(self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Canceled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callback_sees_begin_and_end_and_can_break() {
        let mut seen = Vec::new();
        let mut callback = |progress: Progress| {
            seen.push((progress.done, progress.total));
            ControlFlow::Continue(())
        };
        let mut watch = Watch::begin(3 << 20, &mut callback).expect("not canceled");
        for _ in 0..8 {
            watch.add(512 << 10).expect("not canceled");
        }
        watch.end();
        let mib = |n: u64| (n << 20, 3 << 20);
        assert_eq!(seen, [mib(0), mib(1), mib(2), mib(3), mib(3)]);
        let mut end = |progress: Progress| match progress.done {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        };
        let mut watch = Watch::begin(9 << 20, &mut end).expect("not canceled yet");
        assert!(matches!(watch.add(2 << 20), Err(Error::Canceled)));
    }
}
