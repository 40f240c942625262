//! The log by itself, without a database: as the only log of a state machine that says when it has
//! made a prefix durable elsewhere.

use crate::hooked::{Hooked, Hooks};
use kvdb_lsm::batch::{Op, WriteBatch};
use kvdb_lsm::log::{Log, LogOptions, SyncPolicy};
use kvdb_lsm::vfs::{SimVfs, Vfs as _};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Entries by index, as a replay finds them: key is the index, value the entry.
type Entries = BTreeMap<u64, Vec<u8>>;

fn open(vfs: &SimVfs, min_segment: u64, first: u64) -> (Log, Entries) {
    let mut options = LogOptions::new(Arc::new(vfs.clone()), "/raft");
    options.policy = SyncPolicy::Always;
    options.segment_bytes = 4096;
    options.manual = true;
    options.min_segment = min_segment;
    options.first_seq = first;
    let mut entries = Entries::new();
    let (log, recovered) = Log::open(options, |_segment, batch| {
        for op in batch.iter() {
            if let Op::Put { key, value } = op {
                let index = u64::from_be_bytes(key.try_into().expect("an index has eight bytes"));
                entries.insert(index, value.to_vec());
            }
        }
        Ok(())
    })
    .expect("open");
    assert_eq!(recovered.last_seq, first + entries.len() as u64 - 1);
    (log, entries)
}

/// Appends an entry; its index is the sequence that the log gives it.
fn append(log: &Log, entry: &[u8]) -> u64 {
    let next = log.appended() + 1;
    let mut batch = WriteBatch::new();
    batch.put(&next.to_be_bytes(), entry);
    let (last, first) = log.append(&batch, |first| first).expect("there is room");
    assert_eq!((first, last), (next, next));
    last
}

#[test]
fn entries_are_durable_when_the_log_says_so_and_go_when_their_owner_does_not_need_them() {
    let vfs = SimVfs::new();
    let (log, entries) = open(&vfs, 0, 1);
    assert!(entries.is_empty());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    log.add_listener(Box::new(move |progress| {
        listener.lock().expect("nobody panics while holding it").push(progress.durable);
    }));
    for n in 0..60u8 {
        append(&log, &[n; 100]);
        log.tick(Duration::from_millis(u64::from(n)));
    }
    assert_eq!(log.durable(), 60);
    assert_eq!(heard.lock().expect("held by nobody").last(), Some(&60));

    // A crash keeps what was durable.
    let vfs = vfs.crash(5);
    let (log, entries) = open(&vfs, 0, 1);
    assert_eq!(entries.len(), 60);
    assert_eq!(entries[&17], [16; 100]);

    // A cut, and everything before it is let go.
    let (segment, last) = log.rotate(|last| last).expect("rotate");
    assert_eq!(last, 60);
    let entry = append(&log, b"behind the cut");
    log.sync().expect("sync");
    let before = log.stats();
    log.remove_before(segment);
    log.tick(Duration::from_secs(1));
    let after = log.stats();
    assert!(after.segments < before.segments && after.live_bytes < before.live_bytes);
    log.close().expect("close");

    let (log, entries) = open(&vfs, segment, 61);
    assert_eq!(entries, Entries::from([(entry, b"behind the cut".to_vec())]));
    assert_eq!(append(&log, b"next"), 62);
}

/// A disk on which the log's thread takes its turn just before a segment is removed.
#[derive(Default)]
struct Interrupted {
    log: Mutex<Option<Arc<Log>>>,
    removed: Mutex<Vec<PathBuf>>,
}

impl Hooks for Interrupted {
    fn remove(&self, disk: &SimVfs, path: &Path) -> io::Result<()> {
        let log = self.log.lock().expect("nobody panics while holding it").take();
        if let Some(log) = log {
            log.tick(Duration::from_secs(2));
        }
        if path.extension().is_some_and(|extension| extension == "wal") {
            self.removed.lock().expect("nobody panics while holding it").push(path.to_owned());
        }
        disk.remove(path)
    }
}

#[test]
fn segments_go_in_order_whoever_removes_them() {
    let disk = Arc::new(Interrupted::default());
    let vfs = Hooked { disk: SimVfs::new(), hooks: Arc::clone(&disk) };
    let mut options = LogOptions::new(Arc::new(vfs), "/raft");
    options.segment_bytes = 4096;
    options.manual = true;
    let (log, _) = Log::open(options, |_, _| Ok(())).expect("open");
    let log = Arc::new(log);
    let mut cut = 0;
    for n in 0..5u8 {
        append(&log, &[n; 100]);
        cut = log.rotate(|_| ()).expect("rotate").0;
        append(&log, &[n; 100]);
        log.sync().expect("sync");
    }
    assert!(cut > 4, "{cut}");
    *disk.log.lock().expect("nobody panics while holding it") = Some(Arc::clone(&log));
    log.remove_before(cut);
    let removed = disk.removed.lock().expect("nobody panics while holding it");
    assert_eq!(removed.len() as u64, cut - 1);
    assert!(removed.is_sorted(), "{removed:?}");
}
