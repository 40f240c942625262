//! A client that sends what it is told to and waits for replies.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use kvdb_resp::{ReplyDecoder, ReplyLimits, Value, encode_command};

use super::PATIENCE;

/// A connection. Every wait ends after [`PATIENCE`].
pub(crate) struct Client {
    socket: Socket,
    decoder: ReplyDecoder,
    /// Received bytes from `at` on are not decoded yet.
    received: Vec<u8>,
    at: usize,
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    /// A client of a TCP socket.
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout is not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout is not zero");
        stream.set_nodelay(true).expect("a TCP socket has this option");
        Self::new(Socket::Tcp(stream))
    }

    /// A client of a unix socket.
    pub(crate) fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("the server listens on its unix socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout is not zero");
        Self::new(Socket::Unix(stream))
    }

    fn new(socket: Socket) -> Self {
        Self { socket, decoder: ReplyDecoder::default(), received: Vec::new(), at: 0 }
    }

    /// Sends bytes; whether they arrive shows in the replies.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.try_write(bytes);
    }

    /// Sends bytes.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            Socket::Tcp(s) => s.write_all(bytes),
            Socket::Unix(s) => s.write_all(bytes),
        }
    }

    /// Sends a command of words separated by spaces.
    pub(crate) fn send(&mut self, command: &str) {
        let mut bytes = Vec::new();
        encode_command(&mut bytes, command.split_whitespace().collect::<Vec<_>>());
        self.write(&bytes);
    }

    /// Sends a command of words separated by spaces and waits for its reply.
    #[track_caller]
    pub(crate) fn run(&mut self, command: &str) -> Value {
        self.send(command);
        self.reply()
    }

    /// Sends a command and waits for its reply.
    #[track_caller]
    pub(crate) fn run_args<T: AsRef<[u8]>>(&mut self, args: &[T]) -> Value {
        let mut bytes = Vec::new();
        encode_command(&mut bytes, args.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        self.write(&bytes);
        self.reply()
    }

    /// Sends commands of words separated by spaces in one write, then waits for as many replies.
    #[track_caller]
    pub(crate) fn pipeline<T: AsRef<str>>(&mut self, commands: &[T]) -> Vec<Value> {
        let mut bytes = Vec::new();
        for command in commands {
            encode_command(&mut bytes, command.as_ref().split_whitespace().collect::<Vec<_>>());
        }
        self.write(&bytes);
        commands.iter().map(|_| self.reply()).collect()
    }

    /// The next reply.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Value {
        match self.next_reply() {
            Ok(value) => value,
            Err(error) => panic!("no reply: {error}"),
        }
    }

    /// The next reply, or `None` when the connection ends before it.
    pub(crate) fn try_reply(&mut self) -> Option<Value> {
        self.next_reply().ok()
    }

    fn next_reply(&mut self) -> io::Result<Value> {
        loop {
            let decoded = self.decoder.decode(&self.received[self.at..], &ReplyLimits::default());
            if let Some((value, length)) = decoded.map_err(io::Error::other)? {
                self.at += length;
                if self.at == self.received.len() {
                    self.received.clear();
                    self.at = 0;
                }
                return Ok(value);
            }
            if self.receive()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn receive(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let received = match &mut self.socket {
            Socket::Tcp(s) => s.read(&mut buffer),
            Socket::Unix(s) => s.read(&mut buffer),
        }?;
        self.received.extend_from_slice(&buffer[..received]);
        Ok(received)
    }

    /// Everything that the server sends until it closes the connection, as text.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        loop {
            match self.receive() {
                Ok(0) => break,
                Ok(_) => {}
                // The server closed with input unread.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => break,
                Err(e) => panic!("the connection stays open: {e}"),
            }
        }
        String::from_utf8_lossy(&self.received.split_off(self.at)).into_owned()
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end_input(&self) {
        let done = match &self.socket {
            Socket::Tcp(s) => s.shutdown(Shutdown::Write),
            Socket::Unix(s) => s.shutdown(Shutdown::Write),
        };
        done.expect("a connected socket can be shut down");
    }

    /// A field of INFO.
    #[track_caller]
    pub(crate) fn info(&mut self, field: &str) -> String {
        let reply = self.run("INFO everything");
        let text = text(&reply);
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("INFO has no {field}:\n{text}")).trim().to_owned()
    }
}

/// The text of a string reply.
#[track_caller]
pub(crate) fn text(reply: &Value) -> String {
    let bytes = reply.as_bytes().unwrap_or_else(|| panic!("not a string: {reply:?}"));
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn ok() -> Value {
    simple("OK")
}

pub(crate) fn simple(text: &str) -> Value {
    Value::simple(text)
}

pub(crate) fn bulk(text: impl AsRef<[u8]>) -> Value {
    Value::bulk(text)
}

pub(crate) fn int(n: i64) -> Value {
    Value::Integer(n)
}

pub(crate) fn nil() -> Value {
    Value::Null
}

pub(crate) fn error(text: &str) -> Value {
    Value::error(text)
}
