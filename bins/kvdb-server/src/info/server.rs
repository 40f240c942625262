//! `# Server`: what this is, and where it runs.

use super::Asked;
use super::text::Text;
use crate::clock::unix_micros;

/// Redis' clock of keys' ages: seconds, cut to 24 bits.
const LRU_CLOCK_MASK: u64 = (1 << 24) - 1;

#[derive(Default)]
pub(super) struct Server {
    redis_version: String,
    os: String,
    run_id: String,
    port: u16,
    now_micros: u64,
    uptime_seconds: u64,
    hz: u32,
    executable: String,
    config_file: String,
    workers: usize,
    active_workers: usize,
}

impl Server {
    pub(super) fn gather(asked: &Asked<'_>) -> Self {
        let node = asked.node;
        let executable = std::env::current_exe().unwrap_or_default();
        let config = node.config.lock();
        let config_file = config.file().map(|path| path.display().to_string()).unwrap_or_default();
        Self {
            redis_version: asked.settings.compat_redis_version.clone(),
            os: operating_system(),
            run_id: node.run_id.clone(),
            port: asked.settings.port,
            now_micros: unix_micros(),
            uptime_seconds: node.started.elapsed().as_secs(),
            hz: asked.settings.hz,
            executable: executable.display().to_string(),
            config_file,
            workers: node.workers.len(),
            active_workers: node.placement.serving(),
        }
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.section("Server");
        text.field("redis_version", &self.redis_version);
        text.field("server_name", "kvdb");
        text.field("kvdb_version", env!("CARGO_PKG_VERSION"));
        text.field("redis_git_sha1", "00000000");
        text.field("redis_git_dirty", 0);
        text.field("redis_build_id", 0);
        text.field("redis_mode", "standalone");
        text.field("os", &self.os);
        text.field("arch_bits", usize::BITS);
        text.field("monotonic_clock", "POSIX clock_gettime");
        text.field("multiplexing_api", "epoll");
        text.field("atomicvar_api", "rust");
        text.field("gcc_version", "0.0.0");
        text.field("process_id", std::process::id());
        text.field("process_supervised", "no");
        text.field("run_id", &self.run_id);
        text.field("tcp_port", self.port);
        text.field("server_time_usec", self.now_micros);
        text.field("uptime_in_seconds", self.uptime_seconds);
        text.field("uptime_in_days", self.uptime_seconds / 86_400);
        text.field("hz", self.hz);
        text.field("configured_hz", self.hz);
        text.field("clients_hz", self.hz);
        text.field("lru_clock", (self.now_micros / 1_000_000) & LRU_CLOCK_MASK);
        text.field("executable", &self.executable);
        text.field("config_file", &self.config_file);
        // Redis' I/O threads help one that runs all commands; here every worker does both, which is not the same.
        text.field("io_threads_active", 0);
        text.field("kvdb_workers", self.workers);
        text.field("kvdb_active_workers", self.active_workers);
        text.field("availability_zone", "");
    }
}

/// The name and release of the operating system, and the machine, as `uname` has them.
fn operating_system() -> String {
    let kernel = |file: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{file}")).unwrap_or_default();
    let (name, release) = (kernel("ostype"), kernel("osrelease"));
    let name = if name.is_empty() { std::env::consts::OS } else { name.trim_end() };
    format!("{name} {} {}", release.trim_end(), std::env::consts::ARCH)
}
