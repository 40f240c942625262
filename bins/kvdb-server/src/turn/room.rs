//! Commands that make memory grow, where keys are deleted for room or there is none.

use kvdb_commands::{CommandSpec, Flags, Handler, errors};
use kvdb_store::Env;

use super::{Flow, Run};
use crate::memory::Room;

impl Run<'_> {
    /// Makes room for a command that may make memory grow; what becomes of it where there is none. `None` when it runs.
    #[cold]
    pub(super) fn without_room(&mut self, index: usize, spec: &'static CommandSpec) -> Option<Flow> {
        // What is queued takes memory too, whatever it is; MULTI and WATCH are wrong there, and are refused with the rest.
        let ends = matches!(spec.name, "exec" | "discard" | "quit" | "reset");
        let is_queued = self.session.transaction.is_some() && !ends;
        let is_exec = matches!(spec.handler, Handler::Exec);
        let transaction = self.session.transaction.as_ref().filter(|_| is_exec);
        let grows = is_queued
            || spec.flags.has(Flags::DENYOOM)
            || transaction.is_some_and(|transaction| transaction.grows() && !transaction.is_broken());
        if !grows && !is_exec && !matches!(spec.handler, Handler::Script) {
            return None;
        }
        let env = Env { random: self.worker.draw(), ..self.env };
        let worker = &mut *self.worker;
        self.env.is_full = worker.node.make_room(env, &mut worker.scratch) == Room::Full;
        self.serve_sleepers();
        if !self.env.is_full || !grows {
            return None;
        }
        self.worker.stats.rejected(index);
        if is_exec {
            self.session.transaction = None;
            self.session.watches = None;
            return Some(self.refuse(&errors::exec_abort(&errors::OUT_OF_MEMORY)));
        }
        if let Some(transaction) = &mut self.session.transaction {
            transaction.break_it();
        }
        Some(self.refuse(&errors::OUT_OF_MEMORY))
    }
}
