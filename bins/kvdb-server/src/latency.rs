//! LATENCY: spikes, by event. The distribution of each command's time is in [`crate::timing`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kvdb_commands::{CommandError, CommandSpec, Flags, errors};
use kvdb_resp::Reply;
use parking_lot::Mutex;

use crate::clock::unix_millis;
use crate::hot::HotSettings;

/// Samples kept for each event, as in Redis.
const HISTORY: usize = 160;

#[derive(Default)]
struct Event {
    /// Unix seconds and milliseconds.
    samples: VecDeque<(u64, u64)>,
    max_millis: u64,
}

/// See the module's text.
///
/// # Invariants
///
/// * Events are few and named by the code; each keeps at most `HISTORY` samples.
pub struct Latency {
    hot: Arc<HotSettings>,
    events: Mutex<BTreeMap<&'static str, Event>>,
}

impl Latency {
    /// Nothing seen yet.
    pub fn new(hot: Arc<HotSettings>) -> Self {
        Self { hot, events: Mutex::default() }
    }

    /// Notes a command that was timed on its own.
    pub fn note(&self, spec: &CommandSpec, took: Duration) {
        let event = if spec.flags.has(Flags::FAST) { "fast-command" } else { "command" };
        self.spike(event, took);
    }

    /// Notes that an event took so long, if that is longer than the monitor's threshold.
    pub fn spike(&self, event: &'static str, took: Duration) {
        let threshold = self.hot.latency_millis.load(Ordering::Relaxed);
        let millis = took.as_millis() as u64;
        if threshold == 0 || millis < threshold {
            return;
        }
        let now = unix_millis() / 1000;
        let mut events = self.events.lock();
        let event = events.entry(event).or_default();
        event.max_millis = event.max_millis.max(millis);
        match event.samples.back_mut() {
            Some((at, worst)) if *at == now => *worst = (*worst).max(millis),
            _ => event.samples.push_back((now, millis)),
        }
        if event.samples.len() > HISTORY {
            event.samples.pop_front();
        }
    }

    /// Replies to a LATENCY subcommand about events.
    ///
    /// # Errors
    /// The error to reply with.
    pub fn reply(&self, subcommand: &str, args: &[&[u8]], reply: &mut Reply<'_>) -> Result<(), CommandError> {
        match subcommand {
            "latest" => self.latest(reply),
            "history" => self.history(args.first().copied().unwrap_or_default(), reply),
            "reset" => reply.integer(self.reset(args)),
            "graph" => self.graph(args.first().copied().unwrap_or_default(), reply)?,
            "doctor" => reply.verbatim(b"txt", &self.doctor()),
            _ => return Err(errors::SYNTAX),
        }
        Ok(())
    }

    fn latest(&self, reply: &mut Reply<'_>) {
        let events = self.events.lock();
        reply.array(events.len());
        for (name, event) in events.iter() {
            let (at, millis) = event.samples.back().copied().unwrap_or_default();
            reply.array(4);
            reply.bulk(name.as_bytes());
            reply.integer(at as i64);
            reply.integer(millis as i64);
            reply.integer(event.max_millis as i64);
        }
    }

    fn history(&self, name: &[u8], reply: &mut Reply<'_>) {
        let events = self.events.lock();
        let samples = events.iter().find(|(n, _)| n.as_bytes() == name).map(|(_, event)| &event.samples);
        reply.array(samples.map_or(0, VecDeque::len));
        for (at, millis) in samples.into_iter().flatten() {
            reply.array(2);
            reply.integer(*at as i64);
            reply.integer(*millis as i64);
        }
    }

    fn reset(&self, names: &[&[u8]]) -> i64 {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|name, _| !names.is_empty() && !names.contains(&name.as_bytes()));
        (before - events.len()) as i64
    }

    fn graph(&self, name: &[u8], reply: &mut Reply<'_>) -> Result<(), CommandError> {
        let events = self.events.lock();
        let Some((name, event)) = events.iter().find(|(n, _)| n.as_bytes() == name) else {
            let name = errors::printable(&name[..name.len().min(128)]);
            return Err(CommandError::new(format!("ERR No samples available for event '{name}'")));
        };
        let low = event.samples.iter().map(|(_, ms)| *ms).min().unwrap_or(0);
        let mut text = format!(
            "{name} - high {} ms, low {low} ms (all time high {} ms)\n",
            event.max_millis, event.max_millis
        );
        let high = event.samples.iter().map(|(_, ms)| *ms).max().unwrap_or(1).max(1);
        for row in (1..=4u64).rev() {
            let line: String =
                event.samples.iter().map(|(_, ms)| if ms * 4 >= row * high { '#' } else { ' ' }).collect();
            text.push_str(line.trim_end());
            text.push('\n');
        }
        reply.verbatim(b"txt", &text);
        Ok(())
    }

    fn doctor(&self) -> String {
        let threshold = self.hot.latency_millis.load(Ordering::Relaxed);
        if threshold == 0 {
            return "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on.\n".into();
        }
        let events = self.events.lock();
        if events.is_empty() {
            return "No spike has been seen since the monitor was turned on or reset.\n".into();
        }
        let mut text = String::from("Spikes over the threshold, by event:\n");
        for (name, event) in events.iter() {
            let sum: u64 = event.samples.iter().map(|(_, ms)| ms).sum();
            let mean = sum / event.samples.len().max(1) as u64;
            text.push_str(&format!(
                "{name}: {} spikes, mean {mean} ms, worst {} ms\n",
                event.samples.len(),
                event.max_millis
            ));
        }
        text.push_str("SLOWLOG GET names the commands; LATENCY HISTORY <event> has the times.\n");
        text
    }
}
