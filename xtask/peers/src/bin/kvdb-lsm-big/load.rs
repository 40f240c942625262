//! The bulk load: sorted tables are built outside the database and become part of it.

use std::fs;
use std::time::Instant;

use kvdb_lsm::vfs::OsVfs;
use kvdb_lsm::{Compression, Db, Options, SstWriter};

use crate::data::{Data, write_versions};
use crate::{Outcome, Place, gigabytes, say};

/// The size of a table that is built outside, roughly.
const TABLE_BYTES: u64 = 128 << 20;

pub fn run(data: &Data, place: &Place, options: Options) -> Outcome {
    let began = Instant::now();
    let db = Db::open(options)?;
    fs::create_dir_all(&place.incoming)?;
    let per_table = TABLE_BYTES / (data.value_bytes as u64 + 16);
    let mut value = Vec::new();
    let mut from = 0;
    while from < data.entries {
        let path = place.incoming.join("table");
        let mut writer = SstWriter::create(&OsVfs, &path, Compression::None)?;
        let to = data.entries.min(from + per_table);
        for number in from..to {
            data.value(number, 0, &mut value);
            writer.put(&Data::key(number), &value)?;
        }
        writer.finish()?;
        db.ingest(&[&path])?;
        fs::remove_file(&path)?;
        from = to;
    }
    let seconds = began.elapsed().as_secs_f64();
    write_versions(&data.new_versions(), &place.versions)?;
    let bytes: u64 = db.stats().table_bytes.iter().sum();
    say(
        "bulk load",
        format_args!(
            "{} rows, {} in tables, {seconds:.0} s, {:.0} MB/s",
            data.entries,
            gigabytes(bytes),
            bytes as f64 / 1e6 / seconds
        ),
    );
    Ok(db.close()?)
}
