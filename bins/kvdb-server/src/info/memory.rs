//! `# Memory`: what is in use, for what, and how that compares to what the system sees.

use super::Asked;
use super::text::Text;
use crate::memory::{ResidentSet, Usage, machine_bytes, peak, percent, ratio};
use crate::settings::MemoryPolicy;

#[derive(Default)]
pub(super) struct Memory {
    usage: Usage,
    peak: usize,
    resident: ResidentSet,
    machine: u64,
    maxmemory: u64,
    /// What does not count where keys are deleted above `maxmemory`.
    not_counted: usize,
    policy: &'static str,
    /// How many cached scripts there are, and their bytes.
    scripts: (usize, usize),
    /// Libraries and functions.
    functions: (usize, usize),
}

impl Memory {
    pub(super) fn gather(asked: &Asked<'_>) -> Self {
        // The census of the background may be a second old; whoever asks wants to see the write before.
        asked.node.store.census();
        let usage = Usage::of(asked.node, asked.rows());
        let policy = asked.settings.maxmemory_policy;
        let is_tiered = policy == MemoryPolicy::Tiered;
        Self {
            usage,
            peak: peak(asked.node, usage.total()),
            resident: ResidentSet::now(),
            machine: machine_bytes(),
            maxmemory: asked.settings.maxmemory.unwrap_or(0),
            not_counted: if is_tiered { 0 } else { usage.total() - usage.of_cache() },
            // Clients that ask want to know that no key is deleted. Nor are they with tiers.
            policy: if is_tiered { MemoryPolicy::NoEviction } else { policy }.as_str(),
            scripts: asked.node.scripting.cache.usage(),
            functions: asked.node.scripting.functions.counts(),
        }
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.section("Memory");
        self.write_use(text);
        self.write_scripts(text);
        text.bytes("maxmemory", self.maxmemory);
        text.field("maxmemory_policy", self.policy);
        self.write_fragmentation(text);
        text.field("mem_not_counted_for_evict", self.not_counted);
        text.zeros(&["mem_replication_backlog", "mem_total_replication_buffers"]);
        text.field("mem_clients_slaves", 0);
        text.field("mem_clients_normal", self.usage.clients);
        text.zeros(&["mem_cluster_links", "mem_aof_buffer"]);
        text.field("mem_allocator", "jemalloc");
        text.zeros(&["mem_overhead_db_hashtable_rehashing", "active_defrag_running"]);
        text.zeros(&["lazyfree_pending_objects", "lazyfreed_objects"]);
    }

    fn write_use(&self, text: &mut Text) {
        let (usage, used) = (&self.usage, self.usage.total());
        text.bytes("used_memory", used as u64);
        text.bytes("used_memory_rss", self.resident.bytes as u64);
        text.bytes("used_memory_peak", self.peak as u64);
        text.field("used_memory_peak_perc", format_args!("{:.2}%", percent(used, self.peak)));
        text.field("used_memory_overhead", usage.overhead());
        text.field("used_memory_startup", usage.startup());
        text.field("used_memory_dataset", usage.objects);
        text.field("used_memory_dataset_perc", format_args!("{:.2}%", usage.objects_percent()));
        text.field("used_memory_memtables", usage.memtables);
        text.field("used_memory_table_indexes", usage.table_indexes);
        text.field("used_memory_block_cache", usage.block_cache);
        text.field("allocator_allocated", used);
        text.field("allocator_active", self.resident.allocated());
        text.field("allocator_resident", self.resident.allocated());
        text.field("allocator_muzzy", 0);
        text.bytes("total_system_memory", self.machine);
    }

    /// The machines of the workers count with the process; what is told is the text of the scripts.
    fn write_scripts(&self, text: &mut Text) {
        text.field("used_memory_lua", 0);
        text.field("used_memory_vm_eval", 0);
        text.field("used_memory_lua_human", "0B");
        text.field("used_memory_scripts_eval", self.scripts.1);
        text.field("number_of_cached_scripts", self.scripts.0);
        text.field("number_of_functions", self.functions.1);
        text.field("number_of_libraries", self.functions.0);
        text.zeros(&["used_memory_vm_functions"]);
        text.bytes("used_memory_vm_total", 0);
        text.field("used_memory_functions", 0);
        text.bytes("used_memory_scripts", self.scripts.1 as u64);
    }

    fn write_fragmentation(&self, text: &mut Text) {
        let (used, resident, allocated) =
            (self.usage.total(), self.resident.bytes, self.resident.allocated());
        let mut pair = |name: &str, larger: usize, smaller: usize| {
            text.field(&format!("{name}_ratio"), format_args!("{:.2}", ratio(larger, smaller)));
            text.field(&format!("{name}_bytes"), larger as i128 - smaller as i128);
        };
        pair("allocator_frag", allocated, used);
        pair("allocator_rss", allocated, allocated);
        pair("rss_overhead", resident, allocated);
        pair("mem_fragmentation", resident, used);
    }
}
