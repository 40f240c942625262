//! The log file: appended to, and followed when it is rotated.
//!
//! Log rotation renames the file and expects the server to begin a new one. Every line therefore looks whether the path
//! still names the file that is open, and opens it again when it does not: no signal and no setting is needed, and a
//! file that is truncated in place works as well, since every write goes to its end. The log is written seldom enough
//! for that look to cost nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// Readable by the group, since logs are collected; never by everybody.
const MODE: u32 = 0o640;

/// See the module's text.
pub(super) struct LogFile {
    path: PathBuf,
    open: Mutex<Open>,
}

/// The file that is open.
///
/// # Invariants
///
/// * `identity` is the device and inode of `file`.
struct Open {
    file: File,
    identity: (u64, u64),
}

impl LogFile {
    /// Opens a file for appending, or creates it. A relative path counts from the directory that is current now.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let open = Mutex::new(Open::end_of(&path)?);
        Ok(Self { path, open })
    }
}

impl Open {
    fn end_of(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
        let metadata = file.metadata()?;
        Ok(Self { file, identity: (metadata.dev(), metadata.ino()) })
    }

    fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == self.identity)
    }
}

impl Write for &LogFile {
    /// Writes a line whole, so that those of two threads do not mix.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut open = self.open.lock();
        // Where the path cannot be opened, lines go on to the file that is open, wherever that is called now.
        if !open.is_at(&self.path)
            && let Ok(anew) = Open::end_of(&self.path)
        {
            *open = anew;
        }
        open.file.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.lock().file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_was_renamed_or_removed_is_begun_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, old) = (dir.path().join("kvdb.log"), dir.path().join("kvdb.log.1"));
        fs::write(&path, "from before\n").expect("it is written");
        let log = LogFile::open(&path).expect("it opens");
        let mut log = &log;
        log.write_all(b"one\n").expect("it is written");
        fs::rename(&path, &old).expect("it is renamed");
        log.write_all(b"two\n").expect("it is written");
        assert_eq!(fs::read_to_string(&old).expect("it is there"), "from before\none\n");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "two\n");
        fs::remove_file(&path).expect("it is removed");
        log.write_all(b"three\n").expect("it is written");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "three\n");
    }

    #[test]
    fn a_file_that_was_truncated_is_written_from_its_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("kvdb.log");
        let log = LogFile::open(&path).expect("it opens");
        let mut log = &log;
        log.write_all(b"one\n").expect("it is written");
        File::options().write(true).truncate(true).open(&path).expect("it opens");
        log.write_all(b"two\n").expect("it is written");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "two\n");
    }

    #[test]
    fn a_file_whose_directory_is_gone_is_written_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("kvdb.log");
        let log = LogFile::open(&path).expect("it opens");
        let mut log = &log;
        dir.close().expect("it is removed");
        log.write_all(b"lost to everybody, yet no error\n").expect("the open file takes it");
        assert!(LogFile::open(&path).is_err());
    }
}
