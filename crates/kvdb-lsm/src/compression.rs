//! Codecs: how the payload of a block or a blob is made smaller, and large again.

/// A block that decompresses to more than this is refused. Larger ones, which a single entry of
/// the largest batch can make, are not compressed.
const MAX_BLOCK: usize = 1 << 30;

/// Not compressed.
pub(crate) const RAW: u8 = 0;
const LZ4: u8 = 1;
pub(crate) const ZSTD: u8 = 2;

/// How data blocks and blobs are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4, where it saves at least an eighth.
    #[default]
    Lz4,
    /// Zstandard at its level 3, where it saves at least an eighth.
    #[cfg(feature = "zstd")]
    Zstd,
}

/// Compresses what one file gets.
pub(crate) struct Compressor {
    compression: Compression,
    #[cfg(feature = "zstd")]
    zstd: Option<zstd::bulk::Compressor<'static>>,
    used_zstd: bool,
}

impl Compressor {
    pub(crate) fn new(compression: Compression) -> Self {
        Self {
            compression,
            // Without memory for its context, blocks are stored as they are.
            #[cfg(feature = "zstd")]
            zstd: (compression == Compression::Zstd).then(|| zstd::bulk::Compressor::new(3).ok()).flatten(),
            used_zstd: false,
        }
    }

    /// Whether something can be read only with zstd.
    pub(crate) const fn used_zstd(&self) -> bool {
        self.used_zstd
    }

    /// Appends the payload to `out`, compressed if that is worth it, and returns the codec.
    pub(crate) fn append(&mut self, payload: &[u8], out: &mut Vec<u8>) -> u8 {
        let start = out.len();
        // What the reader would refuse to decompress is stored as it is.
        if self.compression != Compression::None && payload.len() <= MAX_BLOCK {
            out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            let packed = out.len();
            let codec = self.compress(payload, out);
            if let Some(codec) = codec
                && out.len() - packed + 4 < payload.len() - payload.len() / 8
            {
                self.used_zstd |= codec == ZSTD;
                return codec;
            }
            out.truncate(start);
        }
        out.extend_from_slice(payload);
        RAW
    }

    /// Appends the compressed payload; `None` if that failed.
    #[cfg_attr(
        not(feature = "zstd"),
        allow(clippy::needless_pass_by_ref_mut, reason = "only zstd has a context that changes")
    )]
    fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Option<u8> {
        let start = out.len();
        match self.compression {
            Compression::None => None,
            Compression::Lz4 => {
                out.resize(start + lz4_flex::block::get_maximum_output_size(payload.len()), 0);
                let len = lz4_flex::block::compress_into(payload, &mut out[start..]).ok()?;
                out.truncate(start + len);
                Some(LZ4)
            }
            #[cfg(feature = "zstd")]
            Compression::Zstd => {
                out.resize(start + zstd::zstd_safe::compress_bound(payload.len()), 0);
                let len = self.zstd.as_mut()?.compress_to_buffer(payload, &mut out[start..]).ok()?;
                out.truncate(start + len);
                Some(ZSTD)
            }
        }
    }
}

/// The payload of a block that was stored with `codec`. `Err` says what is wrong.
pub(crate) fn decompress(stored: Vec<u8>, codec: u8) -> Result<Vec<u8>, &'static str> {
    if codec == RAW {
        return Ok(stored);
    }
    let (len, packed) = stored.split_first_chunk::<4>().ok_or("the compressed block has no length")?;
    let len = u32::from_le_bytes(*len) as usize;
    const IMPOSSIBLE: &str = "the compressed block states an impossible length";
    if len > MAX_BLOCK {
        return Err(IMPOSSIBLE);
    }
    let payload = match codec {
        // LZ4 cannot expand more than 255-fold: a larger length is a lie that would cost memory.
        LZ4 if len / 255 > packed.len() => return Err(IMPOSSIBLE),
        LZ4 => lz4_flex::block::decompress(packed, len).ok(),
        ZSTD => unpack_zstd(packed, len)?,
        _ => return Err("the block has a codec that this version does not know"),
    };
    let payload = payload.ok_or("the compressed block does not decompress")?;
    if payload.len() == len {
        Ok(payload)
    } else {
        Err("the compressed block has another length than it states")
    }
}

#[cfg(feature = "zstd")]
fn unpack_zstd(packed: &[u8], len: usize) -> Result<Option<Vec<u8>>, &'static str> {
    use std::cell::RefCell;
    thread_local! {
        // A context is some hundred kilobytes: one for each thread that reads, not one per block.
        static CONTEXT: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    }
    // Zstandard blocks expand without a bound worth having: the frame must agree with the length.
    if zstd::zstd_safe::get_frame_content_size(packed).ok().flatten() != Some(len as u64) {
        return Err("the compressed block has another length than it states");
    }
    Ok(CONTEXT.with_borrow_mut(|context| {
        if context.is_none() {
            *context = zstd::bulk::Decompressor::new().ok();
        }
        context.as_mut()?.decompress(packed, len).ok()
    }))
}

#[cfg(not(feature = "zstd"))]
const fn unpack_zstd(_: &[u8], _: usize) -> Result<Option<Vec<u8>>, &'static str> {
    Err("the block is compressed with zstd, which this build was made without")
}

#[cfg(all(test, not(feature = "zstd")))]
mod tests {
    use super::*;

    #[test]
    fn what_this_build_cannot_decompress_is_refused_by_name() {
        let error = decompress(vec![4, 0, 0, 0, 1, 2, 3, 4], ZSTD).expect_err("there is no zstd");
        assert!(error.contains("zstd"), "{error}");
    }
}
