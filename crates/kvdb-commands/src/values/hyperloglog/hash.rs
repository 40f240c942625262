//! The hash of an element, and what it says: which register, and which value.

use super::{INDEX_BITS, REGISTER_COUNT, VALUE_BITS};

/// The seed Redis uses. Another one would make sketches that cannot be merged with its own.
const SEED: u64 = 0xadc8_3b19;

/// The register that an element belongs to, and the value it raises that register to: the position,
/// from one, of the lowest set bit in the rest of its hash.
pub(super) fn register_and_value(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element, SEED);
    let register = hash as usize % REGISTER_COUNT;
    // One more bit above the rest ends the search where the rest is zero.
    let rest = (hash >> INDEX_BITS) | (1 << VALUE_BITS);
    (register, rest.trailing_zeros() as u8 + 1)
}

/// MurmurHash64A, of words in little-endian order on every machine.
fn murmur64a(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(FACTOR);
        word ^= word >> SHIFT;
        hash = (hash ^ word.wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
    }
    if !tail.is_empty() {
        let mut word = [0; 8];
        word[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
    }
    hash ^= hash >> SHIFT;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ (hash >> SHIFT)
}
