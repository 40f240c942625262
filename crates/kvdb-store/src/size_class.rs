//! The sizes in which memory is handed out.
//!
//! The server's allocator (jemalloc) rounds every request up to one of few sizes: 8 and the multiples of 16 up to 128,
//! then four sizes between a power of two and the next. What is asked for beyond the need but within the size costs
//! nothing, and a structure that is exactly as large as its size wastes nothing. So growing goes from size to size: by a
//! fifth or less each time, which is enough for a sequence of insertions to copy every byte only a few times.

const SMALLEST: usize = 8;
const QUANTUM: usize = 16;
/// Up to here the sizes are a quantum apart.
const LAST_EVEN: usize = 128;

/// The bytes that an allocation of `bytes` takes.
#[inline]
pub(crate) const fn of(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    if bytes <= SMALLEST {
        return SMALLEST;
    }
    if bytes <= LAST_EVEN {
        return bytes.next_multiple_of(QUANTUM);
    }
    // A quarter of the power of two below.
    let step = 1usize << ((bytes - 1).ilog2() - 2);
    bytes.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_are_those_of_the_allocator() {
        let mut sizes: Vec<usize> = (0..=5120).map(of).collect();
        sizes.dedup();
        let expected = [
            0, 8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896,
            1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120,
        ];
        assert_eq!(sizes, expected);
        assert!((1..100_000).all(|bytes| of(bytes) >= bytes && of(of(bytes)) == of(bytes)));
    }
}
