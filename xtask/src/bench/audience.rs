//! Subscribers that read what they are sent and throw it away, at little cost to the machine that they share.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::failure::{Outcome, fail};
use crate::load::epoll::Epoll;
use crate::process;
use crate::wire::{self, Connection};

/// How long the last messages may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connections that listen to one channel, read by a thread of their own.
pub(super) struct Audience {
    size: u64,
    bytes: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
    reader: Option<JoinHandle<io::Result<()>>>,
}

impl Audience {
    /// Subscribes `size` connections to `channel`.
    pub(super) fn gather(port: u16, size: usize) -> Outcome<Self> {
        let mut epoll = Epoll::new()?;
        let mut sockets = Vec::new();
        for token in 0..size {
            let mut connection = Connection::open(port)?;
            connection.call(&[b"SUBSCRIBE", b"channel"])?;
            let socket = connection.into_stream();
            socket.set_nonblocking(true)?;
            epoll.add(&socket, token)?;
            sockets.push(socket);
        }
        let (bytes, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop) = (bytes.clone(), done.clone());
        let reader = std::thread::spawn(move || {
            let mut chunk = vec![0; 256 << 10];
            let mut ready = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                ready.clear();
                ready.extend(epoll.wait(Duration::from_millis(50))?);
                for event in &ready {
                    match sockets[event.token].read(&mut chunk) {
                        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        Ok(length) => _ = count.fetch_add(length as u64, Ordering::Relaxed),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Ok(())
        });
        Ok(Self { size: size as u64, bytes, done, reader: Some(reader) })
    }

    /// Waits until all have received `messages` since they were gathered, each with a value of `value_size` bytes.
    pub(super) fn expect(&self, messages: u64, value_size: usize) -> Outcome {
        let mut message = Vec::new();
        wire::encode(&mut message, &[b"message", b"channel", &vec![b'x'; value_size]]);
        let expected = messages * self.size * message.len() as u64;
        let deadline = Instant::now() + PATIENCE;
        while self.bytes.load(Ordering::Relaxed) < expected {
            let lost = self.reader.as_ref().is_none_or(JoinHandle::is_finished);
            if lost || Instant::now() > deadline || process::interrupted() {
                let received = self.bytes.load(Ordering::Relaxed);
                fail!("subscribers received {received} bytes of {expected}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            // What it read is known by now; that its connections end is what is wanted.
            let _ = reader.join();
        }
    }
}
