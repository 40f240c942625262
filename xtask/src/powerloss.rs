//! `cargo xtask powerloss`: the power fails under load, again and again, and every promise must hold.
//!
//! The data is on an ext4 of its own in a loop device. The ioctl that ext4 has for this purpose shuts the file system down
//! at once and drops everything that was not synced, file contents and directory entries alike; then the server is killed,
//! the file system unmounted and mounted again, which replays its journal as after a real power cut. Needs root.
//!
//! What is acknowledged after the shutdown has begun does not count: Linux lets an fdatasync that is under way then succeed
//! although its data is gone. A bare loop of `pwrite` and `fdatasync`, without KVDB, shows the same (7 writes in 60 cuts).
#![expect(unsafe_code, reason = "ioctl has no safe form in std")]

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::campaign::{Campaign, Choices, Policy};
use crate::failure::{Outcome, While, fail};
use crate::process;
use crate::server::Server;
use crate::setup::{self, Part};
use crate::workspace::Scratch;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many times the power fails.
    #[arg(long, default_value_t = 50)]
    cycles: u32,
    #[command(flatten)]
    choices: Choices,
}

pub(crate) fn run(options: &Options) -> Outcome {
    if !process::is_root() {
        fail!("this makes a loop device and mounts it: run it as root");
    }
    setup::ensure(&[Part::Ext4])?;
    let mut campaign = Campaign::new(&options.choices, may_lose)?;
    campaign.silences = true;
    let scratch = Scratch::new("powerloss")?;
    let mut disk = Disk::new(scratch.path())?;
    for cycle in 1..=options.cycles {
        let progress = campaign.summary();
        let attempt = || format!("cut {cycle} of {}, after {progress}", options.cycles);
        let data = disk.mount()?.join("data");
        let server = campaign.recover(&data).while_doing(attempt)?;
        let longest = if campaign.policy == Policy::Always { 950 } else { 2950 };
        let lifetime = Duration::from_millis(50 + campaign.rng.below(longest));
        let cut = |server: Server| {
            disk.cut_power()?;
            server.crash();
            Ok(())
        };
        campaign.load(server, lifetime, cut).while_doing(attempt)?;
        disk.unmount()?;
    }
    let data = disk.mount()?.join("data");
    campaign.recover(&data).while_doing(|| "after the last cut".to_owned())?.stop()?;
    disk.unmount()?;
    println!("powerloss: {} cuts; {}", options.cycles, campaign.summary());
    Ok(())
}

/// With `everysec` a second passes between two syncs at most, and the sync itself takes its time.
fn may_lose(policy: Policy) -> Duration {
    match policy {
        Policy::Always => Duration::ZERO,
        Policy::Everysec => Duration::from_secs(2),
    }
}

/// An ext4 file system in a file, which is unmounted and detached when the value is dropped.
struct Disk {
    /// `/dev/loopN`.
    device: String,
    mount_point: PathBuf,
    mounted: bool,
}

const LIMIT: Duration = Duration::from_secs(60);
const DISK_BYTES: u64 = 2 << 30;

impl Disk {
    fn new(dir: &Path) -> Outcome<Self> {
        let image = dir.join("disk.img");
        File::create(&image)?.set_len(DISK_BYTES)?;
        process::output(tool("mkfs.ext4").args(["-q", "-F"]).arg(&image), LIMIT)?;
        let mount_point = dir.join("disk");
        fs::create_dir_all(&mount_point)?;
        let device = process::output(tool("losetup").args(["--find", "--show"]).arg(&image), LIMIT)?;
        Ok(Self { device: device.trim().to_owned(), mount_point, mounted: false })
    }

    fn mount(&mut self) -> Outcome<PathBuf> {
        process::output(tool("mount").args(["-t", "ext4", &self.device]).arg(&self.mount_point), LIMIT)?;
        self.mounted = true;
        Ok(self.mount_point.clone())
    }

    fn unmount(&mut self) -> Outcome {
        process::output(tool("umount").arg(&self.mount_point), LIMIT)?;
        self.mounted = false;
        Ok(())
    }

    /// EXT4_IOC_SHUTDOWN with NOLOGFLUSH: from this instant nothing more reaches the disk, not even the journal.
    fn cut_power(&self) -> Outcome {
        const EXT4_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587d;
        let no_log_flush: u32 = 2;
        let root = File::open(&self.mount_point)?;
        // SAFETY: the descriptor is open, and the request reads one u32 through the pointer.
        let done = unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const no_log_flush) };
        if done < 0 {
            return Err(std::io::Error::last_os_error())
                .while_doing(|| "shutting the file system down".to_owned());
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // On the way out of a failure: say what stays behind, but do not hide the failure.
        if self.mounted
            && let Err(failure) = self.unmount()
        {
            eprintln!("{} stays mounted: {failure}", self.mount_point.display());
        }
        if let Err(failure) = process::output(tool("losetup").args(["--detach", &self.device]), LIMIT) {
            eprintln!("{} stays attached: {failure}", self.device);
        }
    }
}

/// A system tool, which may be outside an ordinary user's `PATH`.
fn tool(name: &str) -> Command {
    Command::new(process::find(name).unwrap_or_else(|| PathBuf::from(name)))
}
