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
    let mut bytes = vec![0, 1, 6, 0, key, b'a', b'b', b'c'];
    bytes.extend_from_slice(&0u32.to_le_bytes());
    bytes.extend_from_slice(&1u32.to_le_bytes());
    bytes.extend_from_slice(&9u64.to_le_bytes());
    bytes
}

#[test]
fn forged_tables_are_refused_or_read() {
    let sound = [block(0), block(1), block(2)];
    let blocks: Vec<&[u8]> = sound.iter().map(Vec::as_slice).collect();
    let parts = TableParts { blocks: &blocks[..1], filter: &[], index: None, properties: None };
    assert_eq!(probe::table(&probe::table_of(&parts, 3), 3).expect("sound"), 1);
    let properties = [[1, 8].as_slice(), &3u64.to_le_bytes(), &[6, 1, 0, 7, 1, 9]].concat();
    let mut opened = 0;
    for seed in 0..cases(4000) {
        let mut rng = Rng::new(seed);
        let forged: Vec<Vec<u8>> = sound.iter().map(|sound| part(&mut rng, sound)).collect();
        let blocks: Vec<&[u8]> = forged.iter().map(Vec::as_slice).collect();
        let (filter, index, properties) =
            (part(&mut rng, &[0xff; 64]), part(&mut rng, &[0, 16, 29]), part(&mut rng, &properties));
        let parts = TableParts {
            blocks: &blocks[..rng.below(4) as usize],
            filter: if rng.one_in(2) { &[] } else { &filter },
            index: rng.one_in(4).then_some(&index),
            properties: rng.one_in(3).then_some(&properties),
        };
        opened += u64::from(probe::table(&probe::table_of(&parts, 3), 3).is_ok());
    }
    assert!(opened > 50, "only {opened} tables were read to the end");
}

#[test]
fn forged_manifests_are_refused_or_read() {
    // A table comes: level, number, size, crc, entries, tombstones, sequence, keys.
    let state = [4u8, 1, 9, 5, 1, 9, 3, 1, 1, 6, 2, 0, 2].as_slice();
    let add = [1u8, 11, 1, 2, 50, 3, 4, 0, 5, 1, b'a', 1, b'b', 6, 0].as_slice();
    let remove = [2u8, 2, 1, 2].as_slice();
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
