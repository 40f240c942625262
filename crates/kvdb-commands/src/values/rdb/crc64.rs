//! The CRC-64 of RDB: the polynomial of David T. Jones, reflected, without initial or final XOR.

/// The polynomial 0xad93d23594c935a9 with its bits reversed.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

/// The checksum of `bytes`, eight at a step.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut crc = 0_u64;
    for word in words {
        let mixed = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
        let parts = mixed.iter().zip(TABLES.iter().rev());
        crc = parts.fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)]);
    }
    for byte in tail {
        let [low, ..] = crc.to_le_bytes();
        crc = (crc >> 8) ^ TABLES[0][usize::from(low ^ byte)];
    }
    crc
}

/// `TABLES[n][b]` is the checksum of byte `b` followed by `n` zero bytes.
static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0_u64; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ POLYNOMIAL };
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
            tables[zeros][byte] = (previous >> 8) ^ tables[0][(previous & 0xff) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(checksum(b""), 0);
        assert_eq!(checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn words_and_bytes_agree() {
        let bytes: Vec<u8> = (0..100).collect();
        for end in 0..bytes.len() {
            let by_bytes = bytes[..end]
                .iter()
                .fold(0_u64, |crc, byte| (crc >> 8) ^ TABLES[0][usize::from(crc as u8 ^ byte)]);
            assert_eq!(checksum(&bytes[..end]), by_bytes);
        }
    }
}
