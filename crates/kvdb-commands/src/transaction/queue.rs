//! What is queued between MULTI and EXEC, and which parts of it are a run of their own.

use kvdb_resp::OwnedArgs;
use kvdb_store::{Place, Store};
use smallvec::SmallVec;

use crate::acl;
use crate::errors::{self, CmdResult};
use crate::families::generic::in_other_database;
use crate::spec::{CommandSpec, Flags, Handler};

/// Commands that a transaction has room for from the first one on.
const COMMANDS_AT_FIRST: usize = 16;

/// A command that waits for EXEC.
#[derive(Debug)]
pub struct Queued {
    /// Its index in the table.
    pub index: usize,
    /// Its row of the table.
    pub spec: &'static CommandSpec,
    /// Its arguments.
    pub args: OwnedArgs,
    /// The place of its only key, where that is known.
    pub place: Option<Place>,
}

/// A key that a command declares.
pub(super) struct Declared<'q> {
    /// Its database.
    pub(super) db: u16,
    /// Its name.
    pub(super) key: &'q [u8],
    /// Its place.
    pub(super) place: Place,
}

impl Queued {
    /// The keys that it declares where it is run in this database.
    pub(super) fn declared<'q>(&'q self, db: u16, store: &Store) -> impl Iterator<Item = Declared<'q>> {
        let args = self.args.as_args();
        let only = self.place.and_then(|place| Some((self.spec.only_key(args)?, place)));
        let others = if only.is_some() { SmallVec::new() } else { self.spec.key_positions(args) };
        let others = others.into_iter().map(move |at| args.get(at).unwrap_or_default());
        let here = only.map(|(key, place)| Declared { db, key, place }).into_iter();
        let here = here.chain(others.map(move |key| Declared { db, key, place: store.place(key) }));
        let elsewhere = in_other_database(self.spec, args, store.databases());
        here.chain(elsewhere.map(|(db, key)| Declared { db, key, place: store.place(key) }))
    }
}

/// What a connection has queued since MULTI.
#[derive(Debug, Default)]
pub struct Transaction {
    queue: Vec<Queued>,
    bytes: usize,
    broken: bool,
}

impl Transaction {
    /// Adds a command, where no more than `max_bytes` of them may be queued.
    ///
    /// # Errors
    /// When more is queued than may be; the transaction is broken then.
    pub fn push(&mut self, queued: Queued, max_bytes: usize) -> CmdResult {
        if self.broken {
            // It will not run.
            return Ok(());
        }
        self.bytes += queued.args.as_args().iter().map(<[u8]>::len).sum::<usize>() + size_of::<Queued>();
        if self.bytes > max_bytes {
            self.broken = true;
            (self.queue, self.bytes) = (Vec::new(), 0);
            return Err(errors::TRANSACTION_TOO_LARGE);
        }
        if self.queue.is_empty() {
            self.queue.reserve(COMMANDS_AT_FIRST);
        }
        self.queue.push(queued);
        Ok(())
    }

    /// Notes that a command was refused, so that EXEC will run none.
    pub fn break_it(&mut self) {
        self.broken = true;
    }

    /// Whether a command was refused.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The commands.
    pub fn queue(&self) -> &[Queued] {
        &self.queue
    }

    /// Bytes of memory of what is queued, about.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether some command may make memory grow.
    pub fn grows(&self) -> bool {
        self.queue.iter().any(|queued| queued.spec.flags.has(Flags::DENYOOM))
    }

    /// Whether some command may store something.
    pub fn may_write(&self) -> bool {
        self.queue.iter().any(|queued| queued.spec.may_write())
    }
}

/// The commands that are one run, and those behind them.
pub(super) fn first_part(queue: &[Queued]) -> (&[Queued], &[Queued]) {
    let (mut rights_changed, mut scripts_changed) = (false, false);
    let end = queue.iter().position(|queued| {
        rights_changed |= changes_rights(queued);
        scripts_changed |= changes_scripts(queued);
        let is_script = matches!(queued.spec.handler, Handler::Script);
        (rights_changed && !is_on_session(queued)) || (scripts_changed && is_script)
    });
    queue.split_at(end.unwrap_or(queue.len()))
}

/// Whether a command may change what the connection may do.
fn changes_rights(queued: &Queued) -> bool {
    let names = ["auth", "hello", "acl|setuser", "acl|deluser", "acl|load"];
    is_on_session(queued) && names.contains(&acl::full_name(queued.spec))
}

/// Whether a command may change which scripts there are, or how they run.
fn changes_scripts(queued: &Queued) -> bool {
    let containers = ["script", "function", "config", "debug"];
    let container = acl::full_name(queued.spec).split('|').next().unwrap_or_default();
    is_on_session(queued) && containers.contains(&container)
}

/// Whether a command is about the connection or the server, and no matter for the run of commands on keys.
pub(super) fn is_on_session(queued: &Queued) -> bool {
    matches!(queued.spec.handler, Handler::Session(_)) && !is_in_order(queued)
}

/// Whether a command about the connection has to run where it stands. None of them takes a latch.
fn is_in_order(queued: &Queued) -> bool {
    let of_client = ["tracking", "trackinginfo", "getredir", "caching", "no-touch"];
    queued.spec.name == "select"
        || (of_client.contains(&queued.spec.name) && acl::full_name(queued.spec).starts_with("client|"))
}
