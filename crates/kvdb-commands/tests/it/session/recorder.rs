//! A server that writes down what it is asked to do.

use std::cell::RefCell;

use kvdb_commands::server::{ClientFilter, ClientProperty, MemoryFigure, ShutdownMode};
use kvdb_commands::{CommandError, Server};
use kvdb_resp::Reply;

/// What was asked, in order, and a few ways to answer.
#[derive(Default)]
pub(super) struct Recorder {
    pub calls: RefCell<Vec<String>>,
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
    fn now_micros(&self) -> u64 {
        1_000_000_000
    }

    fn authenticate(&self, user: &[u8], password: &[u8]) -> bool {
        user == b"default" && self.password.is_none_or(|wanted| wanted.as_bytes() == password)
    }

    fn requires_auth(&self) -> bool {
        self.password.is_some()
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

    fn background_checkpoint(&self) -> Result<(), CommandError> {
        Ok(())
    }

    fn shutdown(&self, mode: Option<ShutdownMode>) -> Result<(), CommandError> {
        self.record(format!("shutdown {mode:?}"));
        Ok(())
    }

    fn debug_allowed(&self, _client: u64) -> bool {
        !self.debug_refused
    }

    fn set_active_expiry(&self, _on: bool) {}

    fn redis_version(&self) -> String {
        "7.2.4".to_owned()
    }

    fn log(&self, _message: &str) {}
}
