//! `# Storage`: the log, the memtables, the tables and their cache; what Redis has no words for.

use std::sync::atomic::Ordering;

use kvdb_lsm::log::{LogState, SyncPolicy};
use kvdb_lsm::{DbStats, Pressure};

use super::Asked;
use super::text::Text;

#[derive(Default)]
pub(super) struct Storage {
    rows: DbStats,
    pressure: &'static str,
    pressure_ratio: f32,
    log_policy: &'static str,
    log_state: &'static str,
    appended: u64,
    written: u64,
    durable: u64,
    resident_keys: usize,
    loads: u64,
    evicted: u64,
    replayed_batches: u64,
    replayed_bytes: u64,
    cut_tail: bool,
    scrubbed_bytes: u64,
    scrub_passes: u64,
}

impl Storage {
    pub(super) fn gather(asked: &Asked<'_>) -> Self {
        let node = asked.node;
        let (log, stats, recovered) = (node.rows.log(), &node.store.stats, node.rows.recovered());
        let (pressure, pressure_ratio) = match node.rows.pressure() {
            Pressure::None => ("none", 0.0),
            Pressure::Soft(ratio) => ("soft", ratio),
            Pressure::Hard(_) => ("hard", 1.0),
        };
        Self {
            rows: asked.rows().clone(),
            pressure,
            pressure_ratio,
            log_policy: match log.policy() {
                SyncPolicy::Always => "always",
                SyncPolicy::EverySec => "everysec",
                SyncPolicy::No => "no",
            },
            log_state: match log.state() {
                LogState::Open => "open",
                LogState::Full(_) => "full",
                LogState::Poisoned(_) => "failed",
            },
            appended: log.appended(),
            written: log.written(),
            durable: log.durable(),
            resident_keys: node.store.resident_keys(),
            loads: stats.loads.load(Ordering::Relaxed),
            evicted: stats.evicted_to_disk.load(Ordering::Relaxed),
            replayed_batches: recovered.batches,
            replayed_bytes: recovered.bytes,
            cut_tail: recovered.torn_tail.is_some(),
            scrubbed_bytes: node.scrubbed.bytes.load(Ordering::Relaxed),
            scrub_passes: node.scrubbed.passes.load(Ordering::Relaxed),
        }
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.section("Storage");
        text.field("storage_write_pressure", self.pressure);
        text.field("storage_write_pressure_ratio", format_args!("{:.2}", self.pressure_ratio));
        self.write_log(text);
        self.write_memtables(text);
        self.write_tables(text);
        text.field("storage_resident_keys", self.resident_keys);
        text.field("storage_loaded_keys", self.loads);
        text.field("storage_keys_evicted_to_disk", self.evicted);
    }

    fn write_log(&self, text: &mut Text) {
        let log = &self.rows.log;
        text.field("storage_log_policy", self.log_policy);
        text.field("storage_log_state", self.log_state);
        text.field("storage_log_segments", log.segments);
        text.field("storage_log_bytes", log.live_bytes);
        text.field("storage_log_appended_bytes", log.appended_bytes);
        text.field("storage_log_written_bytes", log.written_bytes);
        text.field("storage_log_writes", log.writes);
        text.field("storage_log_groups", log.groups);
        text.field("storage_log_syncs", log.syncs);
        text.field("storage_log_delayed_syncs", log.delayed);
        text.field("storage_log_refused_appends", log.refused);
        text.field("storage_appended_seq", self.appended);
        text.field("storage_written_seq", self.written);
        text.field("storage_durable_seq", self.durable);
        text.field("storage_flushed_seq", self.rows.flushed_seq);
        text.field("storage_replayed_batches", self.replayed_batches);
        text.field("storage_replayed_bytes", self.replayed_bytes);
        text.field("storage_replay_cut_tail", u8::from(self.cut_tail));
    }

    fn write_memtables(&self, text: &mut Text) {
        let rows = &self.rows;
        text.field("storage_memtable_bytes", rows.active_bytes);
        text.field("storage_memtable_rows", rows.active_keys);
        text.field("storage_frozen_memtables", rows.frozen);
        text.field("storage_frozen_memtable_bytes", rows.frozen_bytes);
        text.field("storage_retired_memtable_bytes", rows.retired_bytes);
        text.field("storage_flushes", rows.flushes);
        text.field("storage_flushed_bytes", rows.flushed_bytes);
    }

    fn write_tables(&self, text: &mut Text) {
        let rows = &self.rows;
        text.field("storage_tables", rows.tables.iter().sum::<usize>());
        text.field("storage_table_bytes", rows.table_bytes.iter().sum::<u64>());
        text.field("storage_table_rows", rows.table_entries);
        text.field("storage_table_index_bytes", rows.pinned_bytes);
        for (level, (tables, bytes)) in rows.tables.iter().zip(rows.table_bytes).enumerate() {
            text.field(&format!("storage_level{level}"), format_args!("tables={tables},bytes={bytes}"));
        }
        text.field("storage_level0_depth", rows.level0_depth);
        text.field("storage_compactions", rows.compactions);
        text.field("storage_compaction_pending_bytes", rows.pending_compaction_bytes);
        text.field("storage_compaction_read_bytes", rows.compaction_read_bytes);
        text.field("storage_compaction_written_bytes", rows.compaction_written_bytes);
        text.field("storage_blob_files", rows.blob_files);
        text.field("storage_blob_bytes", rows.blob_bytes);
        text.field("storage_blob_garbage_bytes", rows.blob_garbage_bytes);
        text.field("storage_blob_moved_bytes", rows.moved_blob_bytes);
        text.field("storage_damaged_files", rows.damaged_tables);
        text.field("storage_damaged_reads", rows.damaged_reads);
        for (name, syncs) in [("table", rows.table_syncs), ("manifest", rows.manifest_syncs)] {
            text.field(&format!("storage_{name}_syncs"), syncs.syncs);
            text.field(&format!("storage_{name}_sync_micros"), syncs.micros);
            text.field(&format!("storage_{name}_longest_sync_micros"), syncs.longest_micros);
            text.field(&format!("storage_{name}_delayed_syncs"), syncs.delayed);
        }
        text.field("storage_background_errors", rows.background_errors);
        text.field("storage_block_cache_bytes", rows.block_cache_bytes);
        text.field("storage_block_cache_hits", rows.block_cache_hits);
        text.field("storage_block_cache_misses", rows.block_cache_misses);
        text.field("storage_read_views", rows.views);
        text.field("storage_oldest_view_seq", rows.oldest_view.unwrap_or(0));
        text.field("storage_scrubbed_bytes", self.scrubbed_bytes);
        text.field("storage_scrub_passes", self.scrub_passes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_has_a_line_and_the_tables_are_summed() {
        let mut rows = DbStats::default();
        (rows.tables[0], rows.tables[1]) = (4, 10);
        (rows.table_bytes[0], rows.table_bytes[1]) = (400, 5000);
        (rows.blob_files, rows.blob_bytes, rows.blob_garbage_bytes) = (3, 700, 70);
        rows.pending_compaction_bytes = 99;
        let mut text = Text::default();
        Storage { rows, pressure: "soft", pressure_ratio: 0.256, ..Storage::default() }.write(&mut text);
        let text = text.finish();
        for line in [
            "storage_write_pressure_ratio:0.26",
            "storage_tables:14",
            "storage_table_bytes:5400",
            "storage_level0:tables=4,bytes=400",
            "storage_level1:tables=10,bytes=5000",
            "storage_level6:tables=0,bytes=0",
            "storage_compaction_pending_bytes:99",
            "storage_blob_files:3",
            "storage_blob_bytes:700",
            "storage_blob_garbage_bytes:70",
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} is missing in {text}");
        }
    }
}
