//! `# Persistence`: the log and the checkpoints, under the names of Redis' append-only file and dump.
//!
//! A checkpoint is the nearest to a dump: what has changed since the last one is what is not in tables yet. The log is
//! the append-only file, and it is always on; it is never rewritten.

use kvdb_commands::server::CheckpointKind;
use kvdb_lsm::log::LogState;

use super::Asked;
use super::text::Text;
use crate::checkpoint::Checkpoints;

#[derive(Default)]
pub(super) struct Persistence {
    not_in_tables: u64,
    checkpoints: Checkpoints,
    last_save_ms: u64,
    log_bytes: u64,
    delayed_syncs: u64,
    log_refuses: bool,
}

impl Persistence {
    pub(super) fn gather(asked: &Asked<'_>) -> Self {
        let (node, rows) = (asked.node, asked.rows());
        Self {
            not_in_tables: node.store.appended().saturating_sub(rows.flushed_seq),
            checkpoints: node.checkpoint.seen(),
            last_save_ms: node.checkpoint.last_success_ms(node.started_ms),
            log_bytes: rows.log.live_bytes,
            delayed_syncs: rows.log.delayed,
            log_refuses: node.rows.log().state() != LogState::Open,
        }
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.section("Persistence");
        text.zeros(&["loading", "async_loading", "current_cow_peak", "current_cow_size"]);
        text.field("current_cow_size_age", 0);
        text.field("current_fork_perc", "0.00");
        text.zeros(&["current_save_keys_processed", "current_save_keys_total"]);
        self.write_checkpoints(text);
        self.write_log(text);
        text.zeros(&["loading_start_time", "loading_total_bytes", "loading_rdb_used_mem"]);
        text.field("loading_loaded_bytes", 0);
        text.field("loading_loaded_perc", "0.00");
        text.field("loading_eta_seconds", 0);
    }

    fn write_checkpoints(&self, text: &mut Text) {
        let seen = &self.checkpoints;
        let running = self.running(CheckpointKind::Save);
        text.field("rdb_changes_since_last_save", self.not_in_tables);
        text.field("rdb_bgsave_in_progress", u8::from(running.is_some()));
        text.field("rdb_last_save_time", self.last_save_ms / 1000);
        text.field("rdb_last_bgsave_status", if seen.last_failed { "err" } else { "ok" });
        text.field("rdb_last_bgsave_time_sec", seconds_or_never(seen.last_took.map(|took| took.as_secs())));
        text.field("rdb_current_bgsave_time_sec", seconds_or_never(running));
        text.field("rdb_saves", seen.saves);
        text.zeros(&["rdb_last_cow_size", "rdb_last_load_keys_expired", "rdb_last_load_keys_loaded"]);
    }

    /// For how many seconds a checkpoint of this kind has been running.
    fn running(&self, kind: CheckpointKind) -> Option<u64> {
        let (running, since) = self.checkpoints.running?;
        (running == kind).then(|| since.elapsed().as_secs())
    }

    fn write_log(&self, text: &mut Text) {
        text.field("aof_enabled", 1);
        let running = self.running(CheckpointKind::Rewrite);
        text.field("aof_rewrite_in_progress", u8::from(running.is_some()));
        text.field("aof_rewrite_scheduled", u8::from(self.checkpoints.scheduled.rewrite));
        text.field("aof_last_rewrite_time_sec", -1);
        text.field("aof_current_rewrite_time_sec", seconds_or_never(running));
        text.field("aof_last_bgrewrite_status", "ok");
        text.field("aof_rewrites", self.checkpoints.rewrites);
        text.zeros(&["aof_rewrites_consecutive_failures"]);
        text.field("aof_last_write_status", if self.log_refuses { "err" } else { "ok" });
        text.zeros(&["aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size"]);
        text.field("aof_current_size", self.log_bytes);
        text.zeros(&["aof_base_size", "aof_pending_rewrite", "aof_buffer_length", "aof_pending_bio_fsync"]);
        text.field("aof_delayed_fsync", self.delayed_syncs);
    }
}

/// Seconds, or Redis' -1 for what has not happened or is not happening.
fn seconds_or_never(seconds: Option<u64>) -> i64 {
    seconds.map_or(-1, |seconds| i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn written(figures: &Persistence) -> String {
        let mut text = Text::default();
        figures.write(&mut text);
        text.finish()
    }

    #[test]
    fn what_never_happened_took_minus_one_second() {
        let text = written(&Persistence::default());
        assert!(text.contains("rdb_last_bgsave_time_sec:-1\r\nrdb_current_bgsave_time_sec:-1\r\n"), "{text}");
        assert!(
            text.contains("rdb_last_bgsave_status:ok\r\n") && text.contains("aof_last_write_status:ok\r\n")
        );
    }

    #[test]
    fn checkpoints_are_shown_as_saves_and_the_log_as_the_append_only_file() {
        let checkpoints = Checkpoints {
            running: Some((CheckpointKind::Save, Instant::now())),
            last_failed: true,
            last_took: Some(Duration::from_secs(3)),
            saves: 2,
            ..Checkpoints::default()
        };
        let figures = Persistence {
            not_in_tables: 7,
            checkpoints,
            last_save_ms: 1_700_000_000_999,
            log_bytes: 123,
            delayed_syncs: 4,
            log_refuses: true,
        };
        let text = written(&figures);
        for line in [
            "rdb_changes_since_last_save:7",
            "rdb_bgsave_in_progress:1",
            "rdb_last_save_time:1700000000",
            "rdb_last_bgsave_status:err",
            "rdb_last_bgsave_time_sec:3",
            "rdb_saves:2",
            "aof_last_write_status:err",
            "aof_current_size:123",
            "aof_delayed_fsync:4",
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} is missing in {text}");
        }
    }
}
