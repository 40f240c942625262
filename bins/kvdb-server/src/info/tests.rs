//! Which sections are shown, and that the text has what tools read.

use super::*;

/// Fields that redis_exporter, RedisInsight, Datadog, client libraries or job queues read, of any section that always
/// has the same fields.
const READ_BY_TOOLS: &str = "
    redis_version server_name kvdb_version redis_build_id redis_mode os arch_bits multiplexing_api process_id run_id
    tcp_port uptime_in_seconds uptime_in_days hz lru_clock executable config_file io_threads_active
    connected_clients maxclients client_recent_max_input_buffer client_recent_max_output_buffer blocked_clients
    tracking_clients clients_in_timeout_table pubsub_clients watching_clients total_watched_keys total_blocking_keys
    used_memory used_memory_human used_memory_rss used_memory_peak used_memory_overhead used_memory_startup
    used_memory_dataset allocator_active allocator_allocated allocator_resident allocator_frag_ratio
    allocator_frag_bytes allocator_rss_ratio allocator_rss_bytes total_system_memory used_memory_lua
    used_memory_vm_eval used_memory_scripts_eval number_of_cached_scripts number_of_functions number_of_libraries
    used_memory_vm_functions used_memory_vm_total used_memory_functions used_memory_scripts maxmemory
    maxmemory_policy mem_fragmentation_ratio mem_fragmentation_bytes rss_overhead_ratio mem_clients_slaves
    mem_clients_normal mem_cluster_links mem_aof_buffer mem_replication_backlog mem_not_counted_for_evict
    mem_total_replication_buffers mem_allocator active_defrag_running lazyfree_pending_objects lazyfreed_objects
    loading async_loading loading_total_bytes loading_loaded_bytes loading_loaded_perc loading_eta_seconds
    rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status
    rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec rdb_saves rdb_last_cow_size rdb_last_load_keys_expired
    rdb_last_load_keys_loaded aof_enabled aof_rewrite_in_progress aof_rewrite_scheduled aof_last_rewrite_time_sec
    aof_current_rewrite_time_sec aof_last_bgrewrite_status aof_last_write_status aof_last_cow_size aof_current_size
    aof_base_size aof_pending_rewrite aof_buffer_length aof_pending_bio_fsync aof_delayed_fsync
    module_fork_in_progress module_fork_last_cow_size current_cow_peak current_cow_size current_fork_perc
    current_save_keys_processed current_save_keys_total total_connections_received total_commands_processed
    instantaneous_ops_per_sec total_net_input_bytes total_net_output_bytes total_net_repl_input_bytes
    total_net_repl_output_bytes instantaneous_input_kbps instantaneous_output_kbps rejected_connections sync_full
    sync_partial_ok sync_partial_err expired_keys expired_stale_perc expired_time_cap_reached_count
    expire_cycle_cpu_milliseconds evicted_keys evicted_clients evicted_scripts total_eviction_exceeded_time
    current_eviction_exceeded_time keyspace_hits keyspace_misses pubsub_channels pubsub_patterns
    pubsubshard_channels latest_fork_usec total_forks migrate_cached_sockets slave_expires_tracked_keys
    active_defrag_hits active_defrag_misses active_defrag_key_hits active_defrag_key_misses
    total_active_defrag_time current_active_defrag_time tracking_total_keys tracking_total_items
    tracking_total_prefixes unexpected_error_replies total_error_replies dump_payload_sanitizations
    total_reads_processed total_writes_processed io_threaded_reads_processed io_threaded_writes_processed
    client_query_buffer_limit_disconnections client_output_buffer_limit_disconnections reply_buffer_shrinks
    reply_buffer_expands eventloop_cycles instantaneous_eventloop_cycles_per_sec acl_access_denied_auth
    role connected_slaves master_failover_state master_replid master_replid2 master_repl_offset second_repl_offset
    repl_backlog_active repl_backlog_size repl_backlog_first_byte_offset repl_backlog_histlen
    used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children used_cpu_sys_main_thread
    used_cpu_user_main_thread";

/// The sections whose fields are always the same, without a node.
fn fixed_sections() -> String {
    let mut text = Text::default();
    server::Server::default().write(&mut text);
    clients::Clients::default().write(&mut text);
    memory::Memory::default().write(&mut text);
    persistence::Persistence::default().write(&mut text);
    stats::Stats::default().write(&mut text);
    replication::Replication::default().write(&mut text);
    cpu::Cpu::default().write(&mut text);
    storage::Storage::default().write(&mut text);
    text.finish()
}

fn names(wanted: &[&str]) -> Vec<&'static str> {
    let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    chosen(&wanted).map(|section| section.name).collect()
}

#[test]
fn every_line_is_a_header_a_field_or_empty() {
    let text = fixed_sections();
    assert!(text.ends_with("\r\n") && !text.ends_with("\r\n\r\n"));
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
    for line in text.split_terminator("\r\n") {
        let is_field = line.split_once(':').is_some_and(|(name, _)| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        });
        assert!(line.is_empty() || line.starts_with("# ") || is_field, "{line:?}");
    }
}

#[test]
fn no_field_is_there_twice() {
    let text = fixed_sections();
    let mut fields: Vec<_> =
        text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    fields.sort_unstable();
    let twice: Vec<_> = fields.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn tools_find_what_they_read() {
    let text = fixed_sections();
    let missing: Vec<_> =
        READ_BY_TOOLS.split_whitespace().filter(|name| !text.contains(&format!("\n{name}:"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_primary_has_no_field_that_makes_it_look_like_a_replica() {
    let text = fixed_sections();
    assert!(!text.contains("master_link_status:") && !text.contains("master_host:"));
}

#[test]
fn the_sections_are_in_the_order_of_redis() {
    let all = [
        "server",
        "clients",
        "memory",
        "persistence",
        "stats",
        "replication",
        "cpu",
        "modules",
        "commandstats",
        "errorstats",
        "latencystats",
        "cluster",
        "storage",
        "keyspace",
    ];
    assert_eq!(names(&["all"]), all);
    assert_eq!(names(&["everything"]), all);
    assert_eq!(names(&["keyspace", "cpu", "server", "cpu"]), ["server", "cpu", "keyspace"]);
}

#[test]
fn the_default_leaves_out_what_is_long() {
    let long = ["commandstats", "latencystats"];
    let default: Vec<_> = names(&["all"]).into_iter().filter(|name| !long.contains(name)).collect();
    assert_eq!(names(&["default"]), default);
    assert_eq!(names(&[]), default);
    assert_eq!(names(&["default", "commandstats", "latencystats"]), names(&["all"]));
}

#[test]
fn a_section_that_is_not_known_adds_nothing() {
    assert!(names(&["nosuch"]).is_empty());
    assert_eq!(names(&["nosuch", "cpu"]), ["cpu"]);
}
