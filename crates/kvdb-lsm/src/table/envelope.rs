//! The envelope of a block: codec and checksum.

use super::Handle;
use crate::compression::{self, Compressor, RAW};

/// The checksum of a block: binds the payload to its place.
fn checksum(payload_and_codec: &[u8], file_number: u64, offset: u64) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&file_number.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(payload_and_codec);
    hasher.update(&place);
    hasher.finalize()
}

/// Appends the block to `out`, which becomes part of the file at `offset`, and returns its handle.
pub(super) fn seal(
    payload: &[u8],
    compressor: &mut Compressor,
    file_number: u64,
    offset: u64,
    out: &mut Vec<u8>,
) -> Handle {
    let start = out.len();
    let codec = compressor.append(payload, out);
    close(start, codec, file_number, offset, out)
}

/// As [`seal`], without compression.
pub(super) fn seal_raw(payload: &[u8], file_number: u64, offset: u64, out: &mut Vec<u8>) -> Handle {
    let start = out.len();
    out.extend_from_slice(payload);
    close(start, RAW, file_number, offset, out)
}

/// Puts codec and checksum behind what was stored from `start` on.
fn close(start: usize, codec: u8, file_number: u64, offset: u64, out: &mut Vec<u8>) -> Handle {
    out.push(codec);
    let crc = checksum(&out[start..], file_number, offset);
    out.extend_from_slice(&crc.to_le_bytes());
    Handle {
        offset,
        len: u32::try_from(out.len() - start).expect("a block is bounded by the size of a batch"),
        crc,
    }
}

/// Checks a stored block and returns its payload. `Err` says what is wrong.
pub(super) fn open(mut stored: Vec<u8>, file_number: u64, handle: &Handle) -> Result<Vec<u8>, &'static str> {
    let body = stored
        .len()
        .checked_sub(4)
        .filter(|&body| body > 0)
        .ok_or("the block is shorter than its envelope")?;
    let crc = checksum(&stored[..body], file_number, handle.offset);
    if crc.to_le_bytes() != stored[body..] {
        return Err("the checksum of the block does not match");
    }
    if crc != handle.crc {
        return Err("the block is not the one that the index names");
    }
    let codec = stored[body - 1];
    stored.truncate(body - 1);
    compression::decompress(stored, codec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::Compression;

    #[test]
    fn a_block_opens_only_where_it_belongs() {
        for (payload, compression) in [
            #[cfg(feature = "zstd")]
            (b"so say we all, ".repeat(40), Compression::Zstd),
            (b"so say we all, ".repeat(40), Compression::Lz4),
            (vec![7u8; 500], Compression::Lz4),
            (b"incompressible?".to_vec(), Compression::Lz4),
            (vec![7u8; 500], Compression::None),
        ] {
            let mut out = Vec::new();
            let handle = seal(&payload, &mut Compressor::new(compression), 9, 100, &mut out);
            assert_eq!(out.len(), handle.len as usize);
            assert_eq!(open(out.clone(), 9, &handle).as_deref(), Ok(&payload[..]));
            assert!(open(out.clone(), 8, &handle).is_err());
            let elsewhere = Handle { offset: 101, ..handle };
            assert!(open(out.clone(), 9, &elsewhere).is_err());
            for at in 0..out.len() {
                let mut bad = out.clone();
                bad[at] ^= 1;
                assert!(open(bad, 9, &handle).is_err());
                assert!(open(out[..at].to_vec(), 9, &handle).is_err());
            }
        }
    }
}
