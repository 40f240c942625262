//! What clients were told, kept outside the server, to hold a recovered server to it.
//!
//! Each *lane* is one connection with keys of its own, so the state of its keys after its first `n` writes does not
//! depend on any other lane. After a crash the recovered state must be that of some prefix of what the lane sent, and the
//! prefix must reach at least as far as the promise does: every acknowledged write, or every one acknowledged before a
//! documented window. That one question also finds torn writes, reordered ones and ones that came twice. A counter that
//! all lanes increment must lie between the increments that were acknowledged and those that were sent.
//!
//! While the load runs, every reply is compared with the model as well.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::failure::{Outcome, fail};
use crate::rng::Rng;
use crate::wire::{Connection, Reply, encode};

/// Keys of one lane: the first hold strings, the rest counters.
const STRINGS: usize = 150;
const COUNTERS: usize = 50;
const KEYS: usize = STRINGS + COUNTERS;

/// Commands that one lane writes before it reads replies, at most.
const PIPELINE: u64 = 24;

/// Far longer than any campaign: an expiry must survive, and must not strike.
const SECONDS_TO_LIVE: &[u8] = b"1000000";

const SHARED: &[u8] = b"shared:counter";

/// The value of a key, and whether it has an expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    value: Vec<u8>,
    expires: bool,
}

/// The keys of one lane; `None` is a key that does not exist.
type State = Vec<Option<Cell>>;

#[derive(Debug, Clone)]
enum Write {
    Set {
        key: usize,
        value: Vec<u8>,
    },
    SetWithExpiry {
        key: usize,
        value: Vec<u8>,
    },
    /// All or nothing, like everything in one command.
    SetMany([usize; 3], Vec<u8>),
    Append {
        key: usize,
        value: Vec<u8>,
    },
    Increment {
        key: usize,
    },
    Delete {
        key: usize,
    },
    IncrementShared,
}

/// # Invariants
/// - `state` is what the server holds once the writes of `sent` are taken back: the last verified state.
/// - `acknowledged` is never longer than `sent`: the n-th reply belongs to the n-th write.
struct Lane {
    id: usize,
    rng: Rng,
    state: State,
    sent: Vec<Write>,
    /// When each reply arrived.
    acknowledged: Vec<Instant>,
    /// Writes of all rounds; it makes every value unlike any other.
    count: u64,
}

pub(crate) struct Ledger {
    lanes: Vec<Lane>,
    /// The last verified value of the shared counter.
    shared: i64,
    pub(crate) tally: Tally,
}

/// What was checked so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) acknowledged: u64,
    /// Writes that were sent but not acknowledged, and are there all the same.
    pub(crate) unacknowledged_kept: u64,
    /// Acknowledged writes inside the allowed window that are gone.
    pub(crate) lost_in_window: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged writes checked, {} lost inside the allowed window, {} kept that were never acknowledged",
            self.acknowledged, self.lost_in_window, self.unacknowledged_kept
        )
    }
}

impl Ledger {
    pub(crate) fn new(lanes: usize, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let lane = |id| Lane {
            id,
            rng: Rng::new(rng.next()),
            state: vec![None; KEYS],
            sent: Vec::new(),
            acknowledged: Vec::new(),
            count: 0,
        };
        Self { lanes: (0..lanes).map(lane).collect(), shared: 0, tally: Tally::default() }
    }

    /// Writes on all lanes until their connections break, which `crash` brings about; it runs on the calling thread, and
    /// sets the flag that it is given before the server has a reason to refuse a write.
    pub(crate) fn load_until(&mut self, port: u16, crash: impl FnOnce(&AtomicBool) -> Outcome) -> Outcome {
        let may_refuse = AtomicBool::new(false);
        let may_refuse = &may_refuse;
        thread::scope(|scope| {
            let lanes: Vec<_> = self
                .lanes
                .iter_mut()
                .map(|lane| scope.spawn(move || lane.write_until_broken(port, may_refuse)))
                .collect();
            let crashed = crash(may_refuse);
            let mut done = Ok(());
            for lane in lanes {
                done = done.and(lane.join().expect("a lane returns its failures"));
            }
            // A crash that did not come about explains what the lanes saw, not the other way round.
            crashed.and(done)
        })
    }

    /// Compares the recovered server with what the clients were told. Replies that arrived after `promised_until` were
    /// no promise; without it every reply was one.
    pub(crate) fn verify(&mut self, server: &mut Connection, promised_until: Option<Instant>) -> Outcome {
        let (mut promised_shared, mut sent_shared) = (0, 0);
        for lane in &mut self.lanes {
            let found = lane.read_back(server)?;
            let promised = match promised_until {
                None => lane.acknowledged.len(),
                Some(until) => lane.acknowledged.partition_point(|&at| at <= until),
            };
            let shared =
                |writes: &[Write]| writes.iter().filter(|w| matches!(w, Write::IncrementShared)).count();
            promised_shared += i64::try_from(shared(&lane.sent[..promised]))?;
            sent_shared += i64::try_from(shared(&lane.sent))?;
            let kept = lane.settle(found, promised)?;
            self.tally.acknowledged += lane.acknowledged.len() as u64;
            self.tally.unacknowledged_kept += kept.saturating_sub(lane.acknowledged.len()) as u64;
            self.tally.lost_in_window += lane.acknowledged.len().saturating_sub(kept) as u64;
            lane.sent.clear();
            lane.acknowledged.clear();
        }
        let found = match server.call(&[b"GET", SHARED])? {
            Reply::Nil => 0,
            Reply::Bulk(digits) => String::from_utf8_lossy(&digits).parse::<i64>()?,
            other => fail!("GET of the shared counter answered {other:?}"),
        };
        let (least, most) = (self.shared + promised_shared, self.shared + sent_shared);
        if found < least || found > most {
            fail!(
                "the shared counter is {found}; acknowledged increments demand {least}, sent ones allow {most}"
            );
        }
        self.shared = found;
        Ok(())
    }
}

impl Lane {
    fn write_until_broken(&mut self, port: u16, may_refuse: &AtomicBool) -> Outcome {
        let mut expected = self.state.clone();
        let Ok(mut connection) = Connection::open(port) else { return Ok(()) };
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let first = self.sent.len();
            for _ in 0..=self.rng.below(PIPELINE) {
                let write = self.choose();
                write.encode(self.id, &mut bytes);
                self.sent.push(write);
            }
            if connection.send(&bytes).is_err() {
                return Ok(());
            }
            for write in &self.sent[first..] {
                let reply = match connection.receive() {
                    Ok(reply) => reply,
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        fail!("lane {}: {error}", self.id);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        fail!("lane {}: the server stopped answering", self.id);
                    }
                    Err(_) => return Ok(()),
                };
                if let Reply::Error(error) = &reply {
                    // A server whose disk fails may say so; what it refused is not acknowledged.
                    if may_refuse.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                    fail!("lane {}: {write} was refused: {error}", self.id);
                }
                let wanted = write.apply(&mut expected);
                if wanted.is_some_and(|wanted| wanted != reply) {
                    fail!("lane {}: {write} was answered with {reply:?}", self.id);
                }
                self.acknowledged.push(Instant::now());
            }
        }
    }

    fn choose(&mut self) -> Write {
        self.count += 1;
        let rng = &mut self.rng;
        let string = |rng: &mut Rng| usize::try_from(rng.below(STRINGS as u64)).expect("an index fits");
        let key = string(rng);
        match rng.below(100) {
            0..45 => Write::Set { key, value: self.value() },
            45..57 => Write::Append { key, value: self.value() },
            57..67 => Write::SetWithExpiry { key, value: self.value() },
            67..73 => Write::SetMany([key, string(rng), string(rng)], self.value()),
            73..85 => Write::Increment { key: STRINGS + key % COUNTERS },
            85..93 => Write::Delete { key: (key * 7 + 3) % KEYS },
            _ => Write::IncrementShared,
        }
    }

    /// A value that names its write and has one of many lengths: mostly short, now and then larger than any buffer.
    fn value(&mut self) -> Vec<u8> {
        let length = match self.rng.below(1000) {
            0..2 => 70_000 + self.rng.below(30_000),
            2..20 => self.rng.below(9_000),
            _ => self.rng.below(150),
        };
        let mut value = format!("{}.{}.", self.id, self.count).into_bytes();
        let fill = (b'a'..=b'z').cycle().skip(usize::try_from(self.count % 26).expect("below 26"));
        value.extend(fill.take(usize::try_from(length).expect("a length fits")));
        value
    }

    fn read_back(&self, server: &mut Connection) -> Outcome<State> {
        let mut bytes = Vec::new();
        for key in 0..KEYS {
            let name = name(self.id, key);
            encode(&mut bytes, &[b"GET", &name]);
            encode(&mut bytes, &[b"PTTL", &name]);
        }
        server.send(&bytes)?;
        let mut state = Vec::with_capacity(KEYS);
        for key in 0..KEYS {
            state.push(match (server.receive()?, server.receive()?) {
                (Reply::Nil, Reply::Integer(-2)) => None,
                (Reply::Bulk(value), Reply::Integer(ttl)) if ttl > 0 || ttl == -1 => {
                    Some(Cell { value, expires: ttl > 0 })
                }
                (value, ttl) => {
                    let name = String::from_utf8_lossy(&name(self.id, key)).into_owned();
                    fail!("{name}: GET and PTTL answered {value:?} and {ttl:?}");
                }
            });
        }
        Ok(state)
    }

    /// Finds the prefix of what was sent that gives `found`, at least `promised` long, makes it the verified state and
    /// returns its length.
    fn settle(&mut self, found: State, promised: usize) -> Outcome<usize> {
        let mut state = self.state.clone();
        // The number of differing keys is kept up to date, so each step costs only what it changes.
        let mut differing = (0..KEYS).filter(|&key| state[key] != found[key]).count();
        let mut too_short = (differing == 0).then_some(0);
        let mut at_promise = None;
        for length in 0..=self.sent.len() {
            if length > 0 {
                let write = &self.sent[length - 1];
                let touched = write.keys();
                let differ = |state: &State| touched.iter().filter(|&&key| state[key] != found[key]).count();
                let before = differ(&state);
                write.apply(&mut state);
                differing = differing + differ(&state) - before;
            }
            if differing == 0 && length >= promised {
                self.state = found;
                return Ok(length);
            }
            if differing == 0 {
                too_short = Some(length);
            }
            if length == promised {
                at_promise = Some(state.clone());
            }
        }
        if let Some(length) = too_short {
            fail!(
                "lane {}: {} acknowledged writes are lost: {promised} were promised, the first {length} are there",
                self.id,
                promised - length
            );
        }
        let state = at_promise.expect("every promise is for a write that was sent");
        let key = (0..KEYS).find(|&key| state[key] != found[key]).unwrap_or(0);
        fail!(
            "lane {}: the recovered state is that of no prefix of its {} writes ({promised} promised); \
             for one, {} holds {} instead of {}",
            self.id,
            self.sent.len(),
            String::from_utf8_lossy(&name(self.id, key)),
            describe(found[key].as_ref()),
            describe(state[key].as_ref())
        );
    }
}

fn name(lane: usize, key: usize) -> Vec<u8> {
    format!("lane{lane}:key{key}").into_bytes()
}

fn describe(cell: Option<&Cell>) -> String {
    cell.map_or_else(
        || "nothing".to_owned(),
        |cell| {
            let start = String::from_utf8_lossy(&cell.value[..cell.value.len().min(24)]).into_owned();
            let expiry = if cell.expires { ", with an expiry" } else { "" };
            format!("{} bytes {start:?}{expiry}", cell.value.len())
        },
    )
}

impl Write {
    /// The keys it touches, each once.
    fn keys(&self) -> Vec<usize> {
        match self {
            Self::Set { key, .. }
            | Self::SetWithExpiry { key, .. }
            | Self::Append { key, .. }
            | Self::Increment { key }
            | Self::Delete { key } => vec![*key],
            Self::SetMany(keys, _) => {
                let mut keys = keys.to_vec();
                keys.sort_unstable();
                keys.dedup();
                keys
            }
            Self::IncrementShared => Vec::new(),
        }
    }

    fn encode(&self, lane: usize, out: &mut Vec<u8>) {
        let name = |key: &usize| name(lane, *key);
        match self {
            Self::Set { key, value } => encode(out, &[b"SET", &name(key), value]),
            Self::SetWithExpiry { key, value } => {
                encode(out, &[b"SETEX", &name(key), SECONDS_TO_LIVE, value])
            }
            Self::SetMany(keys, value) => {
                let [a, b, c] = keys.each_ref().map(name);
                encode(out, &[b"MSET", &a, value, &b, value, &c, value]);
            }
            Self::Append { key, value } => encode(out, &[b"APPEND", &name(key), value]),
            Self::Increment { key } => encode(out, &[b"INCR", &name(key)]),
            Self::Delete { key } => encode(out, &[b"DEL", &name(key)]),
            Self::IncrementShared => encode(out, &[b"INCR", SHARED]),
        }
    }

    /// Changes `state` as the command does and returns the reply that it must have; `None` when others decide it too.
    fn apply(&self, state: &mut State) -> Option<Reply> {
        let ok = Reply::Simple("OK".to_owned());
        match self {
            Self::Set { key, value } => {
                state[*key] = Some(Cell { value: value.clone(), expires: false });
                Some(ok)
            }
            Self::SetWithExpiry { key, value } => {
                state[*key] = Some(Cell { value: value.clone(), expires: true });
                Some(ok)
            }
            Self::SetMany(keys, value) => {
                for key in keys {
                    state[*key] = Some(Cell { value: value.clone(), expires: false });
                }
                Some(ok)
            }
            Self::Append { key, value } => {
                let cell = state[*key].get_or_insert(Cell { value: Vec::new(), expires: false });
                cell.value.extend_from_slice(value);
                Some(Reply::Integer(i64::try_from(cell.value.len()).expect("a string's length fits")))
            }
            Self::Increment { key } => {
                let cell = state[*key].get_or_insert(Cell { value: b"0".to_vec(), expires: false });
                let digits = std::str::from_utf8(&cell.value).expect("a counter holds digits");
                let value = digits.parse::<i64>().expect("a counter holds a number") + 1;
                cell.value = value.to_string().into_bytes();
                Some(Reply::Integer(value))
            }
            Self::Delete { key } => Some(Reply::Integer(i64::from(state[*key].take().is_some()))),
            Self::IncrementShared => None,
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { key, value } => write!(f, "SET of key {key} to {} bytes", value.len()),
            Self::SetWithExpiry { key, value } => write!(f, "SETEX of key {key} to {} bytes", value.len()),
            Self::SetMany(keys, value) => write!(f, "MSET of keys {keys:?} to {} bytes", value.len()),
            Self::Append { key, value } => write!(f, "APPEND of {} bytes to key {key}", value.len()),
            Self::Increment { key } => write!(f, "INCR of key {key}"),
            Self::Delete { key } => write!(f, "DEL of key {key}"),
            Self::IncrementShared => write!(f, "INCR of the shared counter"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: usize, value: &str) -> Write {
        Write::Set { key, value: value.as_bytes().to_vec() }
    }

    /// A lane that sent `writes` and was promised the first `promised` of them.
    fn lane(writes: Vec<Write>) -> Lane {
        let mut lane = Ledger::new(1, 7).lanes.remove(0);
        lane.sent = writes;
        lane
    }

    fn state_after(writes: &[Write]) -> State {
        let mut state = vec![None; KEYS];
        for write in writes {
            write.apply(&mut state);
        }
        state
    }

    #[test]
    fn a_prefix_that_reaches_the_promise_is_accepted() {
        let writes = vec![set(1, "a"), set(2, "b"), Write::Delete { key: 1 }, Write::Increment { key: 190 }];
        for kept in 2..=4 {
            assert_eq!(lane(writes.clone()).settle(state_after(&writes[..kept]), 2).expect("accepted"), kept);
        }
    }

    #[test]
    fn a_lost_acknowledged_write_is_found() {
        let writes = vec![set(1, "a"), set(2, "b"), set(3, "c")];
        let failure =
            lane(writes.clone()).settle(state_after(&writes[..1]), 3).expect_err("refused").to_string();
        assert!(failure.contains("2 acknowledged writes are lost"), "{failure}");
    }

    #[test]
    fn a_gap_a_torn_value_and_a_lost_expiry_are_found() {
        let writes = vec![set(1, "a"), set(2, "b"), Write::SetWithExpiry { key: 3, value: b"cc".to_vec() }];
        let gap = state_after(&[writes[0].clone(), writes[2].clone()]);
        let mut torn = state_after(&writes);
        torn[3].as_mut().expect("set").value.truncate(1);
        let mut immortal = state_after(&writes);
        immortal[3].as_mut().expect("set").expires = false;
        for state in [gap, torn, immortal] {
            let failure = lane(writes.clone()).settle(state, 1).expect_err("refused").to_string();
            assert!(failure.contains("no prefix"), "{failure}");
        }
    }

    #[test]
    fn half_of_a_multi_key_write_is_found() {
        let writes = vec![Write::SetMany([1, 2, 3], b"x".to_vec())];
        let mut half = state_after(&writes);
        half[2] = None;
        assert!(lane(writes).settle(half, 0).is_err());
    }
}
