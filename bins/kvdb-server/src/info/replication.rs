//! `# Replication`: a node that has neither a primary nor replicas.
//!
//! The fields that Redis shows of a replica only (`master_host`, `master_link_status` and the like) are not here: tools
//! take a server that has them for a replica.

use super::Asked;
use super::text::Text;

/// Redis' default, for a configuration that does not say.
const BACKLOG_BYTES: &str = "1048576";

#[derive(Default)]
pub(super) struct Replication {
    id: String,
    backlog_size: String,
}

impl Replication {
    pub(super) fn gather(asked: &Asked<'_>) -> Self {
        let config = asked.node.config.lock();
        Self {
            id: asked.node.run_id.clone(),
            backlog_size: config.text("repl-backlog-size").unwrap_or(BACKLOG_BYTES).to_owned(),
        }
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.section("Replication");
        text.field("role", "master");
        text.zeros(&["connected_slaves", "replicas_waiting_psync"]);
        text.field("master_failover_state", "no-failover");
        text.field("master_replid", &self.id);
        text.field("master_replid2", format_args!("{:040}", 0));
        text.field("master_repl_offset", 0);
        text.field("second_repl_offset", -1);
        text.field("repl_backlog_active", 0);
        text.field("repl_backlog_size", &self.backlog_size);
        text.zeros(&["repl_backlog_first_byte_offset", "repl_backlog_histlen"]);
    }
}
