//! One record of a blob file.

use crate::compression;

/// The first bytes of every record: behind damage, the next one is found by them.
pub(super) const MAGIC: [u8; 4] = *b"blob";
/// What is in front of the key.
pub(super) const HEAD: usize = 17;
/// Where the part of a record begins that its checksum covers.
const COVERED: usize = 8;

fn checksum(covered: &[u8], file: u64, offset: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(covered);
    hasher.update(&file.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.finalize()
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The length of the record that begins like this, if it begins like one.
pub(super) fn len_of(head: &[u8]) -> Option<u64> {
    let head = head.first_chunk::<HEAD>().filter(|head| head.starts_with(&MAGIC))?;
    Some(HEAD as u64 + u64::from(number(head, 8)) + u64::from(number(head, 12)))
}

/// Appends a record to `out`, which becomes part of blob file `file` at `offset`; `store` appends the
/// stored value and returns its codec. Returns the length of the record and its checksum.
pub(super) fn seal(
    key: &[u8],
    store: impl FnOnce(&mut Vec<u8>) -> u8,
    file: u64,
    offset: u64,
    out: &mut Vec<u8>,
) -> (u32, u32) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.resize(start + HEAD, 0);
    out.extend_from_slice(key);
    let codec = store(out);
    let fits = |len: usize| u32::try_from(len).expect("an entry is bounded by the size of a batch");
    let len = fits(out.len() - start);
    let stored_len = len - HEAD as u32 - fits(key.len());
    out[start + 8..start + 12].copy_from_slice(&fits(key.len()).to_le_bytes());
    out[start + 12..start + 16].copy_from_slice(&stored_len.to_le_bytes());
    out[start + 16] = codec;
    let crc = checksum(&out[start + COVERED..], file, offset);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    (len, crc)
}

/// A record as it was read: its checksum matches.
#[derive(Debug)]
pub(crate) struct Record {
    bytes: Vec<u8>,
    key_len: usize,
}

impl Record {
    /// Checks the bytes of the record at `offset` of blob file `file`. `Err` says what is wrong.
    pub(super) fn open(bytes: Vec<u8>, file: u64, offset: u64) -> Result<Self, &'static str> {
        match len_of(&bytes) {
            None => return Err("there is no record"),
            Some(len) if len != bytes.len() as u64 => return Err("the record has another length"),
            Some(_) => {}
        }
        if checksum(&bytes[COVERED..], file, offset) != number(&bytes, 4) {
            return Err("the checksum of the record does not match");
        }
        let key_len = number(&bytes, 8) as usize;
        Ok(Self { bytes, key_len })
    }

    /// The length of the record.
    pub(crate) const fn len(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// The checksum.
    pub(crate) fn crc(&self) -> u32 {
        number(&self.bytes, 4)
    }

    /// The key.
    pub(crate) fn key(&self) -> &[u8] {
        &self.bytes[HEAD..HEAD + self.key_len]
    }

    /// The codec of the value.
    pub(crate) fn codec(&self) -> u8 {
        self.bytes[16]
    }

    /// The value as it is stored.
    pub(crate) fn stored(&self) -> &[u8] {
        &self.bytes[HEAD + self.key_len..]
    }

    /// The value. `Err` says what is wrong with it.
    pub(crate) fn into_value(self) -> Result<Vec<u8>, &'static str> {
        let (codec, mut bytes) = (self.codec(), self.bytes);
        bytes.drain(..HEAD + self.key_len);
        compression::decompress(bytes, codec)
    }
}
