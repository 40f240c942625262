//! Recovery of a log from hostile segments: no panic, no batch out of order, no second opinion.
//!
//! The input is one or two segments behind a byte of choices. Checksums and segment numbers are
//! put right where the choices say so, so that the fuzzer gets behind them.

#![no_main]

use kvdb_fuzz::wal;
use kvdb_lsm::error::Error;
use kvdb_lsm::log::{Log, LogOptions};
use kvdb_lsm::vfs::{SimVfs, Vfs, VfsFileExt};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;

/// The batches in the log, or `None` if it is refused.
fn replay(vfs: &SimVfs) -> Option<Vec<(u64, Vec<u8>)>> {
    let options =
        LogOptions { manual: true, segment_bytes: 4096, ..LogOptions::new(Arc::new(vfs.clone()), "/wal") };
    let mut batches = Vec::new();
    let mut next = None;
    let opened = Log::open(options, |_, batch| {
        assert_eq!(batch.first_seq(), next.unwrap_or(batch.first_seq()), "contiguous");
        assert!(batch.iter().count() >= batch.count() as usize, "as many as stated");
        next = Some(batch.last_seq() + 1);
        batches.push((batch.first_seq(), batch.ops_bytes().to_vec()));
        Ok(())
    });
    match opened {
        Ok(_) => Some(batches),
        Err(Error::Corruption { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&choices, bytes)) = input.split_first() else { return };
    let mut segments = vec![bytes.to_vec()];
    if choices & 1 != 0 {
        let second = segments[0].split_off(bytes.len() / 2);
        segments.push(second);
    }
    let vfs = SimVfs::new();
    let dir = Path::new("/wal");
    vfs.create_dir_all(dir).expect("created");
    for (index, segment) in segments.iter_mut().enumerate() {
        let number = index as u32 + 1;
        if choices & (2 << index) != 0 {
            wal::put_right(segment, number);
        }
        let file = vfs.create(&dir.join(format!("{number:06}.wal"))).expect("created");
        file.write_all_at(segment, 0).expect("written");
    }
    if let Some(batches) = replay(&vfs) {
        assert_eq!(replay(&vfs), Some(batches), "what was accepted once stays");
    }
});
