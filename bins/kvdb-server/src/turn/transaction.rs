//! Transactions: what is queued, and what the run of it needs of the connection.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kvdb_commands::acl::Context;
use kvdb_commands::session::Then;
use kvdb_commands::tracking::Tracking;
use kvdb_commands::transaction::{self, Around, Queued, Unfinished};
use kvdb_commands::{CmdResult, CommandError, CommandSpec, Flags, Handler, SessionCx, errors};
use kvdb_resp::{Args, OwnedArgs, Reply};
use kvdb_store::{Env, WriteCx};

use super::{Flow, Park, Run};
use crate::access::Refused;
use crate::scripting::{self, Aftermath};

/// What commands about the connection change that are run among those on keys.
pub(super) struct Before {
    tracking: Option<Box<Tracking>>,
    no_touch: bool,
}

impl Around for Run<'_> {
    fn begin(&mut self) {
        self.scripts.clear();
        self.set_back();
    }

    fn may_run(&mut self, queued: &Queued) -> CmdResult {
        let (node, args) = (&self.worker.node, queued.args.as_args());
        let checked = node.check_access(self.session, Some(self.info), Context::Multi, queued.spec, args);
        checked.map_err(Refused::error_in_exec)
    }

    fn manners(&self) -> (bool, bool) {
        (self.session.keeps(), !self.session.no_touch)
    }

    fn session(&mut self, queued: &Queued, reply: &mut Reply<'_>) -> CmdResult {
        let Handler::Session(handler) = queued.spec.handler else { return Err(errors::NOT_IN_TRANSACTION) };
        // Those that run behind a run do not touch what is set back.
        if self.before.is_none() {
            self.before =
                Some(Before { tracking: self.session.tracking.clone(), no_touch: self.session.no_touch });
        }
        let (node, seen) = (self.worker.node.clone(), self.seen());
        let mut cx = SessionCx {
            session: self.session,
            server: &*node,
            store: &node.store,
            env: self.env,
            seen,
            in_transaction: true,
            then: None,
            depends_on: 0,
        };
        let mark = reply.len();
        handler(&mut cx, queued.args.as_args(), reply)?;
        let (then, depends_on) = (cx.then, cx.depends_on);
        *self.gate = (*self.gate).max(depends_on);
        self.info.mirror(self.session);
        match then {
            None => Ok(()),
            // DEBUG SLEEP; nothing else is to happen in between.
            Some(Then::Sleep { micros }) => {
                std::thread::sleep(Duration::from_micros(micros));
                reply.truncate(mark);
                reply.ok();
                Ok(())
            }
            Some(Then::Acks(acks)) => {
                acks.reply(node.rows.log().durable() >= self.seen(), reply);
                Ok(())
            }
            // Whatever would have to go on elsewhere cannot: the transaction ends here and now.
            Some(_) => Err(errors::NOT_IN_TRANSACTION),
        }
    }

    fn script(
        &mut self,
        queued: &Queued,
        cx: &mut WriteCx<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<bool, Unfinished> {
        let (node, mut aftermath) = (self.worker.node.clone(), Aftermath::default());
        let command = (queued.spec, queued.args.as_args());
        let wrote = scripting::run_within(&node, self.session, command, cx, &mut aftermath, reply)?;
        self.scripts.push(aftermath);
        Ok(wrote)
    }

    fn appended(&mut self, seq: u64) {
        self.before = None;
        *self.gate = (*self.gate).max(seq);
        let seen = self.seen();
        for mut aftermath in self.scripts.drain(..) {
            self.worker.tell(&mut aftermath, self.env.now, seen);
        }
    }

    fn moment(&mut self, queued: &Queued) -> Option<Duration> {
        let began = self.began?;
        self.is_timed(queued.spec).then(|| began.elapsed())
    }

    fn ran(&mut self, queued: &Queued, failed: Option<&CommandError>, took: Option<Duration>) {
        let args = queued.args.as_args();
        self.show(queued.spec, args);
        self.worker.ran(queued.index, queued.spec, took);
        if let Some(took) = took {
            self.worker.node.slowlog.note(queued.spec, args, took, self.info, self.env.now);
        }
        if let Some(error) = failed {
            self.worker.stats.failed(queued.index);
            self.worker.stats.error(error.code());
        }
    }
}

impl Run<'_> {
    /// Queues a command of a transaction.
    pub(super) fn queue(&mut self, index: usize, spec: &'static CommandSpec, args: Args<'_>) -> Flow {
        let Some(transaction) = &mut self.session.transaction else { return Flow::Next };
        // They wait as what has not been run does, and are limited as that is.
        let limit = self.worker.node.hot.query_buffer.load(Ordering::Relaxed);
        let queued = if spec.flags.has(Flags::NO_MULTI) {
            transaction.break_it();
            Err(errors::NOT_IN_TRANSACTION)
        } else {
            let place = spec.only_key(args).map(|key| self.env.place(&self.worker.node.store, key));
            transaction.push(Queued { index, spec, args: OwnedArgs::from(args), place }, limit)
        };
        match queued {
            Ok(()) => {
                Reply::new(&mut self.worker.out, self.session.protocol).simple("QUEUED");
                Flow::Next
            }
            Err(error) => self.refuse(&error),
        }
    }

    /// Runs the commands of a transaction.
    pub(super) fn exec(&mut self) -> Result<Flow, CommandError> {
        let Some(transaction) = self.session.transaction.take() else {
            return Err(errors::EXEC_WITHOUT_MULTI);
        };
        if transaction.is_broken() {
            self.session.watches = None;
            return Err(errors::EXEC_ABORT);
        }
        let node = self.worker.node.clone();
        if self.env.keeps_dead || node.is_paused_for_writes(self.env.now) {
            let may_write = |queued: &Queued| self.may_write(queued.spec, queued.args.as_args());
            if transaction.queue().iter().any(may_write) {
                self.session.transaction = Some(transaction);
                return Ok(Flow::Again(Park::Paused));
            }
        }
        let mut out = std::mem::take(&mut self.worker.out);
        let mut scratch = std::mem::take(&mut self.worker.scratch);
        let mut reply = Reply::new(&mut out, self.session.protocol);
        let watches = self.session.watches.take();
        let (db, env) = (self.session.db, Env { random: self.worker.draw(), ..self.env });
        let outcome = transaction::run(
            &transaction,
            watches.as_ref(),
            &node.store,
            db,
            env,
            &mut scratch,
            &mut reply,
            self,
        );
        let flow = match outcome {
            Ok(transaction::Outcome::Done(seq, db)) => {
                self.session.unpin();
                *self.gate = (*self.gate).max(seq);
                if db != self.session.db {
                    self.session.db = db;
                    self.info.mirror(self.session);
                }
                Ok(Flow::Next)
            }
            Ok(transaction::Outcome::Touched(seq)) => {
                self.session.unpin();
                *self.gate = (*self.gate).max(seq);
                reply.null_array();
                Ok(Flow::Next)
            }
            Ok(transaction::Outcome::NeedIo(missing)) => {
                self.session.transaction = Some(transaction);
                self.session.watches = watches;
                Ok(self.load(missing))
            }
            Err(failed) => {
                self.session.unpin();
                Err(failed.error)
            }
        };
        self.worker.out = out;
        self.worker.scratch = scratch;
        self.set_back();
        self.serve_sleepers();
        if !self.worker.scratch.dead.is_empty() {
            self.bury_dead();
        }
        flow
    }

    /// Sets back what was set in a run of a transaction that has come to nothing.
    pub(super) fn set_back(&mut self) {
        let Some(Before { tracking, no_touch }) = self.before.take() else { return };
        if self.session.tracking != tracking {
            kvdb_commands::Server::track(&*self.worker.node, self.session.id, tracking.as_deref());
            self.session.tracking = tracking;
        }
        self.session.no_touch = no_touch;
        self.info.mirror(self.session);
    }
}
