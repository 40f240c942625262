//! `# Clients`: the connections.

use std::sync::atomic::Ordering;

use kvdb_commands::server::{ClientFilter, ClientKind};

use super::Asked;
use super::text::Text;
use crate::clock::unix_millis;

#[derive(Default)]
pub(super) struct Clients {
    connected: usize,
    max: u32,
    largest_input: usize,
    largest_output: usize,
    blocked: usize,
    tracking: usize,
    listening: usize,
    watching: usize,
    timed: usize,
    watched_keys: usize,
    /// Keys that somebody waits for, and those of them whose end would be told.
    awaited_keys: (usize, usize),
    paused_for_ms: u64,
    writes_only: bool,
}

impl Clients {
    pub(super) fn gather(asked: &Asked<'_>) -> Self {
        let node = asked.node;
        let now = unix_millis();
        let clients = node.clients.matching(&ClientFilter::default(), now);
        Self {
            connected: clients.len(),
            max: asked.settings.maxclients,
            largest_input: clients.iter().map(|c| c.query_bytes.load(Ordering::Relaxed)).max().unwrap_or(0),
            largest_output: clients.iter().map(|c| c.output_bytes.load(Ordering::Relaxed)).max().unwrap_or(0),
            blocked: node.paused_clients.load(Ordering::Relaxed)
                + node.blocked_clients.load(Ordering::Relaxed),
            tracking: node.tracking.clients(),
            listening: clients.iter().filter(|client| client.kind() == ClientKind::PubSub).count(),
            watching: clients.iter().filter(|client| client.watches()).count(),
            timed: node.timed_clients.load(Ordering::Relaxed),
            watched_keys: node.store.watched_keys(),
            awaited_keys: node.store.awaited_keys(),
            paused_for_ms: node.pause.until().saturating_sub(now),
            writes_only: node.pause.is_of_writes(),
        }
    }

    pub(super) fn write(&self, text: &mut Text) {
        let paused = self.paused_for_ms > 0;
        text.section("Clients");
        text.field("connected_clients", self.connected);
        text.field("cluster_connections", 0);
        text.field("maxclients", self.max);
        text.field("client_recent_max_input_buffer", self.largest_input);
        text.field("client_recent_max_output_buffer", self.largest_output);
        // As in Redis, who waits for the end of a pause is among the blocked.
        text.field("blocked_clients", self.blocked);
        text.field("tracking_clients", self.tracking);
        text.field("pubsub_clients", self.listening);
        text.field("watching_clients", self.watching);
        text.field("clients_in_timeout_table", self.timed);
        text.field("total_watched_keys", self.watched_keys);
        text.field("total_blocking_keys", self.awaited_keys.0);
        text.field("total_blocking_keys_on_nokey", self.awaited_keys.1);
        text.field("paused_reason", if paused { "client_pause" } else { "none" });
        text.field(
            "paused_actions",
            match (paused, self.writes_only) {
                (false, _) => "none",
                (true, true) => "write",
                (true, false) => "all",
            },
        );
        text.field("paused_timeout_milliseconds", self.paused_for_ms);
    }
}
