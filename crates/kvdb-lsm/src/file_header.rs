//! The 16 bytes at the front of every file of the engine, which tell what kind of file it is.
//!
//! ```text
//! header := "KVDBFILE" | kind u8 | format u8 | flags u16 | crc u32     (crc over what is before it)
//! ```

/// The length of the header in bytes.
pub(crate) const FILE_HEADER_LEN: usize = 16;

const MAGIC: [u8; 8] = *b"KVDBFILE";
const CRC_AT: usize = 12;

/// What a file is. Log segments are kind 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A sorted table.
    Table = 2,
    /// A manifest.
    Manifest = 3,
    /// The description of a backup.
    Backup = 4,
    /// A file of large values.
    Blob = 5,
}

impl FileKind {
    /// The newest format of the kind: the one that is written. All older ones are read.
    const fn newest(self) -> u8 {
        match self {
            Self::Table => 2,
            Self::Manifest | Self::Backup | Self::Blob => 1,
        }
    }
}

/// The header of a new file.
pub(crate) fn file_header(kind: FileKind) -> [u8; FILE_HEADER_LEN] {
    header_of(kind, kind.newest())
}

/// The header of a file of any format.
pub(crate) fn header_of(kind: FileKind, format: u8) -> [u8; FILE_HEADER_LEN] {
    let mut bytes = [0; FILE_HEADER_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8] = kind as u8;
    bytes[9] = format;
    let crc = crc32fast::hash(&bytes[..CRC_AT]);
    bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Checks the header of a file and returns its format; `Err` says what is wrong with it.
pub(crate) fn check_file_header(bytes: &[u8], kind: FileKind) -> Result<u8, &'static str> {
    let header = bytes.get(..FILE_HEADER_LEN).ok_or("the file is shorter than its header")?;
    if header[..8] != MAGIC {
        return Err("the file is none of this engine");
    }
    if crc32fast::hash(&header[..CRC_AT]).to_le_bytes() != header[CRC_AT..] {
        return Err("the checksum of the file header does not match");
    }
    if header[8] != kind as u8 {
        return Err("the file is of another kind than its name says");
    }
    let format = header[9];
    if format > kind.newest() {
        return Err(
            "the file has a format that this version does not know; open it with the version that wrote it, or a \
                    newer one",
        );
    }
    if !(1..=kind.newest()).contains(&format) || header != header_of(kind, format) {
        return Err("the file has a format or flags that this version does not know");
    }
    Ok(format)
}
