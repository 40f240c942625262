//! Child processes that cannot outlive or outlast this one: each is bounded in time, and the kernel ends it with us.
#![expect(unsafe_code, reason = "prctl, pidfd_open, poll, kill and signal have no safe form in std")]

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Outcome, While, fail};

/// Starts `command` so that the kernel kills it when the calling thread ends, however that comes about.
///
/// The signal is bound to the *thread* that starts the child: start children from a thread that lives as long as they
/// should.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    // SAFETY: the closure runs between fork and exec and makes one async-signal-safe system call.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    command.spawn()
}

/// Waits for `child` until `limit` has passed; `None` when it still runs then.
pub(crate) fn wait_at_most(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    if let Some(status) = child.try_wait()? {
        return Ok(Some(status));
    }
    // SAFETY: pidfd_open takes a process id and flags; the child is not reaped yet, so the id is still its own.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the system call has just handed us this descriptor, and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let millis = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd that lives on this stack frame.
        unsafe { libc::poll(&mut poll, 1, millis) };
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if left.is_zero() || interrupted() {
            return Ok(None);
        }
    }
}

/// Kills `child` and everything below it, and reaps it.
pub(crate) fn kill_tree(child: &mut Child) {
    for pid in descendants(child.id()) {
        kill(pid);
    }
    // Both fail only when the child is gone already, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}

fn kill(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        // SAFETY: kill(2) takes plain integers; the id was read from /proc as a descendant of our own child.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
}

/// Asks `child` to end as an operator would.
pub(crate) fn terminate(child: &Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // SAFETY: kill(2) takes plain integers; the child is not reaped, so the id is its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
}

/// All processes below `pid`, parents first.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut next = vec![pid];
    while let Some(parent) = next.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|id| id.parse().ok()) {
                found.push(child);
                next.push(child);
            }
        }
    }
    found
}

/// Runs `command` with our own output, and fails when it fails or is not done within `limit`.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Outcome {
    let name = name_of(command);
    let mut child = spawn(command).while_doing(|| format!("cannot start {name}"))?;
    finish(&mut child, &name, limit)
}

/// Runs `command`, hands over its standard output line by line, and fails as [`run`] does.
pub(crate) fn run_lines(command: &mut Command, limit: Duration, mut line: impl FnMut(&str)) -> Outcome {
    let name = name_of(command);
    let mut child = spawn(command.stdout(Stdio::piped())).while_doing(|| format!("cannot start {name}"))?;
    let Some(output) = child.stdout.take() else { fail!("{name} has no standard output") };
    let (send, receive) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut raw = Vec::new();
        while matches!(output.read_until(b'\n', &mut raw), Ok(n) if n > 0) {
            let text = String::from_utf8_lossy(&raw).trim_end().to_owned();
            raw.clear();
            if send.send(text).is_err() {
                break;
            }
        }
    });
    let deadline = Instant::now() + limit;
    // The sender goes away when the child has closed its output; a quarter of a second bounds the wait for Ctrl-C.
    loop {
        match receive.recv_timeout(Duration::from_millis(250)) {
            Ok(text) => line(&text),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
        }
        if Instant::now() >= deadline || interrupted() {
            break;
        }
    }
    finish(&mut child, &name, deadline.saturating_duration_since(Instant::now()))
}

/// Runs `command` silently and returns what it wrote to standard output; on failure its standard error is quoted.
pub(crate) fn output(command: &mut Command, limit: Duration) -> Outcome<String> {
    let name = name_of(command);
    let mut child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))
        .while_doing(|| format!("cannot start {name}"))?;
    let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let done = finish(&mut child, &name, limit);
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    match done {
        Ok(()) => Ok(out),
        Err(failure) => fail!("{failure}\n{}", err.trim_end()),
    }
}

fn drain(from: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            // A read error ends the text where it stands.
            let _ = from.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn finish(child: &mut Child, name: &str, limit: Duration) -> Outcome {
    match wait_at_most(child, limit)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => fail!("{name} ended with {status}"),
        None => {
            kill_tree(child);
            if interrupted() {
                fail!("{name} was interrupted");
            }
            fail!("{name} was not done after {} s and was killed", limit.as_secs());
        }
    }
}

fn name_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args()).take(4);
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Where `program` is: on the `PATH`, or in the directories of system tools that an ordinary user's `PATH` lacks.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid(2) has no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on Ctrl-C and SIGTERM set a flag that campaigns look at, so that they can put away what they started.
pub(crate) fn catch_interrupts() {
    extern "C" fn note(_signal: libc::c_int) {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    let handler: extern "C" fn(libc::c_int) = note;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// Whether the user asked to stop.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_takes_too_long_is_killed_with_its_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 30 & echo $!; wait"]).stdout(Stdio::piped());
        let mut child = spawn(&mut command).expect("sh starts");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("one line");
        let grandchild: u32 = line.trim().parse().expect("a process id");
        assert!(descendants(child.id()).contains(&grandchild));
        assert!(wait_at_most(&mut child, Duration::from_millis(20)).expect("waits").is_none());
        kill_tree(&mut child);
        // The pipe ends only when the last process that holds it is dead.
        assert_eq!(output.read_line(&mut line).expect("reads"), 0);
    }

    #[test]
    fn output_is_returned_and_a_failure_quotes_standard_error() {
        let limit = Duration::from_secs(10);
        assert_eq!(output(Command::new("echo").arg("hi"), limit).expect("runs"), "hi\n");
        let failure =
            output(Command::new("sh").args(["-c", "echo because >&2; exit 3"]), limit).expect_err("fails");
        assert!(failure.to_string().contains("because"), "{failure}");
    }

    #[test]
    fn lines_arrive_one_by_one() {
        let mut lines = Vec::new();
        let mut command = Command::new("printf");
        run_lines(command.arg("a\nb\n"), Duration::from_secs(10), |line| lines.push(line.to_owned()))
            .expect("runs");
        assert_eq!(lines, ["a", "b"]);
    }
}
