//! Two servers that are told the same.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::reply::Reply;
use super::rules::{Rule, agree, normal, rule_of};
use super::script::{CLIENTS, Step, shown};
use super::settle;
use super::template::Word;

/// The versions of the protocol of the clients of one conversation.
pub(super) type Protocols = [u8; CLIENTS];

/// Where the servers do not say the same.
#[derive(Debug)]
pub(super) struct Mismatch {
    /// The name of the command, by which a mismatch is known again.
    pub(super) about: String,
    /// The command, or what was asked about the state.
    pub(super) question: String,
    pub(super) ours: String,
    pub(super) theirs: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = |text: &str| text.chars().take(2000).collect::<String>();
        write!(f, "  {}\n  Redis: {}\n  ours:  {}", cut(&self.question), cut(&self.theirs), cut(&self.ours))
    }
}

/// The server under test and the one it is compared with, each with the same clients, the last of which only listens.
pub(super) struct Pair {
    pub(super) ours: Vec<Connection>,
    pub(super) theirs: Vec<Connection>,
}

/// Iterations after which a scan that does not end counts as endless.
const LONGEST_SCAN: usize = 100_000;

/// Leaves a server as a conversation expects to find it. In half of them collections are large soon.
fn clear(server: &mut Connection, protocols: Protocols) -> io::Result<()> {
    server.call(&["FLUSHALL"])?;
    server.call(&["SCRIPT", "FLUSH"])?;
    server.call(&["FUNCTION", "FLUSH"])?;
    server.call(&["ACL", "DELUSER", "user0", "user1"])?;
    let is_small = protocols[0] == 3;
    for (setting, usual, small) in BORDERS {
        server.call(&["CONFIG", "SET", setting, if is_small { small } else { usual }])?;
    }
    // The clients of the last conversation may not be gone yet.
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        let channels = server.call(&["PUBSUB", "CHANNELS"])?.leaves().len()
            + server.call(&["PUBSUB", "SHARDCHANNELS"])?.leaves().len();
        if channels == 0 && server.call(&["PUBSUB", "NUMPAT"])? == Reply::Integer(0) {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Where small collections end: as usual, and much sooner.
const BORDERS: [(&str, &str, &str); 6] = [
    ("hash-max-listpack-entries", "512", "4"),
    ("hash-max-listpack-value", "64", "10"),
    ("set-max-intset-entries", "512", "4"),
    ("zset-max-listpack-entries", "128", "4"),
    ("zset-max-listpack-value", "64", "10"),
    ("list-max-listpack-size", "-2", "3"),
];

impl Pair {
    /// Empties both servers and connects new clients.
    pub(super) fn fresh(ports: (u16, u16), protocols: Protocols) -> io::Result<Self> {
        let connect = |port: u16| -> io::Result<Vec<Connection>> {
            clear(&mut Connection::open(port)?, protocols)?;
            let greet = |protocol: &u8| {
                let mut connection = Connection::open(port)?;
                connection.call(&["HELLO", &protocol.to_string()])?;
                Ok(connection)
            };
            protocols.iter().chain(&protocols[1..]).map(greet).collect()
        };
        Ok(Self { ours: connect(ports.0)?, theirs: connect(ports.1)? })
    }

    /// Takes a step on both servers.
    pub(super) fn take(&mut self, step: &Step) -> io::Result<Option<Mismatch>> {
        if step.is_transaction() {
            return self.transaction(step);
        }
        if step.waits {
            return self.wake_up(step);
        }
        let (client, command) = (step.client, &step.commands[0]);
        match rule_of(command) {
            Rule::Scan => self.scan(client, command),
            Rule::RandomChoice => self.random_choice(client, command),
            Rule::RandomRemoval => self.random_removal(client, command),
            Rule::ChosenId => self.chosen_id(client, command),
            Rule::KnownConsumer => self.known_consumer(client, command),
            Rule::Listener => self.listen(Some(&command[..])),
            Rule::Heard => {
                let (ours, theirs) = self.both(client, command)?;
                match differ(Rule::Exact, command, &ours, &theirs) {
                    None => self.listen(None),
                    mismatch => Ok(mismatch),
                }
            }
            Rule::Dump => self.dump(client, command),
            Rule::Ties => self.ties(client, command),
            Rule::CountOfKeys => self.count_of_keys(client, command),
            Rule::SetId => self.set_id(client, command),
            rule => {
                let (ours, theirs) = self.both(client, command)?;
                Ok(differ(rule, command, &ours, &theirs))
            }
        }
    }

    /// Both servers work at the same time.
    pub(super) fn both(&mut self, client: usize, command: &[impl AsRef<[u8]>]) -> io::Result<(Reply, Reply)> {
        self.ours[client].send(command)?;
        self.theirs[client].send(command)?;
        Ok((self.ours[client].receive()?, self.theirs[client].receive()?))
    }

    fn transaction(&mut self, step: &Step) -> io::Result<Option<Mismatch>> {
        let mut queued = Vec::new();
        for command in &step.commands {
            let (ours, theirs) = self.both(step.client, command)?;
            if ours.is_queued() && theirs.is_queued() {
                queued.push(command);
                continue;
            }
            if let (Reply::Array(ours), Reply::Array(theirs)) = (&ours, &theirs)
                && ours.len() == queued.len()
                && theirs.len() == queued.len()
            {
                let results = queued.iter().zip(ours.iter().zip(theirs));
                let found =
                    results.map(|(command, (ours, theirs))| differ(rule_of(command), command, ours, theirs));
                if let Some(mismatch) = found.flatten().next() {
                    return Ok(Some(mismatch));
                }
            } else if let Some(mismatch) = differ(Rule::Exact, command, &ours, &theirs) {
                return Ok(Some(mismatch));
            }
        }
        Ok(None)
    }

    fn scan(&mut self, client: usize, command: &[Word]) -> io::Result<Option<Mismatch>> {
        let at = if command[0].eq_ignore_ascii_case(b"SCAN") { 1 } else { 2 };
        let (ours, theirs) = self.both(client, command)?;
        if ours.is_error() || theirs.is_error() {
            return Ok(differ(Rule::Exact, command, &ours, &theirs));
        }
        if command.get(at).is_none_or(|cursor| cursor != b"0") {
            return Ok(None); // A cursor that the server did not give means nothing.
        }
        let pairs = at == 2 && !command[0].eq_ignore_ascii_case(b"SSCAN");
        let all = (
            whole_scan(&mut self.ours[client], command, at, ours)?,
            whole_scan(&mut self.theirs[client], command, at, theirs)?,
        );
        let set = |elements: Vec<Reply>| {
            let distinct: BTreeSet<Reply> = groups(command, &elements, pairs).into_iter().collect();
            Reply::Set(distinct.into_iter().collect())
        };
        Ok(differ(Rule::Exact, command, &set(all.0), &set(all.1)))
    }

    fn random_choice(&mut self, client: usize, command: &[Word]) -> io::Result<Option<Mismatch>> {
        let (ours, theirs) = self.both(client, command)?;
        let all = self.population(client, command)?;
        Ok(wrong_choice(command, &ours, &theirs, &all))
    }

    /// The same command is run on a copy of the other set, to see what the reply must look like.
    fn random_removal(&mut self, client: usize, command: &[Word]) -> io::Result<Option<Mismatch>> {
        const COPY: &[u8] = b"a copy of a set";
        let ours = self.ours[client].call(command)?;
        let removed = if ours.is_error() { Vec::new() } else { ours.leaves() };
        let removed: Vec<&[u8]> = removed
            .iter()
            .filter_map(|member| match member {
                Reply::Bulk(bytes) => Some(&bytes[..]),
                _ => None,
            })
            .collect();
        let other = &mut self.theirs[client];
        if removed.is_empty() {
            let theirs = other.call(command)?;
            return Ok(differ(Rule::Exact, command, &ours, &theirs));
        }
        let key = &command[1][..];
        let all = self.population(client, command)?;
        let other = &mut self.theirs[client];
        other.call(&[b"COPY", key, COPY, b"REPLACE"])?;
        let mut on_copy = command.to_vec();
        on_copy[1] = COPY.to_vec();
        let theirs = other.call(&on_copy)?;
        other.call(&[b"DEL", COPY])?;
        if let Some(mismatch) = wrong_choice(command, &ours, &theirs, &all) {
            return Ok(Some(mismatch));
        }
        let expected = Reply::Integer(removed.len() as i64);
        let theirs = other.call(&[&[b"SREM", key], &removed[..]].concat())?;
        if let Some(mismatch) = differ(Rule::Exact, command, &expected, &theirs) {
            return Ok(Some(mismatch));
        }
        // A removal of many may build the set anew, in another encoding than one by one leaves it in.
        let anew = [b"SUNIONSTORE", key, key].map(<[u8]>::to_vec);
        let (ours, theirs) = self.both(client, &anew)?;
        Ok(differ(Rule::Exact, &anew, &ours, &theirs))
    }

    fn chosen_id(&mut self, client: usize, command: &[Word]) -> io::Result<Option<Mismatch>> {
        let ours = self.ours[client].call(command)?;
        let mut command = command.to_vec();
        if let (Reply::Bulk(id), Some(at)) = (&ours, settle::chosen_id(&command)) {
            command[at].clone_from(id);
        }
        let theirs = self.theirs[client].call(&command)?;
        Ok(differ(Rule::Exact, &command, &ours, &theirs))
    }

    fn known_consumer(&mut self, client: usize, command: &[Word]) -> io::Result<Option<Mismatch>> {
        for (key, group, consumer) in consumers_of(command) {
            let make = [b"XGROUP", &b"CREATECONSUMER"[..], key, group, consumer].map(<[u8]>::to_vec);
            let (ours, theirs) = self.both(client, &make)?;
            if let Some(mismatch) = differ(Rule::Exact, &make, &ours, &theirs) {
                return Ok(Some(mismatch));
            }
        }
        let (ours, theirs) = self.both(client, command)?;
        Ok(differ(Rule::Exact, command, &ours, &theirs))
    }

    /// What a random choice is made from, according to the other server.
    fn population(&mut self, client: usize, command: &[Word]) -> io::Result<Vec<Reply>> {
        let name = command[0].to_ascii_uppercase();
        let key = command.get(1).map_or(&[][..], Vec::as_slice);
        let question: &[&[u8]] = match &name[..] {
            b"RANDOMKEY" => &[b"KEYS", b"*"],
            b"HRANDFIELD" => &[b"HGETALL", key],
            b"ZRANDMEMBER" => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
            _ => &[b"SMEMBERS", key],
        };
        let all = self.theirs[client].call(question)?.leaves();
        Ok(groups(command, &all, question[0] == b"HGETALL" || question[0] == b"ZRANGE"))
    }
}

/// The keys, groups and consumers that a command of consumer groups may make.
fn consumers_of(command: &[Word]) -> Vec<(&[u8], &[u8], &[u8])> {
    let at = |name: &str| command.iter().position(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    if !command[0].eq_ignore_ascii_case(b"XREADGROUP") {
        let [_, key, group, consumer, ..] = command else { return Vec::new() };
        return vec![(key, group, consumer)];
    }
    let (Some(named), Some(streams)) = (at("GROUP"), at("STREAMS")) else { return Vec::new() };
    let [group, consumer, ..] = &command[named + 1..] else { return Vec::new() };
    let listed = &command[streams + 1..];
    listed[..listed.len() / 2].iter().map(|key| (&key[..], &group[..], &consumer[..])).collect()
}

/// Elements one by one or in pairs; what goes with a member of a sorted set is a number.
fn groups(command: &[Word], elements: &[Reply], pairs: bool) -> Vec<Reply> {
    let have_scores = command[0].starts_with(b"Z") || command[0].starts_with(b"z");
    let chunks = elements.chunks(if pairs { 2 } else { 1 }).map(|chunk| {
        let mut chunk = chunk.to_vec();
        if let (true, Some(score)) = (have_scores, chunk.get_mut(1)) {
            *score = normal(Rule::Numbers, score);
        }
        Reply::Array(chunk)
    });
    chunks.collect()
}

fn whole_scan(
    connection: &mut Connection,
    command: &[Word],
    at: usize,
    first: Reply,
) -> io::Result<Vec<Reply>> {
    let mut found = Vec::new();
    let mut reply = first;
    for _ in 0..LONGEST_SCAN {
        let Some([cursor, elements]) = reply.elements() else { break };
        found.extend(elements.leaves());
        let Some(cursor) = cursor.bytes().filter(|cursor| *cursor != b"0") else { return Ok(found) };
        let mut next = command.to_vec();
        next[at] = cursor.to_vec();
        reply = connection.call(&next)?;
    }
    Ok(vec![Reply::Error("the iteration does not end".to_owned())])
}

/// A reply that is no choice from `all`, or has not the form that the other server's has.
fn wrong_choice(command: &[Word], ours: &Reply, theirs: &Reply, all: &[Reply]) -> Option<Mismatch> {
    let form = |reply: &Reply| {
        reply.clone().map_leaves(&|leaf| match leaf {
            Reply::Bulk(_) => Reply::Bulk(Vec::new()),
            Reply::Double(_) => Reply::Double(String::new()),
            other => other,
        })
    };
    if form(ours) != form(theirs) {
        return Some(mismatch(command, ours, theirs));
    }
    let leaves = ours.leaves();
    if !leaves.iter().any(|leaf| matches!(leaf, Reply::Bulk(_))) {
        return None;
    }
    let last = command.last().map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    let with_values = last == b"WITHVALUES" || last == b"WITHSCORES";
    let chosen = groups(command, &leaves, with_values);
    let all: HashSet<&[Reply]> = all
        .iter()
        .filter_map(|entry| entry.elements().map(|entry| if with_values { entry } else { &entry[..1] }))
        .collect();
    let may_repeat = command.get(2).is_some_and(|count| count.starts_with(b"-"));
    let distinct: HashSet<&Reply> = chosen.iter().collect();
    let from_all = chosen.iter().all(|entry| entry.elements().is_some_and(|entry| all.contains(entry)));
    if from_all && (may_repeat || distinct.len() == chosen.len()) {
        return None;
    }
    Some(mismatch(command, ours, theirs))
}

pub(super) fn differ(rule: Rule, command: &[Word], ours: &Reply, theirs: &Reply) -> Option<Mismatch> {
    (!agree(rule, ours, theirs)).then(|| mismatch(command, ours, theirs))
}

pub(super) fn mismatch(command: &[Word], ours: &Reply, theirs: &Reply) -> Mismatch {
    let about = String::from_utf8_lossy(&command[0]).to_ascii_uppercase();
    Mismatch { about, question: shown(command), ours: ours.to_string(), theirs: theirs.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Word> {
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn bulks(texts: &[&str]) -> Reply {
        Reply::Array(texts.iter().map(|text| Reply::Bulk(text.as_bytes().to_vec())).collect())
    }

    /// Whether a choice is taken for right where the set has the members a, b, 1 and 01.
    fn is_right(command: &str, ours: &[&str], theirs: &[&str]) -> bool {
        let command = words(command);
        let all = groups(&command, &bulks(&["a", "b", "1", "01"]).leaves(), false);
        wrong_choice(&command, &bulks(ours), &bulks(theirs), &all).is_none()
    }

    #[test]
    fn consumers_are_made_for_every_stream_that_is_read() {
        let claim = words("xclaim s g c 0 1-1");
        assert_eq!(consumers_of(&claim), [(&b"s"[..], &b"g"[..], &b"c"[..])]);
        let read = words("XREADGROUP GROUP g c STREAMS s t > >");
        assert_eq!(consumers_of(&read), [(&b"s"[..], &b"g"[..], &b"c"[..]), (b"t", b"g", b"c")]);
        assert!(consumers_of(&words("XREADGROUP GROUP g")).is_empty());
    }

    #[test]
    fn any_choice_is_right_that_has_as_many_distinct_members_as_the_other_one() {
        assert!(is_right("SRANDMEMBER s 2", &["a", "b"], &["1", "a"]));
        assert!(is_right("SRANDMEMBER s 2", &["1", "01"], &["a", "b"]));
        assert!(!is_right("SRANDMEMBER s 2", &["a"], &["1", "a"]), "too few");
        assert!(!is_right("SRANDMEMBER s 2", &["a", "c"], &["1", "a"]), "not there");
        assert!(!is_right("SRANDMEMBER s 2", &["a", "a"], &["1", "a"]), "twice");
        assert!(is_right("SRANDMEMBER s -2", &["a", "a"], &["1", "a"]), "twice is right here");
    }

    #[test]
    fn values_belong_to_their_fields_and_scores_are_numbers() {
        let right = |command: &str, ours: &[&str]| {
            let command = words(command);
            let all = groups(&command, &bulks(&["f", "0.10000000000000001", "g", "2"]).leaves(), true);
            wrong_choice(&command, &bulks(ours), &bulks(&["g", "2"]), &all).is_none()
        };
        assert!(right("ZRANDMEMBER z 1 WITHSCORES", &["f", "0.1"]));
        assert!(!right("ZRANDMEMBER z 1 WITHSCORES", &["f", "2"]));
        assert!(!right("HRANDFIELD h 1 WITHVALUES", &["f", "0.1"]));
        assert!(right("HRANDFIELD h 1 WITHVALUES", &["g", "2"]));
    }
}
