//! From settings to a running server, and from there to its end.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use kvdb_commands::acl::Accounts;
use kvdb_lsm::log::{LogState, SyncPolicy};
use kvdb_lsm::{Db, Options};
use kvdb_store::types::Layout;
use kvdb_store::{DeadRows, LocalLog, Store, StoreOptions, Usage, row};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::listener::{Dispatch, Listeners};
use crate::maintenance::{self, Stopper};
use crate::node::{Node, Parts, Stop};
use crate::serve::{self, WorkerStart};
use crate::settings::{Compression, Config, Fsync, MemoryPolicy, Settings, Warning};

/// Write buffers are at most this large by themselves: a larger one makes a restart replay more.
const MAX_WRITE_BUFFER: u64 = 256 << 20;
const MIN_WRITE_BUFFER: u64 = 8 << 20;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything acknowledged is safe.
    Orderly,
    /// Something failed; the log says what.
    Failed,
}

/// The policy of the log for a setting.
pub fn sync_policy(fsync: Fsync) -> SyncPolicy {
    match fsync {
        Fsync::Always => SyncPolicy::Always,
        Fsync::EverySecond => SyncPolicy::EverySec,
        Fsync::No => SyncPolicy::No,
    }
}

/// How the use of keys is remembered under the policy in force.
pub fn usage(settings: &Settings) -> Usage {
    match settings.maxmemory_policy {
        MemoryPolicy::AllKeysLfu | MemoryPolicy::VolatileLfu => {
            Usage::Frequency { log_factor: settings.lfu_log_factor, decay_minutes: settings.lfu_decay_time }
        }
        _ => Usage::Moment,
    }
}

/// Where small collections end and large ones begin.
pub fn layout(config: &Config) -> Layout {
    let usual = Layout::with_seed(0);
    let number =
        |name, otherwise: usize| config.text(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    Layout {
        hash_entries: number("hash-max-listpack-entries", usual.hash_entries),
        hash_value: number("hash-max-listpack-value", usual.hash_value),
        set_intset: number("set-max-intset-entries", usual.set_intset),
        set_entries: number("set-max-listpack-entries", usual.set_entries),
        set_value: number("set-max-listpack-value", usual.set_value),
        sorted_set_entries: number("zset-max-listpack-entries", usual.sorted_set_entries),
        sorted_set_value: number("zset-max-listpack-value", usual.sorted_set_value),
        list_size: config
            .text("list-max-listpack-size")
            .and_then(|t| t.parse().ok())
            .unwrap_or(usual.list_size),
        stream_entries: number("stream-node-max-entries", usual.stream_entries),
        stream_bytes: number("stream-node-max-bytes", usual.stream_bytes),
        ..usual
    }
}

/// Runs the server until it is told to end.
pub fn run(config: Config, warnings: &[Warning]) -> Ended {
    if let Err(error) = crate::logging::init(config.settings()) {
        eprintln!("cannot open the log file: {error}");
        return Ended::Failed;
    }
    for warning in warnings {
        warn!("{}: {}", warning.about, warning.text);
    }
    crate::descriptors::warn_if_short(config.settings().maxclients as usize);
    match Server::start(config) {
        Ok(server) => server.wait(),
        Err(why) => {
            error!("{why}");
            Ended::Failed
        }
    }
}

/// A running server.
struct Server {
    node: Arc<Node>,
    workers: Vec<JoinHandle<io::Result<()>>>,
    maintenance: JoinHandle<()>,
    stopper: Arc<Stopper>,
    runtime: tokio::runtime::Runtime,
    accepting: Arc<Dispatch>,
}

impl Server {
    fn start(config: Config) -> Result<Self, String> {
        let settings = config.settings().clone();
        // Listening comes first: a port that is taken should be told before a large log is replayed.
        let listeners = Listeners::bind(&settings)?;
        let random = random_bytes().map_err(|e| format!("cannot read random bytes from the system: {e}"))?;
        for concern in crate::directory::concerns(&settings.dir) {
            warn!("dir: {concern}");
        }
        let (store, rows) = open(&settings, random[0])?;
        store.set_layout(layout(&config));
        store.set_pastime(crate::attendant::attend);
        let accounts = Accounts::default();
        crate::users::at_start(&accounts, &config)?;
        let worker_count = settings.workers.unwrap_or_else(cores);
        let run_id =
            random[1..].iter().map(|word| format!("{word:016x}")).collect::<String>()[..40].to_owned();
        let node = Arc::new(Node::new(Parts {
            store,
            rows,
            config,
            accounts,
            workers: worker_count,
            run_id,
            secret: random[1] ^ random[2].rotate_left(32),
        }));
        node.load_functions()?;
        watch_log(&node);
        crate::herald::listen(&node);

        let mut doors = Vec::with_capacity(worker_count);
        let mut workers = Vec::with_capacity(worker_count);
        for index in 0..worker_count {
            let (door, accepted) = mpsc::unbounded_channel();
            doors.push(door);
            let seed = random[index % random.len()].rotate_left(index as u32) | 1;
            let start = WorkerStart { node: node.clone(), index, seed, accepted };
            workers.push(spawn(format!("kvdb-worker-{index}"), move || serve::run(start))?);
        }
        node.placement.open(doors);
        if let Some(serving) = settings.active_workers {
            node.placement.set_serving(serving);
        }
        let stopper = Arc::new(Stopper::default());
        let maintenance = {
            let (node, stopper) = (node.clone(), stopper.clone());
            spawn("kvdb-maintenance".into(), move || maintenance::run(node, &stopper, random[2]))?
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| format!("cannot start the accepting runtime: {e}"))?;
        let accepting = runtime
            .block_on(listeners.serve(node.clone()))
            .map_err(|e| format!("cannot accept connections: {e}"))?;
        start_warm_up(&node, &settings)?;
        info!(
            version = env!("CARGO_PKG_VERSION"),
            port = settings.port,
            workers = worker_count,
            dir = %settings.dir.display(),
            "Ready to accept connections"
        );
        Ok(Self { node, workers, maintenance, stopper, runtime, accepting })
    }

    /// Waits for a signal or a SHUTDOWN, and ends in order.
    fn wait(self) -> Ended {
        let Self { node, workers, maintenance, stopper, runtime, accepting } = self;
        let signals = node.clone();
        runtime.block_on(async move {
            let mut stopping = signals.stopping();
            let (Ok(mut term), Ok(mut int)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                error!("cannot watch for signals; SHUTDOWN still works");
                let _ = stopping.wait_for(|stop| *stop != Stop::No).await;
                return;
            };
            tokio::select! {
                _ = term.recv() => info!("SIGTERM: stopping"),
                _ = int.recv() => info!("SIGINT: stopping"),
                _ = stopping.wait_for(|stop| *stop != Stop::No) => {}
            }
        });
        node.stop(Stop::Orderly(Default::default()));
        leave_on_second_signal();
        let stop = *node.stopping().borrow();
        let mut clean = stop != Stop::Fatal;
        // Dropping the runtime closes the listeners.
        drop((runtime, accepting));
        for worker in workers {
            clean &= matches!(worker.join(), Ok(Ok(())));
        }
        stopper.stop();
        clean &= maintenance.join().is_ok();
        node.store.close();
        if let Some(path) = &node.config.lock().settings().unixsocket {
            // Left behind it would be removed at the next start.
            let _ = std::fs::remove_file(path);
        }
        if let Err(error) = node.rows.log().sync() {
            error!(%error, "the log could not be synced");
            clean = false;
        }
        drop_last(node);
        if clean {
            info!("everything is safe; goodbye");
            Ended::Orderly
        } else {
            Ended::Failed
        }
    }
}

/// Closes the database when nobody else holds it any more.
fn drop_last(node: Arc<Node>) {
    let Some(node) = Arc::into_inner(node) else { return };
    let rows = node.rows.clone();
    drop(node);
    if let Some(db) = Arc::into_inner(rows)
        && let Err(error) = db.close()
    {
        error!(%error, "the database was not closed in order; the next start replays its log");
    }
}

/// A second signal while ending means: at once.
fn leave_on_second_signal() {
    let watcher = std::thread::Builder::new().name("kvdb-signals".into()).spawn(|| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let (Ok(mut term), Ok(mut int)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return;
            };
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            warn!("second signal: leaving at once");
            std::process::exit(1);
        });
    });
    if let Err(error) = watcher {
        warn!(%error, "a second signal will not be noticed");
    }
}

fn spawn<T: Send + 'static>(
    name: String,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, String> {
    std::thread::Builder::new()
        .name(name.clone())
        .spawn(body)
        .map_err(|e| format!("cannot start thread {name}: {e}"))
}

/// Opens the database and the keyspace over it.
fn open(settings: &Settings, fresh_seed: u64) -> Result<(Arc<Store>, Arc<Db>), String> {
    // Buffers and caches count towards maxmemory: sized for the machine alone they could leave objects none of it.
    let memory =
        crate::memory::machine_bytes().min(settings.maxmemory.filter(|&limit| limit > 0).unwrap_or(u64::MAX));
    let automatic = (memory / 16).clamp(MIN_WRITE_BUFFER, MAX_WRITE_BUFFER);
    let write_buffer = settings.storage_write_buffer.unwrap_or(automatic);
    let mut options = Options::new(settings.dir.join("data"));
    options.sync = sync_policy(settings.appendfsync);
    options.write_buffer_bytes = write_buffer as usize;
    options.wal_limit_bytes = settings.storage_wal_limit.unwrap_or(write_buffer * 4);
    options.block_cache_bytes = settings.storage_block_cache.unwrap_or(automatic / 2);
    options.segment_bytes = (write_buffer / 4).clamp(4 << 20, 64 << 20);
    options.compression = match settings.storage_compression {
        Compression::None => kvdb_lsm::Compression::None,
        Compression::Lz4 => kvdb_lsm::Compression::Lz4,
    };
    options.blob_threshold = settings.storage_blob_threshold;
    options.blob_garbage_ratio = f32::from(settings.storage_blob_garbage_percent) / 100.0;
    options.partitioning = row::PARTITIONING;
    let dead_rows = Arc::new(DeadRows::new());
    options.filter = Some(dead_rows.clone());
    let began = std::time::Instant::now();
    let rows = Arc::new(Db::open(options).map_err(|e| explain(&e, &settings.dir))?);
    let recovered = rows.recovered();
    info!(?recovered, took_ms = began.elapsed().as_millis() as u64, "the data is open");
    let log = Arc::new(LocalLog::new(rows.clone()));
    let io_threads = settings.storage_io_threads.unwrap_or(4);
    let databases = u16::try_from(settings.databases).unwrap_or(u16::MAX);
    let store = Store::open(rows.clone(), log, &StoreOptions { databases, fresh_seed, io_threads })
        .map_err(|e| format!("cannot open the keyspace in {}: {e}", settings.dir.display()))?;
    store.set_usage(usage(settings));
    store.set_counting(settings.maxmemory.is_some() && settings.maxmemory_policy != MemoryPolicy::Tiered);
    store.set_events(settings.notify_keyspace_events);
    store.set_remembered_limit(settings.tracking_table_max_keys);
    store.tell(dead_rows)?;
    Ok((Arc::new(store), rows))
}

fn explain(error: &kvdb_lsm::error::Error, dir: &Path) -> String {
    format!("cannot open the data in {}: {error}", dir.display())
}

/// Has the log tell the gates when it has got further, and the node when it has failed.
fn watch_log(node: &Arc<Node>) {
    let weak = Arc::downgrade(node);
    node.rows.log().add_listener(Box::new(move |progress| {
        let Some(node) = weak.upgrade() else { return };
        if let LogState::Poisoned(why) = &progress.state {
            node.log_failed(why);
        }
        node.log_progressed();
    }));
}

/// Loads what fits into memory, on a thread of its own, so that cold reads end soon after a start.
fn start_warm_up(node: &Arc<Node>, settings: &Settings) -> Result<(), String> {
    if !settings.warm_up {
        return Ok(());
    }
    let limit = settings.maxmemory.unwrap_or_else(|| crate::memory::machine_bytes() / 2);
    let store = node.store.clone();
    spawn("kvdb-warm-up".into(), move || {
        match store.warm_up((limit / 10 * 9) as usize, crate::clock::unix_millis) {
            Ok(0) => {}
            Ok(keys) => info!(keys, "warmed up"),
            Err(error) => warn!(error, "the warm-up ended early; keys are loaded when they are asked for"),
        }
    })
    .map(|_| ())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Random words from the system.
fn random_bytes() -> io::Result<[u64; 8]> {
    let mut bytes = [0u8; 64];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    let (words, _) = bytes.as_chunks::<8>();
    Ok(std::array::from_fn(|i| u64::from_le_bytes(words[i])))
}
