//! A Redis server to compare test scripts with: the one whose address `KVDB_LUA_ORACLE` holds, or none. It must allow
//! DEBUG, and everything in it is deleted.

use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;

use kvdb_resp::{Protocol, ReplyDecoder, ReplyLimits, Value, encode_command};

use crate::notation::Action;

pub(crate) struct Oracle {
    stream: TcpStream,
    received: Vec<u8>,
    decoder: ReplyDecoder,
}

impl Oracle {
    pub(crate) fn from_environment() -> Option<Self> {
        let address = env::var("KVDB_LUA_ORACLE").ok()?;
        let stream = TcpStream::connect(address).expect("a Redis server listens where KVDB_LUA_ORACLE says");
        let mut oracle = Self { stream, received: Vec::new(), decoder: ReplyDecoder::default() };
        for words in [["FLUSHALL"].as_slice(), &["FUNCTION", "FLUSH"]] {
            assert_eq!(oracle.send(words), Value::simple("OK"));
        }
        Some(oracle)
    }

    pub(crate) fn set_protocol(&mut self, protocol: Protocol) {
        self.send(&["HELLO", if protocol == Protocol::Resp3 { "3" } else { "2" }]);
    }

    pub(crate) fn run(&mut self, action: &Action) -> Value {
        match action {
            Action::Eval(code) => self.send(&["EVAL", code, "2", "k1", "k2", "a1", "a2"]),
            Action::Load(code) => self.send(&["FUNCTION", "LOAD", "REPLACE", code]),
            Action::Call(name) => self.send(&["FCALL", name, "1", "k1", "a1"]),
        }
    }

    fn send(&mut self, args: &[&str]) -> Value {
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
