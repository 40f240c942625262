//! From the name of a command to its row, and what becomes of one that may not run.

use kvdb_commands::acl::Context;
use kvdb_commands::{CommandError, CommandSpec, Flags, Handler, errors, table};
use kvdb_resp::{Args, Reply};

use super::{Flow, Park, Run, http};
use crate::access::Refused;
use crate::stats::index_of;

impl Run<'_> {
    /// The command's row, if the client may use it and its arguments have the right number.
    #[inline]
    pub(super) fn find(&mut self, args: Args<'_>) -> Result<(usize, &'static CommandSpec), CommandError> {
        let name = args.name();
        let Some((index, spec)) = self.worker.lookup(name) else {
            if http::is_name(name) {
                self.session.close = true;
                self.worker.node.warn_of_http(&self.info.addr);
            }
            if !self.session.authenticated && self.worker.node.accounts.requires_auth() {
                return Err(errors::NO_AUTH);
            }
            return Err(errors::unknown_command(name, args));
        };
        if !self.session.authenticated
            && !spec.flags.has(Flags::NO_AUTH)
            && self.worker.node.accounts.requires_auth()
        {
            self.worker.stats.rejected(index);
            return Err(errors::NO_AUTH);
        }
        if spec.subcommands.is_empty() || args.len() == 1 {
            return if spec.takes(args.len()) {
                Ok((index, spec))
            } else {
                self.worker.stats.rejected(index);
                Err(self.wrong_arity(spec))
            };
        }
        match table::find_subcommand(spec, &args[1]) {
            Some(sub) if sub.takes(args.len()) => Ok((index_of(sub), sub)),
            Some(sub) => {
                self.worker.stats.rejected(index_of(sub));
                Err(errors::wrong_arity(&format!("{}|{}", spec.name, sub.name)))
            }
            // A container that also works by itself (COMMAND, for one) takes only its own number of arguments.
            None => Err(errors::unknown_subcommand(spec.name, &args[1])),
        }
    }

    #[cold]
    pub(super) fn wrong_arity(&mut self, spec: &CommandSpec) -> CommandError {
        let error = errors::wrong_arity(spec.name);
        if !matches!(spec.handler, Handler::Exec) {
            return error;
        }
        self.session.transaction = None;
        self.session.watches = None;
        errors::exec_abort(&error)
    }

    #[inline]
    pub(super) fn check_access(&self, spec: &'static CommandSpec, args: Args<'_>) -> Result<(), Refused> {
        let context = if self.session.transaction.is_some() { Context::Multi } else { Context::TopLevel };
        self.worker.node.check_access(self.session, Some(self.info), context, spec, args)
    }

    /// Refuses what the user may not do; a transaction comes to nothing then.
    #[cold]
    pub(super) fn deny(&mut self, index: usize, spec: &CommandSpec, refused: Refused) -> Flow {
        self.worker.stats.rejected(index);
        let error = refused.error();
        if matches!(spec.handler, Handler::Exec) && self.session.transaction.take().is_some() {
            self.session.watches = None;
            return self.refuse(&errors::exec_abort(&error));
        }
        if let Some(transaction) = &mut self.session.transaction {
            transaction.break_it();
        }
        self.refuse(&error)
    }

    /// What becomes of a command while a script is busy; `None` when it runs.
    #[cold]
    pub(super) fn while_busy(&mut self, spec: &'static CommandSpec) -> Option<Flow> {
        // Watching begins and ends at keys, which the script may hold.
        let ends_watching = matches!(spec.name, "exec" | "discard" | "unwatch" | "reset");
        if spec.name == "watch" || (ends_watching && self.session.watches.is_some()) {
            return Some(Flow::Again(Park::Busy));
        }
        if spec.flags.has(Flags::ALLOW_BUSY) {
            return None;
        }
        let function = self.worker.node.scripting.running.longest().is_some_and(|run| run.is_function());
        if matches!(spec.handler, Handler::Exec) && self.session.transaction.take().is_some() {
            let error = if function { errors::EXEC_ABORT_BUSY_FUNCTION } else { errors::EXEC_ABORT_BUSY };
            return Some(self.refuse(&error));
        }
        if let Some(transaction) = &mut self.session.transaction {
            transaction.break_it();
        }
        let error = if function { errors::BUSY_FUNCTION } else { errors::BUSY_SCRIPT };
        Some(self.refuse(&error))
    }

    #[cold]
    pub(super) fn refuse(&mut self, error: &CommandError) -> Flow {
        Reply::new(&mut self.worker.out, self.session.protocol).error(error.text());
        self.worker.stats.error(error.code());
        Flow::Next
    }
}
