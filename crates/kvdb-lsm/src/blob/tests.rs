//! Blob files as a whole: built, read by reference, walked, and damaged.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::cache::BlockCache;
use crate::compression::Compression;
use crate::error::Error;
use crate::table::Fill;
use crate::vfs::{SimVfs, Vfs, VfsFileExt};

const NUMBER: u64 = 12;
const PATH: &str = "/12.blob";

fn key(n: usize) -> Vec<u8> {
    format!("key{n:03}").into_bytes()
}

/// Values that compress and values that do not.
fn value(n: usize) -> Vec<u8> {
    let mut state = n as u64 + 1;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if n.is_multiple_of(2) { n as u8 } else { (state >> 56) as u8 }
    };
    (0..n * 37 % 900).map(|_| byte()).collect()
}

fn disk() -> SimVfs {
    let vfs = SimVfs::new();
    vfs.create_dir_all(Path::new("/")).expect("create");
    vfs
}

fn build(vfs: &SimVfs, compression: Compression, records: usize) -> (BlobMeta, Vec<BlobRef>) {
    let mut builder = BlobBuilder::new(vfs.create(Path::new(PATH)).expect("create"), NUMBER, compression);
    let references: Vec<_> = (0..records).map(|n| builder.add(&key(n), &value(n)).expect("add")).collect();
    (builder.finish(true).expect("finish"), references)
}

fn open(vfs: &SimVfs, meta: &BlobMeta) -> Result<BlobFile, Error> {
    BlobFile::open(vfs, Path::new(PATH), meta, Arc::new(BlockCache::new(1 << 20, 4096)))
}

#[test]
fn what_was_added_is_read_by_its_reference_and_no_other_key_gets_it() {
    for compression in [Compression::None, Compression::Lz4] {
        let vfs = disk();
        let (meta, references) = build(&vfs, compression, 60);
        assert_eq!(meta.records, 60);
        assert_eq!(meta.bytes(), references.iter().map(|to| u64::from(to.len)).sum::<u64>());
        assert_eq!(BlobFile::describe(&vfs, Path::new(PATH), NUMBER).expect("sound"), meta);
        let file = open(&vfs, &meta).expect("open");
        assert_eq!(file.checksum_file().expect("read"), meta.crc);
        for (n, reference) in references.iter().enumerate() {
            let mut stored = [0; BlobRef::MAX_LEN];
            let len = reference.encode(&mut stored);
            assert_eq!(BlobRef::decode(&stored[..len]), Some(*reference));
            assert_eq!(BlobRef::decode(&stored[..len - 1]), None);
            assert!(file.cached(reference).is_none());
            let other = file.value(&key(n + 1), reference, Fill::Bypass);
            assert!(matches!(other, Err(Error::Corruption { .. })));
            let wrong = BlobRef { crc: reference.crc ^ 1, ..*reference };
            assert!(file.value(&key(n), &wrong, Fill::Bypass).is_err());
            let wrong = BlobRef { value_len: reference.value_len + 1, ..*reference };
            assert!(file.value(&key(n), &wrong, Fill::Bypass).is_err());
            let blob = file.value(&key(n), reference, Fill::Cache).expect("read");
            assert_eq!(blob.value(), value(n));
            assert_eq!(file.cached(reference).expect("cached").value(), value(n));
            assert!(file.cached(&BlobRef { crc: reference.crc ^ 1, ..*reference }).is_none());
        }
    }
}

#[test]
fn a_copied_record_has_the_same_value_in_its_new_place() {
    let vfs = disk();
    let (meta, references) = build(&vfs, Compression::Lz4, 20);
    let file = open(&vfs, &meta).expect("open");
    let to = Path::new("/13.blob");
    let mut builder = BlobBuilder::new(vfs.create(to).expect("create"), 13, Compression::None);
    let copies: Vec<_> = (0..20)
        .rev()
        .map(|n| {
            let record = file.record(&key(n), &references[n]).expect("read");
            (n, builder.copy(&record, references[n].value_len).expect("copy"))
        })
        .collect();
    let meta = builder.finish(true).expect("finish");
    let file = BlobFile::open(&vfs, to, &meta, Arc::new(BlockCache::new(0, 4096))).expect("open");
    for (n, reference) in copies {
        assert_eq!(file.value(&key(n), &reference, Fill::Cache).expect("read").value(), value(n));
        assert_eq!(reference.len, references[n].len, "it is stored as before");
    }
}

#[test]
fn every_flipped_byte_is_refused_and_told_with_its_record() {
    let vfs = disk();
    let (meta, references) = build(&vfs, Compression::Lz4, 9);
    for at in 0..meta.size {
        let damaged = vfs.process_crash();
        damaged.flip_byte(Path::new(PATH), at).expect("flip");
        assert!(BlobFile::describe(&damaged, Path::new(PATH), NUMBER).is_err(), "byte {at}");
        let hit = references.iter().position(|to| (to.offset..to.offset + u64::from(to.len)).contains(&at));
        let file = match open(&damaged, &meta) {
            Err(Error::Corruption { .. }) => {
                assert_eq!(hit, None, "byte {at}");
                continue;
            }
            other => other.expect("only header and footer are read"),
        };
        assert_ne!(file.checksum_file().expect("read"), meta.crc);
        for (n, reference) in references.iter().enumerate() {
            match file.value(&key(n), reference, Fill::Bypass) {
                Ok(blob) => assert!(hit != Some(n) && blob.value() == value(n), "byte {at}, record {n}"),
                Err(Error::Corruption { offset, .. }) => {
                    assert_eq!((hit, offset), (Some(n), reference.offset), "byte {at}");
                }
                Err(error) => panic!("{error}"),
            }
        }
        // A walk tells the damaged record and finds all others.
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        let mut scan = BlobScan::new(&damaged, Path::new(PATH), NUMBER).expect("open");
        while let Some(scanned) = scan.next().expect("read") {
            match scanned {
                ScannedRecord::Record(offset, record) => found.push((offset, record.key().to_vec())),
                ScannedRecord::Unreadable { offset, .. } => lost.push(offset),
            }
        }
        let others = references.iter().enumerate().filter(|(n, _)| hit != Some(*n));
        assert!(others.map(|(n, to)| (to.offset, key(n))).eq(found), "byte {at}");
        assert_eq!(lost.first().copied(), hit.map(|n| references[n].offset), "byte {at}");
    }
}

#[test]
fn a_file_without_a_footer_is_no_blob_file_and_its_records_can_be_read() {
    let vfs = disk();
    let (meta, references) = build(&vfs, Compression::None, 9);
    for to in [0, 10, 300, meta.size - 60] {
        let cut = vfs.process_crash();
        cut.open(Path::new(PATH)).expect("open").truncate(to).expect("cut");
        assert!(matches!(open(&cut, &meta), Err(Error::Corruption { .. })));
        assert!(BlobFile::describe(&cut, Path::new(PATH), NUMBER).is_err());
        let cache = Arc::new(BlockCache::new(0, 4096));
        let file = BlobFile::open_unsealed(&cut, Path::new(PATH), NUMBER, cache).expect("open");
        for (n, reference) in references.iter().enumerate() {
            let is_whole = reference.offset + u64::from(reference.len) <= to;
            assert_eq!(
                file.value(&key(n), reference, Fill::Bypass).is_ok(),
                is_whole,
                "cut to {to}, record {n}"
            );
        }
    }
    let quarantined =
        BlobFile::quarantined(Path::new(PATH), NUMBER, "it is lost", Arc::new(BlockCache::new(0, 4096)));
    let error = quarantined.value(&key(1), &references[1], Fill::Bypass).expect_err("nothing can be read");
    assert!(error.to_string().contains("it is lost"), "{error}");
    assert!(vfs.exists(Path::new(PATH)).expect("look"));
}

#[test]
fn the_decoder_survives_forged_files() {
    let records: [(&[u8], &[u8], u8); 4] =
        [(b"a", b"raw", 0), (b"b", b"\xff\xff\xff\xff1", 1), (b"", b"", 1), (b"c", b"x", 77)];
    for (stated, value_len) in [((4, 0), None), ((4, 0), Some(u32::MAX)), ((9, 0), None), ((4, 64), None)] {
        let vfs = disk();
        let (bytes, references) = forge(NUMBER, &BlobParts { records: &records, stated, value_len });
        vfs.create(Path::new(PATH)).expect("create").write_all_at(&bytes, 0).expect("write");
        let meta = BlobMeta { number: NUMBER, size: bytes.len() as u64, crc: 0, records: 4 };
        match open(&vfs, &meta) {
            Ok(file) => {
                let read = |n: usize| file.value(records[n].0, &references[n], Fill::Bypass);
                assert_eq!(read(0).is_ok(), value_len.is_none());
                assert!((1..4).all(|n| matches!(read(n), Err(Error::Corruption { .. }))));
            }
            Err(Error::Corruption { .. }) => assert_eq!(stated.0, 9),
            Err(error) => assert!(stated.1 == 64 && matches!(error, Error::Invalid(_)), "{error}"),
        }
    }
}
