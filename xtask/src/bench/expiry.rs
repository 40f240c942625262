//! `cargo xtask bench expiry`: how many keys are still there although their time is over.
//!
//! Keys are written at a fixed rate, each with a deadline of its own, so that about a given number of them is alive at
//! any time. Several times a second DBSIZE is compared with the number of keys whose deadline lies ahead. What is above
//! it has expired and is present: memory that serves nobody.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::failure::{Outcome, fail};
use crate::process;
use crate::server::{Build, Server, Subject};
use crate::wire::{self, Connection, Reply};
use crate::workspace::Scratch;

use super::{probe, report};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Keys that are alive at a time.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=50_000_000))]
    keys: u64,
    /// Seconds that a key lives.
    #[arg(long, default_value_t = 10.0)]
    lifetime: f64,
    /// Seconds of measurement, after the first keys have died.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    #[command(flatten)]
    subject: Subject,
    /// Also put the result into this page, between markers.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Fail when at any look more than 1 % of the keys have expired and are present.
    #[arg(long)]
    check: bool,
}

/// How many keys may have expired and be present, of a hundred that are alive.
const GOAL: f64 = 1.0;

/// Keys written with one send, all with the same deadline.
const BATCH: u64 = 500;

/// A look at the server.
struct Look {
    alive: u64,
    /// Counted by the server, and beyond their deadline.
    expired: u64,
}

/// What has been written and has not died: deadlines in milliseconds since 1970, oldest first, with how many keys.
#[derive(Default)]
struct Written {
    batches: VecDeque<(u64, u64)>,
    total: u64,
}

impl Written {
    fn add(&mut self, deadline: u64, keys: u64) {
        self.batches.push_back((deadline, keys));
        self.total += keys;
    }

    /// The keys whose deadline is later than `now`.
    fn alive(&mut self, now: u64) -> u64 {
        while let Some(&(deadline, keys)) = self.batches.front()
            && deadline <= now
        {
            self.batches.pop_front();
            self.total -= keys;
        }
        self.total
    }
}

pub(super) fn run(options: &Options) -> Outcome {
    if !(options.lifetime >= 1.0 && options.lifetime <= 3600.0 && options.seconds > 0.0) {
        fail!("keys must live for 1 to 3600 seconds, and the measurement must take some time");
    }
    let program = options.subject.program(Build::Release)?;
    let scratch = Scratch::new("bench-expiry")?;
    let server = Server::start(&program, &scratch.path().join("data"), &["--appendfsync", "everysec"])?;
    let mut connection = server.connect()?;
    let lifetime = Duration::from_secs_f64(options.lifetime);
    let pause = lifetime.div_f64(options.keys as f64 / BATCH as f64);
    let (mut written, mut looks, mut next_key) = (Written::default(), Vec::new(), 0);
    let (began, mut used) = (Instant::now(), probe::Usage::default());
    let end = lifetime + Duration::from_secs_f64(options.seconds);
    for round in 0_u32.. {
        let due = pause * round;
        if due > end || process::interrupted() {
            break;
        }
        if let Some(wait) = due.checked_sub(began.elapsed()) {
            std::thread::sleep(wait);
        }
        let deadline = now() + lifetime.as_millis() as u64;
        write(&mut connection, &mut next_key, deadline)?;
        written.add(deadline, BATCH);
        // A look takes the time of one round trip; a hundred batches between two of them is often enough.
        if due > lifetime && round % 100 == 0 {
            if looks.is_empty() {
                used = probe::usage(server.pid())?;
            }
            looks.push(look(&mut connection, &mut written)?);
        }
    }
    if looks.is_empty() {
        fail!("the measurement ended before the first keys had died");
    }
    let used = probe::usage(server.pid())?.since(used);
    let shares = shares(&looks);
    let text = text(options, &looks, &shares, used)?;
    println!("\n{text}");
    if let Some(page) = &options.markdown {
        report::publish(page, "bench expiry", &text)?;
    }
    server.stop()?;
    let most = shares.last().copied().unwrap_or_default();
    if options.check {
        report::judge("keys that have expired and are present", most, GOAL, "%")
    } else {
        Ok(())
    }
}

/// How many keys had expired and were present at each look, of a hundred that were alive; the fewest first.
fn shares(looks: &[Look]) -> Vec<f64> {
    let share = |look: &Look| look.expired as f64 / look.alive.max(1) as f64 * 100.0;
    let mut shares: Vec<f64> = looks.iter().map(share).collect();
    shares.sort_by(f64::total_cmp);
    shares
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn write(connection: &mut Connection, next_key: &mut u64, deadline: u64) -> Outcome {
    let (mut bytes, at) = (Vec::new(), deadline.to_string());
    for _ in 0..BATCH {
        let key = format!("mortal:{next_key}");
        wire::encode(&mut bytes, &[b"SET", key.as_bytes(), b"a value of some bytes", b"PXAT", at.as_bytes()]);
        *next_key += 1;
    }
    connection.send(&bytes)?;
    for _ in 0..BATCH {
        match connection.receive()? {
            Reply::Simple(_) => {}
            other => fail!("SET was answered with {other:?}"),
        }
    }
    Ok(())
}

/// What is alive is counted for the moment after the server's, so that a key that dies between them counts against it.
fn look(connection: &mut Connection, written: &mut Written) -> Outcome<Look> {
    let Reply::Integer(present) = connection.call(&[b"DBSIZE"])? else { fail!("DBSIZE gave no number") };
    let alive = written.alive(now());
    Ok(Look { alive, expired: u64::try_from(present)?.saturating_sub(alive) })
}

fn text(options: &Options, looks: &[Look], shares: &[f64], used: probe::Usage) -> Outcome<String> {
    let alive = looks.iter().map(|look| look.alive).sum::<u64>() / looks.len() as u64;
    let mut out = String::new();
    writeln!(
        out,
        "{alive} keys alive on average, each for {:.0} s, {:.0} written and dying a second: of {} looks, expired and \
         present {:.2} % at the median and {:.2} % at most. The server used {:.0} % of a core.",
        options.lifetime,
        options.keys as f64 / options.lifetime,
        looks.len(),
        shares[shares.len() / 2],
        shares[shares.len() - 1],
        used.cpu.as_secs_f64() / options.seconds * 100.0
    )?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{Look, Written, shares};

    #[test]
    fn the_largest_share_of_dead_keys_is_the_last() {
        let looks = [(100, 2), (200, 1), (0, 0)].map(|(alive, expired)| Look { alive, expired });
        assert_eq!(shares(&looks), [0.0, 0.5, 2.0]);
    }

    #[test]
    fn keys_die_at_their_deadline() {
        let mut written = Written::default();
        written.add(100, 5);
        written.add(100, 2);
        written.add(101, 3);
        assert_eq!(written.alive(99), 10);
        assert_eq!(written.alive(100), 3);
        assert_eq!(written.alive(200), 0);
    }
}
