//! A server that writes down what it is asked to do.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

use kvdb_commands::acl::{Accounts, Change};
use kvdb_commands::server::{
    Begun, CheckpointKind, ClientFilter, ClientProperty, Job, MemoryFigure, ShutdownMode,
};
use kvdb_commands::tracking::Tracking;
use kvdb_commands::{CommandError, Server};
use kvdb_pubsub::Registry;
use kvdb_resp::{Args, Reply};

/// What was asked, in order, and a few ways to answer.
#[derive(Default)]
pub(super) struct Recorder {
    pub calls: RefCell<Vec<String>>,
    pub accounts: Accounts,
    pub password: Option<&'static str>,
    pub debug_refused: bool,
    pub checkpoint_fails: bool,
}

impl Recorder {
    fn record(&self, call: String) {
        self.calls.borrow_mut().push(call);
    }
}

fn words(args: &[&[u8]]) -> Vec<String> {
    args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
}

impl Server for Recorder {
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
        static NOBODY: LazyLock<Arc<Registry>> = LazyLock::new(|| Arc::new(Registry::new(1)));
        &NOBODY
    }

    fn publish(&self, _channel: &[u8], _payload: &[u8], _shard: bool, _depends_on: u64) -> usize {
        0
    }

    fn track(&self, client: u64, tracking: Option<&Tracking>) {
        self.record(format!("track {client} {tracking:?}"));
    }

    fn is_redirect_broken(&self, _client: u64) -> bool {
        false
    }

    fn has_client(&self, id: u64) -> bool {
        id == 7
    }

    fn now_micros(&self) -> u64 {
        1_000_000_000
    }

    fn accounts(&self) -> &Accounts {
        self.accounts.set_default_password(self.password.map(str::as_bytes));
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
        words(patterns).into_iter().map(|pattern| (pattern, String::new())).collect()
    }

    fn config_set(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), CommandError> {
        pairs.iter().for_each(|(name, value)| self.record(format!("config {:?}", words(&[name, value]))));
        Ok(())
    }

    fn config_rewrite(&self) -> Result<(), CommandError> {
        self.record("rewrite".to_owned());
        Ok(())
    }

    fn reset_stats(&self) {
        self.record("reset stats".to_owned());
    }

    fn info(&self, sections: &[String]) -> String {
        self.record(format!("info {sections:?}"));
        String::new()
    }

    fn clients(&self, filter: &ClientFilter) -> Vec<String> {
        self.record(format!("clients {filter:?}"));
        Vec::new()
    }

    fn kill_clients(&self, filter: &ClientFilter, caller: u64) -> usize {
        self.record(format!("kill {filter:?} for {caller}"));
        2
    }

    fn client_name(&self, _id: u64) -> String {
        String::new()
    }

    fn set_client_property(&self, id: u64, property: ClientProperty) {
        self.record(format!("set {id} {property:?}"));
    }

    fn pause_clients(&self, until_ms: u64, writes_only: bool) {
        self.record(format!("pause {until_ms} {writes_only}"));
    }

    fn unblock_client(&self, id: u64, with_error: bool) -> bool {
        self.record(format!("unblock {id} {with_error}"));
        true
    }

    fn slowlog_get(&self, count: Option<usize>, reply: &mut Reply<'_>) {
        self.record(format!("slowlog {count:?}"));
        reply.array(0);
    }

    fn slowlog_len(&self) -> usize {
        0
    }

    fn slowlog_reset(&self) {}

    fn latency(&self, subcommand: &str, args: &[&[u8]], reply: &mut Reply<'_>) -> Result<(), CommandError> {
        self.record(format!("latency {subcommand} {:?}", words(args)));
        reply.array(0);
        Ok(())
    }

    fn memory_stats(&self) -> Vec<(String, MemoryFigure)> {
        Vec::new()
    }

    fn memory_purge(&self) {}

    fn last_save(&self) -> u64 {
        0
    }

    fn checkpoint(&self) -> Box<dyn FnOnce() -> Result<(), String> + Send> {
        let fails = self.checkpoint_fails;
        Box::new(move || if fails { Err("the disk is full".to_owned()) } else { Ok(()) })
    }

    fn background_checkpoint(&self, _kind: CheckpointKind, _may_wait: bool) -> Begun {
        Begun::Started
    }

    fn shutdown(&self, mode: Option<ShutdownMode>) -> Result<(), CommandError> {
        self.record(format!("shutdown {mode:?}"));
        Ok(())
    }

    fn debug_allowed(&self, _client: u64) -> bool {
        !self.debug_refused
    }

    fn set_active_expiry(&self, _on: bool) {}

    fn pause_upkeep(&self, _on: bool) {}

    fn set_debug_in_scripts(&self, _on: bool) {}

    fn redis_version(&self) -> String {
        "7.2.4".to_owned()
    }

    fn log(&self, _message: &str) {}
}
