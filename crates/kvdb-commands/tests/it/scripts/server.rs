//! A server that is nothing but what commands can see of one.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kvdb_commands::acl::{Accounts, Change};
use kvdb_commands::server::{
    Begun, CheckpointKind, ClientFilter, ClientProperty, Job, MemoryFigure, ShutdownMode,
};
use kvdb_commands::tracking::Tracking;
use kvdb_commands::values::glob::{self, Case};
use kvdb_commands::{CommandError, Server};
use kvdb_pubsub::{Receivers, Registry};
use kvdb_resp::{Args, Reply};
use kvdb_store::ValueLimits;

/// One connection, a few settings, a clock that stands still unless it is moved.
pub(super) struct FakeServer {
    now_ms: Cell<u64>,
    settings: RefCell<BTreeMap<String, String>>,
    names: RefCell<HashMap<u64, String>>,
    active_expiry: Cell<bool>,
    registry: Arc<Registry>,
    accounts: Accounts,
}

/// A moment in 2023.
const START_MS: u64 = 1_700_000_000_000;

impl FakeServer {
    /// A server with the settings that commands depend on.
    pub(super) fn new() -> Self {
        let limits = ValueLimits::default();
        let settings = [
            ("hll-sparse-max-bytes", limits.hll_sparse_max_bytes.to_string()),
            ("maxmemory", "0".to_owned()),
            ("maxmemory-policy", "noeviction".to_owned()),
            ("proto-max-bulk-len", limits.max_string_bytes.to_string()),
            ("requirepass", String::new()),
        ];
        Self {
            now_ms: Cell::new(START_MS),
            settings: RefCell::new(settings.map(|(name, value)| (name.to_owned(), value)).into()),
            names: RefCell::default(),
            active_expiry: Cell::new(true),
            registry: Arc::new(Registry::new(1)),
            accounts: Accounts::default(),
        }
    }

    /// Now, in Unix milliseconds.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// Lets time go by.
    pub(super) fn advance(&self, milliseconds: u64) {
        self.now_ms.update(|now| now + milliseconds);
    }

    /// The limits on values that the settings say.
    pub(super) fn limits(&self) -> ValueLimits {
        let number = |name: &str| self.settings.borrow()[name].parse().expect("a size is a number here");
        ValueLimits {
            max_string_bytes: number("proto-max-bulk-len"),
            hll_sparse_max_bytes: number("hll-sparse-max-bytes"),
            ..ValueLimits::default()
        }
    }
}

impl Server for FakeServer {
    fn receivers(&self, _channel: &[u8], _shard: bool) -> usize {
        0
    }

    fn script(&self, _args: Args<'_>, _reply: &mut Reply<'_>) -> Result<(), CommandError> {
        Err(CommandError::fixed("ERR there are no scripts here"))
    }

    fn function(&self, _args: Args<'_>, _reply: &mut Reply<'_>) -> Result<u64, CommandError> {
        Err(CommandError::fixed("ERR there are no functions here"))
    }

    fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    fn publish(&self, channel: &[u8], _payload: &[u8], shard: bool, _depends_on: u64) -> usize {
        let mut receivers = Receivers::default();
        if shard {
            self.registry.publish_to_shard(channel, &mut receivers);
        } else {
            self.registry.publish(channel, &mut receivers);
        }
        receivers.len()
    }

    fn track(&self, _client: u64, _tracking: Option<&Tracking>) {}

    fn is_redirect_broken(&self, _client: u64) -> bool {
        false
    }

    fn has_client(&self, id: u64) -> bool {
        id == 1
    }

    fn now_micros(&self) -> u64 {
        self.now_ms() * 1000
    }

    fn accounts(&self) -> &Accounts {
        let password = self.settings.borrow()["requirepass"].clone();
        self.accounts.set_default_password(Some(password.as_bytes()).filter(|password| !password.is_empty()));
        &self.accounts
    }

    fn access_changed(&self, _changes: &[Change], _caller: u64) {}

    fn draw_secret(&self, bytes: &mut [u8]) -> Result<(), CommandError> {
        bytes.fill(0x5a);
        Ok(())
    }

    fn load_users(&self, _caller: u64) -> Option<Job> {
        None
    }

    fn save_users(&self) -> Option<Job> {
        None
    }

    fn config_get(&self, patterns: &[&[u8]]) -> Vec<(String, String)> {
        let wanted = |name: &str| {
            patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes(), Case::Ignored))
        };
        let settings = self.settings.borrow();
        settings.iter().filter(|(name, _)| wanted(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
    }

    fn config_set(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), CommandError> {
        let mut changed = self.settings.borrow().clone();
        for (name, value) in pairs {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            let unknown = || {
                let text = format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'");
                CommandError::new(text)
            };
            *changed.get_mut(&name).ok_or_else(unknown)? = String::from_utf8_lossy(value).into_owned();
        }
        self.settings.replace(changed);
        Ok(())
    }

    fn config_rewrite(&self) -> Result<(), CommandError> {
        Err(CommandError::fixed("ERR The server is running without a config file"))
    }

    fn reset_stats(&self) {}

    fn info(&self, sections: &[String]) -> String {
        let known = ["server", "keyspace"].map(str::to_owned);
        let every = sections.is_empty()
            || sections.iter().any(|s| ["default", "all", "everything"].contains(&s.as_str()));
        known.iter().filter(|s| every || sections.contains(s)).map(|s| format!("# {s}\r\n")).collect()
    }

    fn clients(&self, filter: &ClientFilter) -> Vec<String> {
        let names = self.names.borrow();
        let name = names.get(&1).map_or("", String::as_str);
        let wanted = filter.ids.as_ref().is_none_or(|ids| ids.contains(&1)) && filter.not != Some(1);
        if wanted {
            vec![format!("id=1 addr=127.0.0.1:1 laddr=127.0.0.1:6379 name={name} db=0")]
        } else {
            Vec::new()
        }
    }

    fn kill_clients(&self, filter: &ClientFilter, caller: u64) -> usize {
        let ours = filter.ids.as_ref().is_none_or(|ids| ids.contains(&caller))
            && filter.addr.as_deref().is_none_or(|addr| addr == "127.0.0.1:1");
        usize::from(ours && filter.not != Some(caller))
    }

    fn client_name(&self, id: u64) -> String {
        self.names.borrow().get(&id).cloned().unwrap_or_default()
    }

    fn set_client_property(&self, id: u64, property: ClientProperty) {
        if let ClientProperty::Name(name) = property {
            self.names.borrow_mut().insert(id, name);
        }
    }

    fn pause_clients(&self, _until_ms: u64, _writes_only: bool) {}

    fn unblock_client(&self, _id: u64, _with_error: bool) -> bool {
        false
    }

    fn slowlog_get(&self, _count: Option<usize>, reply: &mut Reply<'_>) {
        reply.array(0);
    }

    fn slowlog_len(&self) -> usize {
        0
    }

    fn slowlog_reset(&self) {}

    fn latency(&self, subcommand: &str, _args: &[&[u8]], reply: &mut Reply<'_>) -> Result<(), CommandError> {
        match subcommand {
            "reset" => reply.integer(0),
            "doctor" => reply.verbatim(b"txt", "no latency spikes"),
            "histogram" => reply.map(0),
            _ => reply.array(0),
        }
        Ok(())
    }

    fn memory_stats(&self) -> Vec<(String, MemoryFigure)> {
        vec![
            ("keys.count".to_owned(), MemoryFigure::Integer(0)),
            ("dataset.percentage".to_owned(), MemoryFigure::Double(0.5)),
        ]
    }

    fn memory_purge(&self) {}

    fn last_save(&self) -> u64 {
        START_MS / 1000
    }

    fn checkpoint(&self) -> Box<dyn FnOnce() -> Result<(), String> + Send> {
        Box::new(|| Ok(()))
    }

    fn background_checkpoint(&self, _kind: CheckpointKind, _may_wait: bool) -> Begun {
        Begun::Started
    }

    fn shutdown(&self, mode: Option<ShutdownMode>) -> Result<(), CommandError> {
        if mode.is_some() { Ok(()) } else { Err(CommandError::fixed("ERR No shutdown in progress.")) }
    }

    fn debug_allowed(&self, _client: u64) -> bool {
        true
    }

    fn pause_upkeep(&self, _on: bool) {}

    fn set_debug_in_scripts(&self, _on: bool) {}

    fn set_active_expiry(&self, on: bool) {
        self.active_expiry.set(on);
    }

    fn redis_version(&self) -> String {
        "7.2.4".to_owned()
    }

    fn log(&self, _message: &str) {}
}
