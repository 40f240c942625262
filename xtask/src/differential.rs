//! `cargo xtask differential`: the same random commands to KVDB and to Redis, and whether they say the same.
//!
//! Commands come from [tables](families) with odd words in odd places, over so few keys that they meet, from two clients,
//! in both protocols. A third one subscribes to channels, and one client may wait for what the other does. Every reply is compared in every byte but for a [list of true differences](rules); every so many
//! commands everything that both servers hold is compared too. A mismatch is made as short as it gets by replaying
//! parts of what led to it, and printed with the seed.
//!
//! A run is cut into conversations that begin with empty servers: what a mismatch needs is never longer than one.
//! Families that the server does not know yet are left out, so that they come in by themselves.
//! `--against redis` compares Redis with itself, which must find nothing.

mod connection;
mod families;
mod lua;
mod more_families;
mod pair;
mod reply;
mod rules;
mod script;
mod settle;
mod shrink;
mod state;
mod template;
mod together;
mod words;

use std::io;

use crate::failure::{Failure, Outcome, While, fail};
use crate::process;
use crate::rng::Rng;
use crate::server::{Build, Product, Server, Subject};
use crate::workspace::Scratch;
use connection::Connection;
use families::Repertoire;
use pair::{Mismatch, Pair, Protocols};
use reply::Reply;
use script::{Script, Step};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Steps to take; a step is a command or a transaction.
    #[arg(long, default_value_t = 50_000)]
    commands: u64,
    /// The seed of an earlier run, to repeat its choices.
    #[arg(long)]
    seed: Option<u64>,
    /// Only commands of these families.
    #[arg(long, value_delimiter = ',', value_parser = families::names())]
    families: Vec<String>,
    /// Compare everything that the servers hold after this many steps.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    check_every: u64,
    /// Go on until this many mismatches are found.
    #[arg(long, default_value_t = 1)]
    mismatches: u64,
    #[command(flatten)]
    subject: Subject,
}

impl Options {
    /// The form that `test` runs.
    pub(crate) fn short() -> Self {
        Self {
            commands: 10_000,
            seed: Some(1),
            families: Vec::new(),
            check_every: 100,
            mismatches: 1,
            subject: Subject::default(),
        }
    }
}

/// Steps of a conversation.
const CONVERSATION: u64 = 1000;

/// Replays that may be spent to make a mismatch shorter.
const REPLAYS: usize = 600;

/// Strings stay below a megabyte on both servers: an offset at the edge is refused and not allocated.
const SETTINGS: [&str; 4] = ["--appendfsync", "no", "--proto-max-bulk-len", "1mb"];

pub(crate) fn run(options: &Options) -> Outcome {
    process::catch_interrupts();
    let program = options.subject.program(Build::Dev)?;
    let other_program = Product::Redis.program(Build::Dev)?;
    let scratch = Scratch::new("differential")?;
    let mut subject = Server::start(&program, &scratch.path().join("ours"), &SETTINGS)?;
    let reference = Server::start(&other_program, &scratch.path().join("theirs"), &SETTINGS)?;
    let ports = (subject.port(), reference.port());
    let families = known_families(&options.families, ports.0)?;
    let seed = options.seed.unwrap_or_else(Rng::fresh_seed);
    let names: Vec<&str> = families.iter().map(|family| family.name).collect();
    println!("{} against redis-server, seed {seed}: {}", options.subject.against.name(), names.join(", "));

    let mut seeds = Rng::new(seed);
    let (mut taken, mut found) = (0, 0);
    while taken < options.commands && found < options.mismatches {
        let protocols = if seeds.one_in(2) { [2, 3] } else { [3, 2] };
        let mut script = Script::new(&families, seeds.next());
        let length = CONVERSATION.min(options.commands - taken);
        let steps: Vec<Step> = (0..length).map(|_| script.step()).collect();
        let told = tell(&steps, ports, protocols, options.check_every).map_err(|(at, error)| {
            let log = subject.expect_alive().err().map_or(String::new(), |failure| format!("\n{failure}"));
            let step = &steps[at.min(steps.len() - 1)];
            Failure::new(format!("seed {seed}, step {}: {error} at\n{step}{log}", taken + at as u64))
        })?;
        if process::interrupted() {
            fail!("interrupted after {taken} steps; seed {seed}");
        }
        if let Some((at, mismatch)) = told {
            found += 1;
            println!(
                "\nseed {seed}, step {}, clients speak RESP{protocols:?}:\n{mismatch}",
                taken + at as u64
            );
            let shortest = shortest(&steps[..=at], &mismatch.about, ports, protocols)
                .while_doing(|| "while making the mismatch shorter".to_owned())?;
            println!("{shortest}");
        }
        taken += length;
    }
    subject.stop()?;
    reference.stop()?;
    if found > 0 {
        fail!("{found} mismatches in {taken} steps; seed {seed}");
    }
    println!("differential: {taken} steps, no mismatch; seed {seed}");
    Ok(())
}

/// What the server knows of the families that were asked for, or of all.
fn known_families(asked_for: &[String], port: u16) -> Outcome<Vec<Repertoire>> {
    let mut connection = Connection::open(port)?;
    let mut is_known = |command: &str| -> io::Result<bool> {
        let info = connection.call(&["COMMAND", "INFO", command])?;
        Ok(matches!(info.elements(), Some([Reply::Array(_)])))
    };
    let mut known = Vec::new();
    for family in families::all() {
        if asked_for.is_empty() || asked_for.iter().any(|name| name == family.name) {
            known.push(family.known(&mut is_known)?);
        }
    }
    known.retain(|family| !family.templates.is_empty());
    if known.is_empty() {
        fail!("the server knows no command of these families");
    }
    Ok(known)
}

/// Tells both servers the steps, and returns where they disagree first. An error comes with the step at which it came.
fn tell(
    steps: &[Step],
    ports: (u16, u16),
    protocols: Protocols,
    check_every: u64,
) -> Result<Option<(usize, Mismatch)>, (usize, io::Error)> {
    let mut pair = Pair::fresh(ports, protocols).map_err(|error| (0, error))?;
    for (at, step) in steps.iter().enumerate() {
        let mut mismatch = pair.take(step).map_err(|error| (at, error))?;
        let is_last = at + 1 == steps.len();
        if mismatch.is_none() && (is_last || (at as u64 + 1).is_multiple_of(check_every)) {
            mismatch = state::compare(ports).map_err(|error| (at, error))?;
        }
        if let Some(mismatch) = mismatch {
            return Ok(Some((at, mismatch)));
        }
        if process::interrupted() {
            return Ok(None);
        }
    }
    Ok(None)
}

/// The shortest list of steps found that ends in a mismatch about the same command, as text, with that mismatch.
fn shortest(steps: &[Step], about: &str, ports: (u16, u16), protocols: Protocols) -> io::Result<String> {
    let mismatch_of = |steps: &[Step]| tell(steps, ports, protocols, u64::MAX).map_err(|(_, error)| error);
    let fails = |steps: &[Step]| {
        Ok::<_, io::Error>(mismatch_of(steps)?.is_some_and(|(_, mismatch)| mismatch.about == about))
    };
    if !fails(steps)? {
        let last = &steps[steps.len().saturating_sub(20)..];
        return Ok(format!(
            "the same steps again show nothing: it depends on time or on chance. The last were:\n{}",
            list(last)
        ));
    }
    let mut steps = shrink::shrink(steps.to_vec(), REPLAYS, fails)?;
    // Then the insides of transactions, one after the other; MULTI and the end stay.
    for at in 0..steps.len() {
        if steps[at].is_transaction() {
            let whole = steps[at].commands.clone();
            let with = |inside: &[Vec<template::Word>]| {
                let mut steps = steps.clone();
                steps[at].commands = [&whole[..1], inside, &whole[whole.len() - 1..]].concat();
                steps
            };
            let inside = whole[1..whole.len() - 1].to_vec();
            let inside = shrink::shrink(inside, REPLAYS, |inside| fails(&with(inside)))?;
            steps = with(&inside);
        }
    }
    let again =
        mismatch_of(&steps)?.map_or("now it did not show".to_owned(), |(_, mismatch)| mismatch.to_string());
    Ok(format!("the same in {} steps:\n{}{again}", steps.len(), list(&steps)))
}

fn list(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("  {}\n", step.to_string().replace('\n', "\n  "))).collect()
}
