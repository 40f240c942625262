//! How long commands take: a histogram for each command that ran, kept by each worker and summed when somebody asks.
//!
//! A worker notes a command once a turn, with the mean of its calls in that turn; commands that were timed on their own
//! are noted one by one. So a pipeline costs one note, and what the figures lose is how calls of one turn differ.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use kvdb_resp::Reply;
use parking_lot::Mutex;

use crate::stats::{command_count, command_name};

/// The shortest time that is told apart, in nanoseconds.
const SHORTEST: u64 = 64;
/// The longest, in nanoseconds: 2^34, some 17 seconds.
const LONGEST: u64 = 1 << 34;

/// The times of one worker's commands.
///
/// # Invariants
///
/// * A histogram is made when its command is first noted; there are never more than there are commands.
#[derive(Default)]
pub struct CommandTimes {
    /// By the index of the command. Nobody but the worker takes the lock often.
    by_index: Mutex<Vec<Option<Box<Histogram<u64>>>>>,
}

impl CommandTimes {
    /// Notes, for commands by their indexes, how many calls took so long each.
    pub fn note(&self, calls: &[(usize, u64)], each: Duration) {
        let nanos = u64::try_from(each.as_nanos()).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST);
        let mut by_index = self.by_index.lock();
        if by_index.is_empty() {
            by_index.resize_with(command_count(), || None);
        }
        for &(index, n) in calls {
            by_index[index].get_or_insert_with(|| Box::new(empty())).saturating_record_n(nanos, n);
        }
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.by_index.lock().clear();
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(SHORTEST, LONGEST, 2).expect("the bounds are a valid range with two digits")
}

/// The times of all workers together, in nanoseconds, by the names of the commands.
pub fn merged<'a>(workers: impl Iterator<Item = &'a CommandTimes>) -> BTreeMap<&'static str, Histogram<u64>> {
    let mut all = BTreeMap::new();
    for worker in workers {
        for (index, histogram) in worker.by_index.lock().iter().enumerate() {
            let Some(histogram) = histogram else { continue };
            let sum = all.entry(command_name(index)).or_insert_with(empty);
            sum.add(&**histogram).expect("all histograms have the same bounds");
        }
    }
    all
}

/// Replies to LATENCY HISTOGRAM for commands of these names, all where there is none. The name of a container stands for
/// all its subcommands.
pub fn reply_histograms(
    times: &BTreeMap<&'static str, Histogram<u64>>,
    names: &[&[u8]],
    reply: &mut Reply<'_>,
) {
    let means = |wanted: &[u8], name: &str| {
        let container = name.split('|').next().unwrap_or(name);
        wanted.eq_ignore_ascii_case(name.as_bytes()) || wanted.eq_ignore_ascii_case(container.as_bytes())
    };
    let shown: Vec<_> = times
        .iter()
        .filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| means(wanted, name)))
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

/// Calls that took at most 1, 2, 4 … microseconds, for those bounds at which the number grows.
fn cumulative(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let mut buckets = Vec::new();
    let mut seen = 0;
    let mut upto = 1;
    while seen < histogram.len() && upto <= LONGEST / 500 {
        let count = histogram.count_between(0, upto * 1000);
        if count > seen {
            buckets.push((upto, count));
            seen = count;
        }
        upto *= 2;
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvdb_resp::Protocol;

    fn index(name: &str) -> usize {
        (0..command_count()).find(|&i| command_name(i) == name).expect("it is in the table")
    }

    fn replied(times: &CommandTimes, names: &[&[u8]]) -> String {
        let mut out = Vec::new();
        reply_histograms(&merged([times].into_iter()), names, &mut Reply::new(&mut out, Protocol::Resp3));
        String::from_utf8(out).expect("names and numbers")
    }

    #[test]
    fn calls_are_counted_in_the_bucket_of_their_mean() {
        let times = CommandTimes::default();
        times.note(&[(index("get"), 3), (index("set"), 1)], Duration::from_micros(3));
        times.note(&[(index("get"), 1)], Duration::from_micros(100));
        let get = "$3\r\nget\r\n%2\r\n$5\r\ncalls\r\n:4\r\n$14\r\nhistogram_usec\r\n%2\r\n:4\r\n:3\r\n:128\r\n:4\r\n";
        assert_eq!(replied(&times, &[b"GET"]), format!("%1\r\n{get}"));
        assert!(replied(&times, &[]).starts_with("%2\r\n"));
        times.reset();
        assert_eq!(replied(&times, &[]), "%0\r\n");
    }

    #[test]
    fn a_container_stands_for_its_subcommands() {
        let times = CommandTimes::default();
        times.note(&[(index("config|get"), 1), (index("config|set"), 1), (index("get"), 1)], Duration::ZERO);
        assert!(replied(&times, &[b"config"]).starts_with("%2\r\n$10\r\nconfig|get\r\n"));
        assert!(replied(&times, &[b"config|set", b"unknown"]).starts_with("%1\r\n$10\r\nconfig|set\r\n"));
    }

    #[test]
    fn the_longest_times_are_counted_too() {
        let times = CommandTimes::default();
        times.note(&[(index("get"), 1)], Duration::from_secs(1_000_000));
        assert!(replied(&times, &[]).ends_with(":1\r\n"));
    }
}
