//! The envelope of a block: codec and checksum.

use super::Handle;

/// A block that decompresses to more than this is refused. Larger ones, which a single entry of
/// the largest batch can make, are not compressed.
pub(super) const MAX_BLOCK: usize = 1 << 30;

const RAW: u8 = 0;
const LZ4: u8 = 1;

/// How the data blocks of a table are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4, where it saves at least an eighth.
    #[default]
    Lz4,
}

/// The checksum of a block: binds the payload to its place.
fn checksum(payload_and_codec: &[u8], file_number: u64, offset: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(payload_and_codec);
    hasher.update(&file_number.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.finalize()
}

/// Appends the block to `out`, which becomes part of the file at `offset`, and returns its handle.
pub(super) fn seal(
    payload: &[u8],
    compression: Compression,
    file_number: u64,
    offset: u64,
    out: &mut Vec<u8>,
) -> Handle {
    let start = out.len();
    let mut codec = RAW;
    // What the reader would refuse to decompress is stored as it is.
    if compression == Compression::Lz4 && payload.len() <= MAX_BLOCK {
        let packed = lz4_flex::block::compress(payload);
        if packed.len() + 4 < payload.len() - payload.len() / 8 {
            codec = LZ4;
            out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            out.extend_from_slice(&packed);
        }
    }
    if codec == RAW {
        out.extend_from_slice(payload);
    }
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
    match codec {
        RAW => Ok(stored),
        LZ4 => {
            let (len, packed) =
                stored.split_first_chunk::<4>().ok_or("the compressed block has no length")?;
            let len = u32::from_le_bytes(*len) as usize;
            // LZ4 cannot expand more than 255-fold: a larger length is a lie that would cost memory.
            if len > MAX_BLOCK || len / 255 > packed.len() {
                return Err("the compressed block states an impossible length");
            }
            let payload = lz4_flex::block::decompress(packed, len)
                .map_err(|_| "the compressed block does not decompress")?;
            if payload.len() == len {
                Ok(payload)
            } else {
                Err("the compressed block has another length than it states")
            }
        }
        _ => Err("the block has a codec that this version does not know"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_opens_only_where_it_belongs() {
        for (payload, compression) in [
            (vec![7u8; 500], Compression::Lz4),
            (b"incompressible?".to_vec(), Compression::Lz4),
            (vec![7u8; 500], Compression::None),
        ] {
            let mut out = Vec::new();
            let handle = seal(&payload, compression, 9, 100, &mut out);
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
