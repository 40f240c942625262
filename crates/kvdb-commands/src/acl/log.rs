//! The log of what was denied.

use std::collections::VecDeque;

use super::check::Reason;

/// Denials of one kind within so many milliseconds are one entry.
const GROUPED_MS: u64 = 60_000;
/// The newest entries that a denial may belong to; it is not compared with more.
const COMPARED: usize = 10;
/// Bytes of an object or a name that are kept.
const MAX_KEPT: usize = 4096;

/// Where a command was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// By itself.
    TopLevel,
    /// In a transaction.
    Multi,
    /// In a script.
    Script,
}

impl Context {
    /// As ACL LOG shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TopLevel => "toplevel",
            Self::Multi => "multi",
            Self::Script => "lua",
        }
    }
}

/// Something that was denied.
#[derive(Debug, Clone)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// Where.
    pub context: Context,
    /// The command, key or channel.
    pub object: Vec<u8>,
    /// Whom, or who it was that somebody tried to become.
    pub user: Vec<u8>,
    /// The line of CLIENT LIST of the connection.
    pub client: String,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

/// An entry: one or more denials of a kind.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its number.
    pub id: u64,
    /// How many.
    pub count: u64,
    /// When the first one was, in Unix milliseconds.
    pub created_ms: u64,
    /// The last one.
    pub last: Denial,
}

/// The newest denials.
#[derive(Debug, Default)]
pub struct AccessLog {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl AccessLog {
    /// Adds a denial, and forgets the oldest ones so that no more than `max` are kept.
    pub fn add(&mut self, mut denial: Denial, max: usize) {
        denial.object.truncate(MAX_KEPT);
        denial.user.truncate(MAX_KEPT);
        let same = |entry: &Entry| {
            let last = &entry.last;
            last.reason == denial.reason
                && last.context == denial.context
                && last.object == denial.object
                && last.user == denial.user
                && denial.at_ms.saturating_sub(last.at_ms) <= GROUPED_MS
        };
        let known = self.entries.iter().take(COMPARED).position(same);
        let entry = match known.and_then(|at| self.entries.remove(at)) {
            Some(entry) => Entry { count: entry.count + 1, last: denial, ..entry },
            None => {
                let id = self.next_id;
                self.next_id += 1;
                Entry { id, count: 1, created_ms: denial.at_ms, last: denial }
            }
        };
        self.entries.push_front(entry);
        self.entries.truncate(max);
    }

    /// The entries, the newest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(object: &str, at_ms: u64) -> Denial {
        Denial {
            reason: Reason::Key,
            context: Context::TopLevel,
            object: object.into(),
            user: b"alice".to_vec(),
            client: format!("at {at_ms}"),
            at_ms,
        }
    }

    fn shown(log: &AccessLog) -> Vec<(u64, u64, String)> {
        let entry =
            |entry: &Entry| (entry.id, entry.count, String::from_utf8_lossy(&entry.last.object).into_owned());
        log.entries().map(entry).collect()
    }

    #[test]
    fn denials_of_a_kind_are_one_entry_for_a_minute() {
        let mut log = AccessLog::default();
        log.add(denial("a", 0), 3);
        log.add(denial("b", 1), 3);
        log.add(denial("a", 60_000), 3);
        assert_eq!(shown(&log), [(0, 2, "a".into()), (1, 1, "b".into())]);
        let newest = log.entries().next().expect("there are two");
        assert_eq!((newest.created_ms, newest.last.client.as_str()), (0, "at 60000"));
        log.add(denial("b", 60_002), 3);
        log.add(Denial { context: Context::Multi, ..denial("a", 60_003) }, 3);
        assert_eq!(shown(&log), [(3, 1, "a".into()), (2, 1, "b".into()), (0, 2, "a".into())]);
        log.clear();
        assert_eq!(shown(&log), []);
    }

    #[test]
    fn the_log_does_not_grow_beyond_its_limit() {
        let mut log = AccessLog::default();
        (0..100).for_each(|at| log.add(denial(&"x".repeat(at), at as u64), 4));
        assert_eq!(log.entries().len(), 4);
        log.add(denial(&"y".repeat(10_000), 100), 4);
        assert_eq!(log.entries().next().map(|entry| entry.last.object.len()), Some(MAX_KEPT));
        log.add(denial("z", 101), 0);
        assert_eq!(log.entries().len(), 0);
    }
}
