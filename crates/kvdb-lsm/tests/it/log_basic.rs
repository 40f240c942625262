//! The log when nothing goes wrong: order, marks, rotation, removal, policies, threads.

use crate::support::{DIR, batch, open, options, segment_file};
use kvdb_lsm::batch::WriteBatch;
use kvdb_lsm::error::Error;
use kvdb_lsm::log::{FullReason, Log, LogError, LogOptions, LogState, SyncPolicy};
use kvdb_lsm::vfs::{FaultKind, FaultPlan, OsVfs, SimVfs, Vfs};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

#[test]
fn what_is_appended_comes_back_in_order_over_many_segments() {
    let vfs = SimVfs::new();
    let (log, recovered, _) = open(options(&vfs, SyncPolicy::No)).expect("fresh");
    assert_eq!((recovered.segments, recovered.last_seq), (0, 0));
    let mut last = 0;
    for n in 0..600 {
        let (seq, first) = log.append(&batch(n), |first| first).expect("appended");
        assert_eq!(first, last + 1);
        assert_eq!(seq, last + u64::from(batch(n).count()));
        last = seq;
        if n % 7 == 0 {
            log.write_out(seq).expect("written");
            assert_eq!(log.written(), seq);
        }
    }
    let stats = log.stats();
    assert!(stats.segments > 5 && stats.rotations == stats.segments - 1, "{stats:?}");
    log.close().expect("closed");
    let (log, recovered, replayed) = open(options(&vfs, SyncPolicy::No)).expect("opened");
    replayed.assert_prefix("after close");
    assert_eq!(replayed.batches.len(), 600);
    assert_eq!((recovered.last_seq, recovered.batches), (last, 600));
    assert_eq!(recovered.torn_tail, None);
    assert_eq!((log.appended(), log.written(), log.durable()), (last, last, last));
}

#[test]
fn who_may_not_wait_leaves_the_next_segment_to_the_thread_of_the_log() {
    let vfs = SimVfs::new();
    let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("fresh");
    let told = Arc::new(AtomicU64::new(0));
    let listener = Arc::clone(&told);
    log.add_listener(Box::new(move |progress| listener.store(progress.written, Ordering::Relaxed)));
    // Small ones: none fills a segment by itself.
    let append = |key: u8| {
        let mut batch = WriteBatch::new();
        batch.put(&[key], b"value");
        log.append(&batch, |_| ()).expect("appended").0
    };
    let first = append(0);
    log.write_soon(first).expect("written");
    assert_eq!(log.written(), first, "there is nothing to wait for");
    log.rotate(|_| ()).expect("rotated");
    let second = append(1);
    log.write_soon(second).expect("left to the thread");
    let third = append(2);
    log.write_soon(third).expect("left to the thread");
    assert_eq!((log.written(), log.stats().rotations), (first, 0));
    log.tick(Duration::from_millis(1));
    assert_eq!(log.written(), third);
    assert_eq!(log.stats().rotations, 1);
    assert_eq!(told.load(Ordering::Relaxed), third);
    let fourth = append(3);
    log.write_soon(fourth).expect("written");
    assert_eq!(log.written(), fourth);
}

#[test]
fn a_batch_of_any_size_fits_and_an_empty_one_takes_no_place() {
    let vfs = SimVfs::new();
    let (log, ..) = open(options(&vfs, SyncPolicy::Always)).expect("fresh");
    assert_eq!(log.append(&WriteBatch::new(), |seq| seq), Ok((0, 1)));
    for len in [0, 1, 16_000, 32_700, 32_768, 100_000, 3_000_000, 5] {
        let mut batch = WriteBatch::new();
        batch.put(b"k", &vec![9; len]);
        log.append(&batch, |_| ()).expect("appended");
        log.sync().expect("synced");
    }
    drop(log);
    let (_, recovered, replayed) = open(options(&vfs.crash(1), SyncPolicy::No)).expect("opened");
    assert_eq!(recovered.batches, 8);
    let lengths: Vec<_> = replayed.batches.iter().map(|(_, b)| b.ops_bytes().len()).collect();
    assert!(lengths[6] > 3_000_000 && lengths[7] < 20);
    let small = LogOptions { max_batch_bytes: 10, ..options(&SimVfs::new(), SyncPolicy::No) };
    let (log, ..) = open(small).expect("fresh");
    assert_eq!(log.append(&batch(0), |_| ()), Err(LogError::TooLarge));
}

#[test]
fn a_large_batch_behind_a_small_one_is_taken() {
    let vfs = SimVfs::new();
    let (log, ..) = open(options(&vfs, SyncPolicy::Always)).expect("fresh");
    let mut large = WriteBatch::new();
    large.put(b"k", &[9; 300 << 10]);
    log.append(&batch(0), |_| ()).expect("appended");
    log.append(&large, |_| ()).expect("only what waits already is a backlog");
    assert_eq!(log.append(&batch(2), |_| ()), Err(LogError::Full(FullReason::Backlog)));
    log.sync().expect("synced");
    log.append(&large, |_| ()).expect("appended");
}

#[test]
fn a_backlog_is_written_by_the_thread_of_the_log() {
    let options = LogOptions { manual: false, ..options(&SimVfs::new(), SyncPolicy::No) };
    let (log, ..) = open(options).expect("fresh");
    let mut large = WriteBatch::new();
    large.put(b"k", &[9; 300 << 10]);
    for _ in 0..5 {
        // Nobody writes by himself.
        while let Err(error) = log.append(&large, |_| ()) {
            assert_eq!(error, LogError::Full(FullReason::Backlog));
            std::thread::yield_now();
        }
    }
    log.close().expect("closed");
}

#[test]
fn a_listener_that_panics_harms_nobody_else() {
    let vfs = SimVfs::new();
    let options = LogOptions { manual: false, ..options(&vfs, SyncPolicy::Always) };
    let (log, ..) = open(options).expect("fresh");
    let (tell, told) = mpsc::channel();
    log.add_listener(Box::new(|_| panic!("a listener gives up")));
    log.add_listener(Box::new(move |progress| tell.send(progress.durable).expect("the test listens")));
    for n in 0..3 {
        let (seq, ()) = log.append(&batch(n), |_| ()).expect("appended");
        log.request_sync();
        let far = Duration::from_secs(60);
        while told.recv_timeout(far).expect("the thread of the log goes on") < seq {}
    }
    log.close().expect("closed");
}

#[test]
fn counters_alone_take_no_sequence_number_but_are_synced() {
    let vfs = SimVfs::new();
    let (log, ..) = open(options(&vfs, SyncPolicy::Always)).expect("fresh");
    let mut counter = WriteBatch::new();
    counter.add_counter(3, -7);
    assert_eq!(log.append(&counter, |seq| seq), Ok((0, 1)));
    log.sync().expect("synced");
    log.append(&batch(0), |_| ()).expect("appended");
    log.sync().expect("synced");
    let (_, _, replayed) = open(options(&vfs.crash(9), SyncPolicy::No)).expect("opened");
    assert_eq!(replayed.batches, [(1, counter), (1, batch(0))]);
}

#[test]
fn rotation_cuts_exactly_and_obsolete_segments_go_away() {
    let vfs = SimVfs::new();
    let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("fresh");
    assert_eq!(log.rotate(|last| last), Ok((1, 0)), "an empty segment is new already");
    let (before, ()) = log.append(&batch(0), |_| ()).expect("appended");
    let (second, at) = log.rotate(|last| last).expect("rotated");
    assert_eq!((second, at), (2, before));
    assert_eq!(log.rotate(|_| ()), Ok((2, ())));
    log.append(&batch(1), |_| ()).expect("appended");
    assert_eq!(log.rotate(|_| ()), Ok((3, ())));
    log.remove_before(second);
    assert!(vfs.exists(&segment_file(1)).expect("looked"), "still being written");
    log.sync().expect("synced");
    log.tick(Duration::ZERO);
    assert!(!vfs.exists(&segment_file(1)).expect("looked"));
    assert_eq!(log.stats().segments, 2);
    drop(log);
    let again = LogOptions { min_segment: second, ..options(&vfs, SyncPolicy::No) };
    let (log, recovered, replayed) = open(again).expect("opened");
    assert_eq!((replayed.segments, recovered.segments), (vec![2], 2));
    assert_eq!(log.appended(), recovered.last_seq);
    drop(log);
    let missing = LogOptions { min_segment: 1, ..options(&vfs, SyncPolicy::No) };
    assert!(matches!(open(missing), Err(Error::Corruption { .. })));
    let later = LogOptions { min_segment: 3, ..options(&vfs, SyncPolicy::No) };
    let (log, _, replayed) = open(later).expect("opened");
    assert_eq!(replayed.batches, []);
    log.tick(Duration::from_secs(1));
    assert!(vfs.exists(&segment_file(2)).expect("looked"), "the owner may not be sure yet");
    log.remove_before(3);
    assert!(!vfs.exists(&segment_file(2)).expect("looked"));
}

#[test]
fn a_missing_segment_in_the_middle_is_corruption() {
    let vfs = SimVfs::new();
    let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("fresh");
    for n in 0..3 {
        log.append(&batch(n), |_| ()).expect("appended");
        log.rotate(|_| ()).expect("rotated");
    }
    log.close().expect("closed");
    vfs.remove(&segment_file(2)).expect("removed");
    let error = open(options(&vfs, SyncPolicy::No)).err().expect("refused");
    assert!(error.to_string().contains("000002.wal"), "{error}");
}

#[test]
fn the_first_sequence_number_can_be_chosen() {
    let vfs = SimVfs::new();
    let chosen = || LogOptions { first_seq: 1000, ..options(&vfs, SyncPolicy::No) };
    let (log, recovered, _) = open(chosen()).expect("fresh");
    assert_eq!(recovered.last_seq, 999);
    assert_eq!(log.append(&batch(0), |first| first).expect("appended").1, 1000);
    log.close().expect("closed");
    assert_eq!(open(chosen()).expect("opened").2.batches[0].0, 1000);
}

#[test]
fn each_policy_syncs_when_it_says() {
    for (policy, at_once, after_a_second) in [
        (SyncPolicy::Always, true, true),
        (SyncPolicy::EverySec, false, true),
        (SyncPolicy::No, false, false),
    ] {
        let (log, ..) = open(options(&SimVfs::new(), policy)).expect("fresh");
        let (seq, ()) = log.append(&batch(0), |_| ()).expect("appended");
        assert_eq!((log.written(), log.durable()), (0, 0));
        log.write_out(seq).expect("written");
        log.tick(Duration::from_millis(10));
        assert_eq!(log.durable() == seq, at_once, "{policy:?}");
        log.tick(Duration::from_millis(1010));
        assert_eq!(log.durable() == seq, after_a_second, "{policy:?}");
        log.request_sync();
        log.tick(Duration::from_millis(1020));
        assert_eq!(log.durable(), seq);
        let syncs = log.stats().syncs;
        log.tick(Duration::from_secs(9));
        assert_eq!(log.stats().syncs, syncs, "nothing new, nothing to sync");
    }
}

#[test]
fn a_backlog_is_refused_until_it_is_written() {
    let (log, ..) = open(options(&SimVfs::new(), SyncPolicy::No)).expect("fresh");
    let mut batch = WriteBatch::new();
    batch.put(b"k", &[1; 100_000]);
    for _ in 0..3 {
        log.append(&batch, |_| ()).expect("appended");
    }
    let refused = log.append(&batch, |_| panic!("not taken"));
    assert_eq!(refused, Err(LogError::Full(FullReason::Backlog)));
    log.write_out(3).expect("written");
    assert_eq!(log.append(&batch, |_| ()), Ok((4, ())));
}

#[test]
fn many_threads_append_and_each_finds_its_writes_durable() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = || LogOptions {
        policy: SyncPolicy::Always,
        segment_bytes: 64 << 10,
        ..LogOptions::new(Arc::new(OsVfs), dir.path().join("wal"))
    };
    let (log, ..) = open(options()).expect("fresh");
    let (sender, durable) = mpsc::channel();
    log.add_listener(Box::new(move |progress| {
        assert_eq!(progress.state, LogState::Open);
        assert!(progress.durable <= progress.written);
        // The receiver may have what it needs already.
        let _ = sender.send(progress.durable);
    }));
    let order = Mutex::new(Vec::new());
    let acked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (log, order, acked) = (&log, &order, &acked);
            scope.spawn(move || {
                for n in 0..500 {
                    let mut batch = WriteBatch::new();
                    batch.put(&thread.to_le_bytes(), &[n as u8; 100]);
                    batch.put(b"second", &[thread as u8]);
                    let push = |first| order.lock().expect("no panic").push((first, thread, n));
                    let (seq, ()) = log.append(&batch, push).expect("appended");
                    match n % 4 {
                        0 => log.write_out(seq).expect("written"),
                        1 => log.request_sync(),
                        2 if n % 40 == 2 => {
                            log.sync().expect("synced");
                            assert!(log.durable() >= seq);
                        }
                        _ => {}
                    }
                    acked.fetch_max(seq, Ordering::Relaxed);
                }
            });
        }
    });
    log.request_sync();
    let last = acked.into_inner();
    assert_eq!(last, 4000);
    while durable.recv().expect("the listener lives") < last {}
    assert!(log.stats().groups < 2000, "groups form");
    drop(log);
    let (_, recovered, replayed) = open(options()).expect("opened");
    assert_eq!(recovered.last_seq, last);
    for ((first, thread, n), (found, batch)) in
        order.into_inner().expect("no panic").into_iter().zip(&replayed.batches)
    {
        assert_eq!(first, *found);
        let mut expected = WriteBatch::new();
        expected.put(&u64::to_le_bytes(thread), &[n as u8; 100]);
        expected.put(b"second", &[thread as u8]);
        assert_eq!(expected, *batch);
    }
}

#[test]
fn a_thread_syncs_every_second_and_close_finishes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = || LogOptions::new(Arc::new(OsVfs), dir.path());
    let (log, ..) = open(options()).expect("fresh");
    let (sender, durable) = mpsc::channel();
    log.add_listener(Box::new(move |progress| {
        let _ = sender.send(progress.durable);
    }));
    let (seq, ()) = log.append(&batch(0), |_| ()).expect("appended");
    // It is written first, and durable then.
    while durable.recv().expect("the listener lives") < seq {}
    log.set_policy(SyncPolicy::No);
    assert_eq!(log.policy(), SyncPolicy::No);
    log.append(&batch(1), |_| ()).expect("appended");
    log.close().expect("closed");
    assert_eq!(OsVfs.list(dir.path()).expect("listed"), ["000001.wal"]);
    assert_eq!(open(options()).expect("opened").2.batches.len(), 2);
}

#[test]
fn files_that_are_no_segments_are_left_alone() {
    let vfs = SimVfs::new();
    vfs.create_dir_all(Path::new(DIR)).expect("created");
    drop(vfs.create(&Path::new(DIR).join("notes.txt")).expect("created"));
    drop(vfs.create(&Path::new(DIR).join("spare-1.tmp")).expect("created"));
    drop(vfs.create(&Path::new(DIR).join("000001.wal.tmp")).expect("created"));
    let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("fresh");
    drop::<Log>(log);
    assert_eq!(vfs.list(Path::new(DIR)).expect("listed"), ["000001.wal", "notes.txt"]);
}

#[test]
fn a_finished_segment_keeps_no_preallocated_space() {
    let vfs = SimVfs::new();
    for n in 0..20 {
        let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("opened");
        log.append(&batch(n), |_| ()).expect("appended");
        if n % 2 == 0 {
            log.rotate(|_| ()).expect("rotated");
        }
        log.close().expect("closed");
    }
    let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("opened");
    let live = log.stats().live_bytes;
    let room = options(&vfs, SyncPolicy::No).segment_bytes;
    assert!(vfs.used_bytes() <= live + room, "{} bytes for {live}", vfs.used_bytes());
}

#[test]
fn an_obsolete_segment_that_cannot_be_removed_is_removed_later() {
    for nth in 1..=2 {
        let vfs = SimVfs::new();
        let (log, ..) = open(options(&vfs, SyncPolicy::No)).expect("fresh");
        for n in 0..3 {
            log.append(&batch(n), |_| ()).expect("appended");
            log.rotate(|_| ()).expect("rotated");
        }
        log.sync().expect("synced");
        vfs.fail(FaultPlan::once(nth, FaultKind::Io));
        log.remove_before(4);
        assert_eq!(vfs.heal(), 1);
        assert!(log.stats().segments > 1, "what is still there is counted");
        log.tick(Duration::from_secs(1));
        assert_eq!(log.stats().segments, 1);
        let names = vfs.crash(nth).list(Path::new(DIR)).expect("listed");
        assert_eq!(names.iter().filter(|name| name.ends_with(".wal")).count(), 1, "{names:?}");
    }
}
