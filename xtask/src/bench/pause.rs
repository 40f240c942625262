//! `cargo xtask bench pause`: whether other clients notice a key of millions of elements.
//!
//! Such a key is built, walked, loaded again after a restart, and dies in every way there is, while other connections read
//! small keys all the time ([`super::watch`]). The figure is the longest that one of them waited, step by step.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::drive::{Generator, Load};
use super::report;
use super::watch::{PAUSE, Waits, Watch};
use crate::failure::{Outcome, While, fail};
use crate::process;
use crate::server::{Build, Server, Subject};
use crate::wire::{Connection, Reply};
use crate::workspace::Scratch;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 5_000_000)]
    elements: u64,
    /// Only these types.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Hash, Kind::List, Kind::Set, Kind::Zset, Kind::Stream])]
    only: Vec<Kind>,
    #[command(flatten)]
    subject: Subject,
    /// Fail when another client waited longer than 20 ms.
    #[arg(long)]
    strict: bool,
    /// Also put the table into this page, between markers.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Hash,
    List,
    Set,
    Zset,
    Stream,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::List => "list",
            Self::Set => "set",
            Self::Zset => "zset",
            Self::Stream => "stream",
        }
    }

    /// Adds a hundred elements, or one to a stream.
    fn adding(self) -> (String, u64) {
        let (command, element, each) = match self {
            Self::Hash => ("HSET large", " field:{rand} {value}", 100),
            Self::List => ("RPUSH large", " {value}", 100),
            Self::Set => ("SADD large", " member:{rand}", 100),
            Self::Zset => ("ZADD large", " {int} member:{rand}", 100),
            Self::Stream => ("XADD large * field {value}", "", 1),
        };
        (command.to_owned() + &element.repeat(each), each as u64)
    }

    /// The command that says how many elements there are, and loads the key.
    fn count(self) -> &'static [u8] {
        match self {
            Self::Hash => b"HLEN",
            Self::List => b"LLEN",
            Self::Set => b"SCARD",
            Self::Zset => b"ZCARD",
            Self::Stream => b"XLEN",
        }
    }

    /// Reads every element, a thousand by a thousand; returns how many there were.
    fn walk(self, connection: &mut Connection) -> Outcome<u64> {
        match self {
            Self::Hash => scan(connection, b"HSCAN", 2),
            Self::Set => scan(connection, b"SSCAN", 1),
            Self::Zset => scan(connection, b"ZSCAN", 2),
            Self::List => list(connection),
            Self::Stream => stream(connection),
        }
    }
}

fn scan(connection: &mut Connection, command: &[u8], each: u64) -> Outcome<u64> {
    let (mut cursor, mut seen) = (b"0".to_vec(), 0);
    loop {
        let reply = connection.call(&[command, b"large", &cursor, b"COUNT", b"1000"])?;
        let Reply::Array(parts) = reply else { fail!("a walk was answered with {reply:?}") };
        let [Reply::Bulk(next), Reply::Array(elements)] = &parts[..] else {
            fail!("a walk was answered with {parts:?}")
        };
        seen += elements.len() as u64 / each;
        if next == b"0" {
            return Ok(seen);
        }
        cursor.clone_from(next);
    }
}

fn list(connection: &mut Connection) -> Outcome<u64> {
    let mut seen = 0_u64;
    loop {
        let (from, to) = (seen.to_string(), (seen + 999).to_string());
        let reply = connection.call(&[b"LRANGE", b"large", from.as_bytes(), to.as_bytes()])?;
        let Reply::Array(elements) = reply else { fail!("LRANGE was answered with {reply:?}") };
        if elements.is_empty() {
            return Ok(seen);
        }
        seen += elements.len() as u64;
    }
}

fn stream(connection: &mut Connection) -> Outcome<u64> {
    let (mut from, mut seen) = (b"-".to_vec(), 0);
    loop {
        let reply = connection.call(&[b"XRANGE", b"large", &from, b"+", b"COUNT", b"1000"])?;
        let Reply::Array(entries) = reply else { fail!("XRANGE was answered with {reply:?}") };
        let Some(Reply::Array(last)) = entries.last() else { return Ok(seen) };
        let Some(Reply::Bulk(id)) = last.first() else { fail!("an entry is {last:?}") };
        seen += entries.len() as u64;
        from = [&b"("[..], id].concat();
    }
}

/// How the key dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    Del,
    Unlink,
    Expire,
    Overwrite,
    Flush,
    ColdDel,
    ColdExpire,
    /// All its fields together; only of a hash.
    FieldsExpire,
}

impl Death {
    const ALL: [Self; 8] = [
        Self::Del,
        Self::Unlink,
        Self::Expire,
        Self::Overwrite,
        Self::Flush,
        Self::ColdDel,
        Self::ColdExpire,
        Self::FieldsExpire,
    ];

    /// Whether a key of this kind can die so.
    fn is_of(self, kind: Kind) -> bool {
        self != Self::FieldsExpire || kind == Kind::Hash
    }

    fn name(self) -> &'static str {
        match self {
            Self::Del => "DEL",
            Self::Unlink => "UNLINK",
            Self::Expire => "expires",
            Self::Overwrite => "SET over it",
            Self::Flush => "FLUSHALL",
            Self::ColdDel => "DEL, cold",
            Self::ColdExpire => "expires, cold",
            Self::FieldsExpire => "all fields expire",
        }
    }

    fn is_cold(self) -> bool {
        matches!(self, Self::ColdDel | Self::ColdExpire)
    }

    fn command(self) -> &'static [&'static [u8]] {
        match self {
            Self::Del | Self::ColdDel => &[b"DEL", b"large"],
            Self::Unlink => &[b"UNLINK", b"large"],
            Self::Expire | Self::ColdExpire => &[b"PEXPIRE", b"large", b"50"],
            Self::Overwrite => &[b"SET", b"large", b"value"],
            Self::Flush => &[b"FLUSHALL"],
            // Their deadlines have been set before; writers of the hash are to notice as little as others.
            Self::FieldsExpire => &[b"HSETEX", b"large", b"PX", b"1", b"FIELDS", b"1", b"last", b"value"],
        }
    }
}

/// One line of the table.
struct Step {
    kind: Kind,
    name: String,
    took: Duration,
    waits: Waits,
}

pub(super) fn run(options: &Options) -> Outcome {
    let program = options.subject.program(Build::Release)?;
    let mut steps = Vec::new();
    for &kind in &options.only {
        let sitting = Sitting { kind, elements: options.elements, program: &program };
        sitting.run(&mut steps).while_doing(|| format!("watching a {}", kind.name()))?;
    }
    let text = table(&steps, options.elements)?;
    println!("\n{text}");
    if let Some(page) = &options.markdown {
        report::publish(page, "bench pause", &text)?;
    }
    let paused = steps.iter().filter(|step| step.waits.over > 0).count();
    if options.strict && paused > 0 {
        fail!("in {paused} steps another client waited longer than {} ms", PAUSE.as_millis());
    }
    Ok(())
}

struct Sitting<'a> {
    kind: Kind,
    elements: u64,
    program: &'a Path,
}

impl Sitting<'_> {
    fn run(&self, steps: &mut Vec<Step>) -> Outcome {
        let scratch = Scratch::new("bench-pause")?;
        let built = scratch.path().join("built");
        {
            let server = self.start(&built)?;
            let watch = Watch::begin(server.port())?;
            self.step(steps, &watch, "built", || self.build(server.port()))?;
            self.step(steps, &watch, "walked", || self.walk(&server))?;
            drop(watch);
            server.stop()?;
        }
        for death in Death::ALL.into_iter().filter(|death| death.is_of(self.kind)) {
            if process::interrupted() {
                fail!("interrupted");
            }
            let data = scratch.path().join("data");
            let _ = fs::remove_dir_all(&data);
            copy(&built, &data)?;
            let server = self.start(&data)?;
            let watch = Watch::begin(server.port())?;
            let mut connection = server.connect()?;
            if !death.is_cold() {
                let loaded = if death == Death::Del { Some("loaded") } else { None };
                self.step(steps, &watch, loaded.unwrap_or(""), || self.load(&mut connection))?;
            }
            if death == Death::Unlink {
                self.step(steps, &watch, "walked when loaded", || self.walk(&server))?;
            }
            if death == Death::FieldsExpire {
                self.step(steps, &watch, "", || self.set_deadlines(&mut connection))?;
            }
            self.step(steps, &watch, death.name(), || self.die(death, &mut connection))?;
            drop(watch);
            server.stop()?;
        }
        Ok(())
    }

    fn start(&self, dir: &Path) -> Outcome<Server> {
        Server::start(self.program, dir, &["--appendfsync", "everysec"])
    }

    /// Does something while others are watched; a step without a name is not noted.
    fn step(
        &self,
        steps: &mut Vec<Step>,
        watch: &Watch,
        name: &str,
        act: impl FnOnce() -> Outcome,
    ) -> Outcome {
        watch.take()?;
        let start = Instant::now();
        act().while_doing(|| name.to_owned())?;
        let took = start.elapsed();
        let waits = watch.take()?;
        if !name.is_empty() {
            let kind = self.kind;
            eprintln!(
                "  {:<7} {name:<18} {:>8.0} ms, others waited {:>6.1} ms at most, {} times over 20 ms (overslept {:.1} ms)",
                kind.name(),
                took.as_secs_f64() * 1e3,
                waits.longest.as_secs_f64() * 1e3,
                waits.over,
                waits.overslept.as_secs_f64() * 1e3
            );
            steps.push(Step { kind, name: name.to_owned(), took, waits });
        }
        Ok(())
    }

    fn build(&self, port: u16) -> Outcome {
        let (adding, each) = self.kind.adding();
        let load =
            Load { generator: Generator::Own, port, connections: 2, keyspace: self.elements, value_size: 16 };
        load.fill(&adding, self.elements / each, self.elements)
    }

    fn walk(&self, server: &Server) -> Outcome {
        let seen = self.kind.walk(&mut server.connect()?)?;
        if seen < self.elements {
            fail!("a walk saw {seen} elements");
        }
        Ok(())
    }

    fn load(&self, connection: &mut Connection) -> Outcome {
        let counted = connection.call(&[self.kind.count(), b"large"])?;
        if counted != Reply::Integer(i64::try_from(self.elements)?) {
            fail!("there are {counted:?} elements");
        }
        // What says how many there are need not have loaded them; a walk's first step does.
        self.first(connection)
    }

    /// Reads a little of the key.
    fn first(&self, connection: &mut Connection) -> Outcome {
        let words: &[&[u8]] = match self.kind {
            Kind::Hash => &[b"HSCAN", b"large", b"0"],
            Kind::List => &[b"LRANGE", b"large", b"-1", b"-1"],
            Kind::Set => &[b"SSCAN", b"large", b"0"],
            Kind::Zset => &[b"ZRANGE", b"large", b"0", b"0"],
            Kind::Stream => &[b"XRANGE", b"large", b"-", b"+", b"COUNT", b"1"],
        };
        match connection.call(words)? {
            Reply::Array(_) => Ok(()),
            other => fail!("the key was read as {other:?}"),
        }
    }

    /// Has all fields of a hash die at one moment, and waits until that has come.
    fn set_deadlines(&self, connection: &mut Connection) -> Outcome {
        let time_to_live = Duration::from_secs(10 + self.elements / 50_000);
        let at = (SystemTime::now().duration_since(UNIX_EPOCH)? + time_to_live).as_millis().to_string();
        let until = Instant::now() + time_to_live;
        let mut cursor = b"0".to_vec();
        loop {
            let reply = connection.call(&[b"HSCAN", b"large", &cursor, b"COUNT", b"1000"])?;
            let Reply::Array(parts) = reply else { fail!("a walk was answered with {reply:?}") };
            let [Reply::Bulk(next), Reply::Array(pairs)] = &parts[..] else {
                fail!("a walk was answered with {parts:?}")
            };
            let fields = pairs.iter().step_by(2).filter_map(|field| match field {
                Reply::Bulk(field) => Some(&field[..]),
                _ => None,
            });
            let fields: Vec<&[u8]> = fields.collect();
            let count = fields.len().to_string();
            let head: [&[u8]; 5] = [b"HPEXPIREAT", b"large", at.as_bytes(), b"FIELDS", count.as_bytes()];
            let command = [&head[..], &fields].concat();
            if !fields.is_empty()
                && let Reply::Error(error) = connection.call(&command)?
            {
                fail!("HPEXPIREAT was answered with {error}");
            }
            if next == b"0" {
                break;
            }
            cursor.clone_from(next);
        }
        let Some(left) = until.checked_duration_since(Instant::now()) else {
            fail!("fields died before all had a deadline")
        };
        std::thread::sleep(left);
        Ok(())
    }

    /// Lets the key die, and waits until it is gone, and a while longer for what is done in the background.
    fn die(&self, death: Death, connection: &mut Connection) -> Outcome {
        if let Reply::Error(error) = connection.call(death.command())? {
            fail!("{death:?} was answered with {error}");
        }
        let deadline = Instant::now() + Duration::from_secs(10 + self.elements / 100_000);
        while death != Death::Overwrite && connection.call(&[b"EXISTS", b"large"])? != Reply::Integer(0) {
            if Instant::now() > deadline {
                fail!("the key is still there");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_secs(1));
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> Outcome {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to).while_doing(|| format!("copying {}", from.display()))?;
        }
    }
    Ok(())
}

fn table(steps: &[Step], elements: u64) -> Outcome<String> {
    let mut out = String::new();
    writeln!(
        out,
        "One key of {elements} elements; four other connections, each reading a small key every millisecond. The machine \
         itself woke these too late by what the last column says, at most.\n\n\
         | type | step | took, ms | longest wait of others, ms | waits over 20 ms | overslept, ms |\n\
         |---|---|--:|--:|--:|--:|"
    )?;
    for step in steps {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        writeln!(
            out,
            "| {} | {} | {:.0} | {:.1} | {} | {:.1} |",
            step.kind.name(),
            step.name,
            ms(step.took),
            ms(step.waits.longest),
            step.waits.over,
            ms(step.waits.overslept)
        )?;
    }
    Ok(out)
}
