//! Commands that declare no keys: on whole databases, and about the connection or the server.

use kvdb_commands::session::Then;
use kvdb_commands::{
    CmdResult, CommandError, CommandSpec, Flags, KeyspaceCx, KeyspaceOutcome, KeyspaceResult, SessionCx,
    errors,
};
use kvdb_resp::{Args, Reply};
use kvdb_store::Env;

use super::{Flow, Park, Run, Running};
use crate::worker::Worker;

impl Run<'_> {
    pub(super) fn keyspace(
        &mut self,
        spec: &'static CommandSpec,
        handler: fn(&mut KeyspaceCx<'_, '_>, Args<'_>, &mut Reply<'_>) -> KeyspaceResult,
        args: Args<'_>,
    ) -> Result<Flow, CommandError> {
        if spec.flags.has(Flags::SLOW) {
            return Ok(Flow::After(Park::Keyspace(Running::new(spec, args))));
        }
        // Commands of one turn have their moment in common, but not their luck.
        let env = Env { random: self.worker.draw(), ..self.env };
        let Worker { node, out, .. } = &mut *self.worker;
        let mut cx = KeyspaceCx::alone(&node.store, self.session.db, env, false);
        let mark = out.len();
        let mut reply = Reply::new(out, self.session.protocol);
        match handler(&mut cx, args, &mut reply) {
            Ok(KeyspaceOutcome::Done(seq)) => {
                *self.gate = (*self.gate).max(seq);
                Ok(Flow::Next)
            }
            Ok(KeyspaceOutcome::NeedIo) => {
                reply.truncate(mark);
                Ok(Flow::After(Park::Keyspace(Running::new(spec, args))))
            }
            Err(error) => {
                reply.truncate(mark);
                Err(error)
            }
        }
    }

    pub(super) fn session(
        &mut self,
        spec: &'static CommandSpec,
        handler: fn(&mut SessionCx<'_>, Args<'_>, &mut Reply<'_>) -> CmdResult,
        args: Args<'_>,
    ) -> Result<Flow, CommandError> {
        let node = self.worker.node.clone();
        let out = &mut self.worker.out;
        let mark = out.len();
        let mut reply = Reply::new(out, self.session.protocol);
        reply.limit(self.env.limits.max_reply_bytes);
        let seen = self.session.seen.max(*self.gate);
        let mut cx = SessionCx {
            session: self.session,
            server: &*node,
            store: &node.store,
            env: self.env,
            seen,
            in_transaction: false,
            then: None,
            depends_on: 0,
        };
        let result = handler(&mut cx, args, &mut reply);
        let (then, depends_on) = (cx.then, cx.depends_on);
        *self.gate = (*self.gate).max(depends_on);
        let result = if reply.is_full() { Err(errors::REPLY_TOO_LONG) } else { result };
        if let Err(error) = result {
            reply.truncate(mark);
            return Err(error);
        }
        self.info.mirror(self.session);
        // The rights may have changed between the check and the subscription: nobody would look at it again.
        if spec.flags.has(Flags::PUBSUB)
            && !self.session.account.is_unrestricted()
            && self.session.account.user().check(spec, args).is_err()
        {
            self.info.close_after_reply();
        }
        self.session.close |= self.info.is_closing();
        Ok(match then {
            None => Flow::Next,
            Some(Then::Load(db, key)) => {
                self.worker.out.truncate(mark);
                Flow::Again(Park::Load(db, key))
            }
            Some(Then::Acks(acks)) => {
                let seen = self.seen();
                let is_durable = node.rows.log().durable() >= seen;
                if !acks.are_there(is_durable) {
                    return Ok(Flow::After(Park::Acks(Running::new(spec, args), acks, seen)));
                }
                acks.reply(is_durable, &mut Reply::new(&mut self.worker.out, self.session.protocol));
                Flow::Next
            }
            Some(Then::Sleep { micros }) => {
                // The reply is made when the time is over.
                self.worker.out.truncate(mark);
                Flow::After(Park::Sleep(Running::new(spec, args), micros))
            }
            Some(Then::Offload(job)) => Flow::After(Park::Offload(Running::new(spec, args), job)),
        })
    }
}
