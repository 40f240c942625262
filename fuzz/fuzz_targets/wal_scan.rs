//! The scanner that `dump` and `repair` read a damaged segment with: it goes forward to the end, never
//! panics, and misses nothing that recovery accepts.
//!
//! The input is a segment behind a byte that says whether its checksums are put right.

#![no_main]

use kvdb_fuzz::wal;
use kvdb_lsm::dump::{self, LogEntry};
use kvdb_lsm::log::{Log, LogOptions};
use kvdb_lsm::vfs::{SimVfs, Vfs, VfsFileExt};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;

fn scan(vfs: &SimVfs, path: &Path) -> Vec<LogEntry> {
    let mut found = Vec::new();
    let each = &mut |entry| {
        found.push(entry);
        Ok(())
    };
    dump::log(vfs, path, each).expect("damage is no error here");
    found
}

fn offset(entry: &LogEntry) -> u64 {
    match entry {
        LogEntry::Head { offset, .. }
        | LogEntry::Batch { offset, .. }
        | LogEntry::Trailer { offset, .. }
        | LogEntry::Unreadable { offset, .. } => *offset,
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let mut segment = bytes.to_vec();
    if choice & 1 != 0 {
        wal::put_right(&mut segment, 1);
    }
    let vfs = SimVfs::new();
    let path = Path::new("/wal/000001.wal");
    vfs.create_dir_all(Path::new("/wal")).expect("created");
    let file = vfs.create(path).expect("created");
    file.write_all_at(&segment, 0).expect("written");
    let found = scan(&vfs, path);
    assert!(found.iter().all(|entry| offset(entry) <= segment.len() as u64), "{found:?}");
    assert_eq!(scan(&vfs, path), found, "a second look shows something else");

    let mut recovered = Vec::new();
    let options = LogOptions { manual: true, segment_bytes: 4096, ..LogOptions::new(Arc::new(vfs), "/wal") };
    let opened = Log::open(options, |_, batch| {
        recovered.push((batch.first_seq(), batch.to_batch()));
        Ok(())
    });
    if opened.is_ok() {
        let mut scanned = found.into_iter().filter_map(|entry| match entry {
            LogEntry::Batch { first_seq, batch, .. } => Some((first_seq, batch)),
            _ => None,
        });
        for batch in recovered {
            assert!(scanned.any(|scanned| scanned == batch), "the scanner missed a batch");
        }
    }
});
