//! A blocking connection that speaks RESP2 and RESP3. It does not rest on the code that it checks.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::reply::{Reply, number_text};
use crate::wire;

/// How long a reply may take before the server counts as stuck.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// How much of `input` has been consumed.
    read: usize,
}

impl Connection {
    pub(super) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, input: Vec::new(), read: 0 })
    }

    /// Sends one command and waits for its reply.
    pub(super) fn call(&mut self, words: &[impl AsRef<[u8]>]) -> io::Result<Reply> {
        self.send(words)?;
        self.receive()
    }

    pub(super) fn send(&mut self, words: &[impl AsRef<[u8]>]) -> io::Result<()> {
        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        let mut bytes = Vec::new();
        wire::encode(&mut bytes, &words);
        self.stream.write_all(&bytes)
    }

    /// Whether a part of a reply has arrived.
    pub(super) fn has_input(&self) -> io::Result<bool> {
        if self.read < self.input.len() {
            return Ok(true);
        }
        self.stream.set_nonblocking(true)?;
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false)?;
        match peeked {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn receive(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let Some((&kind, rest)) = line.split_first() else { return Err(malformed(&line)) };
        let text = || String::from_utf8_lossy(rest).into_owned();
        let number = || text().parse::<i64>().map_err(|_| malformed(&line));
        let length = || usize::try_from(number()?).map_err(|_| malformed(&line));
        Ok(match kind {
            b'$' if rest == b"-1" => Reply::NilBulk,
            b'*' if rest == b"-1" => Reply::NilArray,
            b'_' => Reply::Null,
            b'+' => Reply::Simple(text()),
            b'-' => Reply::Error(text()),
            b'!' => Reply::Error(String::from_utf8_lossy(&self.take(length()?)?).into_owned()),
            b':' => Reply::Integer(number()?),
            b',' => Reply::Double(number_text(&text()).ok_or_else(|| malformed(&line))?),
            b'#' => Reply::Boolean(rest == b"t"),
            b'(' => Reply::BigNumber(text()),
            b'$' => Reply::Bulk(self.take(length()?)?),
            b'=' => Reply::Verbatim(self.take(length()?)?),
            b'*' => Reply::Array(self.many(length()?)?),
            b'~' => Reply::Set(self.many(length()?)?),
            b'>' => Reply::Push(self.many(length()?)?),
            b'%' => {
                let pairs = (0..length()?).map(|_| Ok((self.receive()?, self.receive()?)));
                Reply::Map(pairs.collect::<io::Result<_>>()?)
            }
            _ => return Err(malformed(&line)),
        })
    }

    fn many(&mut self, count: usize) -> io::Result<Vec<Reply>> {
        (0..count).map(|_| self.receive()).collect()
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let unread = &self.input[self.read..];
            if let Some(end) = unread.windows(2).position(|pair| pair == b"\r\n") {
                let line = unread[..end].to_vec();
                self.read += end + 2;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    /// A string of this length and the line's end behind it.
    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.input.len() - self.read < length + 2 {
            self.fill()?;
        }
        let bytes = self.input[self.read..self.read + length].to_vec();
        self.read += length + 2;
        Ok(bytes)
    }

    fn fill(&mut self) -> io::Result<()> {
        self.input.drain(..self.read);
        self.read = 0;
        let mut chunk = [0; 64 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.input.extend_from_slice(&chunk[..n]);
                Ok(())
            }
        }
    }
}

fn malformed(line: &[u8]) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a reply: {}", line.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn every_type_of_both_protocols_is_read() {
        let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        let replies = [
            ("+OK\r\n", Reply::Simple("OK".to_owned())),
            ("-ERR no\r\n", Reply::Error("ERR no".to_owned())),
            ("!3\r\nE\r\n\r\n", Reply::Error("E\r\n".to_owned())),
            (":-7\r\n", Reply::Integer(-7)),
            ("$2\r\nhi\r\n", bulk("hi")),
            ("$-1\r\n", Reply::NilBulk),
            ("*-1\r\n", Reply::NilArray),
            ("_\r\n", Reply::Null),
            ("*2\r\n:1\r\n*0\r\n", Reply::Array(vec![Reply::Integer(1), Reply::Array(Vec::new())])),
            ("~1\r\n$0\r\n\r\n", Reply::Set(vec![bulk("")])),
            (">1\r\n:1\r\n", Reply::Push(vec![Reply::Integer(1)])),
            ("%1\r\n+a\r\n#t\r\n", Reply::Map(vec![(Reply::Simple("a".to_owned()), Reply::Boolean(true))])),
            (",0.10000000000000001\r\n", Reply::Double("0.1".to_owned())),
            (",inf\r\n", Reply::Double("inf".to_owned())),
            ("(12345678901234567890\r\n", Reply::BigNumber("12345678901234567890".to_owned())),
            ("=6\r\ntxt:hi\r\n", Reply::Verbatim(b"txt:hi".to_vec())),
        ];
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        let mut connection = Connection::open(port).expect("somebody listens");
        let (mut server, _) = listener.accept().expect("it connects");
        let text: String = replies.iter().map(|(text, _)| *text).collect();
        server.write_all(text.as_bytes()).expect("the buffers are large enough");
        for (text, reply) in replies {
            assert_eq!(connection.receive().expect("a reply"), reply, "{text:?}");
        }
        server.write_all(b"?\r\n").expect("the buffers are large enough");
        assert!(connection.receive().is_err());
    }
}
