//! LZF, the compression of strings in RDB: decompression only.
//!
//! ```text
//! 000nnnnn                    n + 1 literal bytes follow
//! nnnooooo oooooooo           copy n + 2 bytes (3..=8) from o + 1 bytes back
//! 111ooooo nnnnnnnn oooooooo  copy n + 9 bytes (9..=264) from o + 1 bytes back
//! ```

/// The most bytes that one compressed byte can stand for: the longest copy takes three bytes.
const MAX_RATIO: usize = 264 / 3;

/// The decompressed bytes, if they are exactly `length` many.
///
/// Allocates no more than what `compressed` can really stand for.
pub(super) fn decompress(compressed: &[u8], length: usize) -> Option<Vec<u8>> {
    if length / MAX_RATIO > compressed.len() {
        return None;
    }
    let mut out = Vec::with_capacity(length);
    let mut rest = compressed;
    while let Some(control) = take(&mut rest) {
        let (high, low) = (usize::from(control >> 5), usize::from(control & 0x1f));
        if high == 0 {
            let (literals, behind) = rest.split_at_checked(low + 1)?;
            out.extend_from_slice(literals);
            rest = behind;
        } else {
            let more = if high == 7 { take(&mut rest)? } else { 0 };
            let count = high + usize::from(more) + 2;
            let distance = (low << 8) + usize::from(take(&mut rest)?) + 1;
            let from = out.len().checked_sub(distance)?;
            if out.len() + count > length {
                return None;
            }
            // The source may run into what is being copied: then it repeats.
            let whole = count.min(distance);
            out.extend_from_within(from..from + whole);
            for at in from + whole..from + count {
                out.push(out[at]);
            }
        }
        if out.len() > length {
            return None;
        }
    }
    (out.len() == length).then_some(out)
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_copies() {
        assert_eq!(decompress(b"\x02abc", 3).as_deref(), Some(&b"abc"[..]));
        assert_eq!(decompress(b"\x02abc\x20\x02", 6).as_deref(), Some(&b"abcabc"[..]));
        assert_eq!(decompress(b"\x00a\x20\x00", 4).as_deref(), Some(&b"aaaa"[..]), "overlapping");
        assert_eq!(decompress(b"\x00a\xe0\x01\x00", 11), Some(vec![b'a'; 11]), "long copy");
        assert_eq!(decompress(b"", 0), Some(vec![]));
    }

    #[test]
    fn malformed_input() {
        assert_eq!(decompress(b"\x02ab", 3), None, "literals missing");
        assert_eq!(decompress(b"\x02abc", 4), None, "too short");
        assert_eq!(decompress(b"\x02abc", 2), None, "too long");
        assert_eq!(decompress(b"\x00a\x20\x01", 4), None, "from before the start");
        assert_eq!(decompress(b"\x00a\x20", 4), None, "distance missing");
        assert_eq!(decompress(b"\x00a\xe0", 4), None, "count missing");
        assert_eq!(decompress(b"\x00a\xe0\xff\x00", 10), None, "copy beyond the length");
        assert_eq!(decompress(b"\x00a", usize::MAX), None, "no allocation for a lie");
    }
}
