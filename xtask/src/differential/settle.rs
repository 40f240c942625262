//! Commands whose replies Redis leaves open in some cases only: what is open is found out from the servers, and the rest
//! is compared.

use std::collections::{HashMap, HashSet};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::pair::{Mismatch, Pair, differ, mismatch};
use super::reply::Reply;
use super::rules::Rule;
use super::template::Word;

/// How long keys may stay that have expired.
const PATIENCE: Duration = Duration::from_secs(5);

/// What Redis 7.2 and KVDB refuse, and Redis 7.0 does.
const BELOW_DELETED: &str = "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";

impl Pair {
    /// Members at one place are equally far from any other: they may stand in any order, and where not all have room, it may
    /// be any of them. Nothing is stored then, since the servers would hold different members.
    pub(super) fn ties(&mut self, client: usize, command: &[Word]) -> io::Result<Option<Mismatch>> {
        if stored_at(command) {
            let places = self.places(client, command)?;
            let distinct: HashSet<&Reply> = places.values().collect();
            if distinct.len() < places.len() {
                return Ok(None);
            }
            let (ours, theirs) = self.both(client, command)?;
            return Ok(differ(Rule::Exact, command, &ours, &theirs));
        }
        let (ours, theirs) = self.both(client, command)?;
        if differ(Rule::Exact, command, &ours, &theirs).is_none() {
            return Ok(None);
        }
        let places = self.places(client, command)?;
        let same = match (at_places(&ours, &places), at_places(&theirs, &places)) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => false,
        };
        Ok((!same).then(|| mismatch(command, &ours, &theirs)))
    }

    /// Where the members of the set are that a geo command searches, according to the other server.
    fn places(&mut self, client: usize, command: &[Word]) -> io::Result<HashMap<Reply, Reply>> {
        let at = if command[0].eq_ignore_ascii_case(b"GEOSEARCHSTORE") { 2 } else { 1 };
        let Some(key) = command.get(at) else { return Ok(HashMap::new()) };
        let other = &mut self.theirs[client];
        let members = other.call(&[b"ZRANGE", &key[..], b"0", b"-1"])?;
        let Reply::Array(members) = members else { return Ok(HashMap::new()) };
        let names = members.iter().filter_map(Reply::bytes);
        let question: Vec<&[u8]> = [b"GEOPOS", &key[..]].into_iter().chain(names).collect();
        let places = other.call(&question)?;
        Ok(members.into_iter().zip(places.elements().unwrap_or_default().iter().cloned()).collect())
    }

    /// Keys that have expired count until somebody deletes them, which is done behind what clients do.
    pub(super) fn count_of_keys(&mut self, client: usize, command: &[Word]) -> io::Result<Option<Mismatch>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let (ours, theirs) = self.both(client, command)?;
            let mismatch = differ(Rule::Exact, command, &ours, &theirs);
            let are_numbers = matches!((&ours, &theirs), (Reply::Integer(_), Reply::Integer(_)));
            if mismatch.is_none() || !are_numbers || Instant::now() > until {
                return Ok(mismatch);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// What KVDB refuses as Redis 7.2 does is not told Redis 7.0, where it is right to refuse it.
    pub(super) fn set_id(&mut self, client: usize, command: &[Word]) -> io::Result<Option<Mismatch>> {
        let ours = self.ours[client].call(command)?;
        if let Reply::Error(text) = &ours
            && text == BELOW_DELETED
            && let [_, key, id, ..] = command
        {
            let info = self.theirs[client].call(&[&b"XINFO"[..], b"STREAM", key])?.leaves();
            let named = info.iter().position(|leaf| leaf.bytes() == Some(b"max-deleted-entry-id"));
            let deleted = named.and_then(|at| info.get(at + 1)).and_then(Reply::bytes).and_then(entry_id);
            if deleted.is_some() && entry_id(id) < deleted {
                return Ok(None);
            }
        }
        let theirs = self.theirs[client].call(command)?;
        Ok(differ(Rule::Exact, command, &ours, &theirs))
    }

    /// Whether a command stores a list or a sorted set in place of a value of another type: Redis lets those wait on who wait
    /// for one, and KVDB serves them.
    pub(super) fn takes_the_place(&mut self, client: usize, command: &[Word]) -> io::Result<bool> {
        let Some((key, kind)) = destination(command) else { return Ok(false) };
        let there = self.theirs[client].call(&[b"TYPE", key])?;
        Ok(there.bytes().is_some_and(|there| there != b"none" && there != kind))
    }
}

/// The number of an entry, where the part behind the hyphen may be missing.
fn entry_id(text: &[u8]) -> Option<(u64, u64)> {
    let text = str::from_utf8(text).ok()?;
    let (first, second) = text.split_once('-').unwrap_or((text, "0"));
    Some((first.parse().ok()?, second.parse().ok()?))
}

/// Whether a geo command stores what it finds.
fn stored_at(command: &[Word]) -> bool {
    let stores = |word: &Word| word.eq_ignore_ascii_case(b"STORE") || word.eq_ignore_ascii_case(b"STOREDIST");
    command[0].eq_ignore_ascii_case(b"GEOSEARCHSTORE") || command.iter().any(stores)
}

/// The reply with places for members, `None` where a member is there twice or has no place.
fn at_places(reply: &Reply, places: &HashMap<Reply, Reply>) -> Option<Vec<(Reply, Vec<Reply>)>> {
    let mut seen = HashSet::new();
    let all = reply.elements()?.iter().map(|element| {
        let (member, rest) = match element.elements() {
            Some(parts) => parts.split_first()?,
            None => (element, &[][..]),
        };
        seen.insert(member).then_some(())?;
        Some((places.get(member)?.clone(), rest.to_vec()))
    });
    all.collect()
}

/// The key that a command gives a new value, and the type of that.
fn destination(command: &[Word]) -> Option<(&[u8], &'static [u8])> {
    match &command[0].to_ascii_uppercase()[..] {
        b"SORT" => {
            let at = command.iter().rposition(|word| word.eq_ignore_ascii_case(b"STORE"))?;
            command.get(at + 1).map(|key| (&key[..], &b"list"[..]))
        }
        b"ZUNIONSTORE" | b"ZRANGESTORE" => command.get(1).map(|key| (&key[..], &b"zset"[..])),
        _ => None,
    }
}

/// Whether a command is read in two ways: where a selector of a user begins within one that has not ended, Redis 7.0 forgets
/// the outer one, and Redis 7.2 and KVDB take both together.
pub(super) fn is_read_in_two_ways(command: &[Word]) -> bool {
    let is = |at: usize, name: &str| {
        command.get(at).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
    };
    let mut open = false;
    let mut begins_within = |word: &Word| {
        let ends = word.last() == Some(&b')');
        let begins = word.first() == Some(&b'(') && !ends;
        let nested = open && begins;
        open = (open || begins) && !ends;
        nested
    };
    is(0, "ACL") && is(1, "SETUSER") && command.iter().skip(3).any(&mut begins_within)
}

/// Where XADD has the `*` for which the server chooses an ID: behind the options, of which nothing else is read. A field or
/// a value of that name is no ID.
pub(super) fn chosen_id(command: &[Word]) -> Option<usize> {
    let mut at = 2;
    loop {
        at += match command.get(at)?.to_ascii_uppercase().as_slice() {
            b"NOMKSTREAM" => 1,
            b"LIMIT" => 2,
            b"MAXLEN" | b"MINID" if matches!(command.get(at + 1)?.as_slice(), b"=" | b"~") => 3,
            b"MAXLEN" | b"MINID" => 2,
            b"*" => return Some(at),
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Word> {
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_chosen_id_stands_behind_the_options_of_xadd() {
        for (line, at) in [
            ("XADD s * f v", Some(2)),
            ("XADD s NOMKSTREAM MAXLEN ~ 5 LIMIT 2 * f v", Some(8)),
            ("XADD s minid 5 * * *", Some(4)),
            ("XADD s 19-1 * v", None),
            ("XADD s MAXLEN = * 1-1 f *", None),
            ("XADD s MAXLEN", None),
            ("XADD s", None),
        ] {
            assert_eq!(chosen_id(&words(line)), at, "{line}");
        }
    }

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(text.as_bytes().to_vec())
    }

    fn bulks(texts: &[&str]) -> Reply {
        Reply::Array(texts.iter().map(|text| bulk(text)).collect())
    }

    #[test]
    fn only_members_at_one_place_stand_for_each_other() {
        let places: HashMap<Reply, Reply> =
            [("a", "here"), ("b", "here"), ("c", "there")].map(|(a, b)| (bulk(a), bulk(b))).into();
        let same = |ours: &Reply, theirs: &Reply| {
            let ours = at_places(ours, &places);
            ours.is_some() && ours == at_places(theirs, &places)
        };
        assert!(same(&bulks(&["a", "b", "c"]), &bulks(&["b", "a", "c"])));
        assert!(same(&bulks(&["a"]), &bulks(&["b"])), "one of two is enough");
        assert!(!same(&bulks(&["a", "c"]), &bulks(&["c", "a"])));
        assert!(!same(&bulks(&["a", "a"]), &bulks(&["a", "b"])), "twice");
        assert!(!same(&bulks(&["a", "b"]), &bulks(&["a"])), "too few");
        assert!(!same(&bulks(&["x"]), &bulks(&["x"])), "not there");
        let far = |member: &str, distance: &str| Reply::Array(vec![bulks(&[member, distance])]);
        assert!(same(&far("a", "1.5"), &far("b", "1.5")));
        assert!(!same(&far("a", "1.5"), &far("b", "1.6")));
    }

    #[test]
    fn ids_of_entries_are_compared_as_numbers() {
        assert_eq!(entry_id(b"12-3"), Some((12, 3)));
        assert!(entry_id(b"9") < entry_id(b"10-0"));
        assert_eq!(entry_id(b"9"), entry_id(b"9-0"));
        assert_eq!(entry_id(b"x"), None);
    }

    #[test]
    fn selectors_that_begin_in_others_are_seen() {
        assert!(is_read_in_two_ways(&words("ACL SETUSER u (+get ~a (+set x)")));
        assert!(is_read_in_two_ways(&words("acl setuser u (+get (+get")));
        assert!(!is_read_in_two_ways(&words("ACL SETUSER u (+get ~a) (+set ~b) (+del")));
        assert!(!is_read_in_two_ways(&words("ACL SETUSER u (+get (~a)")));
        assert!(!is_read_in_two_ways(&words("SET (+get (+get")));
    }

    #[test]
    fn what_is_stored_and_where_is_read_from_the_command() {
        assert!(stored_at(&words("georadius k 1 1 1 m COUNT 1 storedist d")));
        assert!(stored_at(&words("GEOSEARCHSTORE d k FROMMEMBER m BYRADIUS 1 m COUNT 1")));
        assert!(!stored_at(&words("GEOSEARCH k FROMMEMBER m BYRADIUS 1 m COUNT 1")));
        assert_eq!(destination(&words("sort l ALPHA store d")), Some((&b"d"[..], &b"list"[..])));
        assert_eq!(destination(&words("ZRANGESTORE d k 0 -1")), Some((&b"d"[..], &b"zset"[..])));
        assert_eq!(destination(&words("SORT l ALPHA")), None);
        assert_eq!(destination(&words("RENAME a b")), None);
    }
}
