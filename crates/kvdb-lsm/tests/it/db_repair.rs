//! Repair and dumps: what is sound is kept exactly, what is lost is told, and nothing that was
//! never written comes out.

use crate::db_blobs::{in_dir, records};
use crate::db_support::{COUNTERS, DB, History, KEYS, Model, files, key, random_batch, small};
use crate::support::Rng;
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::dump::{self, LogEntry, ManifestEntry};
use kvdb_lsm::error::Error;
use kvdb_lsm::repair::{RepairReport, repair};
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs, Vfs, VfsFileExt};
use kvdb_lsm::{Compression, Db, SstWriter, unwatched};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A database with tables on several levels and a log, as the death of its process left it.
fn database(seed: u64) -> (SimVfs, History) {
    let vfs = SimVfs::new();
    let mut options = small(&vfs);
    options.base_level_bytes = 2 << 10;
    let db = Db::open(options).expect("open");
    let (mut history, mut rng) = (History::default(), Rng::new(seed));
    for n in 0..120 {
        let batch = random_batch(&mut rng);
        let seq = db.append(&batch).expect("append");
        history.push(batch, seq);
        if n % 12 == 11 && n < 110 {
            db.flush().expect("flush");
            db.compact_step().expect("compact");
        }
        db.log().write_out(seq).expect("write");
    }
    db.log().sync().expect("sync");
    // A record behind the sync, which promises it.
    let batch = random_batch(&mut rng);
    let seq = db.append(&batch).expect("append");
    history.push(batch, seq);
    db.log().write_out(seq).expect("write");
    (vfs.process_crash(), history)
}

fn run(vfs: &SimVfs, context: &str) -> RepairReport {
    repair(&small(vfs), &mut unwatched).unwrap_or_else(|e| panic!("{context}: {e}"))
}

fn of_kind(vfs: &SimVfs, extension: &str) -> Vec<PathBuf> {
    files(vfs).into_iter().filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
}

fn manifest(vfs: &SimVfs) -> PathBuf {
    Path::new(DB).join(dump::current(vfs, Path::new(DB)).expect("CURRENT"))
}

/// Every value that was ever written, by key.
fn ever(history: &History) -> BTreeMap<Vec<u8>, BTreeSet<Option<Vec<u8>>>> {
    let mut ever: BTreeMap<Vec<u8>, BTreeSet<Option<Vec<u8>>>> = BTreeMap::new();
    for (batch, _) in &history.batches {
        for op in batch {
            match op {
                kvdb_lsm::batch::Op::Put { key, value } => {
                    ever.entry(key.to_vec()).or_default().insert(Some(value.to_vec()));
                }
                kvdb_lsm::batch::Op::Delete { key } => {
                    ever.entry(key.to_vec()).or_default().insert(None);
                }
                kvdb_lsm::batch::Op::Counter { .. } => {}
            }
        }
    }
    ever
}

/// After a repair, every row is one that was written at some time; returns how many are the newest.
fn judge(vfs: &SimVfs, history: &History, context: &str) -> u64 {
    let ever = ever(history);
    let db = Db::open(small(vfs)).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert!(db.verify().expect("verify").problems.is_empty(), "{context}");
    let mut newest = 0;
    for n in 0..KEYS {
        let found = db.get(&key(n)).unwrap_or_else(|e| panic!("{context}: {e}"));
        newest += u64::from(found.as_ref() == history.model.rows.get(&key(n)));
        let known = ever.get(&key(n)).is_some_and(|values| values.contains(&found));
        assert!(known || found.is_none(), "{context}: {:?} was never written", key(n));
    }
    // It is a database like any other.
    let mut batch = WriteBatch::new();
    batch.put(b"after", b"the repair");
    db.append(&batch).expect("append");
    db.compact().expect("compact");
    db.close().expect("close");
    let db = Db::open(small(vfs)).expect("open again");
    assert_eq!(db.get(b"after").expect("get").as_deref(), Some(&b"the repair"[..]), "{context}");
    newest
}

#[test]
fn a_sound_database_stays_as_it_is() {
    for seed in 0..5 {
        let (vfs, history) = database(seed);
        let report = run(&vfs, "sound");
        assert!(report.losses.is_empty() && report.quarantined.is_empty(), "{report:?}");
        assert_eq!((report.rewritten, report.log_batches), (0, 0));
        history.model.assert_equals(&Db::open(small(&vfs)).expect("open"), "sound");
    }
    let nothing = repair(&small(&SimVfs::new()), &mut unwatched);
    assert!(matches!(nothing, Err(Error::Invalid(_))));
    let (vfs, _) = database(1);
    let _db = Db::open(small(&vfs)).expect("open");
    let in_use = repair(&small(&vfs), &mut unwatched);
    assert!(matches!(in_use, Err(Error::Io { action: "lock", .. })));
}

#[test]
fn without_current_or_manifest_every_row_comes_back() {
    for seed in 0..12 {
        let (vfs, history) = database(seed);
        let copy = vfs.process_crash();
        copy.remove(&Path::new(DB).join("CURRENT")).expect("remove");
        assert!(Db::open(small(&copy)).is_err());
        let report = run(&copy, "no CURRENT");
        assert_eq!(report.manifest, Some(manifest(&vfs)));
        assert!(report.losses.is_empty(), "{report:?}");
        history.model.assert_equals(&Db::open(small(&copy)).expect("open"), "no CURRENT");

        // Without a manifest the versions are told apart by their sequences.
        let copy = vfs.process_crash();
        copy.remove(&manifest(&vfs)).expect("remove");
        let report = run(&copy, "no manifest");
        assert_eq!(report.manifest, None);
        assert_eq!(report.losses.len(), 1, "only that of the manifest: {report:?}");
        let context = format!("no manifest, seed {seed}");
        let db = Db::open(small(&copy)).expect("open");
        for n in 0..KEYS {
            history.model.assert_key(&db, &key(n), &context);
        }
        drop(db);
        assert_eq!(judge(&copy, &history, &context), KEYS);
    }
}

#[test]
fn without_a_manifest_what_an_interrupted_flush_did_not_write_comes_from_the_log() {
    let (mut with_tables, mut nth) = (0, 1);
    loop {
        let (vfs, mut history) = (SimVfs::new(), History::default());
        let db = Db::open(small(&vfs)).expect("open");
        for round in 0..2u8 {
            for n in 0..KEYS {
                let mut batch = WriteBatch::new();
                // The keys come in an order in which no table of a flush has the largest sequences alone.
                batch.put(&key(n * 7 % KEYS), &[round; 60]);
                let seq = db.append(&batch).expect("append");
                history.push(batch, seq);
            }
            db.log().sync().expect("sync");
            if round == 0 {
                db.flush().expect("flush");
            }
        }
        let before = of_kind(&vfs, "sst").len();
        vfs.fail(FaultPlan::from(nth, FaultKind::Io));
        let flushed = db.flush();
        let hit = vfs.heal();
        drop(db);
        let left = vfs.process_crash();
        with_tables += u32::from(flushed.is_err() && of_kind(&left, "sst").len() > before);
        for path in files(&left) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name == "CURRENT" || name.starts_with("MANIFEST") {
                left.remove(&path).expect("remove");
            }
        }
        let context = format!("interrupted at {nth}");
        run(&left, &context);
        history.model.assert_equals(&Db::open(small(&left)).expect("open"), &context);
        if hit == 0 {
            break;
        }
        nth += 1;
    }
    assert!(with_tables > 3, "{with_tables}");
}

#[test]
fn a_log_that_is_missing_is_a_loss() {
    let (vfs, _) = database(2);
    let db = Db::open(small(&vfs)).expect("open");
    db.log().rotate(|_| ()).expect("rotate");
    let mut batch = WriteBatch::new();
    batch.put(b"behind", b"the cut");
    db.append(&batch).expect("append");
    db.log().sync().expect("sync");
    let vfs = vfs.process_crash();
    let segments = of_kind(&vfs, "wal");
    assert!(segments.len() > 1, "{segments:?}");
    for (missing, expected) in
        [(&segments[..1], "are missing: the writes in them"), (&segments[..], "the log is missing")]
    {
        let copy = vfs.process_crash();
        missing.iter().for_each(|path| copy.remove(path).expect("remove"));
        assert!(Db::open(small(&copy)).is_err());
        let report = run(&copy, expected);
        assert!(report.losses.iter().any(|loss| loss.contains(expected)), "{report:?}");
        let db = Db::open(small(&copy)).expect("open");
        assert_eq!(db.get(b"behind").expect("get").is_some(), missing.len() < segments.len());
        drop(db);
        let again = run(&copy, "again");
        assert!(again.losses.is_empty(), "{again:?}");
    }
}

#[test]
fn the_last_level_is_the_oldest_when_no_manifest_tells() {
    let vfs = SimVfs::new();
    vfs.create_dir_all(Path::new("/in")).expect("create");
    let db = Db::open(small(&vfs)).expect("open");
    let mut expected = BTreeMap::new();
    let mut write = |keys: Range<u64>, value: &[u8]| {
        for n in keys {
            let mut batch = WriteBatch::new();
            batch.put(&key(n), value);
            db.append(&batch).expect("append");
            expected.insert(key(n), value.to_vec());
        }
        db.flush().expect("flush");
    };
    let ingest = |name: &str, keys: Range<u64>, value: &[u8]| {
        let path = Path::new("/in").join(name);
        let mut writer = SstWriter::create(&vfs, &path, Compression::None).expect("create");
        for n in keys {
            writer.put(&key(n), value).expect("put");
        }
        writer.finish().expect("finish");
        db.ingest(&[path]).expect("ingest");
    };
    // Into the last level twice, so that entries that have no sequence any more are written anew,
    // in tables that reach beyond those that the newer entries came from.
    write(0..100, b"first");
    ingest("last.sst", 100..101, b"first");
    db.compact().expect("compact");
    write(50..60, b"second");
    db.compact().expect("compact");
    let stats = db.stats();
    assert_eq!(stats.tables.iter().sum::<usize>(), stats.tables[6]);
    // Above it: a table that was ingested, and one that was flushed.
    ingest("new.sst", 40..55, b"third");
    write(54..55, b"fourth");
    expected.insert(key(100), b"first".to_vec());
    expected.extend((40..54).map(|n| (key(n), b"third".to_vec())));
    assert!(db.stats().tables[0] == 1 && db.stats().tables[1..6].contains(&1), "{:?}", db.stats().tables);
    let flushed = db.stats().flushed_seq;
    db.close().expect("close");

    vfs.remove(&manifest(&vfs)).expect("remove");
    let report = run(&vfs, "no manifest");
    assert_eq!((report.manifest, report.flushed_seq), (None, flushed));
    assert_eq!(rows(&vfs), expected);

    // Once more, when the last level is all there is: its tables say where the sequences end.
    let db = Db::open(small(&vfs)).expect("open");
    db.compact().expect("compact");
    db.compact().expect("compact");
    db.close().expect("close");
    vfs.remove(&manifest(&vfs)).expect("remove");
    assert_eq!(run(&vfs, "the last level alone").flushed_seq, flushed);
    assert_eq!(rows(&vfs), expected);
}

#[test]
fn a_damaged_table_loses_what_cannot_be_read_and_nothing_else() {
    let (mut all, mut blocks) = (0, 0);
    let (vfs, history) = database(3);
    for table in of_kind(&vfs, "sst") {
        let len = vfs.open_read(&table).expect("open").len().expect("length");
        for at in (0..len).step_by((len / 25 + 1) as usize) {
            let context = format!("{} at {at}", table.display());
            let copy = vfs.process_crash();
            copy.flip_byte(&table, at).expect("flip");
            let report = run(&copy, &context);
            assert!(!report.losses.is_empty(), "{context}");
            assert_eq!(report.quarantined.len(), 1, "{context}");
            assert!(copy.exists(&report.quarantined[0]).expect("look"), "{context}");
            assert!(!copy.exists(&table).expect("look"), "{context}");
            let readable = report.losses[0].starts_with("of table");
            blocks += u32::from(readable);
            all += u32::from(!readable);
            let newest = judge(&copy, &history, &context);
            if readable {
                // A block is a small part of a table.
                assert!(newest > KEYS * 3 / 4, "{context}: only {newest} keys are the newest");
            }
        }
    }
    assert!(all > 0 && blocks > 10, "{all} whole tables, {blocks} single blocks");
}

#[test]
fn a_damaged_log_loses_one_record_and_tells_it() {
    let (vfs, history) = database(4);
    let log = of_kind(&vfs, "wal").pop().expect("a segment");
    let mut records = Vec::new();
    dump::log(&vfs, &log, &mut |entry| {
        if let LogEntry::Batch { offset, first_seq, batch, .. } = entry {
            records.push((offset, first_seq, batch));
        }
        Ok(())
    })
    .expect("dump");
    assert!(records.len() > 4);
    let (offset, first_seq, lost) = &records[1];
    let mut expected = Model::default();
    for (batch, end) in &history.batches {
        if end + 1 - u64::from(batch.count()) != *first_seq {
            expected.apply(batch);
        }
    }
    // In the payload: the chunk is bad, its length can be believed. In length, type and segment number: it
    // can be found out.
    for at in [19 + 20, 4, 5, 6, 7, 10] {
        let vfs = vfs.process_crash();
        vfs.flip_byte(&log, offset + at).expect("flip");
        assert!(matches!(Db::open(small(&vfs)), Err(Error::Corruption { .. })), "{at}");
        let report = run(&vfs, "a damaged record");
        assert_eq!(report.log_batches, records.len() as u64 - 1, "{at}: {report:?}");
        let gap = format!("the writes {first_seq} to {}", first_seq + u64::from(lost.count()) - 1);
        assert!(report.losses.iter().any(|loss| loss.contains(&gap)), "{at}: {report:?}");
        expected.assert_equals(&Db::open(small(&vfs)).expect("open"), "all but one record");
    }
}

#[test]
fn an_interrupted_repair_can_be_run_again() {
    let mut nth = 1;
    loop {
        let (vfs, history) = database(5);
        vfs.remove(&manifest(&vfs)).expect("remove");
        // What comes back by a power cut shall not: without a manifest, obsolete tables count.
        for sub in ["", "sst", "wal"] {
            vfs.sync_dir(&Path::new(DB).join(sub)).expect("sync");
        }
        let log = of_kind(&vfs, "wal").pop().expect("a segment");
        vfs.flip_byte(&log, 60).expect("flip");
        let whole = vfs.process_crash();
        run(&whole, "uninterrupted");
        let expected = rows(&whole);
        vfs.fail(FaultPlan::from(nth, FaultKind::Io));
        let interrupted = repair(&small(&vfs), &mut unwatched);
        let hit = vfs.heal();
        for cut in [vfs.process_crash(), vfs.crash(nth)] {
            let context = format!("interrupted at {nth}");
            run(&cut, &context);
            assert!(rows(&cut) == expected, "{context}");
            judge(&cut, &history, &context);
        }
        if hit == 0 {
            interrupted.expect("there was no fault");
            assert!(nth > 50);
            return;
        }
        nth += 3;
    }
}

fn rows(vfs: &SimVfs) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let copy = vfs.process_crash();
    let db = Db::open(small(&copy)).expect("open");
    let view = db.view();
    db.iter_all(&view).collect::<Result<_, _>>().expect("iterate")
}

#[test]
fn dumps_show_every_record_and_survive_any_damage() {
    let (vfs, history) = database(6);
    let mut model = Model::default();
    let (mut entries, mut last) = (0, 0);
    for path in of_kind(&vfs, "sst") {
        let table = dump::table(&vfs, &path).expect("dump");
        let (stated, mut found) = (table.description.entries, 0);
        for entry in table {
            let entry = entry.expect("an entry");
            assert!(entry.seq <= history.last_seq());
            found += 1;
        }
        assert_eq!(found, stated);
        entries += found;
    }
    let mut marks = 0;
    let mut live: BTreeMap<u64, u64> = BTreeMap::new();
    for entry in dump::manifest(&vfs, &manifest(&vfs)).expect("dump") {
        match entry {
            ManifestEntry::Edit { edit, .. } => {
                for (_, number) in edit.removed {
                    live.remove(&number);
                }
                live.extend(edit.added.into_iter().map(|(_, table)| (table.number, table.entries)));
                if let Some(seq) = edit.flushed_seq {
                    last = seq;
                }
            }
            ManifestEntry::Mark { .. } => marks += 1,
            unreadable @ ManifestEntry::Unreadable { .. } => panic!("{unreadable:?}"),
        }
    }
    assert_eq!(live.values().sum::<u64>(), entries);
    assert!(marks > 5);
    for (batch, _) in history.batches.iter().take_while(|(_, end)| *end <= last) {
        model.apply(batch);
    }
    for path in of_kind(&vfs, "wal") {
        dump::log(&vfs, &path, &mut |entry| {
            match entry {
                LogEntry::Batch { first_seq, batch, .. } if first_seq > last => model.apply(&batch),
                LogEntry::Unreadable { offset, why } => panic!("{} at {offset}: {why}", path.display()),
                _ => {}
            }
            Ok(())
        })
        .expect("dump");
    }
    assert_eq!(model.rows, history.model.rows);
    assert_eq!(
        COUNTERS.map(|id| model.counters.get(&id)),
        COUNTERS.map(|id| history.model.counters.get(&id))
    );

    for path in files(&vfs) {
        let file = vfs.open_read(&path).expect("open");
        let len = file.len().expect("length");
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, 0).expect("read");
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1);
        for at in (0..used).step_by((used / 150 + 1) as usize) {
            let copy = vfs.process_crash();
            copy.flip_byte(&path, at).expect("flip");
            let mut seen = false;
            match path.extension().and_then(|e| e.to_str()) {
                Some("sst") => match dump::table(&copy, &path) {
                    Ok(table) => seen = table.map(|entry| entry.is_err()).fold(false, |a, b| a | b),
                    Err(error) => seen = matches!(error, Error::Corruption { .. }),
                },
                Some("wal") => {
                    dump::log(&copy, &path, &mut |entry| {
                        seen |= matches!(entry, LogEntry::Unreadable { .. });
                        Ok(())
                    })
                    .expect("dump");
                }
                _ if path == manifest(&vfs) => {
                    let mut entries = dump::manifest(&copy, &path).expect("dump");
                    seen = entries.any(|entry| matches!(entry, ManifestEntry::Unreadable { .. }));
                }
                _ => continue,
            }
            assert!(seen, "{} at {at}: the flip is not shown", path.display());
        }
    }
}

/// A database with rows in several tables and blob files, closed.
fn for_repair() -> (SimVfs, History) {
    let vfs = SimVfs::new();
    let db = Db::open(small(&vfs)).expect("open");
    let (mut history, mut rng) = (History::default(), Rng::new(8));
    for n in 0..100 {
        let batch = random_batch(&mut rng);
        let seq = db.append(&batch).expect("append");
        history.push(batch, seq);
        if n % 20 == 19 {
            db.flush().expect("flush");
            db.compact_step().expect("compact");
        }
    }
    db.close().expect("close");
    (vfs, history)
}

/// Repairs, and returns the keys whose newest value is not there any more, and what was said.
fn repaired(vfs: &SimVfs, model: &Model, context: &str) -> (BTreeSet<Vec<u8>>, Vec<String>) {
    let report = repair(&small(vfs), &mut unwatched).unwrap_or_else(|e| panic!("{context}: {e}"));
    let db = Db::open(small(vfs)).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert!(db.verify().expect("verify").problems.is_empty(), "{context}");
    let is_gone = |(key, value): &(&Vec<u8>, &Vec<u8>)| db.get(key).expect("get").as_ref() != Some(*value);
    let gone = model.rows.iter().filter(is_gone).map(|(key, _)| key.clone()).collect();
    db.close().expect("close");
    let again = repair(&small(vfs), &mut unwatched).expect("repair again");
    assert!(again.losses.is_empty() && again.quarantined.is_empty(), "{context}: {again:?}");
    (gone, report.losses)
}

#[test]
fn a_repair_keeps_every_value_that_can_be_read_and_tells_the_others() {
    let (vfs, history) = for_repair();
    let all = records(&vfs);
    let (path, offset, len, key) = all[all.len() / 2].clone();
    // One record is damaged: the others of its file are there.
    let damaged = vfs.process_crash();
    damaged.flip_byte(&path, offset + u64::from(len) - 1).expect("flip");
    let (gone, losses) = repaired(&damaged, &history.model, "a record");
    assert!(gone.is_empty() || gone == BTreeSet::from([key]), "{gone:?}");
    if !gone.is_empty() {
        assert!(losses.len() == 1 && losses[0].contains("the values of 1 keys"), "{losses:?}");
    }
    let end = vfs.open_read(&path).expect("open").len().expect("length");
    // Only the footer is damaged: nothing is lost.
    let damaged = vfs.process_crash();
    damaged.flip_byte(&path, end - 30).expect("flip");
    let (gone, losses) = repaired(&damaged, &history.model, "a footer");
    assert!(gone.is_empty() && losses.is_empty(), "{gone:?} {losses:?}");
    assert_eq!(in_dir(&damaged, "quarantine").len(), 1);
    // The whole file is missing: its values are, and nothing else.
    let damaged = vfs.process_crash();
    damaged.remove(&path).expect("remove");
    let here: BTreeSet<Vec<u8>> =
        all.iter().filter(|(of, ..)| *of == path).map(|(.., key)| key.clone()).collect();
    let (gone, losses) = repaired(&damaged, &history.model, "a file");
    assert!(!gone.is_empty() && gone.is_subset(&here), "{gone:?}");
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(losses.iter().any(|loss| loss.contains("the values of") && loss.contains(name)), "{losses:?}");
}

#[test]
fn without_a_manifest_the_tables_lead_to_their_blob_files() {
    let (vfs, history) = for_repair();
    vfs.remove(&Path::new(DB).join("CURRENT")).expect("remove");
    for name in vfs.list(Path::new(DB)).expect("list").iter().filter(|name| name.starts_with("MANIFEST")) {
        vfs.remove(&Path::new(DB).join(name)).expect("remove");
    }
    let (gone, losses) = repaired(&vfs, &history.model, "no manifest");
    assert!(gone.is_empty(), "{gone:?}");
    assert!(losses.iter().all(|loss| !loss.contains("values")), "{losses:?}");
    assert!(Db::open(small(&vfs)).expect("open").stats().blob_files > 0, "they stay in blob files");
}
