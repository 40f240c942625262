//! Running a command of the table: latches, residency, handler, commit.

use std::sync::Arc;

use kvdb_resp::{Args, Reply};
use kvdb_store::{Env, Guards, Located, Place, ReadCx, Residency, Scratch, Store, WriteCx};
use smallvec::SmallVec;

use crate::errors::CommandError;
use crate::spec::{CommandSpec, Handler};

/// How a keyed command ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The reply is written and may leave when this sequence is safe.
    Done(u64),
    /// A key of this database has to be loaded first; nothing has been written or changed.
    NeedIo(u16, Vec<u8>),
}

/// Runs a [`Handler::Read`] or [`Handler::Write`] on its declared keys. On an error nothing is in `reply`.
///
/// # Errors
/// The error to reply with. What the handler changed before it failed is kept, as in Redis; handlers check first and
/// change last.
///
/// # Panics
/// When the handler is of another kind.
#[inline]
pub fn run(spec: &CommandSpec, store: &Arc<Store>, db: u16, env: Env, scratch: &mut Scratch, args: Args<'_>, reply: &mut Reply<'_>) -> Result<Outcome, CommandError> {
    let mark = reply.len();
    let mut guards = latch(spec, store, db, env.located, args);
    for spec in spec.keys {
        for at in spec.positions(args.len()) {
            match store.ensure_resident(&mut guards, db, &args[at], env.now) {
                Ok(Residency::Ready) => {}
                Ok(Residency::NeedIo) => return Ok(Outcome::NeedIo(db, args[at].to_vec())),
                Err(message) => return Err(CommandError::new(format!("ERR {message}"))),
            }
        }
    }
    let result = match spec.handler {
        Handler::Read(handler) => {
            let mut cx = ReadCx::new(store, guards, scratch, env, db);
            handler(&mut cx, args, reply).map(|()| cx.depends_on())
        }
        Handler::Write(handler) => {
            let mut cx = WriteCx::new(store, guards, scratch, env, db);
            let result = handler(&mut cx, args, reply);
            if result.is_err()
                && let Some((db, key)) = cx.needs()
            {
                reply.truncate(mark);
                // Looking at a key that was past its deadline has deleted it, and that is to be kept.
                cx.commit().map_err(|refusal| CommandError::new(refusal.to_string()))?;
                return Ok(Outcome::NeedIo(db, key));
            }
            let committed = cx.commit().map_err(|refusal| CommandError::new(refusal.to_string()));
            result.and(committed)
        }
        Handler::Keyspace(_) | Handler::Session(_) | Handler::Container => {
            unreachable!("the caller sends only keyed commands here")
        }
    };
    if result.is_err() {
        reply.truncate(mark);
    }
    result.map(Outcome::Done)
}

#[inline]
fn latch<'s>(
    spec: &CommandSpec,
    store: &'s Store,
    db: u16,
    located: Option<Located>,
    args: Args<'_>,
) -> Guards<'s> {
    if let [one] = spec.keys
        && one.first == 1
        && one.last == 1
    {
        let place = located.and_then(|located| located.place_of(&args[1]));
        return store.latch(place.unwrap_or_else(|| store.place(&args[1])));
    }
    let places: SmallVec<[Place; 8]> =
        spec.keys.iter().flat_map(|keys| keys.positions(args.len())).map(|at| store.place(&args[at])).collect();
    let guards = store.latch_many(&places);
    guards.prefetch(db, &places);
    guards
}
