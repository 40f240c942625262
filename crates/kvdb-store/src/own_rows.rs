//! Rows that belong to the server rather than to a database: functions, and whatever else has to survive it.

use std::ops::Bound;

use kvdb_lsm::batch::WriteBatch;

use crate::commit_log::Refusal;
use crate::row;
use crate::store::Store;

/// The beginning of the keys of these rows, behind which the owner's own begin.
const PREFIX: &[u8] = b"\xff\xffown ";

/// A row: what its name has behind the prefix that was asked for, and its value.
pub type OwnRow = (Vec<u8>, Vec<u8>);

fn key(name: &[u8]) -> Vec<u8> {
    [PREFIX, name].concat()
}

impl Store {
    /// Writes and deletes rows in one step. Returns the sequence that must be safe before it may be told of.
    ///
    /// # Errors
    /// When the log refuses writes; then nothing has changed.
    pub fn write_own(&self, rows: &[(&[u8], Option<&[u8]>)]) -> Result<u64, Refusal> {
        let mut batch = WriteBatch::new();
        for (name, value) in rows {
            match value {
                Some(value) => batch.put(&key(name), value),
                None => batch.delete(&key(name)),
            }
        }
        self.log.append(&batch)
    }

    /// The rows whose names begin with a prefix, as names behind the prefix and values, in order.
    ///
    /// # Errors
    /// When rows cannot be read; the message is for an operator.
    pub fn read_own(&self, prefix: &[u8]) -> Result<Vec<OwnRow>, String> {
        let (from, view) = (key(prefix), self.rows.view());
        let end = row::behind_elements(&from);
        let mut rows = self.rows.iter((Bound::Included(&from[..]), Bound::Excluded(&end[..])), &view);
        let mut found = Vec::new();
        while let Some((name, value)) = rows.next_entry().map_err(|e| e.to_string())? {
            found.push((name[from.len()..].to_vec(), value.to_vec()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::open_store;

    #[test]
    fn what_is_written_is_read_by_its_prefix() {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let store = open_store(dir.path());
        let rows: &[(&[u8], Option<&[u8]>)] =
            &[(b"a/2", Some(b"two")), (b"a/1", Some(b"one")), (b"b/1", Some(b"x"))];
        store.write_own(rows).expect("the log takes everything");
        let read = |prefix: &[u8]| store.read_own(prefix).expect("rows are sound");
        assert_eq!(read(b"a/"), [(b"1".to_vec(), b"one".to_vec()), (b"2".to_vec(), b"two".to_vec())]);
        store.write_own(&[(b"a/1", None)]).expect("the log takes everything");
        assert_eq!(read(b"a/").len(), 1);
        assert_eq!(read(b"c/"), []);
        store.close();
    }
}
