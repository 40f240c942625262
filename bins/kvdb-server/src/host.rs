//! The node as commands see it: [`kvdb_commands::Server`] for [`Node`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kvdb_commands::acl::{Accounts, Change};
use kvdb_commands::server::{
    Begun, CheckpointKind, ClientFilter, ClientProperty, Job, MemoryFigure, ShutdownMode,
};
use kvdb_commands::tracking::Tracking;
use kvdb_commands::{CommandError, Server};
use kvdb_pubsub::Registry;
use kvdb_resp::{Args, Reply};

use crate::clock::{unix_micros, unix_millis};
use crate::listening::Unchanged;
use crate::node::{Node, Stop};
use crate::settings::{DebugCommand, SetError, Settings, Staged};

impl Server for Node {
    fn now_micros(&self) -> u64 {
        unix_micros()
    }

    fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    fn access_changed(&self, changes: &[Change], caller: u64) {
        crate::access::close_for(&self.clients, &self.registry, changes, caller);
    }

    fn draw_secret(&self, bytes: &mut [u8]) -> Result<(), CommandError> {
        let drawn = crate::access::draw_secret(bytes);
        drawn.map_err(|error| CommandError::new(format!("ERR cannot draw random bytes: {error}")))
    }

    fn load_users(&self, caller: u64) -> Option<Job> {
        self.load_job(caller)
    }

    fn save_users(&self) -> Option<Job> {
        self.save_job()
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
        let password_changed = staged.changed().contains(&"requirepass");
        let mut config = self.config.lock();
        config.commit(staged);
        self.apply_settings(&config);
        if password_changed {
            self.take_password(config.settings());
        }
        drop(config);
        // It takes latches, which a script may hold for long while clients that have just come ask for settings.
        self.store.set_counting(self.hot.cache_limit().is_some());
        Ok(())
    }

    fn config_rewrite(&self) -> Result<(), CommandError> {
        let config = self.config.lock();
        let given = |words: &[Vec<String>]| crate::users::lines_of(config.settings(), words);
        // With a file of users they are not in the configuration.
        let users = if config.settings().aclfile.is_some() {
            None
        } else {
            let now = crate::users::lines(&self.accounts, config.settings());
            let now =
                now.ok_or(CommandError::fixed("ERR Rewriting config file: a user's rule is no UTF-8 text"))?;
            Some(crate::settings::UserLines { now, given: &given })
        };
        let warnings = config.rewrite_with(users.as_ref()).map_err(|e| CommandError::new(e.to_string()))?;
        drop(config);
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
        let closed = [&self.evicted_clients, &self.closed_for_output, &self.closed_for_input];
        for counter in closed.into_iter().chain([&self.expiry_micros]) {
            counter.store(0, Ordering::Relaxed);
        }
        let stats = &self.store.stats;
        let evicted = [&stats.evicted, &stats.evicted_to_disk];
        for counter in [&stats.expired, &stats.loads, &stats.expiry_cut_short].into_iter().chain(evicted) {
            counter.store(0, Ordering::Relaxed);
        }
        self.peak_memory.store(0, Ordering::Relaxed);
        self.accounts.reset_counts();
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
        match until_ms {
            0 => self.pause.end(),
            _ => self.pause.begin(until_ms, writes_only, unix_millis()),
        }
        // Who waits for the end of an earlier pause looks again.
        self.unpaused.notify_waiters();
    }

    fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    fn publish(&self, channel: &[u8], payload: &[u8], shard: bool, depends_on: u64) -> usize {
        crate::publish::publish(self, channel, payload, shard, depends_on)
    }

    fn receivers(&self, channel: &[u8], shard: bool) -> usize {
        crate::publish::receivers(self, channel, shard)
    }

    fn script(&self, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
        self.script_command(args, reply)
    }

    fn function(&self, args: Args<'_>, reply: &mut Reply<'_>) -> Result<u64, CommandError> {
        self.function_command(args, reply)
    }

    fn track(&self, client: u64, tracking: Option<&Tracking>) {
        match (tracking, self.clients.get(client)) {
            (Some(tracking), Some(client)) => self.tracking.set(client, tracking, &self.store),
            (None, _) | (_, None) => self.tracking.end(client, &self.store),
        }
    }

    fn is_redirect_broken(&self, client: u64) -> bool {
        self.clients.get(client).is_some_and(|client| client.is_redirect_broken())
    }

    fn has_client(&self, id: u64) -> bool {
        self.clients.get(id).is_some()
    }

    fn unblock_client(&self, id: u64, with_error: bool) -> bool {
        self.clients.get(id).is_some_and(|client| client.is_blocked() && client.unblock().ask(with_error))
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

    fn background_checkpoint(&self, kind: CheckpointKind, may_wait: bool) -> Begun {
        crate::checkpoint::in_background(self, kind, may_wait)
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

    fn pause_upkeep(&self, on: bool) {
        self.upkeep_rests.store(on, Ordering::Relaxed);
    }

    fn set_debug_in_scripts(&self, on: bool) {
        self.debug_in_scripts.store(on, Ordering::Relaxed);
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
    /// Gives `default` the password of the settings.
    pub fn take_password(&self, settings: &Settings) {
        let password = settings.requirepass.as_ref().map(|secret| secret.expose().as_bytes());
        self.accounts.set_default_password(password);
    }

    /// Takes over settings that have changed.
    fn apply_settings(&self, config: &crate::settings::Config) {
        self.hot.refresh(config);
        self.take_access_settings(config.settings());
        self.rows.log().set_policy(crate::bootstrap::sync_policy(config.settings().appendfsync));
        self.store.set_usage(crate::bootstrap::usage(config.settings()));
        self.store.set_layout(crate::bootstrap::layout(config));
        self.store.set_events(config.settings().notify_keyspace_events);
        self.store.set_remembered_limit(config.settings().tracking_table_max_keys);
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
