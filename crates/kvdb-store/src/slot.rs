//! Hash slots: which of the 16384 slots a key belongs to.
//!
//! Every key lives in exactly one slot, the unit in which a cluster places and moves data, and the
//! first two bytes of every row key. The function is the one cluster-aware Redis clients compute on
//! their side: CRC16/XMODEM of the key modulo 16384, where a non-empty `{tag}` in the key replaces
//! the key, so that an application can put keys that belong together into one slot.
//!
//! The checksum runs once per command, so it consumes eight bytes a step ("slicing by eight").

/// How many hash slots there are.
pub const SLOT_COUNT: u16 = 16384;

/// The slot of `key`, below [`SLOT_COUNT`].
///
/// ```
/// # use kvdb_store::slot::slot_of;
/// assert_eq!(slot_of(b"foo"), 12182);
/// assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"{user1000}.followers"));
/// ```
#[inline]
#[must_use]
pub fn slot_of(key: &[u8]) -> u16 {
    let hashed = if has_open_brace(key) { hash_tag(key) } else { key };
    crc16(hashed) % SLOT_COUNT
}

/// The part of `key` that decides its slot: what stands between the first `{` and the first `}`
/// after it, or the whole key where there is no such pair or nothing in it.
#[cold]
fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&byte| byte == b'{') else {
        return key;
    };
    let inner = &key[open + 1..];
    match inner.iter().position(|&byte| byte == b'}') {
        None | Some(0) => key,
        Some(close) => &inner[..close],
    }
}

/// Whether `key` contains a `{`, eight bytes a step: nearly no key has one, so this is what nearly
/// every key pays for hash tags.
#[inline]
fn has_open_brace(key: &[u8]) -> bool {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const BRACES: u64 = u64::from_ne_bytes([b'{'; 8]);
    let (words, tail) = key.as_chunks::<8>();
    for word in words {
        // A byte that equals `{` becomes zero, and a zero byte is the only kind that borrows into
        // its top bit while that bit was clear.
        let difference = u64::from_ne_bytes(*word) ^ BRACES;
        if difference.wrapping_sub(LOW) & !difference & HIGH != 0 {
            return true;
        }
    }
    tail.contains(&b'{')
}

/// CRC16/XMODEM: polynomial 0x1021, initial value 0, no reflection, no final XOR.
#[inline]
fn crc16(bytes: &[u8]) -> u16 {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut crc = 0_u16;
    for word in words {
        let [high, low] = crc.to_be_bytes();
        crc = TABLES[7][usize::from(word[0] ^ high)]
            ^ TABLES[6][usize::from(word[1] ^ low)]
            ^ TABLES[5][usize::from(word[2])]
            ^ TABLES[4][usize::from(word[3])]
            ^ TABLES[3][usize::from(word[4])]
            ^ TABLES[2][usize::from(word[5])]
            ^ TABLES[1][usize::from(word[6])]
            ^ TABLES[0][usize::from(word[7])];
    }
    for byte in tail {
        let [high, low] = crc.to_be_bytes();
        crc = TABLES[0][usize::from(high ^ byte)] ^ u16::from_be_bytes([low, 0]);
    }
    crc
}

/// `TABLES[n][b]` is the checksum of byte `b` followed by `n` zero bytes.
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    const POLYNOMIAL: u16 = 0x1021;
    let mut tables = [[0_u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= POLYNOMIAL;
            }
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let previous = tables[zeros - 1][byte];
            tables[zeros][byte] = (previous << 8) ^ tables[0][(previous >> 8) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, one bit at a time.
    fn crc16_by_bits(bytes: &[u8]) -> u16 {
        let mut crc = 0_u16;
        for byte in bytes {
            crc ^= u16::from(*byte) << 8;
            for _ in 0..8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            }
        }
        crc
    }

    #[test]
    fn the_check_value_of_the_algorithm() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn every_length_agrees_with_the_definition() {
        let bytes: Vec<u8> = (0..64_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for start in 0..8 {
            for end in start..bytes.len() {
                assert_eq!(crc16(&bytes[start..end]), crc16_by_bits(&bytes[start..end]));
            }
        }
    }

    #[test]
    fn slots_known_to_every_cluster_client() {
        for (key, slot) in [
            ("", 0),
            ("foo", 12182),
            ("bar", 5061),
            ("hello", 866),
            ("123456789", 12739),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("user1000", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn only_a_closed_and_non_empty_tag_counts() {
        assert_eq!(hash_tag(b"a{b}c"), b"b");
        assert_eq!(hash_tag(b"a{{b}}c"), b"{b");
        assert_eq!(hash_tag(b"a{}{b}"), b"a{}{b}");
        assert_eq!(hash_tag(b"a{b"), b"a{b");
        assert_eq!(hash_tag(b"}a{"), b"}a{");
        assert_eq!(hash_tag(b"}a{b}"), b"b");
    }

    #[test]
    fn a_brace_is_found_at_every_position() {
        for length in 0..40 {
            let mut key = vec![b'z'; length];
            assert!(!has_open_brace(&key));
            key.fill(b'{' ^ 0x80);
            assert!(!has_open_brace(&key));
            key.fill(b'|');
            for at in 0..length {
                key[at] = b'{';
                assert!(has_open_brace(&key), "length {length}, position {at}");
                key[at] = b'z';
            }
        }
    }
}
