//! A control group that bounds the memory of a program, the system's cache of its files included.
//!
//! Without it, a machine with memory to spare would keep every file in its cache, and "larger than memory" would not be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A group of its own for one program.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    dir: PathBuf,
    /// The file that holds the most memory that the group ever took.
    peak: &'static str,
}

impl MemoryLimit {
    /// `None` where groups cannot be made, of neither version: then the cache is the machine's.
    pub(crate) fn new(bytes: u64) -> Option<Self> {
        let name = format!("kvdb-{}-{bytes}", std::process::id());
        // Version 2 hands its controllers down before a group has their files.
        let two = Path::new("/sys/fs/cgroup");
        let _ = fs::write(two.join("cgroup.subtree_control"), "+memory");
        Self::in_hierarchy(
            &two.join("memory").join(&name),
            "memory.limit_in_bytes",
            bytes,
            "memory.max_usage_in_bytes",
        )
        .or_else(|| Self::in_hierarchy(&two.join(&name), "memory.max", bytes, "memory.peak"))
    }

    fn in_hierarchy(dir: &Path, limit: &str, bytes: u64, peak: &'static str) -> Option<Self> {
        fs::create_dir(dir).ok()?;
        let group = Self { dir: dir.to_path_buf(), peak };
        // Where there is no such controller, the directory has no such file, and is removed again.
        let file = group.dir.join(limit);
        (file.is_file() && fs::write(file, bytes.to_string()).is_ok()).then_some(group)
    }

    /// A command that runs `program` in the group.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&self.dir).arg(program);
        command
    }

    /// Whether a process of the group was killed because it wanted more than the limit.
    pub(crate) fn has_killed(&self) -> bool {
        // The one of version 1, and that of version 2.
        ["memory.oom_control", "memory.events"].iter().any(|file| {
            let text = fs::read_to_string(self.dir.join(file)).unwrap_or_default();
            text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
        })
    }

    /// The most memory that the group took so far, in bytes, where the system says so.
    pub(crate) fn peak(&self) -> Option<u64> {
        fs::read_to_string(self.dir.join(self.peak)).ok()?.trim().parse().ok()
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // A group with a process in it cannot be removed; then it is left for the next start of the machine.
        let _ = fs::remove_dir(&self.dir);
    }
}
