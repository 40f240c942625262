//! What access control does to connections: what they are refused, and when they are closed.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use kvdb_commands::acl::{Account, Change, Context, Denial, Denied};
use kvdb_commands::server::ClientFilter;
use kvdb_commands::{CommandError, CommandSpec, Session, errors};
use kvdb_pubsub::{Kind, Registry};
use kvdb_resp::Args;

use crate::clients::{ClientInfo, Clients};
use crate::clock::unix_millis;
use crate::node::Node;

impl Node {
    /// Whether the user of a session may run a command; a refusal is counted and logged.
    ///
    /// # Errors
    /// What is denied, with the sentence that says so.
    #[inline]
    pub fn check_access(
        &self,
        session: &Session,
        client: Option<&ClientInfo>,
        context: Context,
        spec: &'static CommandSpec,
        args: Args<'_>,
    ) -> Result<(), Refused> {
        if session.account.is_unrestricted() {
            return Ok(());
        }
        self.check_restricted(session, client, context, spec, args)
    }

    #[cold]
    fn check_restricted(
        &self,
        session: &Session,
        client: Option<&ClientInfo>,
        context: Context,
        spec: &'static CommandSpec,
        args: Args<'_>,
    ) -> Result<(), Refused> {
        let (account, user) = (&session.account, session.account.user());
        let Err(denied) = user.check(spec, args) else {
            return user.check_patterns(spec, args).map_err(Refused::Pattern);
        };
        let looked_up = if client.is_none() { self.clients.get(session.id) } else { None };
        self.note_denied(account, client.or(looked_up.as_deref()), context, spec, args, denied);
        Err(Refused::Denied(denied, denied.sentence(account.name(), spec)))
    }

    /// Counts and logs what the user of a client was denied.
    pub fn note_denied(
        &self,
        account: &Account,
        client: Option<&ClientInfo>,
        context: Context,
        spec: &'static CommandSpec,
        args: Args<'_>,
        denied: Denied,
    ) {
        let now = unix_millis();
        self.accounts.deny(Denial {
            reason: denied.reason,
            context,
            object: denied.object(spec, args).to_vec(),
            user: account.name().to_vec(),
            client: client.map_or_else(String::new, |client| client.line(now)),
            at_ms: now,
        });
    }
}

/// Closes the connections that changes leave no room for.
pub fn close_for(clients: &Clients, registry: &Registry, changes: &[Change], caller: u64) {
    for change in changes {
        match change {
            Change::Gone(account) => {
                connections_of(clients, account).values().for_each(|client| close(client, caller));
            }
            Change::Rights(account) => close_listeners(clients, registry, account, caller),
        }
    }
}

fn connections_of(clients: &Clients, account: &Arc<Account>) -> HashMap<u64, Arc<ClientInfo>> {
    let filter = ClientFilter { user: Some(account.clone()), ..ClientFilter::default() };
    clients.matching(&filter, unix_millis()).into_iter().map(|client| (client.id, client)).collect()
}

/// Closes those that listen to what they may not any more.
fn close_listeners(clients: &Clients, registry: &Registry, account: &Arc<Account>, caller: u64) {
    if account.is_unrestricted() {
        return;
    }
    let (clients, user) = (connections_of(clients, account), account.user());
    registry.each(|kind, name, id| {
        if let Some(client) = clients.get(&id)
            && !user.may_listen(name, kind == Kind::Pattern)
        {
            close(client, caller);
        }
    });
}

fn close(client: &ClientInfo, caller: u64) {
    if client.id == caller {
        client.close_after_reply();
    } else {
        client.kill();
    }
}

/// Why a command may not run.
#[derive(Debug)]
pub enum Refused {
    /// What is denied, in a sentence.
    Denied(Denied, String),
    /// It reads keys that are not among its arguments.
    Pattern(CommandError),
}

impl Refused {
    /// The error of a command by itself.
    pub fn error(self) -> CommandError {
        match self {
            Self::Denied(_, sentence) => errors::no_permission(&sentence),
            Self::Pattern(error) => error,
        }
    }

    /// The error of a command in a script.
    pub fn error_in_script(self) -> CommandError {
        match self {
            Self::Denied(_, sentence) => errors::no_permission_in_script(&sentence),
            Self::Pattern(error) => error,
        }
    }

    /// The error of a command that was queued when it was allowed.
    pub fn error_in_exec(self) -> CommandError {
        match self {
            Self::Denied(denied, _) => errors::no_permission_any_more(denied.reason),
            Self::Pattern(error) => error,
        }
    }
}

/// Fills a buffer from the system's source of random bytes.
///
/// # Errors
/// When it cannot be read.
pub fn draw_secret(bytes: &mut [u8]) -> io::Result<()> {
    std::fs::File::open("/dev/urandom")?.read_exact(bytes)
}
