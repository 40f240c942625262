//! Passwords: kept as SHA-256 and compared in constant time.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The hash of a password.
#[derive(Clone, Copy)]
pub struct Password([u8; 32]);

impl Password {
    /// Of a password.
    pub fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// A hash in 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; 32];
        let (pairs, _) = text.as_chunks::<2>();
        for (byte, &[high, low]) in hash.iter_mut().zip(pairs) {
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(hash))
    }

    /// The hash in hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Takes the same time wherever they differ.
impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_and_written() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Password::of(b"abc").to_hex(), hex);
        assert_eq!(Password::from_hex(hex.as_bytes()), Some(Password::of(b"abc")));
        assert_ne!(Password::of(b"abc"), Password::of(b"abd"));
        for wrong in [&hex[1..], &hex.to_uppercase(), &hex.replace('b', "g"), ""] {
            assert_eq!(Password::from_hex(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(format!("{:?}", Password::of(b"abc")), "Password(..)");
    }
}
