//! LATENCY: spikes by event, and the distribution of each command's time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;
use kvdb_commands::{CommandError, CommandSpec, Flags, errors};
use kvdb_resp::Reply;
use parking_lot::Mutex;

use crate::clock::unix_millis;
use crate::hot::HotSettings;

/// Samples kept for each event, as in Redis.
const HISTORY: usize = 160;
/// The longest time that is told apart, microseconds.
const MAX_MICROS: u64 = 1_000_000_000;

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
    commands: Mutex<BTreeMap<&'static str, Histogram<u64>>>,
}

impl Latency {
    /// Nothing seen yet.
    pub fn new(hot: Arc<HotSettings>) -> Self {
        Self { hot, events: Mutex::default(), commands: Mutex::default() }
    }

    /// Notes a command that was timed on its own.
    pub fn note(&self, spec: &CommandSpec, took: Duration) {
        let event = if spec.flags.has(Flags::FAST) { "fast-command" } else { "command" };
        self.spike(event, took);
        let mut commands = self.commands.lock();
        let histogram = commands.entry(spec.name).or_insert_with(|| {
            Histogram::new_with_bounds(1, MAX_MICROS, 2)
                .expect("the bounds are a valid range with two digits")
        });
        histogram.saturating_record((took.as_micros() as u64).max(1));
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

    /// Forgets the distributions of commands (CONFIG RESETSTAT).
    pub fn reset_commands(&self) {
        self.commands.lock().clear();
    }

    /// The percentiles of each command, for INFO: name, then the values in microseconds.
    pub fn percentiles(&self, wanted: &[f64]) -> Vec<(&'static str, Vec<u64>)> {
        let commands = self.commands.lock();
        commands
            .iter()
            .map(|(name, h)| (*name, wanted.iter().map(|&p| h.value_at_percentile(p)).collect()))
            .collect()
    }

    /// Replies to a LATENCY subcommand.
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
            "histogram" => self.histogram(args, reply),
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

    fn histogram(&self, names: &[&[u8]], reply: &mut Reply<'_>) {
        let commands = self.commands.lock();
        let shown: Vec<_> = commands
            .iter()
            .filter(|(name, _)| {
                names.is_empty() || names.iter().any(|n| n.eq_ignore_ascii_case(name.as_bytes()))
            })
            .collect();
        reply.map(shown.len());
        for (name, histogram) in shown {
            reply.bulk(name.as_bytes());
            reply.map(2);
            reply.bulk(b"calls");
            reply.integer(histogram.len() as i64);
            reply.bulk(b"histogram_usec");
            let buckets = cumulative(histogram);
            reply.map(buckets.len());
            for (upto, count) in buckets {
                reply.integer(upto as i64);
                reply.integer(count as i64);
            }
        }
    }
}

/// Calls that took at most 1, 2, 4 … microseconds, for those bounds at which the number grows.
fn cumulative(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let mut buckets = Vec::new();
    let mut seen = 0;
    let mut upto = 1;
    while seen < histogram.len() && upto <= MAX_MICROS * 2 {
        let count = histogram.count_between(0, upto);
        if count > seen {
            buckets.push((upto, count));
            seen = count;
        }
        upto *= 2;
    }
    buckets
}
