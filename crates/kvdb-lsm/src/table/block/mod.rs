//! Data blocks: entries in key order, keys shortened by what they share with the one before.
//!
//! ```text
//! payload := entry* | restart u32 * n | bucket u8 * b | n u32 | b u32 | base_seq u64
//! entry   := shared varint | unshared varint | value length * 8 + kind varint
//!          | seq - base_seq zigzag varint | key suffix | value
//! ```
//!
//! Some entries are *restarts*, one after sixteen entries or a KiB of them: a restart shares nothing, and
//! its offset is in the array behind the entries, so that a search is a binary search over the restarts and a short walk. The
//! *buckets* are a hash index that spares a point read the binary search.
//!
//! In format 1, the kind is one bit (a tombstone), and there are no buckets and no count of them.

mod builder;
mod cursor;
mod hash_index;
mod point;
mod reader;

pub(super) use self::builder::BlockBuilder;
pub(super) use self::cursor::BlockCursor;
pub(crate) use self::reader::Block;
use super::Format;
use crate::blob::BlobRef;
pub(super) use crate::entry::common_prefix;

/// What an entry says about its key. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has this value.
    Value = 0,
    /// It was deleted.
    Tombstone = 1,
    /// Its value lies in a blob file, to which this is the reference.
    Blob = 2,
}

/// What the entry under a cursor says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Stored {
    /// Its value lies in the block.
    #[default]
    Value,
    /// Its value lies in a blob file.
    Blob(BlobRef),
    /// The key was deleted.
    Tombstone,
}

impl Kind {
    /// The bits that a format has for the kind.
    const fn bits(format: Format) -> u32 {
        match format {
            Format::V1 => 1,
            Format::V2 => 3,
        }
    }

    /// Splits the stored number into kind and length of the value.
    fn split(meta: u64, format: Format) -> Result<(Self, u64), Malformed> {
        let bits = Self::bits(format);
        let kind = match (meta & ((1 << bits) - 1)) as u8 {
            0 => Self::Value,
            1 => Self::Tombstone,
            2 => Self::Blob,
            kind => return Err(Malformed::UnknownKind(kind)),
        };
        Ok((kind, meta >> bits))
    }
}

/// What is wrong with a block, although its checksum matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The parts of the block do not fit each other.
    Shape,
    /// An entry does not fit into the block, or to the one before.
    Entry,
    /// An entry refers to a blob file in a way that makes no sense.
    Reference,
    /// An entry is of a kind that this version does not know.
    UnknownKind(u8),
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shape => f.write_str("the block has no sound shape"),
            Self::Entry => f.write_str("an entry of the block is malformed"),
            Self::Reference => f.write_str("an entry has a malformed reference to a blob file"),
            Self::UnknownKind(kind) => {
                write!(f, "an entry is of the unknown kind {kind}: a newer version wrote it")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Content, Entry, key_hash};

    fn keys(n: u32) -> Vec<Vec<u8>> {
        let mut keys: Vec<Vec<u8>> = (0..n).map(|n| format!("key{:05}", n * 3).into_bytes()).collect();
        keys.insert(0, Vec::new());
        keys
    }

    /// Every fifth entry is a tombstone, every seventh a reference.
    fn content(n: u64, value: &str) -> Content<'_> {
        if n.is_multiple_of(5) {
            Content::Tombstone
        } else if n.is_multiple_of(7) {
            Content::Blob(BlobRef {
                file: n,
                offset: 16 + n * n,
                len: 100,
                value_len: 90,
                crc: 7 << (n % 29),
            })
        } else {
            Content::Value(value.as_bytes())
        }
    }

    fn build(keys: &[Vec<u8>]) -> Vec<u8> {
        let mut builder = BlockBuilder::new(16);
        for (n, key) in (0u64..).zip(keys) {
            let value = format!("value {n}");
            builder.add(key, key_hash(key), 1000 - n, content(n, &value));
        }
        builder.finish(<[u8]>::to_vec)
    }

    #[test]
    fn walks_and_seeks_find_every_key() {
        let keys = keys(200);
        let block = Block::new(build(&keys), Format::V2).expect("the block is sound");
        let mut cursor = BlockCursor::default();
        block.seek_first(&mut cursor).expect("sound");
        for (n, key) in (0u64..).zip(&keys) {
            let value = format!("value {n}");
            let expected = Entry { key, seq: 1000 - n, content: content(n, &value) };
            assert_eq!(block.entry(&cursor), Some(expected));
            let mut sought = BlockCursor::default();
            block.seek(key, &mut sought).expect("sound");
            assert_eq!(block.entry(&sought), Some(expected));
            block.seek(&[key, &b"!"[..]].concat(), &mut sought).expect("sound");
            assert_eq!(block.entry(&sought).map(|e| e.key), keys.get(n as usize + 1).map(Vec::as_slice));
            assert_eq!(block.get(key_hash(key), key), Ok(Some(expected.content)));
            for stranger in [[key, &b"!"[..]].concat(), key[..key.len().saturating_sub(1)].to_vec()] {
                // What the hash of another key says about it must not matter.
                for hash in [key_hash(&stranger), key_hash(key)] {
                    let found = block.get(hash, &stranger);
                    assert!(found == Ok(None) || keys.contains(&stranger), "{stranger:?}");
                }
            }
            block.advance(&mut cursor).expect("sound");
        }
        assert_eq!(block.entry(&cursor), None);
    }

    #[test]
    fn a_block_of_large_values_has_restarts_and_an_index_and_one_of_many_restarts_no_index() {
        let block = |count: u64, value: usize| {
            let mut builder = BlockBuilder::new(16);
            for n in 0..count {
                let key = n.to_be_bytes();
                builder.add(&key, key_hash(&key), 7, Content::Value(&vec![n as u8; value]));
            }
            let block = builder.finish(<[u8]>::to_vec);
            let block = Block::new(block, Format::V2).expect("the block is sound");
            for n in 0..count {
                let key = n.to_be_bytes();
                let expected = vec![n as u8; value];
                assert_eq!(block.get(key_hash(&key), &key), Ok(Some(Content::Value(&expected))));
            }
            (block.count, block.buckets().len())
        };
        assert_eq!(block(9, 400), (3, 13), "three entries come to a KiB");
        assert_eq!(block(9, 100), (1, 0));
        assert_eq!(block(20, 2000), (20, 27));
        assert_eq!(block(253, 1024), (253, 337));
        assert_eq!(block(254, 1024), (254, 0));
    }

    #[test]
    fn walks_back_and_backward_seeks_find_every_key() {
        for count in [0, 1, 14, 15, 16, 30, 31, 32, 200] {
            let keys = keys(count);
            let block = Block::new(build(&keys), Format::V2).expect("the block is sound");
            let mut walk = BlockCursor::default();
            block.seek_last(&mut walk).expect("sound");
            for (n, key) in keys.iter().enumerate().rev() {
                let mut forward = BlockCursor::default();
                block.seek(key, &mut forward).expect("sound");
                let expected = block.entry(&forward);
                assert_eq!(expected.map(|entry| entry.key), Some(key.as_slice()));
                assert_eq!(block.entry(&walk), expected);
                let mut sought = BlockCursor::default();
                block.seek_back(key, true, &mut sought).expect("sound");
                assert_eq!(block.entry(&sought), expected);
                block.seek_back(&[key, &b"!"[..]].concat(), false, &mut sought).expect("sound");
                assert_eq!(block.entry(&sought), expected);
                block.seek_back(key, false, &mut sought).expect("sound");
                let before = n.checked_sub(1).map(|n| keys[n].as_slice());
                assert_eq!(block.entry(&sought).map(|entry| entry.key), before);
                block.retreat(&mut walk).expect("sound");
            }
            assert_eq!(block.entry(&walk), None);
        }
    }

    #[test]
    fn the_direction_can_change_at_every_entry() {
        let keys = keys(100);
        let block = Block::new(build(&keys), Format::V2).expect("the block is sound");
        let key_of = |cursor: &BlockCursor| block.entry(cursor).map(|entry| entry.key.to_vec());
        // Every start, some steps back, some forward, some back again.
        for start in 0..keys.len() {
            for (back, forth) in [(1, 1), (3, 2), (17, 40), (2, 19)] {
                let mut cursor = BlockCursor::default();
                block.seek(&keys[start], &mut cursor).expect("sound");
                let mut at = start;
                for (steps, is_back) in [(back, true), (forth, false), (back, true)] {
                    for _ in 0..steps {
                        if is_back && at > 0 {
                            block.retreat(&mut cursor).expect("sound");
                            at -= 1;
                        } else if !is_back && at + 1 < keys.len() {
                            block.advance(&mut cursor).expect("sound");
                            at += 1;
                        }
                        assert_eq!(key_of(&cursor).as_ref(), Some(&keys[at]));
                    }
                }
            }
        }
    }

    #[test]
    fn hostile_payloads_neither_panic_nor_loop() {
        let sound = build(&keys(40));
        for at in 0..sound.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut payload = sound.clone();
                payload[at] ^= flip;
                let Ok(block) = Block::new(payload, Format::V2) else {
                    continue;
                };
                let mut cursor = BlockCursor::default();
                let mut steps = 0;
                let mut result = block.seek_first(&mut cursor);
                while result.is_ok() && block.entry(&cursor).is_some() {
                    result = block.advance(&mut cursor);
                    steps += 1;
                }
                assert!(steps <= sound.len());
                let _ = block.seek(b"key00050", &mut cursor);
                for key in [&b"key00050"[..], b"", b"key00117", b"l"] {
                    let _ = block.get(key_hash(key), key);
                }
                let _ = block.seek_back(b"key00050", true, &mut cursor);
                steps = 0;
                let mut result = block.seek_last(&mut cursor);
                while result.is_ok() && block.entry(&cursor).is_some() {
                    result = block.retreat(&mut cursor);
                    steps += 1;
                }
                assert!(steps <= sound.len());
            }
        }
    }
}
