//! `cargo xtask crash`: kill -9 under load, again and again, and look whether every promise was kept.
//!
//! What a killed process wrote is still in the kernel, so this finds replies that left too early, recovery that drops or
//! doubles a record, and files that were swapped in the wrong order; what a power cut takes is for `powerloss`.
//!
//! No policy may lose anything here, since KVDB writes its log before it replies. (Redis with `everysec` does lose some:
//! it puts off the write while an fsync is running. Give it `--window-ms 2000`.)

use std::thread;
use std::time::Duration;

use crate::campaign::{Campaign, Choices};
use crate::failure::{Outcome, While};
use crate::server::Server;
use crate::workspace::Scratch;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many times the server is killed under load.
    #[arg(long, default_value_t = 200)]
    loops: u32,
    #[command(flatten)]
    choices: Choices,
}

impl Options {
    /// The form that `test` runs.
    pub(crate) fn short() -> Self {
        Self { loops: 10, choices: Choices::default() }
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    let mut campaign = Campaign::new(&options.choices, |_| Duration::ZERO)?;
    let scratch = Scratch::new("crash")?;
    let data = scratch.path().join("data");
    let mut killed_in_recovery = 0;
    for round in 1..=options.loops {
        let progress = campaign.summary();
        // Where memory is short, keys leave it and come back under load. (Redis would refuse writes then.)
        campaign.squeezes = campaign.is_kvdb && campaign.rng.one_in(3);
        let attempt = || format!("kill {round} of {}, after {progress}", options.loops);
        let server = campaign.recover(&data).while_doing(attempt)?;
        let lifetime = Duration::from_millis(10 + campaign.rng.below(490));
        let kill = |server: Server| {
            server.crash();
            Ok(())
        };
        campaign.load(server, lifetime, kill).while_doing(attempt)?;
        // Recovery writes too: it must stand being cut off at any point, more than once.
        while campaign.rng.one_in(3) {
            let server = campaign.spawn(&data)?;
            thread::sleep(Duration::from_micros(campaign.rng.below(30_000)));
            server.crash();
            killed_in_recovery += 1;
        }
    }
    campaign.squeezes = false;
    campaign.recover(&data).while_doing(|| "after the last kill".to_owned())?.stop()?;
    let loops = options.loops;
    println!("crash: {loops} kills under load, {killed_in_recovery} in recovery; {}", campaign.summary());
    Ok(())
}
