//! A Redis server that scripts can be compared with.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use kvdb_resp::{Args, Protocol, ReplyDecoder, ReplyLimits, Value, encode_command};

use super::notation::Directive;

/// The longest time that a script may really take to go by.
const MAX_WAIT_MS: u64 = 1500;

/// A connection to a server that holds nothing but what the script puts there.
pub(super) struct Oracle {
    stream: TcpStream,
    received: Vec<u8>,
    decoder: ReplyDecoder,
}

impl Oracle {
    /// Connects, deletes everything there is, and puts back the settings that scripts change.
    pub(super) fn connect(address: &str) -> Self {
        let stream =
            TcpStream::connect(address).expect("a Redis server listens where KVDB_SCRIPTS_ORACLE says");
        let mut oracle = Self { stream, received: Vec::new(), decoder: ReplyDecoder::default() };
        for words in [
            &["FLUSHALL"][..],
            &["CONFIG", "SET", "proto-max-bulk-len", "536870912", "hll-sparse-max-bytes", "3000"],
        ] {
            assert_eq!(oracle.send(words), Value::simple("OK"), "{words:?}");
        }
        oracle
    }

    /// The reply to a command.
    pub(super) fn run(&mut self, args: Args<'_>) -> Value {
        self.send(&args.iter().collect::<Vec<_>>())
    }

    /// Does what a directive says; false where it cannot be done on a server, and the script ends.
    pub(super) fn direct(&mut self, directive: Directive) -> bool {
        match directive {
            Directive::Advance(milliseconds) if milliseconds <= MAX_WAIT_MS => {
                std::thread::sleep(Duration::from_millis(milliseconds));
            }
            Directive::Advance(_) => return false,
            Directive::Protocol(protocol) => {
                let version = if protocol == Protocol::Resp3 { "3" } else { "2" };
                self.send(&["HELLO", version]);
            }
            Directive::Evict | Directive::Reopen | Directive::Oracle(_) => {}
        }
        true
    }

    fn send(&mut self, args: &[impl AsRef<[u8]>]) -> Value {
        let mut request = Vec::new();
        encode_command(&mut request, args);
        self.stream.write_all(&request).expect("the server takes commands");
        loop {
            let decoded = self.decoder.decode(&self.received, &ReplyLimits::default());
            if let Some((value, consumed)) = decoded.expect("the server speaks RESP") {
                self.received.drain(..consumed);
                return value;
            }
            let mut buffer = [0; 64 * 1024];
            let read = self.stream.read(&mut buffer).expect("the server replies");
            assert!(read > 0, "the server closed the connection");
            self.received.extend_from_slice(&buffer[..read]);
        }
    }
}
