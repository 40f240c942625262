//! Readiness of many sockets, with a timeout in nanoseconds: an open-loop generator paces itself with it.
#![expect(unsafe_code, reason = "epoll has no safe form in std")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

pub(crate) struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// What is possible on a socket.
pub(crate) struct Ready {
    pub(crate) token: usize,
    pub(crate) writable: bool,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: epoll_create1 takes one flag and returns a new descriptor or -1.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; 256] })
    }

    /// Watches `socket` for replies, under `token`.
    pub(crate) fn add(&self, socket: &impl AsRawFd, token: usize) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket.as_raw_fd(), token, false)
    }

    /// Watches `socket` for room to write too, or no longer.
    pub(crate) fn want_write(&self, socket: &impl AsRawFd, token: usize, wanted: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket.as_raw_fd(), token, wanted)
    }

    fn control(&self, operation: libc::c_int, socket: RawFd, token: usize, write: bool) -> io::Result<()> {
        let interest = libc::EPOLLIN | if write { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event { events: interest.cast_unsigned(), u64: token as u64 };
        // SAFETY: both descriptors are open, and the kernel only reads the event during the call.
        let done = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, socket, &mut event) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits for at most `limit` and returns what is ready, which may be nothing.
    pub(crate) fn wait(&mut self, limit: Duration) -> io::Result<impl Iterator<Item = Ready>> {
        let limit = libc::timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        let room = libc::c_int::try_from(self.events.len()).unwrap_or(libc::c_int::MAX);
        // SAFETY: the kernel writes at most `room` events into a buffer of that many, and reads one timespec; no signal
        // mask is given.
        let ready = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                room,
                &raw const limit,
                std::ptr::null::<libc::sigset_t>(),
                0,
            )
        };
        let ready = match usize::try_from(ready) {
            Ok(ready) => ready,
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => 0,
            Err(_) => return Err(io::Error::last_os_error()),
        };
        Ok(self.events[..ready].iter().map(|event| {
            let (bits, token) = (event.events, event.u64);
            let writable = bits & libc::EPOLLOUT.cast_unsigned() != 0;
            Ready { token: usize::try_from(token).expect("tokens are indices"), writable }
        }))
    }
}
