//! The rows: a value tells its number and its version, and the rest of it follows from these two.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::Outcome;

/// The sizes of the rows.
#[derive(Debug)]
pub struct Data {
    pub entries: u64,
    pub value_bytes: usize,
}

/// The version of every row, modulo 256.
pub type Versions = Vec<AtomicU8>;

impl Data {
    /// The key of a row; keys are in the order of numbers.
    pub fn key(number: u64) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key[8..].copy_from_slice(&mix(number).to_be_bytes());
        key
    }

    /// The number of a key, if it is one.
    pub fn number(key: &[u8]) -> Option<u64> {
        let number = u64::from_be_bytes(*key.first_chunk()?);
        (Self::key(number)[..] == *key).then_some(number)
    }

    /// Puts a value into `out`: bytes that no compression makes fewer.
    pub fn value(&self, number: u64, version: u8, out: &mut Vec<u8>) {
        out.clear();
        out.push(version);
        let mut state = mix(number ^ (u64::from(version) << 56)) | 1;
        while out.len() < self.value_bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            out.extend_from_slice(&state.to_le_bytes());
        }
        out.truncate(self.value_bytes);
    }

    /// The version of a value, if it is a whole value of that row.
    pub fn version(&self, number: u64, value: &[u8], buffer: &mut Vec<u8>) -> Option<u8> {
        let version = *value.first()?;
        self.value(number, version, buffer);
        (buffer == value).then_some(version)
    }

    pub fn new_versions(&self) -> Versions {
        (0..self.entries).map(|_| AtomicU8::new(0)).collect()
    }

    pub fn read_versions(&self, path: &Path) -> Outcome<Versions> {
        let versions: Versions = fs::read(path)?.into_iter().map(AtomicU8::new).collect();
        if versions.len() as u64 != self.entries {
            return Err(format!("{} holds {} versions", path.display(), versions.len()).into());
        }
        Ok(versions)
    }
}

pub fn write_versions(versions: &Versions, path: &Path) -> Outcome {
    let bytes: Vec<u8> = versions.iter().map(|version| version.load(Ordering::Acquire)).collect();
    Ok(fs::write(path, bytes)?)
}

/// The finisher of SplitMix64.
pub const fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
