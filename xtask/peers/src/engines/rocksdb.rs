//! RocksDB, through its C interface: the few calls that are needed, declared here, so that no generator of bindings and
//! no build of RocksDB is needed.

use std::ffi::{CStr, CString, c_char, c_double, c_int, c_uchar, c_void};
use std::ptr;

use crate::engine::{Durability, Engine, Failure, Setup, failed};

type Raw = *mut c_void;

#[link(name = "rocksdb")]
unsafe extern "C" {
    fn rocksdb_options_create() -> Raw;
    fn rocksdb_options_set_create_if_missing(options: Raw, on: c_uchar);
    fn rocksdb_options_set_write_buffer_size(options: Raw, bytes: usize);
    fn rocksdb_options_set_max_write_buffer_number(options: Raw, count: c_int);
    fn rocksdb_options_set_max_background_jobs(options: Raw, count: c_int);
    fn rocksdb_options_set_level_compaction_dynamic_level_bytes(options: Raw, on: c_uchar);
    fn rocksdb_options_set_max_bytes_for_level_base(options: Raw, bytes: u64);
    fn rocksdb_options_set_target_file_size_base(options: Raw, bytes: u64);
    fn rocksdb_options_set_compression_per_level(options: Raw, levels: *const c_int, count: usize);
    fn rocksdb_options_set_max_open_files(options: Raw, count: c_int);
    fn rocksdb_options_set_block_based_table_factory(options: Raw, table: Raw);
    fn rocksdb_block_based_options_create() -> Raw;
    fn rocksdb_block_based_options_set_block_cache(table: Raw, cache: Raw);
    fn rocksdb_block_based_options_set_filter_policy(table: Raw, policy: Raw);
    fn rocksdb_block_based_options_set_format_version(table: Raw, version: c_int);
    fn rocksdb_filterpolicy_create_bloom_full(bits_per_key: c_double) -> Raw;
    fn rocksdb_cache_create_lru(bytes: usize) -> Raw;
    fn rocksdb_open(options: Raw, path: *const c_char, error: *mut *mut c_char) -> Raw;
    fn rocksdb_close(db: Raw);
    fn rocksdb_writeoptions_create() -> Raw;
    fn rocksdb_writeoptions_set_sync(options: Raw, on: c_uchar);
    fn rocksdb_readoptions_create() -> Raw;
    fn rocksdb_put(
        db: Raw,
        options: Raw,
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
        error: *mut *mut c_char,
    );
    fn rocksdb_delete(db: Raw, options: Raw, key: *const u8, key_len: usize, error: *mut *mut c_char);
    fn rocksdb_write(db: Raw, options: Raw, batch: Raw, error: *mut *mut c_char);
    fn rocksdb_writebatch_create() -> Raw;
    fn rocksdb_writebatch_destroy(batch: Raw);
    fn rocksdb_writebatch_put(batch: Raw, key: *const u8, key_len: usize, value: *const u8, value_len: usize);
    fn rocksdb_get_pinned(
        db: Raw,
        options: Raw,
        key: *const u8,
        key_len: usize,
        error: *mut *mut c_char,
    ) -> Raw;
    fn rocksdb_pinnableslice_value(slice: Raw, len: *mut usize) -> *const u8;
    fn rocksdb_pinnableslice_destroy(slice: Raw);
    fn rocksdb_create_iterator(db: Raw, options: Raw) -> Raw;
    fn rocksdb_iter_destroy(iter: Raw);
    fn rocksdb_iter_seek(iter: Raw, key: *const u8, key_len: usize);
    fn rocksdb_iter_valid(iter: Raw) -> c_uchar;
    fn rocksdb_iter_next(iter: Raw);
    fn rocksdb_iter_value(iter: Raw, len: *mut usize) -> *const u8;
    fn rocksdb_flushoptions_create() -> Raw;
    fn rocksdb_flush(db: Raw, options: Raw, error: *mut *mut c_char);
    fn rocksdb_property_int(db: Raw, name: *const c_char, value: *mut u64) -> c_int;
    fn rocksdb_free(pointer: Raw);
}

const LZ4: c_int = 4;

/// # Invariants
/// The pointers are those that RocksDB returned; the database is closed once, when this is dropped. The options live as
/// long as the process: there is one database in it.
pub struct Rocks {
    db: Raw,
    write: Raw,
    read: Raw,
}

// SAFETY: RocksDB's documentation allows all calls made here from several threads at once.
unsafe impl Send for Rocks {}
// SAFETY: as above.
unsafe impl Sync for Rocks {}

fn checked<R>(call: impl FnOnce(*mut *mut c_char) -> R) -> Result<R, Failure> {
    let mut error: *mut c_char = ptr::null_mut();
    let result = call(&mut error);
    if error.is_null() {
        return Ok(result);
    }
    // SAFETY: RocksDB stores a C string that it allocated, and gives it to us.
    let text = unsafe {
        let text = CStr::from_ptr(error).to_string_lossy().into_owned();
        rocksdb_free(error.cast());
        text
    };
    Err(Failure(text))
}

impl Rocks {
    pub fn open(setup: &Setup) -> Result<Self, Failure> {
        std::fs::create_dir_all(&setup.dir).map_err(failed)?;
        let path = CString::new(setup.dir.to_string_lossy().as_bytes()).map_err(failed)?;
        // As for KVDB: none on the two upper levels, LZ4 below.
        let compression: [c_int; 7] = [0, 0, LZ4, LZ4, LZ4, LZ4, LZ4];
        // SAFETY: every pointer comes from the constructor that belongs to the call.
        unsafe {
            let options = rocksdb_options_create();
            rocksdb_options_set_create_if_missing(options, 1);
            rocksdb_options_set_write_buffer_size(options, setup.budget_bytes / 8);
            rocksdb_options_set_max_write_buffer_number(options, 4);
            rocksdb_options_set_max_background_jobs(options, 2);
            rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
            let base = (setup.budget_bytes as u64 / 2).clamp(16 << 20, 256 << 20);
            rocksdb_options_set_max_bytes_for_level_base(options, base);
            rocksdb_options_set_target_file_size_base(options, 64 << 20);
            rocksdb_options_set_max_open_files(options, -1);
            rocksdb_options_set_compression_per_level(options, compression.as_ptr(), compression.len());
            let table = rocksdb_block_based_options_create();
            rocksdb_block_based_options_set_block_cache(
                table,
                rocksdb_cache_create_lru(setup.budget_bytes / 2),
            );
            rocksdb_block_based_options_set_filter_policy(
                table,
                rocksdb_filterpolicy_create_bloom_full(10.0),
            );
            rocksdb_block_based_options_set_format_version(table, 5);
            rocksdb_options_set_block_based_table_factory(options, table);
            let db = checked(|error| rocksdb_open(options, path.as_ptr(), error))?;
            let write = rocksdb_writeoptions_create();
            rocksdb_writeoptions_set_sync(write, u8::from(setup.durability == Durability::Disk));
            Ok(Self { db, write, read: rocksdb_readoptions_create() })
        }
    }

    fn property(&self, name: &CStr) -> u64 {
        let mut value = 0;
        // SAFETY: the call writes to a local of the type that it expects.
        unsafe { rocksdb_property_int(self.db, name.as_ptr(), &mut value) };
        value
    }
}

impl Engine for Rocks {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        checked(|error| {
            // SAFETY: the slices outlive the call.
            unsafe {
                rocksdb_put(self.db, self.write, key.as_ptr(), key.len(), value.as_ptr(), value.len(), error);
            }
        })
    }

    fn put_all(&self, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Failure> {
        // SAFETY: the batch is made and destroyed here; the slices outlive the calls.
        unsafe {
            let batch = rocksdb_writebatch_create();
            for (key, value) in pairs {
                rocksdb_writebatch_put(batch, key.as_ptr(), key.len(), value.as_ptr(), value.len());
            }
            let result = checked(|error| rocksdb_write(self.db, self.write, batch, error));
            rocksdb_writebatch_destroy(batch);
            result
        }
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        // SAFETY: the slice outlives the call.
        checked(|error| unsafe { rocksdb_delete(self.db, self.write, key.as_ptr(), key.len(), error) })
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>, Failure> {
        // SAFETY: the slice outlives the call; the pinned value is read before it is destroyed.
        unsafe {
            let slice =
                checked(|error| rocksdb_get_pinned(self.db, self.read, key.as_ptr(), key.len(), error))?;
            if slice.is_null() {
                return Ok(None);
            }
            let mut len = 0;
            let value = rocksdb_pinnableslice_value(slice, &mut len);
            let copy = std::slice::from_raw_parts(value, len).to_vec();
            rocksdb_pinnableslice_destroy(slice);
            Ok(Some(copy.len()))
        }
    }

    fn scan(&self, key: &[u8], count: usize) -> Result<usize, Failure> {
        // SAFETY: the iterator is made and destroyed here; values are looked at while it stands on them.
        unsafe {
            let iter = rocksdb_create_iterator(self.db, self.read);
            rocksdb_iter_seek(iter, key.as_ptr(), key.len());
            let mut found = 0;
            while found < count && rocksdb_iter_valid(iter) != 0 {
                let mut len = 0;
                std::hint::black_box(rocksdb_iter_value(iter, &mut len));
                found += 1;
                rocksdb_iter_next(iter);
            }
            rocksdb_iter_destroy(iter);
            Ok(found)
        }
    }

    fn settle(&self) -> Result<(), Failure> {
        // SAFETY: the options are those of the call.
        checked(|error| unsafe { rocksdb_flush(self.db, rocksdb_flushoptions_create(), error) })?;
        let names = [
            c"rocksdb.mem-table-flush-pending",
            c"rocksdb.num-running-flushes",
            c"rocksdb.compaction-pending",
            c"rocksdb.num-running-compactions",
        ];
        super::wait_until_idle(|| names.iter().all(|name| self.property(name) == 0));
        Ok(())
    }
}

impl Drop for Rocks {
    fn drop(&mut self) {
        // SAFETY: the database is open, and nobody uses it any more.
        unsafe { rocksdb_close(self.db) };
    }
}
