//! Checkpoints while the database is in use, and long operations that are watched and canceled.

use crate::db_support::{DB, History, random_batch, small};
use crate::support::Rng;
use kvdb_lsm::error::{Error, Severity};
use kvdb_lsm::vfs::{SimVfs, Vfs};
use kvdb_lsm::{Db, Options, Progress};
use std::ops::ControlFlow;
use std::path::Path;

/// A database with tables on several levels.
fn filled(vfs: &SimVfs, batches: u32) -> (Db, History, Rng) {
    let db = Db::open(small(vfs)).expect("open");
    let (mut history, mut rng) = (History::default(), Rng::new(77));
    for n in 0..batches {
        let batch = random_batch(&mut rng);
        let seq = db.append(&batch).expect("append");
        history.push(batch, seq);
        if n % 30 == 29 {
            db.flush().expect("flush");
            db.compact_step().expect("compact");
        }
        db.log().sync().expect("sync");
    }
    (db, history, rng)
}

fn copy_options(vfs: &SimVfs) -> Options {
    Options { dir: "/copy".into(), ..small(vfs) }
}

#[test]
fn a_checkpoint_holds_up_neither_appends_nor_flushes_nor_compactions() {
    let vfs = SimVfs::new();
    let (db, mut history, mut rng) = filled(&vfs, 200);
    let before = history.model.clone();
    let at = history.last_seq();
    let (mut calls, mut flushes) = (0, 0);
    // Everything that happens in the callback happens in the middle of the checkpoint, on its
    // thread: whatever lock it held would hang here.
    let mut meanwhile = |_: Progress| {
        calls += 1;
        for _ in 0..20 {
            let batch = random_batch(&mut rng);
            let seq = db.append(&batch).expect("append");
            history.push(batch, seq);
        }
        db.flush().expect("flush");
        flushes += u32::from(db.compact_step().expect("compact"));
        db.compact().expect("compact");
        ControlFlow::Continue(())
    };
    let seq = db.checkpoint_with(Path::new("/copy"), &mut meanwhile).expect("checkpoint");
    assert!(calls >= 2, "{calls} calls");
    assert_eq!(seq, at, "the copy ends where the call began");
    let copy = Db::open(copy_options(&vfs)).expect("open the copy");
    before.assert_equals(&copy, "the copy");
    history.model.assert_equals(&db, "the original");
    copy.close().expect("close");
    // It is durable, too.
    let copy = Db::open(copy_options(&vfs.crash(3))).expect("open the copy after a power cut");
    before.assert_equals(&copy, "the copy after a power cut");
}

#[test]
fn a_canceled_operation_leaves_everything_as_it_was() {
    let vfs = SimVfs::new();
    let (db, history, _) = filled(&vfs, 200);
    db.flush().expect("flush");
    let mut cancel = |_: Progress| ControlFlow::Break(());
    let checkpoint = db.checkpoint_with(Path::new("/copy"), &mut cancel);
    assert!(matches!(checkpoint, Err(Error::Canceled)), "{checkpoint:?}");
    assert_eq!(vfs.list(Path::new("/copy/sst")).expect("list"), Vec::<String>::new());
    let tables = vfs.list(&Path::new(DB).join("sst")).expect("list");
    let compaction = db.compact_with(&mut cancel);
    assert!(matches!(compaction, Err(Error::Canceled)), "{compaction:?}");
    let verification = db.verify_with(&mut cancel);
    assert_eq!(verification.err().map(|e| e.severity()), Some(Severity::Soft));
    assert_eq!(vfs.list(&Path::new(DB).join("sst")).expect("list"), tables);
    history.model.assert_equals(&db, "after the cancellations");
    db.checkpoint(Path::new("/copy")).expect("the directory is still good for a copy");
    let mut seen = Vec::new();
    let mut watch = |progress: Progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    };
    let report = db.verify_with(&mut watch).expect("verify");
    assert_eq!(seen.last().map(|last| (last.done, last.total)), Some((report.bytes, report.bytes)));
    assert!(seen.is_sorted_by_key(|progress| progress.done));
}
