//! Steps in which more than one client, or both servers together, take part.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::pair::{Mismatch, Pair, differ};
use super::reply::Reply;
use super::rules::{Rule, agree, normal, rule_of, same_encoding};
use super::script::{CLIENTS, Step};
use super::state::{content_of, settled};
use super::template::Word;

/// How long what one client does may take to reach another.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a PING says that asks whether all has been heard.
const MARKER: &[u8] = b"all that was to be heard";

/// The key under which a server restores what the other one has dumped.
const COPY: &[u8] = b"a copy from the other";

impl Pair {
    /// Has the client that listens say something, or nothing, and compares what it hears.
    pub(super) fn listen(&mut self, command: Option<&[Word]>) -> io::Result<Option<Mismatch>> {
        for side in [&mut self.ours, &mut self.theirs] {
            if let Some(command) = command {
                side[CLIENTS].send(command)?;
            }
        }
        // Who leaves all channels is told of them in no order.
        let counts = command.is_none_or(|command| command.len() > 1);
        let shown = |messages: &[Reply]| {
            let message = |message: &Reply| match message.clone() {
                Reply::Array(mut parts) | Reply::Push(mut parts) if !counts && parts.len() == 3 => {
                    parts.pop();
                    Reply::Array(parts)
                }
                other => other,
            };
            normal(Rule::Unordered, &Reply::Array(messages.iter().map(message).collect()))
        };
        let theirs = heard(&mut self.theirs[CLIENTS])?;
        let mut ours = heard(&mut self.ours[CLIENTS])?;
        let until = Instant::now() + PATIENCE;
        while ours.len() < theirs.len() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
            ours.extend(heard(&mut self.ours[CLIENTS])?);
        }
        let question = command.map_or_else(|| vec![b"(heard)".to_vec()], <[Word]>::to_vec);
        Ok(differ(Rule::Exact, &question, &shown(&ours), &shown(&theirs)))
    }

    /// One client waits, the other one says something, and lets it go where that has not woken it.
    pub(super) fn wake_up(&mut self, step: &Step) -> io::Result<Option<Mismatch>> {
        let (waiter, waker) = (step.client, CLIENTS - 1 - step.client);
        let command = &step.commands[0];
        let mut ids = Vec::new();
        for side in [&mut self.ours, &mut self.theirs] {
            ids.push(match side[waiter].call(&["CLIENT", "ID"])? {
                Reply::Integer(id) => id.to_string(),
                other => return Err(io::Error::other(format!("CLIENT ID was answered with {other}"))),
            });
            side[waiter].send(command)?;
            await_waiting(side, waiter, waker)?;
        }
        for command in &step.commands[1..] {
            if self.takes_the_place(waker, command)? {
                continue;
            }
            let (ours, theirs) = self.both(waker, command)?;
            if let Some(mismatch) = differ(rule_of(command), command, &ours, &theirs) {
                // What is waited for has to be taken, or the next reply would be another one's.
                for (side, id) in [&mut self.ours, &mut self.theirs].into_iter().zip(&ids) {
                    side[waker].call(&["CLIENT", "UNBLOCK", id.as_str()])?;
                    side[waiter].receive()?;
                }
                return Ok(Some(mismatch));
            }
        }
        let let_go = self.theirs[waker].call(&["CLIENT", "UNBLOCK", ids[1].as_str()])?;
        if let_go == Reply::Integer(0) {
            // It has been woken there, and is to be here.
            let until = Instant::now() + PATIENCE;
            while !self.ours[waiter].has_input()? && Instant::now() < until {
                thread::sleep(Duration::from_millis(1));
            }
        }
        self.ours[waker].call(&["CLIENT", "UNBLOCK", ids[0].as_str()])?;
        let (ours, theirs) = (self.ours[waiter].receive()?, self.theirs[waiter].receive()?);
        Ok(differ(rule_of(command), command, &ours, &theirs))
    }

    /// Each server restores what the other one has dumped.
    pub(super) fn dump(&mut self, client: usize, command: &[Word]) -> io::Result<Option<Mismatch>> {
        let (ours, theirs) = self.both(client, command)?;
        let (Reply::Bulk(our_dump), Reply::Bulk(their_dump)) = (&ours, &theirs) else {
            return Ok(differ(Rule::Exact, command, &ours, &theirs));
        };
        let restore = |server: &mut Connection, payload: &[u8]| {
            let words: [&[u8]; 5] = [b"RESTORE", COPY, b"0", payload, b"REPLACE"];
            server.call(&words)
        };
        let ours = restore(&mut self.ours[client], their_dump)?;
        let theirs = restore(&mut self.theirs[client], our_dump)?;
        let restored = Reply::Simple("OK".to_owned());
        for (ours, theirs) in [(&ours, &restored), (&restored, &theirs)] {
            if let Some(mismatch) = differ(Rule::Exact, command, ours, theirs) {
                return Ok(Some(mismatch));
            }
        }
        let words = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<Word>>();
        let kind_of = words(&[b"TYPE", COPY]);
        let (our_kind, kind) = self.both(client, &kind_of)?;
        let mut mismatch = differ(Rule::Exact, &kind_of, &our_kind, &kind);
        let encoding_of = words(&[b"OBJECT", b"ENCODING", COPY]);
        let (ours, theirs) = self.both(client, &encoding_of)?;
        if mismatch.is_none() && !same_encoding(&kind, &ours, &theirs) {
            mismatch = differ(Rule::Exact, &encoding_of, &ours, &theirs);
        }
        for question in content_of(&kind, COPY) {
            let question = words(&question);
            let (ours, theirs) = self.both(client, &question)?;
            let (ours, theirs) = (settled(&ours), settled(&theirs));
            if mismatch.is_none() && !agree(rule_of(&question), &ours, &theirs) {
                mismatch = differ(Rule::Exact, &question, &ours, &theirs);
            }
        }
        self.both(client, &words(&[b"DEL", COPY]))?;
        Ok(mismatch)
    }
}

/// What a client has been told that has not been taken yet, replies to what it has said included.
fn heard(listener: &mut Connection) -> io::Result<Vec<Reply>> {
    listener.send(&[b"PING", MARKER])?;
    let mut heard = Vec::new();
    loop {
        let reply = listener.receive()?;
        let last = match &reply {
            // Who has subscribed in RESP2 gets an array.
            Reply::Array(parts) if parts.first().and_then(Reply::bytes) == Some(b"pong") => parts.last(),
            other => Some(other),
        };
        if last.and_then(Reply::bytes) == Some(MARKER) {
            return Ok(heard);
        }
        heard.push(reply);
    }
}

/// Waits until a client waits, or has its reply.
fn await_waiting(side: &mut [Connection], waiter: usize, asking: usize) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until && !side[waiter].has_input()? {
        let info = side[asking].call(&["INFO", "clients"])?;
        let text = match &info {
            Reply::Bulk(bytes) | Reply::Verbatim(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => return Err(io::Error::other(format!("INFO was answered with {other}"))),
        };
        if text.lines().any(|line| line == "blocked_clients:1") {
            break;
        }
    }
    Ok(())
}
