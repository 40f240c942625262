//! The command line, on the real file system: what it prints, its exit codes, and that the examples
//! of its help are commands.

use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::cli::run;
use kvdb_lsm::{Db, Options};
use std::path::Path;

/// Runs a command line; returns the exit code, the output and the errors.
fn kvdb(arguments: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = std::iter::once(&"kvdb-lsm").chain(arguments);
    let code = run(arguments, 1_700_000_000_000, &mut out, &mut err);
    (code, String::from_utf8(out).expect("text"), String::from_utf8(err).expect("text"))
}

fn write(dir: &Path, from: u32, to: u32) {
    let options = Options { background: false, segment_bytes: 64 << 10, ..Options::new(dir) };
    let db = Db::open(options).expect("open");
    for n in from..to {
        let mut batch = WriteBatch::new();
        let len = if n == 30 { 5000 } else { 500 };
        batch.put(format!("key{n:04}").as_bytes(), &vec![n as u8; len]);
        batch.add_counter(3, 1);
        db.append(&batch).expect("append");
        if n % 50 == 49 {
            db.flush().expect("flush");
        }
    }
    db.close().expect("close");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable path")
}

#[test]
fn backup_restore_and_verify() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (db, backups, new) = (dir.path().join("db"), dir.path().join("backups"), dir.path().join("new"));
    write(&db, 0, 120);
    let (code, out, err) = kvdb(&["backup", "create", text(&db), text(&backups)]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("backup 1  time 2023-11-14T22:13:20Z  sequence 120  tables 3"), "{out}");
    write(&db, 120, 130);
    let (code, out, _) = kvdb(&["backup", "create", text(&db), text(&backups)]);
    assert_eq!(code, 0);
    assert!(out.contains("copied 1 tables"), "{out}");
    let (_, list, _) = kvdb(&["backup", "list", text(&backups)]);
    assert_eq!(list.lines().count(), 2, "{list}");
    let (code, out, _) = kvdb(&["backup", "verify", text(&backups), "2"]);
    assert_eq!(code, 0);
    assert!(out.ends_with("nothing is damaged\n"), "{out}");
    let (code, _, _) = kvdb(&["backup", "delete", text(&backups), "2"]);
    assert_eq!(code, 0);
    let (code, out, _) = kvdb(&["backup", "restore", text(&backups), "1", text(&new)]);
    assert_eq!(code, 0, "{out}");
    let (code, out, _) = kvdb(&["verify", text(&new)]);
    assert_eq!(code, 0);
    assert!(out.contains("3 tables with 120 entries"), "{out}");
    let (code, _, err) = kvdb(&["backup", "restore", text(&backups), "1", text(&new)]);
    assert_eq!(code, 1);
    assert!(err.contains("needs an empty directory"), "{err}");
    let copy = dir.path().join("copy");
    let (code, out, _) = kvdb(&["checkpoint", text(&db), text(&copy)]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(kvdb(&["verify", text(&copy)]).0, 0);
}

#[test]
fn damage_is_reported_repaired_and_shown() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = dir.path().join("db");
    write(&db, 0, 120);
    let (code, current, _) = kvdb(&["dump", "current", text(&db)]);
    assert_eq!(code, 0);
    let manifest = db.join(current.trim());
    let (code, out, _) = kvdb(&["dump", "manifest", text(&manifest)]);
    assert_eq!(code, 0);
    assert!(out.starts_with("16: edit, durable to 0\n"), "{out}");
    assert!(out.contains("+ level 0 table "), "{out}");
    let first = |sub: &str| {
        let mut names: Vec<_> = std::fs::read_dir(db.join(sub))
            .expect("the directory")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|e| e == sub))
            .collect();
        names.sort();
        names[0].clone()
    };
    let (wal, sst) = (first("wal"), first("sst"));
    let (code, out, _) = kvdb(&["dump", "wal", text(&wal)]);
    assert_eq!(code, 0);
    assert!(out.starts_with("16: head, next sequence 101\n"), "{out}");
    assert!(out.contains("\"key0101\" = 500 bytes\n  counter 3 +1\n"), "{out}");
    let (code, out, _) = kvdb(&["dump", "sst", text(&sst), "--values"]);
    assert_eq!(code, 0);
    assert_eq!(out.lines().count(), 52, "{out}");
    assert!(out.contains("2 \"key0001\" = \"\\x01\\x01"), "{out}");
    assert!(out.contains("31 \"key0030\" = 5000 bytes in blob file "), "{out}");
    let blob = first("blob");
    let (code, out, _) = kvdb(&["dump", "blob", text(&blob)]);
    assert!(code == 0 && out.ends_with(" bytes, \"key0030\" = 5000 bytes\n"), "{out}");

    let mut bytes = std::fs::read(&sst).expect("read");
    bytes[20] ^= 1;
    std::fs::write(&sst, &bytes).expect("write");
    let (code, out, _) = kvdb(&["verify", text(&db)]);
    assert_eq!(code, 3);
    assert!(out.contains("1 files are damaged"), "{out}");
    std::fs::write(&blob, std::fs::read(&blob).expect("read").split_off(1)).expect("write");
    let (code, out, _) = kvdb(&["dump", "blob", text(&blob)]);
    assert!(code == 3 && out.starts_with("16: unreadable, "), "{out}");
    let (code, out, _) = kvdb(&["verify", text(&db)]);
    assert!(code == 3 && out.contains("2 files are damaged"), "{out}");
    let readable = dir.path().join("readable.sst");
    let (code, out, _) = kvdb(&["salvage", text(&sst), text(&readable)]);
    assert_eq!(code, 3);
    assert!(out.starts_with("lost from \"key0000\" to before \"key00"), "{out}");
    assert_eq!(kvdb(&["dump", "sst", text(&readable)]).0, 0);
    let (code, out, _) = kvdb(&["repair", text(&db)]);
    assert_eq!(code, 3);
    assert!(out.contains("moved aside: "), "{out}");
    assert!(out.contains("the values of 1 keys from \"key0030\""), "{out}");
    assert!(out.contains("the keys from \"key0000\""), "{out}");
    assert_eq!(kvdb(&["verify", text(&db)]).0, 0);
    let (code, out, _) = kvdb(&["repair", text(&db)]);
    assert_eq!(code, 0);
    assert!(out.ends_with("nothing is known to be lost\n"), "{out}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let none = dir.path().join("none");
    for command in ["verify", "repair"] {
        let (code, _, err) = kvdb(&[command, text(&none)]);
        assert_eq!(code, 1, "{command}");
        assert!(!err.is_empty() && !none.exists(), "{command}: {err}");
    }
    for arguments in [&["backup", "create"][..], &["checkpoint"]] {
        let to = dir.path().join("to");
        let (code, _, err) = kvdb(&[arguments, &[text(&none), text(&to)]].concat());
        assert_eq!(code, 1, "{arguments:?}");
        assert!(err.contains("there is no database in"), "{err}");
        assert!(!none.exists());
    }
    assert_eq!(kvdb(&["dump", "wal", text(&none)]).0, 1);
    assert_eq!(kvdb(&["frobnicate"]).0, 2);
    assert_eq!(kvdb(&[]).0, 2);
}

/// Every example of the help and of the runbook names commands that exist, with arguments that
/// parse: none of them gets the exit code of a usage error.
#[test]
fn the_examples_are_commands() {
    let mut texts = Vec::new();
    for command in ["verify", "dump", "checkpoint", "backup", "repair", "salvage"] {
        let (code, help, _) = kvdb(&[command, "--help"]);
        assert_eq!(code, 0, "{command}");
        assert!(help.contains("Example"), "{command} has no example");
        texts.push(help);
    }
    texts.push(include_str!("../../../../docs/runbook.md").to_owned());
    let mut examples = 0;
    for line in texts.iter().flat_map(|text| text.lines()) {
        let Some(arguments) = line.trim().strip_prefix("kvdb-lsm ") else { continue };
        // In a place where nothing is, so that nothing happens.
        let dir = tempfile::tempdir().expect("a temporary directory");
        let arguments: Vec<String> = arguments
            .split_whitespace()
            .map(|word| match word.strip_prefix('/') {
                Some(path) => dir.path().join(path).to_str().expect("a readable path").to_owned(),
                None => word.to_owned(),
            })
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if arguments.first() != Some(&"salvage") {
            let (code, _, err) = kvdb(&arguments);
            assert_ne!(code, 2, "{line}: {err}");
        }
        examples += 1;
    }
    assert!(examples > 20, "only {examples} examples");
}
