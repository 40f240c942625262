//! Tables and manifests whose checksums match and whose content makes no sense: refused or read,
//! without a panic, an endless loop, or memory beyond the input.

use crate::support::{Rng, cases};
use kvdb_lsm::probe::{self, TableParts};

/// A part: something sound with a few changes, or noise.
fn part(rng: &mut Rng, sound: &[u8]) -> Vec<u8> {
    if rng.one_in(4) {
        return (0..rng.below(80)).map(|_| rng.next() as u8).collect();
    }
    let mut bytes = sound.to_vec();
    for _ in 0..rng.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.below(bytes.len() as u64) as usize;
        match rng.below(4) {
            0 => bytes[at] = rng.next() as u8,
            1 => bytes[at] ^= 1 << rng.below(8),
            2 => bytes.truncate(at),
            _ => bytes.insert(at, rng.next() as u8),
        }
    }
    bytes
}

/// A data block with one entry of a one-byte key.
fn block(key: u8) -> Vec<u8> {
    let mut bytes = vec![0, 1, 24, 0, key, b'a', b'b', b'c'];
    bytes.extend_from_slice(&0u32.to_le_bytes());
    bytes.extend_from_slice(&1u32.to_le_bytes());
    bytes.extend_from_slice(&0u32.to_le_bytes());
    bytes.extend_from_slice(&9u64.to_le_bytes());
    bytes
}

/// The same as format 1 has it.
fn block_1(key: u8) -> Vec<u8> {
    let mut bytes = vec![0, 1, 6, 0, key, b'a', b'b', b'c'];
    bytes.extend_from_slice(&0u32.to_le_bytes());
    bytes.extend_from_slice(&1u32.to_le_bytes());
    bytes.extend_from_slice(&9u64.to_le_bytes());
    bytes
}

/// A data block of four entries with two restarts and a hash index.
fn indexed_block() -> Vec<u8> {
    let mut bytes = Vec::new();
    for (n, shared) in [0u8, 1, 0, 1].into_iter().enumerate() {
        bytes.extend_from_slice(&[shared, 2 - shared, 8, 0]);
        bytes.extend_from_slice(&[b'k', n as u8][usize::from(shared)..]);
        bytes.push(b'v');
    }
    for restart in [0u32, 13] {
        bytes.extend_from_slice(&restart.to_le_bytes());
    }
    bytes.extend_from_slice(&[254, 254, 0, 255, 1]);
    bytes.extend_from_slice(&2u32.to_le_bytes());
    bytes.extend_from_slice(&5u32.to_le_bytes());
    bytes.extend_from_slice(&9u64.to_le_bytes());
    bytes
}

#[test]
fn forged_tables_are_refused_or_read() {
    let sound_2 = [block(0), indexed_block(), block(b'z')];
    let sound_1 = [block_1(0), block_1(1), block_1(2)];
    let none = TableParts {
        is_format_1: false,
        blocks: &[],
        filter: &[],
        index: None,
        top: None,
        properties: None,
        features: 0,
    };
    let entries = |parts: TableParts<'_>| probe::table(&probe::table_of(&parts, 3), 3).expect("sound");
    for (is_format_1, sound) in [(false, &sound_2), (true, &sound_1)] {
        let blocks: Vec<&[u8]> = sound.iter().map(Vec::as_slice).collect();
        assert_eq!(entries(TableParts { is_format_1, blocks: &blocks[..1], ..none }), 1);
        let top = Some(None);
        let expected = if is_format_1 { 3 } else { 6 };
        assert_eq!(entries(TableParts { is_format_1, blocks: &blocks, top, ..none }), expected);
    }
    let properties = [[1, 8].as_slice(), &3u64.to_le_bytes(), &[6, 1, 0, 7, 1, 9]].concat();
    let mut opened = [0; 3];
    for seed in 0..cases(6000) {
        let mut rng = Rng::new(seed);
        let is_format_1 = rng.one_in(3);
        let sound = if is_format_1 { &sound_1 } else { &sound_2 };
        let forged: Vec<Vec<u8>> = sound
            .iter()
            .map(|sound| if rng.one_in(2) { sound.clone() } else { part(&mut rng, sound) })
            .collect();
        let blocks: Vec<&[u8]> = forged.iter().map(Vec::as_slice).collect();
        let index = if is_format_1 { &[0, 16, 29, 0, 0, 0, 0][..] } else { &[0, 33, 0, 0, 0, 0] };
        let (filter, index, top, properties) = (
            part(&mut rng, &[0xff; 64]),
            part(&mut rng, index),
            part(&mut rng, &[0, 33, 5, 0, 0, 0, 0, 11, 0, 0, 0, 0]),
            part(&mut rng, &properties),
        );
        let is_partitioned = rng.one_in(2) && !is_format_1;
        let parts = TableParts {
            is_format_1,
            blocks: &blocks[..rng.below(4) as usize],
            filter: if rng.one_in(2) { &[] } else { &filter },
            index: rng.one_in(4).then_some(&index),
            top: is_partitioned.then(|| rng.one_in(4).then_some(&top[..])),
            properties: rng.one_in(3).then_some(&properties),
            features: if rng.one_in(20) { rng.next() } else { 0 },
        };
        let kind = if is_format_1 { 0 } else { 1 + usize::from(is_partitioned) };
        opened[kind] += u64::from(probe::table(&probe::table_of(&parts, 3), 3).is_ok());
    }
    assert!(opened.iter().all(|&opened| opened > 50), "only {opened:?} tables were read to the end");
}

#[test]
fn forged_manifests_are_refused_or_read() {
    // A table comes: level, number, size, crc, entries, tombstones, sequence, keys.
    let state = [4u8, 1, 9, 5, 1, 9, 3, 1, 1, 6, 2, 0, 2].as_slice();
    let add = [1u8, 11, 1, 2, 50, 3, 4, 0, 5, 1, b'a', 1, b'b', 6, 0].as_slice();
    let remove = [2u8, 2, 1, 2].as_slice();
    let features = |incompat: u8| [state, &[7, 3, 0, 0, incompat]].concat();
    assert_eq!(probe::manifest(&probe::manifest_of(&[features(1).as_slice()], 7), 7), Ok(()));
    assert_eq!(probe::manifest(&probe::manifest_of(&[state, add, &[], remove], 7), 7), Ok(()));
    let mut read = 0;
    for seed in 0..cases(20_000) {
        let mut rng = Rng::new(seed);
        let edits = [part(&mut rng, state), part(&mut rng, add), Vec::new(), part(&mut rng, remove)];
        let edits: Vec<&[u8]> = edits.iter().map(Vec::as_slice).collect();
        let bytes = probe::manifest_of(&edits[..1 + rng.below(4) as usize], 7);
        read += u64::from(probe::manifest(&bytes, 7).is_ok());
    }
    assert!(read > 500, "only {read} manifests were read");
}
