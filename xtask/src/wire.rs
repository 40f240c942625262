//! A blocking RESP2 connection for campaigns, which must not rest on the code that they check.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// How long a reply may take before a campaign calls the server stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// A reply. RESP2 has no other kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Self>),
}

pub(crate) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// How much of `input` has been consumed.
    read: usize,
}

impl Connection {
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, input: Vec::new(), read: 0 })
    }

    /// The socket, for a connection that is read in another way from here on. All replies must have been taken.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sends one command and waits for its reply.
    pub(crate) fn call(&mut self, args: &[&[u8]]) -> io::Result<Reply> {
        let mut bytes = Vec::new();
        encode(&mut bytes, args);
        self.send(&bytes)?;
        self.receive()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(crate) fn receive(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let Some((kind, rest)) = line.split_at_checked(1) else { return Err(malformed("an empty line")) };
        let number = || rest.parse::<i64>().map_err(|_| malformed(&line));
        match kind {
            "+" => Ok(Reply::Simple(rest.to_owned())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => Ok(Reply::Integer(number()?)),
            "$" | "*" if number()? < 0 => Ok(Reply::Nil),
            "$" => {
                let length = usize::try_from(number()?).map_err(io::Error::other)?;
                let mut bytes = self.take(length + 2)?;
                bytes.truncate(length);
                Ok(Reply::Bulk(bytes))
            }
            "*" => (0..number()?).map(|_| self.receive()).collect::<io::Result<_>>().map(Reply::Array),
            _ => Err(malformed(&line)),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            let unread = &self.input[self.read..];
            if let Some(end) = unread.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&unread[..end]).into_owned();
                self.read += end + 2;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.input.len() - self.read < length {
            self.fill()?;
        }
        let bytes = self.input[self.read..self.read + length].to_vec();
        self.read += length;
        Ok(bytes)
    }

    fn fill(&mut self) -> io::Result<()> {
        self.input.drain(..self.read);
        self.read = 0;
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.input.extend_from_slice(&chunk[..n]);
                Ok(())
            }
        }
    }
}

fn malformed(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP2: {line:?}"))
}

/// Appends a command in RESP.
pub(crate) fn encode(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}
