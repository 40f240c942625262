//! What a turn asks the allocator for: nothing, for the commands that matter most.
//!
//! A binary of its own, because it replaces the allocator.
#![expect(unsafe_code, reason = "an allocator that counts has to be one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use kvdb_commands::Session;
use kvdb_commands::acl::Accounts;
use kvdb_lsm::{Db, Options};
use kvdb_resp::{Decoder, encode_command};
use kvdb_server::clients::ClientInfo;
use kvdb_server::node::{Node, Parts};
use kvdb_server::settings::{Start, start};
use kvdb_server::turn::{Conn, turn};
use kvdb_server::worker::Worker;
use kvdb_store::{LocalLog, Store, StoreOptions, row};

/// Counts what a thread asks for, while it wants to know.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Commands in one pipeline.
const COMMANDS: u64 = 200;
/// Blocks that the log and the memtable may take for all of a pipeline's rows.
const BLOCKS: u64 = 4;

struct Bench {
    worker: Worker,
    conn: Conn,
    _home: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory for the test");
        let start = start(Vec::new(), Vec::new(), &mut &b""[..], &mut Vec::new(), &mut Vec::new());
        let Start::Serve(config, _) = start else { panic!("the defaults are a configuration") };
        let mut options = Options::new(home.path().join("data"));
        options.write_buffer_bytes = 8 << 20;
        options.partitioning = row::PARTITIONING;
        let rows = Arc::new(Db::open(options).expect("an empty directory opens"));
        let log = Arc::new(LocalLog::new(rows.clone()));
        let options = StoreOptions { databases: 1, fresh_seed: 1, io_threads: 1 };
        let store = Arc::new(Store::open(rows.clone(), log, &options).expect("an empty keyspace opens"));
        let node = Node::new(Parts {
            store,
            rows,
            config: *config,
            accounts: Accounts::default(),
            workers: 1,
            run_id: "0".repeat(40),
            secret: 1,
        });
        let worker = Worker::new(Arc::new(node), 0, 1);
        let info = Arc::new(ClientInfo::new(1, "127.0.0.1:1".into(), "127.0.0.1:2".into(), false, 0));
        Self {
            worker,
            conn: Conn { session: Session::new(1, &Accounts::default()), decoder: Decoder::default(), info },
            _home: home,
        }
    }

    /// Runs commands as one pipeline; answers the replies and how often memory was asked for.
    fn run(&mut self, commands: &[Vec<String>]) -> (String, u64) {
        let mut input = Vec::new();
        for command in commands {
            encode_command(&mut input, command);
        }
        self.worker.out.clear();
        let before = COUNT.get();
        let mut consumed = 0;
        while consumed < input.len() {
            let done = turn(&mut self.conn, &input[consumed..], &mut self.worker);
            assert!(done.park.is_none() && !done.close);
            consumed += done.consumed;
        }
        let asked = COUNT.get() - before;
        (String::from_utf8_lossy(&self.worker.out).into_owned(), asked)
    }

    /// The same pipeline until it is warm, then once more: every partition of the memtable has to have filed a group of
    /// writes before its line is as long as it gets.
    fn warm(&mut self, commands: &[Vec<String>]) -> u64 {
        for _ in 0..40 {
            self.run(commands);
        }
        let (replies, asked) = self.run(commands);
        assert!(replies.lines().all(|line| !line.starts_with("-")), "{replies}");
        asked
    }
}

fn pipeline(command: impl Fn(u64) -> String) -> Vec<Vec<String>> {
    (0..COMMANDS).map(|i| command(i).split(' ').map(str::to_owned).collect()).collect()
}

#[test]
fn reading_allocates_nothing() {
    let mut bench = Bench::new();
    bench.run(&pipeline(|i| format!("SET key:{i} {}", "v".repeat(100))));
    assert_eq!(bench.warm(&pipeline(|i| format!("GET key:{i}"))), 0, "hits");
    assert_eq!(bench.warm(&pipeline(|i| format!("GET absent:{i}"))), 0, "misses");
    assert_eq!(bench.warm(&pipeline(|i| format!("EXISTS key:{i}"))), 0, "EXISTS");
    assert_eq!(bench.warm(&pipeline(|_| "PING".to_owned())), 0, "PING");
}

#[test]
fn counting_allocates_nothing() {
    let mut bench = Bench::new();
    let asked = bench.warm(&pipeline(|i| format!("INCR counter:{i}")));
    assert!(asked <= BLOCKS, "{asked} allocations for {COMMANDS} INCR");
}

#[test]
fn overwriting_allocates_nothing_unless_the_size_changes() {
    let mut bench = Bench::new();
    let asked = bench.warm(&pipeline(|i| format!("SET key:{i} {}", "v".repeat(100))));
    assert!(asked <= BLOCKS, "{asked} allocations for {COMMANDS} SET of the same size");
    let (_, asked) = bench.run(&pipeline(|i| format!("SET key:{i} {}", "v".repeat(200))));
    assert!(asked <= COMMANDS + BLOCKS, "{asked} allocations for {COMMANDS} SET of another size");
}
