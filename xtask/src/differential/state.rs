//! Everything that two servers hold, compared key by key.

use std::io;

use super::connection::Connection;
use super::pair::Mismatch;
use super::reply::{Reply, quoted};
use super::rules::{Rule, agree, rule_of, same_encoding};
use super::template::Word;

/// The databases that scripts get to.
const DATABASES: [&str; 3] = ["0", "1", "2"];

/// Bytes 8 to 15 of a HyperLogLog hold the last count, which is the server's own business when to compute.
const SKETCH: &[u8] = b"HYLL";
const CACHED_COUNT: std::ops::Range<usize> = 8..16;

/// Where the databases of the two servers are not the same, if anywhere.
pub(super) fn compare(ports: (u16, u16)) -> io::Result<Option<Mismatch>> {
    let mut servers = (Connection::open(ports.0)?, Connection::open(ports.1)?);
    for database in DATABASES {
        for server in [&mut servers.0, &mut servers.1] {
            server.call(&["SELECT", database])?;
        }
        let mut ask = |words: &[&[u8]]| -> io::Result<(Reply, Reply)> {
            servers.0.send(words)?;
            servers.1.send(words)?;
            Ok((servers.0.receive()?, servers.1.receive()?))
        };
        let (ours, theirs) = ask(&[b"KEYS", b"*"])?;
        if !agree(Rule::Unordered, &ours, &theirs) {
            return Ok(Some(mismatch(database, &[b"KEYS", b"*"], &ours, &theirs)));
        }
        for key in theirs.leaves() {
            let Reply::Bulk(key) = key else { continue };
            let (_, kind) = ask(&[b"TYPE", &key])?;
            let mut questions: Vec<Vec<&[u8]>> = vec![vec![b"TYPE", &key], vec![b"PEXPIRETIME", &key]];
            questions.extend(content_of(&kind, &key));
            let question: &[&[u8]] = &[b"OBJECT", b"ENCODING", &key];
            let (ours, theirs) = ask(question)?;
            if !same_encoding(&kind, &ours, &theirs) {
                return Ok(Some(mismatch(database, question, &ours, &theirs)));
            }
            for question in questions {
                let (ours, theirs) = ask(&question)?;
                let command: Vec<Word> = question.iter().map(|word| word.to_vec()).collect();
                if !agree(rule_of(&command), &settled(&ours), &settled(&theirs)) {
                    return Ok(Some(mismatch(database, &question, &ours, &theirs)));
                }
            }
        }
    }
    Ok(None)
}

/// The commands that read all of a value of this type.
pub(super) fn content_of<'a>(kind: &Reply, key: &'a [u8]) -> Vec<Vec<&'a [u8]>> {
    match kind.bytes() {
        Some(b"string") => vec![vec![b"GET", key]],
        Some(b"hash") => vec![vec![b"HGETALL", key]],
        Some(b"list") => vec![vec![b"LRANGE", key, b"0", b"-1"]],
        Some(b"set") => vec![vec![b"SMEMBERS", key]],
        Some(b"zset") => vec![vec![b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]],
        Some(b"stream") => {
            vec![vec![b"XRANGE", key, b"-", b"+"], vec![b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]]
        }
        _ => Vec::new(),
    }
}

/// A value without what a server computes when it likes.
pub(super) fn settled(reply: &Reply) -> Reply {
    match reply {
        Reply::Bulk(bytes) if bytes.starts_with(SKETCH) && bytes.len() >= CACHED_COUNT.end => {
            let mut bytes = bytes.clone();
            bytes[CACHED_COUNT].fill(0);
            Reply::Bulk(bytes)
        }
        other => other.clone(),
    }
}

fn mismatch(database: &str, question: &[&[u8]], ours: &Reply, theirs: &Reply) -> Mismatch {
    let words: Vec<String> = question.iter().map(|word| quoted(word)).collect();
    Mismatch {
        about: format!("state {}", words[0]),
        question: format!("state of database {database}: {}", words.join(" ")),
        ours: ours.to_string(),
        theirs: theirs.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cached_count_of_a_sketch_is_not_compared_and_its_registers_are() {
        let sketch = |count: u8, register: u8| {
            Reply::Bulk([SKETCH, &[1, 0, 0, 0], &[count; 8][..], &[register]].concat())
        };
        assert_eq!(settled(&sketch(1, 7)), settled(&sketch(2, 7)));
        assert_ne!(settled(&sketch(1, 7)), settled(&sketch(1, 8)));
        let other = Reply::Bulk(b"HY".to_vec());
        assert_eq!(settled(&other), other);
    }
}
