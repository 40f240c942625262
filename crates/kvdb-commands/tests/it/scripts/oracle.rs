//! A Redis server that scripts can be compared with.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use kvdb_resp::{Args, Protocol, ReplyDecoder, ReplyLimits, Value, encode_command};

use super::notation::{Directive, show_event};

/// The longest time that a script may really take to go by.
const MAX_WAIT_MS: u64 = 1500;

/// A connection to a server that holds nothing but what the script puts there.
pub(super) struct Oracle {
    commands: Connection,
    /// Made when events are asked for: scripts count clients.
    events: Option<Connection>,
    address: String,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    decoder: ReplyDecoder,
}

impl Oracle {
    /// Connects, deletes everything there is, and puts back the settings that scripts change.
    pub(super) fn connect(address: &str) -> Self {
        let mut commands = Connection::new(address);
        for words in [
            &["FLUSHALL"][..],
            &["CONFIG", "SET", "proto-max-bulk-len", "536870912", "hll-sparse-max-bytes", "3000"],
            &["CONFIG", "SET", "notify-keyspace-events", ""],
        ] {
            assert_eq!(commands.send(words), Value::simple("OK"), "{words:?}");
        }
        Self { commands, events: None, address: address.to_owned() }
    }

    /// The reply to a command.
    pub(super) fn run(&mut self, args: Args<'_>) -> Value {
        self.commands.send(&args.iter().collect::<Vec<_>>())
    }

    /// The events since they were shown last.
    pub(super) fn events(&mut self) -> Vec<String> {
        let mut shown = Vec::new();
        let Some(events) = &mut self.events else { return shown };
        let mut next = events.send(&["PING"]);
        // What happened before the question comes before the answer.
        while next != Value::Array(vec![Value::bulk("pong"), Value::bulk("")]) {
            let Value::Array(message) = &next else { panic!("a message is an array: {next:?}") };
            let [_, _, channel, key] = &message[..] else { panic!("it came by a pattern: {next:?}") };
            let text = |value: &Value| value.as_bytes().expect("parts of messages are strings").to_vec();
            let channel = String::from_utf8(text(channel)).expect("events have plain names");
            let (db, event) = channel.split_once("__:").expect("a channel names an event");
            let db = db.trim_start_matches("__keyevent@").parse().expect("a channel names a database");
            shown.push(show_event(db, event, &text(key)));
            next = events.receive();
        }
        shown
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
                self.commands.send(&["HELLO", version]);
            }
            Directive::Events(classes) => {
                let events = self.events.get_or_insert_with(|| Connection::new(&self.address));
                events.send(&["PSUBSCRIBE", "__keyevent@*"]);
                self.commands.send(&["CONFIG", "SET", "notify-keyspace-events", &format!("{classes}E")]);
            }
            Directive::Evict | Directive::Expire | Directive::Reopen | Directive::Oracle(_) => {}
        }
        true
    }
}

impl Connection {
    fn new(address: &str) -> Self {
        let stream =
            TcpStream::connect(address).expect("a Redis server listens where KVDB_SCRIPTS_ORACLE says");
        Self { stream, received: Vec::new(), decoder: ReplyDecoder::default() }
    }

    fn send(&mut self, args: &[impl AsRef<[u8]>]) -> Value {
        let mut request = Vec::new();
        encode_command(&mut request, args);
        self.stream.write_all(&request).expect("the server takes commands");
        self.receive()
    }

    fn receive(&mut self) -> Value {
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
