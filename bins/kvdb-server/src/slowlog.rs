//! The slow log: commands that took longer than the setting allows, newest first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kvdb_commands::CommandSpec;
use kvdb_resp::{Args, Reply};
use parking_lot::Mutex;

use crate::clients::ClientInfo;
use crate::hot::HotSettings;
use crate::redact;

/// Arguments that an entry keeps at the most; the last one then says how many more there were.
const MAX_ARGS: usize = 32;
/// Bytes of an argument that an entry keeps.
const MAX_ARG_BYTES: usize = 128;

struct Entry {
    id: u64,
    unix_seconds: u64,
    micros: u64,
    args: Vec<Vec<u8>>,
    addr: Box<str>,
    name: String,
}

/// See the module's text.
///
/// # Invariants
///
/// * It holds at most `slowlog-max-len` entries, each of bounded size.
pub struct SlowLog {
    hot: Arc<HotSettings>,
    entries: Mutex<VecDeque<Entry>>,
    next_id: AtomicU64,
}

impl SlowLog {
    /// An empty log under these settings.
    pub fn new(hot: Arc<HotSettings>) -> Self {
        Self { hot, entries: Mutex::default(), next_id: AtomicU64::new(0) }
    }

    /// Remembers a command if it took too long.
    pub fn note(&self, spec: &CommandSpec, args: Args<'_>, took: Duration, client: &ClientInfo, now: u64) {
        let threshold = self.hot.slowlog_micros.load(Ordering::Relaxed);
        let micros = took.as_micros() as u64;
        if threshold < 0 || micros < threshold as u64 {
            return;
        }
        let limit = self.hot.slowlog_len.load(Ordering::Relaxed);
        let entry = Entry {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            unix_seconds: now / 1000,
            micros,
            args: abridged(&redact::shown(spec, args)),
            addr: client.addr.clone(),
            name: client.name(),
        };
        let mut entries = self.entries.lock();
        entries.push_front(entry);
        entries.truncate(limit);
    }

    /// Writes the newest entries, all where `count` is `None`.
    pub fn write(&self, count: Option<usize>, reply: &mut Reply<'_>) {
        let entries = self.entries.lock();
        let count = count.unwrap_or(usize::MAX).min(entries.len());
        reply.array(count);
        for entry in entries.iter().take(count) {
            reply.array(6);
            reply.integer(entry.id as i64);
            reply.integer(entry.unix_seconds as i64);
            reply.integer(entry.micros as i64);
            reply.array(entry.args.len());
            for arg in &entry.args {
                reply.bulk(arg);
            }
            reply.bulk(entry.addr.as_bytes());
            reply.bulk(entry.name.as_bytes());
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all entries.
    pub fn reset(&self) {
        self.entries.lock().clear();
    }
}

/// The arguments as an entry keeps them, with Redis' notes about what was left out.
fn abridged(args: &[&[u8]]) -> Vec<Vec<u8>> {
    let shown = if args.len() > MAX_ARGS { MAX_ARGS - 1 } else { args.len() };
    let mut kept: Vec<Vec<u8>> = args
        .iter()
        .take(shown)
        .map(|arg| {
            if arg.len() <= MAX_ARG_BYTES {
                return arg.to_vec();
            }
            let mut short = arg[..MAX_ARG_BYTES].to_vec();
            short.extend_from_slice(format!("... ({} more bytes)", arg.len() - MAX_ARG_BYTES).as_bytes());
            short
        })
        .collect();
    if args.len() > shown {
        kept.push(format!("... ({} more arguments)", args.len() - shown).into_bytes());
    }
    kept
}
