//! The node as commands see it: [`kvdb_commands::Server`] for [`Node`].

use std::sync::atomic::Ordering;

use kvdb_commands::server::{ClientFilter, ClientProperty, MemoryFigure, ShutdownMode};
use kvdb_commands::{CommandError, Server};
use kvdb_resp::Reply;

use crate::clock::{unix_micros, unix_millis};
use crate::listening::Unchanged;
use crate::node::{Node, Stop};
use crate::settings::{DebugCommand, SetError, Settings, Staged};

impl Server for Node {
    fn now_micros(&self) -> u64 {
        unix_micros()
    }

    fn authenticate(&self, user: &[u8], password: &[u8]) -> bool {
        let config = self.config.lock();
        let Some(secret) = &config.settings().requirepass else { return user == b"default" };
        let secret = secret.expose().as_bytes();
        // Every byte is compared, so that the time taken does not tell how many were right.
        let same = secret.len() == password.len()
            && secret.iter().zip(password).fold(0u8, |diff, (a, b)| diff | (a ^ b)) == 0;
        same && user == b"default"
    }

    fn requires_auth(&self) -> bool {
        self.config.lock().settings().requirepass.is_some()
    }

    fn config_get(&self, patterns: &[&[u8]]) -> Vec<(String, String)> {
        let patterns: Vec<_> = patterns.iter().map(|p| String::from_utf8_lossy(p)).collect();
        let patterns: Vec<&str> = patterns.iter().map(AsRef::as_ref).collect();
        self.config.lock().get(&patterns).into_iter().map(|(name, value)| (name, value.to_owned())).collect()
    }

    fn config_set(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), CommandError> {
        let mut text = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let utf8 = |bytes| {
                std::str::from_utf8(bytes)
                    .map_err(|_| CommandError::fixed("ERR a setting must be UTF-8 text"))
            };
            text.push((utf8(*name)?, utf8(*value)?));
        }
        let _alone = self.reconfiguring.lock();
        let (staged, before) = {
            let config = self.config.lock();
            let staged = config.stage(&text).map_err(|e| CommandError::new(e.to_string()))?;
            (staged, config.settings().clone())
        };
        self.listen_anew(&staged, &before, &text)?;
        for warning in staged.warnings() {
            tracing::warn!("{}: {}", warning.about, warning.text);
        }
        let mut config = self.config.lock();
        config.commit(staged);
        self.apply_settings(&config);
        Ok(())
    }

    fn config_rewrite(&self) -> Result<(), CommandError> {
        let warnings = self.config.lock().rewrite().map_err(|e| CommandError::new(e.to_string()))?;
        for warning in warnings {
            tracing::warn!("{}: {}", warning.about, warning.text);
        }
        Ok(())
    }

    fn reset_stats(&self) {
        for worker in &self.workers {
            worker.reset();
        }
        self.accepted.store(0, Ordering::Relaxed);
        self.rejected.store(0, Ordering::Relaxed);
        let stats = &self.store.stats;
        for counter in [&stats.expired, &stats.evicted_to_disk, &stats.loads, &stats.expiry_cut_short] {
            counter.store(0, Ordering::Relaxed);
        }
        self.peak_memory.store(0, Ordering::Relaxed);
    }

    fn info(&self, sections: &[String]) -> String {
        crate::info::text(self, sections)
    }

    fn clients(&self, filter: &ClientFilter) -> Vec<String> {
        let now = unix_millis();
        self.clients.matching(filter, now).iter().map(|client| client.line(now)).collect()
    }

    fn kill_clients(&self, filter: &ClientFilter, caller: u64) -> usize {
        let victims = self.clients.matching(filter, unix_millis());
        for client in &victims {
            if client.id == caller {
                client.close_after_reply();
            } else {
                client.kill();
            }
        }
        victims.len()
    }

    fn client_name(&self, id: u64) -> String {
        self.clients.get(id).map_or_else(String::new, |client| client.name())
    }

    fn set_client_property(&self, id: u64, property: ClientProperty) {
        let Some(client) = self.clients.get(id) else { return };
        let monitor = matches!(property, ClientProperty::Monitor(_));
        client.set(property);
        if monitor {
            self.count_monitors();
        }
    }

    fn pause_clients(&self, until_ms: u64, writes_only: bool) {
        self.paused_writes_only.store(writes_only, Ordering::Relaxed);
        self.paused_until.store(until_ms, Ordering::Relaxed);
        // Who waits for the end of an earlier pause looks again.
        self.unpaused.notify_waiters();
    }

    fn unblock_client(&self, _id: u64, _with_error: bool) -> bool {
        // No command blocks yet, so no client is ever blocked.
        false
    }

    fn slowlog_get(&self, count: Option<usize>, reply: &mut Reply<'_>) {
        self.slowlog.write(count, reply);
    }

    fn slowlog_len(&self) -> usize {
        self.slowlog.len()
    }

    fn slowlog_reset(&self) {
        self.slowlog.reset();
    }

    fn latency(&self, subcommand: &str, args: &[&[u8]], reply: &mut Reply<'_>) -> Result<(), CommandError> {
        if subcommand == "histogram" {
            let times = crate::timing::merged(self.workers.iter().map(|worker| &worker.times));
            crate::timing::reply_histograms(&times, args, reply);
            return Ok(());
        }
        self.latency.reply(subcommand, args, reply)
    }

    fn memory_stats(&self) -> Vec<(String, MemoryFigure)> {
        crate::memory::stats(self)
    }

    fn memory_purge(&self) {
        crate::memory::purge();
    }

    fn last_save(&self) -> u64 {
        self.checkpoint.last_success_ms(self.started_ms) / 1000
    }

    fn checkpoint(&self) -> Box<dyn FnOnce() -> Result<(), String> + Send> {
        crate::checkpoint::job(self)
    }

    fn background_checkpoint(&self) -> Result<(), CommandError> {
        crate::checkpoint::in_background(self)
    }

    fn shutdown(&self, mode: Option<ShutdownMode>) -> Result<(), CommandError> {
        match mode {
            Some(mode) => {
                self.stop(Stop::Orderly(mode));
                Ok(())
            }
            None => Err(CommandError::fixed("ERR No shutdown in progress.")),
        }
    }

    fn debug_allowed(&self, client: u64) -> bool {
        match self.config.lock().settings().enable_debug_command {
            DebugCommand::Yes => true,
            DebugCommand::No => false,
            DebugCommand::Local => self.clients.get(client).is_some_and(|c| c.unix || is_loopback(&c.addr)),
        }
    }

    fn set_active_expiry(&self, on: bool) {
        self.active_expire.store(on, Ordering::Relaxed);
    }

    fn redis_version(&self) -> String {
        self.config.lock().settings().compat_redis_version.clone()
    }

    fn log(&self, message: &str) {
        tracing::info!("{message}");
    }
}

/// Whether an `ip:port` is one of this machine's own.
pub fn is_loopback(addr: &str) -> bool {
    addr.parse::<std::net::SocketAddr>().is_ok_and(|addr| addr.ip().to_canonical().is_loopback())
}

impl Node {
    /// Takes over settings that have changed.
    fn apply_settings(&self, config: &crate::settings::Config) {
        self.hot.refresh(config);
        self.rows.log().set_policy(crate::bootstrap::sync_policy(config.settings().appendfsync));
        self.store.set_usage(crate::bootstrap::usage(config.settings()));
        crate::logging::set_level(config.settings().loglevel);
        self.log_progressed();
    }

    /// Listens elsewhere where that is what settings that are about to change say. Accepting reads the settings, so they
    /// are not locked meanwhile.
    fn listen_anew(
        &self,
        staged: &Staged,
        before: &Settings,
        pairs: &[(&str, &str)],
    ) -> Result<(), CommandError> {
        let concerns = |name: &str| ["bind", "port"].contains(&name);
        let Some(changed) = staged.changed().iter().find(|name| concerns(name)) else { return Ok(()) };
        let Some(listening) = self.listening.get() else { return Ok(()) };
        listening.follow(staged.settings(), before).map_err(|Unchanged| {
            let why = match *changed {
                "port" => "Unable to listen on this port. Check server logs.",
                _ => "Failed to bind to specified addresses.",
            };
            let spelt = pairs.iter().find(|(name, _)| name.eq_ignore_ascii_case(changed));
            CommandError::new(SetError::failed(spelt.map_or(*changed, |(name, _)| *name), why).to_string())
        })
    }

    /// As [`Self::count_monitors`], when there were any.
    pub fn count_monitors_if_needed(&self) {
        if self.monitors.load(Ordering::Relaxed) != 0 {
            self.count_monitors();
        }
    }

    /// Counts the connections that watch every command.
    pub fn count_monitors(&self) {
        self.monitors.store(self.clients.monitors().len(), Ordering::Relaxed);
    }
}
