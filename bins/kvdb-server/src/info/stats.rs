//! `# Stats`: what has been done since start, or since CONFIG RESETSTAT.

use std::sync::atomic::Ordering;

use kvdb_commands::acl::Reason;
use kvdb_pubsub::Kind;

use super::Asked;
use super::text::Text;

#[derive(Default)]
pub(super) struct Stats {
    accepted: u64,
    rejected: u64,
    commands: u64,
    ops_per_second: u64,
    net_in: u64,
    net_out: u64,
    input_kbps: f64,
    output_kbps: f64,
    expired: u64,
    evicted: u64,
    evicted_clients: u64,
    moved: u64,
    expiry_cut_short: u64,
    expiry_micros: u64,
    closed_for_input: u64,
    closed_for_output: u64,
    hits: u64,
    misses: u64,
    errors: u64,
    reads: u64,
    writes: u64,
    /// Different names with subscriptions: channels, patterns, shard channels.
    subscriptions: [usize; 3],
    /// Keys that clients are told of, readers of them, and prefixes.
    tracking: [usize; 3],
    denied: [u64; 4],
}

/// What access control denies, in the order of the fields.
const DENIALS: [(&str, Reason); 4] =
    [("auth", Reason::Auth), ("cmd", Reason::Command), ("key", Reason::Key), ("channel", Reason::Channel)];

impl Stats {
    pub(super) fn gather(asked: &Asked<'_>) -> Self {
        let (node, totals) = (asked.node, asked.totals());
        let stats = &node.store.stats;
        let (tracked_keys, readers) = node.store.remembered();
        Self {
            accepted: node.accepted.load(Ordering::Relaxed),
            rejected: node.rejected.load(Ordering::Relaxed),
            commands: totals.processed,
            ops_per_second: node.rates.ops_per_second(),
            net_in: totals.net_in,
            net_out: totals.net_out,
            input_kbps: node.rates.input_kbps(),
            output_kbps: node.rates.output_kbps(),
            expired: stats.expired.load(Ordering::Relaxed),
            evicted: stats.evicted.load(Ordering::Relaxed),
            evicted_clients: node.evicted_clients.load(Ordering::Relaxed),
            moved: node.placement.moved(),
            expiry_cut_short: stats.expiry_cut_short.load(Ordering::Relaxed),
            expiry_micros: node.expiry_micros.load(Ordering::Relaxed),
            closed_for_input: node.closed_for_input.load(Ordering::Relaxed),
            closed_for_output: node.closed_for_output.load(Ordering::Relaxed),
            hits: totals.hits,
            misses: totals.misses,
            errors: totals.errors.values().sum(),
            reads: totals.reads,
            writes: totals.writes,
            subscriptions: [Kind::Channel, Kind::Pattern, Kind::ShardChannel]
                .map(|kind| node.registry.count(kind)),
            tracking: [tracked_keys, readers, node.tracking.prefixes()],
            denied: DENIALS.map(|(_, reason)| node.accounts.denied(reason)),
        }
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.section("Stats");
        self.write_traffic(text);
        self.write_keys(text);
        for (name, count) in
            ["pubsub_channels", "pubsub_patterns", "pubsubshard_channels"].iter().zip(self.subscriptions)
        {
            text.field(name, count);
        }
        text.zeros(&[
            "latest_fork_usec",
            "total_forks",
            "migrate_cached_sockets",
            "slave_expires_tracked_keys",
        ]);
        text.zeros(&["active_defrag_hits", "active_defrag_misses"]);
        text.zeros(&["active_defrag_key_hits", "active_defrag_key_misses"]);
        text.zeros(&["total_active_defrag_time", "current_active_defrag_time"]);
        for (name, count) in ["tracking_total_keys", "tracking_total_items", "tracking_total_prefixes"]
            .iter()
            .zip(self.tracking)
        {
            text.field(name, count);
        }
        text.field("unexpected_error_replies", 0);
        text.field("total_error_replies", self.errors);
        text.field("dump_payload_sanitizations", 0);
        text.field("total_reads_processed", self.reads);
        text.field("total_writes_processed", self.writes);
        text.zeros(&["io_threaded_reads_processed", "io_threaded_writes_processed"]);
        text.zeros(&[
            "io_threaded_freed_objects",
            "io_threaded_accept_processed",
            "io_threaded_poll_processed",
        ]);
        text.zeros(&["io_threaded_total_prefetch_batches", "io_threaded_total_prefetch_entries"]);
        text.field("client_query_buffer_limit_disconnections", self.closed_for_input);
        text.field("client_output_buffer_limit_disconnections", self.closed_for_output);
        text.zeros(&["reply_buffer_shrinks", "reply_buffer_expands"]);
        text.zeros(&["eventloop_cycles", "eventloop_duration_sum", "eventloop_duration_cmd_sum"]);
        text.zeros(&["instantaneous_eventloop_cycles_per_sec", "instantaneous_eventloop_duration_usec"]);
        for (name, count) in DENIALS.iter().zip(self.denied) {
            text.field(&format!("acl_access_denied_{}", name.0), count);
        }
    }

    fn write_traffic(&self, text: &mut Text) {
        text.field("total_connections_received", self.accepted);
        text.field("total_commands_processed", self.commands);
        text.field("instantaneous_ops_per_sec", self.ops_per_second);
        text.field("total_net_input_bytes", self.net_in);
        text.field("total_net_output_bytes", self.net_out);
        text.zeros(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
        text.field("instantaneous_input_kbps", format_args!("{:.2}", self.input_kbps));
        text.field("instantaneous_output_kbps", format_args!("{:.2}", self.output_kbps));
        text.field("instantaneous_input_repl_kbps", "0.00");
        text.field("instantaneous_output_repl_kbps", "0.00");
        text.field("rejected_connections", self.rejected);
        text.field("kvdb_moved_connections", self.moved);
        text.zeros(&["sync_full", "sync_partial_ok", "sync_partial_err"]);
    }

    /// Objects that left memory for the disk are not among the evicted ones: in Redis those are gone.
    fn write_keys(&self, text: &mut Text) {
        text.field("expired_keys", self.expired);
        // Redis estimates it from samples. Here an index knows which keys are due, and none is left behind.
        text.field("expired_stale_perc", "0.00");
        text.field("expired_time_cap_reached_count", self.expiry_cut_short);
        text.field("expire_cycle_cpu_milliseconds", self.expiry_micros / 1000);
        text.field("evicted_keys", self.evicted);
        text.field("evicted_clients", self.evicted_clients);
        text.field("evicted_scripts", 0);
        text.zeros(&["total_eviction_exceeded_time", "current_eviction_exceeded_time"]);
        text.field("keyspace_hits", self.hits);
        text.field("keyspace_misses", self.misses);
    }
}
