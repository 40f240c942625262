//! Running a command of the table: latches, residency, handler, commit.

use std::sync::Arc;

use kvdb_resp::{Args, OwnedArgs, Protocol, Reply};
use kvdb_store::{
    Env, Guards, Lack, Pins, Place, ReadCx, Residency, Scratch, Sleeper, Store, Waiter, WriteCx,
};
use smallvec::SmallVec;

use crate::blocking::{self, Sleeping, Wait};
use crate::errors::{self, CmdResult, CommandError};
use crate::spec::{CommandSpec, Flags, Handler};

/// The longest key, in bytes. Keys stand in the indexes of tables and in the manifest, which are held in memory.
pub const MAX_KEY_BYTES: usize = 1 << 20;

/// The longest name of a part of a value, in bytes: of a field, a member, a consumer or its group. Names stand in the keys
/// of rows, behind that of the value.
pub const MAX_NAME_BYTES: usize = 1 << 20;

/// Whether parts of a value may have these names.
///
/// # Errors
/// When one is too long.
pub fn check_names<'n>(names: impl IntoIterator<Item = &'n [u8]>) -> CmdResult {
    let fit = names.into_iter().all(|name| name.len() <= MAX_NAME_BYTES);
    if fit { Ok(()) } else { Err(errors::NAME_TOO_LONG) }
}

/// How a keyed command ended.
#[derive(Debug)]
pub enum Outcome {
    /// The reply is written and may leave when this sequence is safe.
    Done(u64),
    /// Keys have to be loaded first; nothing has been written or changed.
    NeedIo(Missing),
    /// The command found nothing and waits.
    Waits(Wait),
}

/// How a command that has waited ended.
#[derive(Debug)]
pub enum Attempt {
    /// The reply is written and may leave when this sequence is safe.
    Done(u64),
    /// Keys have to be loaded first.
    NeedIo(Missing),
    /// It found nothing.
    Waits,
}

/// What a command waits for.
#[derive(Debug)]
pub struct Missing {
    /// The database of the key.
    pub db: u16,
    /// The key whose load is to be asked for, and whose end to be waited for, before the command runs again.
    pub key: Vec<u8>,
    /// Keys whose loads are to be asked for too.
    pub others: Vec<(u16, Vec<u8>)>,
    /// Keeps that key and others in memory; to be kept until the command has run, however often it asks for more.
    pub pins: Pins,
}

/// Why a keyed command failed.
#[derive(Debug)]
pub struct Failed {
    /// The error to reply with.
    pub error: CommandError,
    /// The sequence that must be safe before it may leave: the error tells what the handler saw.
    pub depends_on: u64,
}

impl Missing {
    /// Keys of a database that a run has found out to lack; there is at least one.
    pub fn lacked(store: &Arc<Store>, db: u16, mut keys: Vec<Vec<u8>>) -> Self {
        let mut pins = Pins::new(store);
        keys.iter().for_each(|key| pins.add(&mut store.latch(store.place(key)), db, key));
        let key = keys.pop().unwrap_or_default();
        Self { db, key, others: keys.into_iter().map(|key| (db, key)).collect(), pins }
    }
}

/// The latches that a run takes beside those of its declared keys, since it has lacked some (see [`kvdb_store::reach`]).
#[derive(Debug, Default)]
pub enum Beside {
    /// None: it begins for the first time.
    #[default]
    Nothing,
    /// Those of these places; it has begun again so many times.
    Places(Vec<Place>, u8),
    /// All others.
    Everything,
}

/// How often a run begins again with the latches that it has lacked, before it takes all of them.
const ROUNDS_WITH_PLACES: u8 = 3;

impl Beside {
    /// What to take when a run that took this has lacked the latches of `places` still.
    #[must_use]
    pub fn and(self, mut places: Vec<Place>) -> Self {
        match self {
            Self::Nothing => Self::Places(places, 1),
            Self::Places(before, rounds) if rounds < ROUNDS_WITH_PLACES => {
                places.extend(before);
                Self::Places(places, rounds + 1)
            }
            Self::Places(..) | Self::Everything => Self::Everything,
        }
    }

    /// Takes these latches and those of the declared keys; nothing where a busy script has one of them.
    pub fn latch<'s>(&self, store: &'s Store, declared: impl Iterator<Item = Place>) -> Option<Guards<'s>> {
        match self {
            Self::Nothing => store.latch_unless_busy(&declared.collect::<SmallVec<[Place; 16]>>()),
            Self::Places(places, _) => {
                let all: SmallVec<[Place; 16]> = declared.chain(places.iter().copied()).collect();
                store.latch_unless_busy(&all)
            }
            Self::Everything => store.latch_all_unless_busy(),
        }
    }
}

impl From<CommandError> for Failed {
    fn from(error: CommandError) -> Self {
        Self { error, depends_on: 0 }
    }
}

impl From<Failed> for CommandError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// Keys of a command whose loads are asked for together, so that it does not hold up what others have to load …
const LOADS_AT_A_TIME: usize = 256;
/// … but of a command with very many keys so large a part of them: each time, it has to look at all of them again.
const PART_LOADED_AT_A_TIME: usize = 32;

/// Runs a [`Handler::Read`] or [`Handler::Write`] on its declared keys. On an error nothing is in `reply`.
///
/// # Errors
/// The error to reply with. What the handler changed before it failed is kept, as in Redis; handlers check first and
/// change last.
///
/// # Panics
/// When the handler is of another kind.
#[inline]
pub fn run(
    spec: &'static CommandSpec,
    store: &Arc<Store>,
    db: u16,
    env: Env,
    scratch: &mut Scratch,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, Failed> {
    attempt(spec, store, db, env, scratch, args, reply, true, Beside::Nothing)
}

/// Runs a command that has waited, and still does.
///
/// # Errors
/// The error to reply with.
pub(crate) fn run_again(
    spec: &'static CommandSpec,
    store: &Arc<Store>,
    db: u16,
    env: Env,
    scratch: &mut Scratch,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<Attempt, Failed> {
    Ok(match attempt(spec, store, db, env, scratch, args, reply, false, Beside::Nothing)? {
        Outcome::Done(_) if reply.is_empty() => Attempt::Waits,
        Outcome::Done(seq) => Attempt::Done(seq),
        Outcome::NeedIo(missing) => Attempt::NeedIo(missing),
        Outcome::Waits(_) => Attempt::Waits,
    })
}

#[inline]
#[expect(
    clippy::too_many_arguments,
    reason = "they are what a run needs, and this is the one way of both callers"
)]
fn attempt(
    spec: &'static CommandSpec,
    store: &Arc<Store>,
    db: u16,
    env: Env,
    scratch: &mut Scratch,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    is_first: bool,
    beside: Beside,
) -> Result<Outcome, Failed> {
    let mark = reply.len();
    let places = || spec.key_positions(args).into_iter().map(|at| store.place(&args[at]));
    let latches = || match &beside {
        Beside::Nothing => latch(spec, store, db, &env, args),
        more => more.latch(store, places()),
    };
    let mut guards = if is_first && spec.is_write() {
        blocking::latch_in_turn(store, env, scratch, latches, || places().map(|place| (db, place)))?
    } else {
        latches().ok_or(errors::BUSY_SCRIPT)?
    };
    for keys in spec.keys {
        for at in keys.positions(args) {
            if args[at].len() > MAX_KEY_BYTES {
                return Err(errors::KEY_TOO_LONG.into());
            }
            match store.ensure_resident(&mut guards, db, &args[at], &env) {
                Ok(Residency::Ready) => {}
                Ok(Residency::NeedIo) => return Ok(need_io(spec, store, guards, db, env, args, at)),
                Err(message) => return Err(CommandError::new(format!("ERR {message}")).into()),
            }
        }
    }
    reply.limit(env.limits.max_reply_bytes);
    let (result, depends_on) = match spec.handler {
        Handler::Read(handler) => {
            let mut cx = ReadCx::new(store, guards, scratch, env, db);
            let result = handler(&mut cx, args, reply);
            let result = if reply.is_full() { Err(errors::REPLY_TOO_LONG) } else { result };
            if env.keeps {
                spec.key_positions(args).into_iter().for_each(|at| cx.note_read(&args[at]));
            }
            (result, cx.finish())
        }
        Handler::Write(handler) => {
            let mut cx = WriteCx::new(store, guards, scratch, env, db);
            if spec.flags.has(Flags::BLOCKING) {
                cx = cx.waiting(!is_first);
            }
            let result = handler(&mut cx, args, reply);
            note_reads(&mut cx, spec, args);
            if let (Ok(()), Some(deadline)) = (&result, cx.waits()) {
                return Ok(sleep(spec, store, cx, args, reply.protocol(), deadline, is_first));
            }
            if reply.is_full() {
                return Err(too_long(cx, reply, mark));
            }
            let lack = if result.is_err() { cx.lack() } else { None };
            // Looking at a key that was past its deadline has deleted it, and that is to be kept if the handler failed.
            let seen = cx.depends_on();
            let committed = match cx.commit() {
                Ok(seq) => seq,
                Err(_) if spec.flags.has(Flags::READONLY) => seen,
                Err(refusal) => {
                    reply.truncate(mark);
                    return Err(CommandError::new(refusal.to_string()).into());
                }
            };
            if let Some(lack) = lack {
                reply.truncate(mark);
                return again(spec, store, db, env, scratch, args, reply, is_first, beside, lack);
            }
            (result, committed)
        }
        Handler::Keyspace(_) | Handler::Session(_) | Handler::Exec | Handler::Script | Handler::Container => {
            unreachable!("the caller sends only keyed commands here")
        }
    };
    match result {
        Ok(()) => Ok(Outcome::Done(depends_on)),
        Err(error) => {
            reply.truncate(mark);
            Err(Failed { error, depends_on })
        }
    }
}

/// Ends a run that may change and cannot reply: what it has taken out would be lost, so it has not happened.
#[cold]
fn too_long(cx: WriteCx<'_>, reply: &mut Reply<'_>, mark: usize) -> Failed {
    let depends_on = cx.depends_on();
    cx.abandon();
    reply.truncate(mark);
    Failed { error: errors::REPLY_TOO_LONG, depends_on }
}

/// Begins a run again that lacks something, or says what has to be loaded before.
#[cold]
#[expect(clippy::too_many_arguments, reason = "they are what a run needs, and what it lacks")]
fn again(
    spec: &'static CommandSpec,
    store: &Arc<Store>,
    db: u16,
    env: Env,
    scratch: &mut Scratch,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    is_first: bool,
    beside: Beside,
    lack: Lack,
) -> Result<Outcome, Failed> {
    match lack {
        Lack::Loads(db, keys) => Ok(Outcome::NeedIo(Missing::lacked(store, db, keys))),
        Lack::Latches(places) => {
            attempt(spec, store, db, env, scratch, args, reply, is_first, beside.and(places))
        }
    }
}

/// Notes what a command has read for a client that keeps it, within a run that may change.
#[inline]
pub(crate) fn note_reads(cx: &mut WriteCx<'_>, spec: &CommandSpec, args: Args<'_>) {
    if cx.env().keeps && !spec.is_write() {
        spec.key_positions(args).into_iter().for_each(|at| cx.note_read(&args[at]));
    }
}

/// Has a command that found nothing wait for its keys, unless it does already.
#[cold]
fn sleep(
    spec: &'static CommandSpec,
    store: &Arc<Store>,
    mut cx: WriteCx<'_>,
    args: Args<'_>,
    protocol: Protocol,
    deadline: Option<u64>,
    is_first: bool,
) -> Outcome {
    if !is_first {
        // Where the log refuses to delete what was found dead, it reads as absent all the same.
        return Outcome::Done(cx.commit().unwrap_or(0));
    }
    let later = cx.take_later_args();
    let replaced = |at| later.iter().find(|&&(place, _)| place == at).map(|(_, argument)| &argument[..]);
    let kept: OwnedArgs = (0..args.len()).map(|at| replaced(at).unwrap_or(&args[at])).collect();
    let sleeping = Arc::new(Sleeping::new(spec, kept, cx.db(), protocol, cx.env()));
    let sleeper: Arc<dyn Sleeper> = sleeping.clone();
    let places = spec.key_positions(args).into_iter().map(|at| cx.register(&args[at], &sleeper)).collect();
    let _seen: u64 = cx.commit().unwrap_or(0);
    Outcome::Waits(Wait::new(store, sleeping, places, deadline))
}

/// Asks for the loads of the keys that are missing from the one at `first` on, and names the last of them to wait for: a
/// command of many cold keys would otherwise look at all of them again for every single one.
#[cold]
fn need_io(
    spec: &CommandSpec,
    store: &Arc<Store>,
    mut guards: Guards<'_>,
    db: u16,
    env: Env,
    args: Args<'_>,
    first: usize,
) -> Outcome {
    let positions = spec.keys.iter().flat_map(|keys| keys.positions(args)).skip_while(|&at| at != first);
    // The first one is not asked about again: by now others may have brought its row into the caches.
    let missing = positions
        .skip(1)
        .filter(|&at| store.ensure_resident(&mut guards, db, &args[at], &env) == Ok(Residency::NeedIo));
    let at_a_time = LOADS_AT_A_TIME.max(args.len() / PART_LOADED_AT_A_TIME);
    let missing: SmallVec<[usize; 8]> = std::iter::once(first).chain(missing).take(at_a_time).collect();
    let mut pins = Pins::new(store);
    missing.iter().for_each(|&at| pins.add(&mut guards, db, &args[at]));
    drop(guards);
    let (&last, others) = missing.split_last().unwrap_or((&first, &[]));
    for &at in others {
        // Whether it could be loaded shows when the command runs again.
        store.request_load(db, &args[at], env.now, Waiter::new(|_| ()));
    }
    Outcome::NeedIo(Missing { db, key: args[last].to_vec(), others: Vec::new(), pins })
}

#[inline]
fn latch<'s>(spec: &CommandSpec, store: &'s Store, db: u16, env: &Env, args: Args<'_>) -> Option<Guards<'s>> {
    if let Some(key) = spec.only_key(args) {
        return store.latch_unless_busy(&[env.place(store, key)]);
    }
    let places: SmallVec<[Place; 8]> =
        spec.keys.iter().flat_map(|keys| keys.positions(args)).map(|at| store.place(&args[at])).collect();
    let guards = store.latch_unless_busy(&places)?;
    guards.prefetch(db, &places);
    Some(guards)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::rdb;
    use kvdb_resp::{OwnedArgs, Protocol};
    use kvdb_store::testing;

    fn command(store: &Arc<Store>, words: &[&str]) -> Result<Outcome, Failed> {
        let (_, spec) = crate::table::find(words[0].as_bytes()).expect("the command is there");
        let (args, mut out) = (OwnedArgs::from_iter(words), Vec::new());
        let mut reply = Reply::new(&mut out, Protocol::Resp2);
        run(spec, store, 0, Env::at(1), &mut Scratch::default(), args.as_args(), &mut reply)
    }

    #[test]
    fn an_error_depends_on_what_it_tells() {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = testing::open_store(dir.path());
        let Ok(Outcome::Done(put)) = command(&store, &["set", "k", "text"]) else { panic!("SET succeeds") };
        let not_a_number = command(&store, &["incr", "k"]).expect_err("it is no number");
        assert_eq!(not_a_number.depends_on, put);
        let Ok(Outcome::Done(deleted)) = command(&store, &["del", "k"]) else { panic!("DEL succeeds") };
        let no_such_key = command(&store, &["rename", "k", "l"]).expect_err("it is gone");
        assert_eq!(no_such_key.depends_on, deleted);
        store.close();
    }

    fn evict_all(store: &Store, random: u64) {
        while store.evict_to_disk(0, store.appended(), 1, random) > 0 {}
    }

    /// Three hundred keys on the disk alone, and a command of all of them and one that is not there.
    fn cold_keys(store: &Arc<Store>) -> Vec<String> {
        let value = "v".repeat(100_000);
        let names: Vec<String> = (0..300).map(|i| i.to_string()).collect();
        for name in &names {
            command(store, &["set", name, &value]).expect("SET succeeds");
        }
        evict_all(store, 1);
        assert_eq!(store.resident_keys(), 0);
        ["exists".into(), "absent".into()].into_iter().chain(names).collect()
    }

    fn load(store: &Arc<Store>, missing: &Missing) {
        let (done, loaded) = std::sync::mpsc::channel();
        let waiter = Waiter::new(move |result| done.send(result).expect("the test waits"));
        store.request_load(missing.db, &missing.key, 1, waiter);
        loaded.recv().expect("a load ends").expect("rows are sound");
    }

    #[test]
    fn a_short_request_for_a_long_reply_is_refused() {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = testing::open_store(dir.path());
        command(&store, &["set", "k", &"v".repeat(1_000)]).expect("SET succeeds");
        let (_, spec) = crate::table::find(b"mget").expect("the command is there");
        let args = OwnedArgs::from_iter(std::iter::once("mget").chain(std::iter::repeat_n("k", 100)));
        let mut env = Env::at(1);
        env.limits.max_reply_bytes = 10_000;
        let mut out = b"+OK\r\n".to_vec();
        let mut reply = Reply::new(&mut out, Protocol::Resp2);
        let result = run(spec, &store, 0, env, &mut Scratch::default(), args.as_args(), &mut reply);
        assert_eq!(result.expect_err("100 kB are too much").error, errors::REPLY_TOO_LONG);
        assert_eq!(out, b"+OK\r\n");
        assert!(out.capacity() < 20_000, "{} bytes were taken", out.capacity());
        store.close();
    }

    /// Runs a command under a limit on replies, as often as keys have to be loaded for it.
    fn replied(store: &Arc<Store>, words: &[impl AsRef<[u8]>], most: usize) -> Result<Vec<u8>, CommandError> {
        let (_, spec) = crate::table::find(words[0].as_ref()).expect("the command is there");
        let spec =
            words.get(1).and_then(|name| crate::table::find_subcommand(spec, name.as_ref())).unwrap_or(spec);
        let args = OwnedArgs::from_iter(words);
        let mut env = Env::at(1_000);
        env.limits.max_reply_bytes = most;
        let mut out = Vec::new();
        loop {
            let mut reply = Reply::new(&mut out, Protocol::Resp2);
            let result = run(spec, store, 0, env, &mut Scratch::default(), args.as_args(), &mut reply);
            assert!(out.capacity() <= 4 * most, "{}: {} bytes were taken", spec.name, out.capacity());
            match result {
                Ok(Outcome::NeedIo(missing)) => load(store, &missing),
                Ok(_) => return Ok(out),
                Err(failed) => return Err(failed.error),
            }
        }
    }

    #[test]
    fn a_change_that_cannot_be_replied_with_has_not_happened() {
        const MOST: usize = 10_000;
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = testing::open_store(dir.path());
        let value = "v".repeat(1_000);
        for words in [
            &["hset", "h", "f", &value][..],
            &["xadd", "s", "1-1", "f", &value],
            &["xgroup", "create", "s", "g", "0"],
            &["xreadgroup", "group", "g", "c", "streams", "s", ">"],
            &["sadd", "set", "m"],
        ] {
            replied(&store, words, MOST).expect("it is in order");
        }
        (0..100).for_each(|_| drop(replied(&store, &["rpush", "l", &value], MOST).expect("it is in order")));
        let many = |words: &[&'static str], repeated: &[&'static str], count| {
            let again = repeated.iter().flat_map(|&word| std::iter::repeat_n(word, count));
            words.iter().copied().chain(again).collect::<Vec<&str>>()
        };
        let state = || {
            let ask = |words: &[&str]| replied(&store, words, 1 << 20).expect("it reads");
            let words: [&[&str]; 4] = [
                &["hgetall", "h"],
                &["hpttl", "h", "fields", "1", "f"],
                &["xpending", "s", "g", "-", "+", "9"],
                &["lrange", "l", "0", "-1"],
            ];
            words.map(ask)
        };
        let before = state();
        for words in [
            many(&["xread", "streams"], &["s", "0"], 100),
            many(&["xreadgroup", "group", "g", "c", "streams"], &["s", "0"], 100),
            many(&["xclaim", "s", "g", "d", "0"], &["1-1"], 100),
            many(&["hgetex", "h", "fields", "100"], &["f"], 100),
            many(&["hgetex", "h", "ex", "100", "fields", "100"], &["f"], 100),
            vec!["lpop", "l", "50"],
            vec!["lmpop", "1", "l", "left", "count", "50"],
            [&["sort", "l", "by", "nosort"], &["get", "none"].repeat(100)[..], &["store", "l"]].concat(),
        ] {
            let result = replied(&store, &words, MOST);
            assert_eq!(result, Err(errors::REPLY_TOO_LONG), "{}", words[0]);
            assert!(state() == before, "{} has changed something", words[0]);
        }
        store.close();
    }

    #[test]
    fn a_part_of_a_value_has_a_name_that_fits_into_a_row() {
        const MOST: usize = 4 << 20;
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = testing::open_store(dir.path());
        let ask = |words: &[&str]| replied(&store, words, MOST);
        let long = "n".repeat(MAX_NAME_BYTES);
        let longer = "n".repeat(MAX_NAME_BYTES + 1);
        for words in [
            &["xgroup", "create", "s", &long, "$", "mkstream"][..],
            &["xgroup", "createconsumer", "s", &long, &long],
            &["xadd", "s", "1-1", "f", "v"],
            &["xreadgroup", "group", &long, &long, "streams", "s", ">"],
            &["hset", "h", &long, "v"],
            &["sadd", "set", &long],
            &["zadd", "z", "1", &long],
            &["rename", "h", &long],
        ] {
            ask(words).expect("the longest names are taken");
        }
        let before = ask(&["dump", "s"]);
        for words in [
            &["hset", "k", "f", "v", &longer, "v"][..],
            &["hmset", "k", &longer, "v"],
            &["hsetnx", "k", &longer, "v"],
            &["hincrby", "k", &longer, "1"],
            &["hincrbyfloat", "k", &longer, "1"],
            &["hsetex", "k", "fields", "1", &longer, "v"],
            &["sadd", "k", "m", &longer],
            &["zadd", "k", "1", "m", "1", &longer],
            &["zincrby", "k", "1", &longer],
            &["geoadd", "k", "1", "1", &longer],
            &["xgroup", "create", "k", &longer, "$", "mkstream"],
            &["xgroup", "createconsumer", "s", &long, &longer],
            &["xreadgroup", "group", &long, &longer, "streams", "s", ">"],
            &["xclaim", "s", &long, &longer, "0", "1-1"],
            &["xautoclaim", "s", &long, &longer, "0", "0"],
        ] {
            assert_eq!(ask(words), Err(errors::NAME_TOO_LONG), "{}", words[0]);
        }
        let mut set = vec![2];
        rdb::write_length(&mut set, 1);
        rdb::write_string(&mut set, longer.as_bytes());
        let words = [&b"restore"[..], b"k", b"0", &rdb::seal(set)];
        assert_eq!(replied(&store, &words, MOST), Err(errors::NAME_TOO_LONG));
        assert_eq!(ask(&["exists", "k"]), Ok(b":0\r\n".to_vec()));
        assert!(ask(&["dump", "s"]) == before);
        store.close();
    }

    #[test]
    fn a_value_that_is_too_large_for_one_change_stays_where_it_is() {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = testing::open_store(dir.path());
        let members: Vec<String> = (0..1_100).map(|member| member.to_string()).collect();
        let add: Vec<&str> = ["sadd", "set"].into_iter().chain(members.iter().map(String::as_str)).collect();
        replied(&store, &add, 1_000).expect("SADD succeeds");
        // Each row begins with the key.
        let long = "k".repeat(MAX_KEY_BYTES);
        for words in [&["rename", "set", &long][..], &["renamenx", "set", &long], &["copy", "set", &long]] {
            assert_eq!(replied(&store, words, 1_000), Err(errors::CHANGE_TOO_LARGE), "{}", words[0]);
            assert_eq!(store.resident_keys(), 1, "nothing has left memory");
        }
        assert_eq!(replied(&store, &["scard", "set"], 1_000), Ok(b":1100\r\n".to_vec()));
        replied(&store, &["rename", "set", "other"], 1_000).expect("a short name will do");
        store.close();
    }

    #[test]
    fn a_change_that_is_too_large_does_not_fail_the_log() {
        let refusal = kvdb_store::Refusal::TooLarge.to_string();
        assert_eq!(CommandError::new(refusal), errors::CHANGE_TOO_LARGE);
    }

    /// Another thread's read brings a block into the cache between the two looks at a key.
    #[test]
    fn a_key_that_was_missing_and_no_longer_is_can_be_waited_for() {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = testing::open_store(dir.path());
        command(&store, &["mset", "a", "1", "b", "2"]).expect("MSET succeeds");
        let (_, spec) = crate::table::find(b"mget").expect("the command is there");
        let args = OwnedArgs::from_iter(["mget", "a", "b"]);
        let guards = latch(spec, &store, 0, &Env::at(1), args.as_args()).expect("nobody is busy");
        let outcome = need_io(spec, &store, guards, 0, Env::at(1), args.as_args(), 2);
        let Outcome::NeedIo(Missing { db: 0, key, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(key, b"b");
        store.close();
    }

    #[test]
    fn the_cold_keys_of_a_command_are_loaded_together() {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = testing::open_store(dir.path());
        let words = cold_keys(&store);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut rounds = 0;
        let mut pins = Pins::new(&store);
        while let Outcome::NeedIo(missing) = command(&store, &words).expect("EXISTS succeeds") {
            load(&store, &missing);
            pins.extend(missing.pins);
            rounds += 1;
        }
        assert_eq!((rounds, store.resident_keys()), (2, 300));
        store.close();
    }

    #[test]
    fn what_a_command_waits_for_is_not_evicted_before_it_has_run() {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = testing::open_store(dir.path());
        let words = cold_keys(&store);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut rounds = 0;
        let mut pins = Pins::new(&store);
        while let Outcome::NeedIo(missing) = command(&store, &words).expect("EXISTS succeeds") {
            load(&store, &missing);
            pins.extend(missing.pins);
            // Memory has no room at all, between any two attempts.
            evict_all(&store, rounds);
            rounds += 1;
            assert!(rounds < 10, "the command does not end");
        }
        assert_eq!(store.resident_keys(), 300);
        drop(pins);
        evict_all(&store, 7);
        assert_eq!(store.resident_keys(), 0, "a command that has run holds nothing");
        store.close();
    }
}
