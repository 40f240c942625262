//! Tables as a whole: built, opened, asked in every way, and damaged.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::cache::BlockCache;
use crate::compression::Compression;
use crate::entry::{Content, Entry, Found, key_hash};
use crate::error::Error;
use crate::probe;
use crate::vfs::{OsVfs, Vfs};

const NUMBER: u64 = 12;

fn value(n: u32) -> Option<Vec<u8>> {
    (!n.is_multiple_of(9)).then(|| vec![n as u8; (n % 50) as usize])
}

fn key(n: u32) -> Vec<u8> {
    format!("k{:06}", n * 2).into_bytes()
}

const OPTIONS: TableOptions = TableOptions {
    block_bytes: 256,
    restart_interval: 4,
    bloom_bits_per_key: 10,
    compression: Compression::Lz4,
    drop_seqs: false,
    partitions: PartitionLimits::DEFAULT,
};

/// An index that is cut as soon as there are a few blocks, so that tables have many partitions.
const CUT: PartitionLimits = PartitionLimits {
    whole_index_bytes: 200,
    whole_data_bytes: 1 << 30,
    whole_keys: 1 << 20,
    partition_bytes: 60,
};

fn build(path: &Path, options: TableOptions, entries: u32) -> Built {
    let file = OsVfs.create(path).expect("create");
    let mut builder = TableBuilder::new(file, NUMBER, options);
    for n in 0..entries {
        let (key, value) = (key(n), value(n));
        let entry = Entry { key: &key, seq: u64::from(n) + 1, content: Content::of(value.as_deref()) };
        builder.add(entry).expect("add");
    }
    builder.finish().expect("finish")
}

fn open(path: &Path, size: u64) -> Result<Arc<Table>, Error> {
    let cache = Arc::new(BlockCache::new(4 << 20, 256));
    Table::open(&OsVfs, path, NUMBER, size, cache).map(Arc::new)
}

/// Every way to build a table.
fn variants() -> Vec<TableOptions> {
    let mut variants = vec![
        OPTIONS,
        TableOptions { compression: Compression::None, ..OPTIONS },
        TableOptions { restart_interval: 1, bloom_bits_per_key: 0, ..OPTIONS },
        TableOptions { partitions: CUT, ..OPTIONS },
        TableOptions { partitions: CUT, bloom_bits_per_key: 0, restart_interval: 16, ..OPTIONS },
        TableOptions { block_bytes: 16 << 10, ..OPTIONS },
    ];
    #[cfg(feature = "zstd")]
    variants.push(TableOptions { compression: Compression::Zstd, ..OPTIONS });
    variants.push(TableOptions { partitions: CUT, drop_seqs: true, ..OPTIONS });
    variants
}

#[test]
fn what_was_built_is_found_by_point_seek_and_walk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (variant, options) in variants().into_iter().enumerate() {
        let path = dir.path().join(variant.to_string());
        let built = build(&path, options, 1000);
        let table = open(&path, built.size).expect("open");
        assert_eq!(table.properties(), &built.properties);
        assert_eq!(table.checksum_file().expect("read"), built.crc);
        assert_eq!(table.partitions() > 10, options.partitions.whole_index_bytes == 200);
        let mut walk = TableIter::new(Arc::clone(&table), Fill::Bypass);
        walk.seek(b"").expect("seek");
        for n in 0..1000 {
            let (key, value) = (key(n), value(n));
            let found = table.get(key_hash(&key), &key).expect("get");
            assert_eq!(found, Some(Found::from_content(Content::of(value.as_deref()))));
            let cached = table.get_cached(key_hash(&key), &key, Found::from_content).expect("get");
            assert!(matches!(cached, CacheOnly::Known(again) if again == found));
            for stranger in [[&key[..], b"!"].concat(), key[..key.len() - 1].to_vec()] {
                assert_eq!(table.get(key_hash(&stranger), &stranger).expect("get"), None);
            }
            let mut seek = TableIter::new(Arc::clone(&table), Fill::Cache);
            seek.seek(&key).expect("seek");
            assert_eq!(seek.entry(), walk.entry());
            let seq = if options.drop_seqs { 0 } else { u64::from(n) + 1 };
            let expected = Entry { key: &key, seq, content: Content::of(value.as_deref()) };
            assert_eq!(walk.entry(), Some(expected));
            walk.advance().expect("advance");
        }
        assert_eq!(walk.entry(), None);
    }
}

#[test]
fn a_table_is_walked_backward_and_with_changes_of_direction() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (variant, options) in variants().into_iter().enumerate() {
        let path = dir.path().join(variant.to_string());
        let built = build(&path, options, 600);
        let table = open(&path, built.size).expect("open");
        let mut walk = TableIter::new(Arc::clone(&table), Fill::Cache);
        let mut sought = TableIter::new(Arc::clone(&table), Fill::Cache);
        walk.seek_to_last().expect("seek");
        for n in (0..600).rev() {
            let (here, gap) = (key(n), [&key(n)[..], b"!"].concat());
            assert_eq!(walk.entry().map(|entry| entry.key), Some(&here[..]));
            assert_eq!(walk.entry().map(|entry| entry.content), Some(Content::of(value(n).as_deref())));
            for (key, inclusive) in [(&here, true), (&gap, true), (&gap, false)] {
                sought.seek_back(key, inclusive).expect("seek");
                assert_eq!(sought.entry(), walk.entry());
            }
            // To the next entry and back; behind the last there is nothing to come back from.
            sought.advance().expect("advance");
            if n < 599 {
                assert_eq!(sought.entry().map(|entry| entry.key), Some(&key(n + 1)[..]));
                sought.retreat().expect("retreat");
                assert_eq!(sought.entry(), walk.entry());
            } else {
                assert_eq!(sought.entry(), None);
            }
            sought.seek_back(&here, false).expect("seek");
            walk.retreat().expect("retreat");
            assert_eq!(sought.entry(), walk.entry());
        }
        assert_eq!(walk.entry(), None);
        walk.seek(&key(500)).expect("seek");
        walk.retreat().expect("retreat");
        assert_eq!(walk.entry().map(|entry| entry.key), Some(&key(499)[..]));
    }
}

#[test]
fn a_lookup_that_must_not_read_says_so_for_every_part_that_is_missing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("table");
    let built = build(&path, TableOptions { partitions: CUT, ..OPTIONS }, 1000);
    let table = open(&path, built.size).expect("open");
    let whole = dir.path().join("whole");
    let pinned = open(&whole, build(&whole, OPTIONS, 1000).size).expect("open").pinned_memory();
    assert!(table.pinned_memory() < pinned / 2, "{} of {pinned}", table.pinned_memory());
    let asked = key(700);
    let cached = || table.get_cached(key_hash(&asked), &asked, Found::from_content).expect("get");
    // Not even the filter is there.
    assert!(matches!(cached(), CacheOnly::NeedIo));
    let neighbour = [&asked[..], b"!"].concat();
    assert_eq!(table.get(key_hash(&neighbour), &neighbour).expect("get"), None);
    // Now the filter is, and says that the key may be there; its block was not needed.
    assert!(matches!(cached(), CacheOnly::NeedIo));
    assert_eq!(
        table.get(key_hash(&asked), &asked).expect("get"),
        Some(Found::from_content(Content::of(value(700).as_deref())))
    );
    assert!(matches!(cached(), CacheOnly::Known(Some(_))));
}

#[test]
fn salvage_gives_every_entry_that_it_does_not_call_lost() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("table");
    for options in [OPTIONS, TableOptions { partitions: CUT, ..OPTIONS }] {
        let built = build(&path, options, 1000);
        let sound = std::fs::read(&path).expect("read");
        let (mut opened, mut with_loss, mut largest) = (0, 0, 0);
        for at in (0..sound.len()).step_by(37) {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, &bytes).expect("write");
            let Ok(table) = open(&path, built.size) else {
                continue;
            };
            opened += 1;
            let mut found = Vec::new();
            let mut each = |entry: Entry<'_>| {
                found.push((entry.key.to_vec(), entry.seq, Found::from_content(entry.content)));
                Ok(())
            };
            let lost = table.salvage(&mut each).expect("only a callback ends it");
            with_loss += usize::from(!lost.is_empty());
            let is_lost = |key: &[u8]| {
                lost.iter().any(|range| {
                    range.from.as_slice() <= key && range.to.as_deref().is_none_or(|to| key < to)
                })
            };
            let all = (0..1000).map(|n| (key(n), u64::from(n) + 1, value(n)));
            let all =
                all.map(|(key, seq, value)| (key, seq, Found::from_content(Content::of(value.as_deref()))));
            let expected: Vec<_> = all.filter(|(key, ..)| !is_lost(key)).collect();
            assert!(found == expected, "the flip at {at}: {lost:?}");
            largest = largest.max(1000 - found.len());
        }
        // Most of a table is data. A partition of the index takes several blocks with it.
        assert!(with_loss * 2 > opened && opened * 37 > sound.len() / 2, "{with_loss} of {opened}");
        let is_cut = options.partitions.partition_bytes == CUT.partition_bytes;
        assert!(if is_cut { (20..200).contains(&largest) } else { largest < 40 }, "{largest}");
        std::fs::remove_file(&path).expect("remove");
    }
}

#[test]
fn a_table_in_quarantine_answers_nothing_and_says_why() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("table");
    let properties = build(&path, OPTIONS, 10).properties;
    let cache = Arc::new(BlockCache::new(4 << 20, 256));
    let table = Arc::new(Table::quarantined(&path, NUMBER, properties, "it is torn", cache));
    let (key, says) = (key(3), |error: Error| error.to_string().contains("quarantine: it is torn"));
    assert!(table.check_readable().is_err_and(says));
    assert!(table.get(key_hash(&key), &key).is_err_and(says));
    assert!(table.get_cached(key_hash(&key), &key, |_| ()).is_err_and(says));
    assert!(Lookups::new(&table).get_with(key_hash(&key), &key, |_| ()).is_err_and(says));
    assert!(table.checksum_file().is_err_and(says));
    assert!(table.salvage(&mut |_| Ok(())).is_ok_and(|lost| lost.len() == 1 && lost[0].to.is_none()));
    let mut walk = TableIter::new(table, Fill::Cache);
    assert!(walk.seek(&key).is_err_and(says));
    assert!(walk.seek_to_last().is_err_and(says));
    assert!(walk.seek_back(&key, true).is_err_and(says));
    assert_eq!(walk.entry(), None);
}

#[test]
fn properties_tell_of_tombstones_and_sizes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("table");
    let file = OsVfs.create(&path).expect("create");
    let mut builder = TableBuilder::new(file, NUMBER, TableOptions { drop_seqs: true, ..OPTIONS });
    for n in 0..400u32 {
        let key = key(n);
        // The second half is nothing but tombstones.
        let value = (n < 200).then_some(&b"some value"[..]);
        let entry = Entry { key: &key, seq: 1000 - u64::from(n), content: Content::of(value) };
        builder.add(entry).expect("add");
    }
    let built = builder.finish().expect("finish");
    let table = open(&path, built.size).expect("open");
    let properties = table.properties();
    assert_eq!((properties.entries, properties.tombstones), (400, 200));
    assert_eq!((properties.min_seq, properties.max_seq), (601, 1000));
    assert_eq!((properties.raw_key_bytes, properties.raw_bytes), (400 * 7, 400 * 7 + 200 * 10));
    let parts = properties.data_bytes + properties.index_bytes + properties.filter_bytes;
    assert!(parts < built.size && parts > built.size / 20, "{parts} of {}", built.size);
    assert_eq!(properties.writer, env!("CARGO_PKG_VERSION"));
}

#[test]
fn keys_that_do_not_ascend_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("table");
    let file = OsVfs.create(&path).expect("create");
    // A block for each key: the last one counts across blocks too.
    let mut builder = TableBuilder::new(file, NUMBER, TableOptions { block_bytes: 1, ..OPTIONS });
    let mut add = |key: &[u8]| builder.add(Entry { key, seq: 1, content: Content::Value(b"") });
    for key in [&b""[..], b"b", b"ba"] {
        add(key).expect("add");
        let error = add(key).expect_err("it is there already");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    assert!(add(b"b").is_err() && add(b"").is_err());
    add(b"c").expect("add");
    assert_eq!(builder.finish().expect("finish").properties.entries, 4);
}

#[test]
fn long_keys_count_against_the_size_of_a_table() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("table");
    let file = OsVfs.create(&path).expect("create");
    let mut builder = TableBuilder::new(file, NUMBER, OPTIONS);
    // They differ at the very end, so that the index needs them whole, and compress to nothing.
    let mut key = vec![b'k'; 100_000];
    for n in 0..50u8 {
        key.push(n);
        builder.add(Entry { key: &key, seq: 1, content: Content::Value(b"") }).expect("add");
        key.pop();
    }
    assert!(builder.size() > 5_000_000, "{}", builder.size());
    let built = builder.finish().expect("finish");
    let table = open(&path, built.size).expect("open");
    assert!(table.partitions() > 1);
    for n in 0..50u8 {
        key.push(n);
        assert_eq!(table.get(key_hash(&key), &key).expect("get"), Some(Found::Value(Vec::new())));
        key.pop();
    }
}

/// Tables of both formats, small enough that every byte can be changed, with their numbers.
fn samples() -> Vec<(String, u64, Vec<u8>)> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut samples = Vec::new();
    for (n, options) in variants().into_iter().enumerate() {
        let path = dir.path().join(n.to_string());
        build(&path, options, 60);
        samples.push((format!("variant {n}"), NUMBER, std::fs::read(&path).expect("read")));
    }
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1/sst/000009.sst");
    samples.push(("format 1".to_owned(), 9, std::fs::read(fixture).expect("the fixture is there")));
    samples
}

#[test]
fn every_flipped_byte_and_every_cut_is_found_by_opening_or_by_reading() {
    for (name, number, sound) in samples() {
        assert!(probe::table(&sound, number).is_ok_and(|entries| entries > 10), "{name}");
        assert!(probe::table(&sound, number + 1).is_err(), "{name} under another number");
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << (at % 8);
            let caught = probe::table(&bytes, number);
            assert!(
                matches!(caught, Err(Error::Corruption { .. })),
                "{name}: the flip at {at} of {} went unnoticed: {caught:?}",
                sound.len()
            );
            let caught = probe::table(&sound[..at], number);
            assert!(
                matches!(caught, Err(Error::Corruption { .. })),
                "{name}: the cut to {at} of {} went unnoticed: {caught:?}",
                sound.len()
            );
        }
    }
}

#[test]
fn entries_of_unknown_kinds_are_named() {
    for (kind, expected) in [(2u8, "blob file"), (5, "unknown kind 5")] {
        let mut block = vec![0, 1, 3 << 3 | kind, 0, b'k', b'a', b'b', b'c'];
        block.extend_from_slice(&[0; 4]);
        block.extend_from_slice(&1u32.to_le_bytes());
        block.extend_from_slice(&[0; 12]);
        let parts = TableParts {
            is_format_1: false,
            blocks: &[&block],
            filter: &[],
            index: None,
            top: None,
            properties: None,
            features: 0,
        };
        let error = probe::table(&forge(3, &parts), 3).expect_err("the kind is unknown");
        assert!(error.to_string().contains(expected), "{error}");
        let parts = TableParts { features: 1 << 20, ..parts };
        let error = probe::table(&forge(3, &parts), 3).expect_err("the feature is unknown");
        assert!(matches!(&error, Error::Invalid(what) if what.contains("0x100000")), "{error}");
    }
}
