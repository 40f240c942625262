//! What clients were told, kept outside the server, to hold a recovered server to it.
//!
//! Each *lane* is one connection with keys of its own, so the state of its keys after its first `n` writes does not
//! depend on any other lane. After a crash the recovered state must be that of some prefix of what the lane sent, and the
//! prefix must reach at least as far as the promise does: every acknowledged write, or every one acknowledged before a
//! documented window. That one question also finds torn writes, reordered ones and ones that came twice. A counter that
//! all lanes increment must lie between the increments that were acknowledged and those that were sent.
//!
//! While the load runs, every reply is compared with the model as well.

mod change;
mod collection;
mod stream;
mod write;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Outcome, While, fail};
use crate::rng::Rng;
use crate::wire::{Connection, Reply, encode};
use collection::{KINDS, kind_of};
use write::{Cell, SHARED, State, Write, describe, library_name, name};

/// Keys of one lane: the first hold strings, then come counters, then collections, and the last stands for a library of
/// functions.
const STRINGS: usize = 154;
const COUNTERS: usize = 50;
const COLLECTIONS: usize = 8 * KINDS.len();
const LIBRARY: usize = STRINGS + COUNTERS + COLLECTIONS;
const KEYS: usize = LIBRARY + 1;

const _: () =
    assert!((STRINGS + COUNTERS).is_multiple_of(KINDS.len()), "the first collection is of the first type");

/// How long a server may take to delete what is past its deadline, on disk too.
const UNTIL_DELETED: Duration = Duration::from_secs(15);

/// Commands that one lane writes before it reads replies, at most.
const PIPELINE: u64 = 24;

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
    /// Whether the server knows deadlines of fields.
    fields_die: bool,
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
    /// A ledger of so many connections to a server that knows deadlines of fields, or does not.
    pub(crate) fn new(lanes: usize, seed: u64, fields_die: bool) -> Self {
        let mut rng = Rng::new(seed);
        let lane = |id| Lane {
            id,
            rng: Rng::new(rng.next()),
            state: vec![None; KEYS],
            sent: Vec::new(),
            acknowledged: Vec::new(),
            count: 0,
            fields_die,
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
        self.await_deaths(server)
    }

    /// Waits until nothing is left but what has no deadline that has passed.
    fn await_deaths(&self, server: &mut Connection) -> Outcome {
        let keys = |lane: &Lane| lane.state[..LIBRARY].iter().flatten().count();
        let lasting = self.lanes.iter().map(keys).sum::<usize>() + usize::from(self.shared > 0);
        let lasting = Reply::Integer(i64::try_from(lasting)?);
        let until = Instant::now() + UNTIL_DELETED;
        loop {
            let counted = server.call(&[b"DBSIZE"])?;
            if counted == lasting {
                return Ok(());
            }
            if Instant::now() > until {
                fail!("the server counts {counted:?} keys, and {lasting:?} are there that live on");
            }
            thread::sleep(Duration::from_millis(20));
        }
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
                let reply = match write.receive(&mut connection) {
                    Ok(reply) => reply,
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        fail!("lane {}: {error}", self.id);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        fail!("lane {}: the server stopped answering", self.id);
                    }
                    Err(_) => return Ok(()),
                };
                let wanted = write.apply(self.id, &mut expected);
                if let Reply::Error(error) = &reply
                    && wanted.as_ref() != Some(&reply)
                {
                    // A server whose disk fails may say so; what it refused is not acknowledged.
                    if may_refuse.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                    fail!("lane {}: {write} was refused: {error}", self.id);
                }
                if wanted.is_some_and(|wanted| wanted != reply) {
                    fail!("lane {}: {write} was answered with {reply:?}", self.id);
                }
                self.acknowledged.push(Instant::now());
            }
        }
    }

    fn choose(&mut self) -> Write {
        match self.rng.below(100) {
            0..50 => self.choose_collection(),
            50..55 => {
                let number = 1 + self.rng.below(5);
                let writes = (0..number).map(|_| {
                    if self.rng.one_in(3) { self.choose_string() } else { self.choose_collection() }
                });
                // What a transaction replies must be known beforehand.
                Write::Transaction(writes.filter(|write| !matches!(write, Write::IncrementShared)).collect())
            }
            55..62 => self.choose_pair(),
            62 => {
                self.count += 1;
                Write::Load { key: LIBRARY, number: self.count }
            }
            63..67 => {
                self.count += 1;
                Write::Brief { number: self.count, as_field: self.fields_die && self.rng.one_in(2) }
            }
            _ => self.choose_string(),
        }
    }

    /// A write of two keys. Where both have to be of one type, they are.
    fn choose_pair(&mut self) -> Write {
        self.count += 1;
        let below =
            |rng: &mut Rng, bound: usize| usize::try_from(rng.below(bound as u64)).expect("an index fits");
        let collection = STRINGS + COUNTERS;
        let list = |rng: &mut Rng| collection + 1 + KINDS.len() * below(rng, COLLECTIONS / KINDS.len());
        let value = self.value();
        let rng = &mut self.rng;
        match rng.below(6) {
            0 | 1 => Write::Script { string: below(rng, STRINGS), list: list(rng), value },
            2 => {
                let (from, to) = (list(rng), list(rng));
                Write::MoveElement { from, to, from_left: rng.one_in(2), to_left: rng.one_in(2) }
            }
            number => {
                let (first, step, count) = match number {
                    3 => (0, 1, STRINGS),
                    _ => (collection + below(rng, KINDS.len()), KINDS.len(), COLLECTIONS / KINDS.len()),
                };
                let (from, by) = (below(rng, count), 1 + below(rng, count - 1));
                let (from, to) = (first + step * from, first + step * ((from + by) % count));
                if rng.one_in(2) { Write::Rename { from, to } } else { Write::Copy { from, to } }
            }
        }
    }

    fn choose_collection(&mut self) -> Write {
        self.count += 1;
        let key =
            STRINGS + COUNTERS + usize::try_from(self.rng.below(COLLECTIONS as u64)).expect("an index fits");
        let (value, name) = (self.value(), name(self.id, key));
        let change = kind_of(key).choose(&mut self.rng, self.count, value, name, self.fields_die);
        Write::Change { key, change }
    }

    fn choose_string(&mut self) -> Write {
        self.count += 1;
        let rng = &mut self.rng;
        let string = |rng: &mut Rng| usize::try_from(rng.below(STRINGS as u64)).expect("an index fits");
        let key = string(rng);
        match rng.below(100) {
            0..35 => Write::Set { key, value: self.value() },
            35..41 => {
                let offset = usize::try_from(rng.below(200)).expect("below 200");
                Write::SetRange { key, offset, value: self.value() }
            }
            41..45 => {
                let offset = usize::try_from(rng.below(4000)).expect("below 4000");
                Write::SetBit { key, offset, on: rng.one_in(2) }
            }
            45..57 => Write::Append { key, value: self.value() },
            57..67 => Write::SetWithExpiry { key, value: self.value() },
            67..73 => Write::SetMany([key, string(rng), string(rng)], self.value()),
            73..85 => Write::Increment { key: STRINGS + key % COUNTERS },
            85..93 => Write::Delete { key: (key * 7 + 3) % (STRINGS + COUNTERS) },
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
        for key in 0..STRINGS + COUNTERS {
            let name = name(self.id, key);
            encode(&mut bytes, &[b"GET", &name]);
            encode(&mut bytes, &[b"PTTL", &name]);
        }
        for key in STRINGS + COUNTERS..LIBRARY {
            kind_of(key).ask(&name(self.id, key), &mut bytes, self.fields_die);
        }
        encode(&mut bytes, &[b"FUNCTION", b"LIST", b"LIBRARYNAME", &library_name(self.id), b"WITHCODE"]);
        server.send(&bytes)?;
        let mut state = Vec::with_capacity(KEYS);
        for key in 0..STRINGS + COUNTERS {
            state.push(match (server.receive()?, server.receive()?) {
                (Reply::Nil, Reply::Integer(-2)) => None,
                (Reply::Bulk(value), Reply::Integer(ttl)) if ttl > 0 || ttl == -1 => {
                    Some(Cell::String { value, expires: ttl > 0 })
                }
                (value, ttl) => {
                    let name = String::from_utf8_lossy(&name(self.id, key)).into_owned();
                    fail!("{name}: GET and PTTL answered {value:?} and {ttl:?}");
                }
            });
        }
        for key in STRINGS + COUNTERS..LIBRARY {
            let found = kind_of(key).read(server, self.fields_die);
            let found = found.while_doing(|| format!("lane {}, key {key}", self.id))?;
            state.push(found.map(Cell::Collection));
        }
        state.push(match server.receive()? {
            Reply::Array(libraries) if libraries.is_empty() => None,
            Reply::Array(libraries) => match libraries.first() {
                Some(Reply::Array(library)) => match library.last() {
                    Some(Reply::Bulk(code)) => Some(Cell::string(code, false)),
                    _ => fail!("FUNCTION LIST answered {library:?}"),
                },
                _ => fail!("FUNCTION LIST answered {libraries:?}"),
            },
            other => fail!("FUNCTION LIST answered {other:?}"),
        });
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
                write.apply(self.id, &mut state);
                differing = differing + differ(&state) - before;
            }
            if differing == 0 && length >= promised {
                // What was found need not say all that is known.
                self.state = state;
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

#[cfg(test)]
mod tests {
    use super::change::Change;
    use super::*;

    fn set(key: usize, value: &str) -> Write {
        Write::Set { key, value: value.as_bytes().to_vec() }
    }

    /// A lane that sent `writes` and was promised the first `promised` of them.
    fn lane(writes: Vec<Write>) -> Lane {
        let mut lane = Ledger::new(1, 7, true).lanes.remove(0);
        lane.sent = writes;
        lane
    }

    fn state_after(writes: &[Write]) -> State {
        let mut state = vec![None; KEYS];
        for write in writes {
            write.apply(0, &mut state);
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
        torn[3] = Some(Cell::string(b"c", true));
        let mut immortal = state_after(&writes);
        immortal[3] = Some(Cell::string(b"cc", false));
        for state in [gap, torn, immortal] {
            let failure = lane(writes.clone()).settle(state, 1).expect_err("refused").to_string();
            assert!(failure.contains("no prefix"), "{failure}");
        }
    }

    #[test]
    fn half_of_a_transaction_and_half_of_a_change_are_found() {
        let change = |key: usize, change: Change| Write::Change { key, change };
        let names = || vec![b"a".to_vec(), b"b".to_vec()];
        let (hash, list) = (STRINGS + COUNTERS, STRINGS + COUNTERS + 1);
        let fields = change(hash, Change::SetFields(names(), b"v".to_vec()));
        let values = change(list, Change::Push { left: true, values: names() });
        let whole = vec![Write::Transaction(vec![fields.clone(), values])];
        assert_eq!(lane(whole.clone()).settle(state_after(&whole), 1).expect("accepted"), 1);
        assert!(lane(whole).settle(state_after(std::slice::from_ref(&fields)), 0).is_err());
        let half = change(hash, Change::SetFields(vec![b"a".to_vec()], b"v".to_vec()));
        assert!(lane(vec![fields]).settle(state_after(&[half]), 0).is_err());
    }

    #[test]
    fn half_of_what_two_keys_take_part_in_is_found() {
        let (list, hash) = (STRINGS + COUNTERS + 1, STRINGS + COUNTERS);
        let fields = Change::SetFields(vec![b"a".to_vec()], b"v".to_vec());
        let before = vec![
            set(1, "a"),
            Write::Change { key: list, change: Change::Push { left: true, values: vec![b"v".to_vec()] } },
            Write::Change { key: hash, change: fields },
        ];
        for pair in [
            Write::Rename { from: 1, to: 2 },
            Write::Rename { from: hash, to: hash + KINDS.len() },
            Write::MoveElement { from: list, to: list + KINDS.len(), from_left: true, to_left: true },
            Write::Script { string: 3, list, value: b"v".to_vec() },
        ] {
            let writes = [&before[..], std::slice::from_ref(&pair)].concat();
            let whole = state_after(&writes);
            assert_eq!(lane(writes.clone()).settle(whole.clone(), 4).expect("accepted"), 4);
            for key in pair.keys() {
                let mut half = whole.clone();
                half[key].clone_from(&state_after(&before)[key]);
                assert!(lane(writes.clone()).settle(half, 3).is_err(), "{pair} without key {key}");
            }
        }
    }

    #[test]
    fn a_lost_deadline_of_a_field_and_a_lost_acknowledgement_are_found() {
        let (hash, stream) = (STRINGS + COUNTERS, STRINGS + COUNTERS + 4);
        let change = |key, change| Write::Change { key, change };
        let fields = || vec![b"e1".to_vec()];
        let writes = vec![
            change(hash, Change::SetFields(fields(), b"v".to_vec())),
            change(hash, Change::ExpireFields(fields())),
            change(stream, Change::CreateGroup),
            change(stream, Change::AddEntry { id: 1, value: b"v".to_vec() }),
            change(stream, Change::ReadGroup { stream: b"s".to_vec(), consumer: b"c".to_vec(), count: 1 }),
            change(stream, Change::Acknowledge(vec![1])),
        ];
        let whole = state_after(&writes);
        for (key, upto) in [(hash, 1), (stream, 5), (stream, 4)] {
            let mut found = whole.clone();
            found[key].clone_from(&state_after(&writes[..upto])[key]);
            assert!(lane(writes.clone()).settle(found, 6).is_err(), "key {key} after {upto} writes");
        }
        assert_eq!(lane(writes).settle(whole, 6).expect("accepted"), 6);
    }

    #[test]
    fn half_of_a_multi_key_write_is_found() {
        let writes = vec![Write::SetMany([1, 2, 3], b"x".to_vec())];
        let mut half = state_after(&writes);
        half[2] = None;
        assert!(lane(writes).settle(half, 0).is_err());
    }
}
