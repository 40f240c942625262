//! The simulated file system promises what it says and nothing more.

use crate::support::cases;
use kvdb_lsm::vfs::{FaultKind, FaultPlan, SimVfs, Vfs, VfsFileExt};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

fn fresh() -> (SimVfs, PathBuf) {
    let vfs = SimVfs::new();
    vfs.create_dir_all(Path::new("/d")).expect("created");
    vfs.sync_dir(Path::new("/")).expect("synced");
    (vfs, PathBuf::from("/d/f"))
}

fn content(vfs: &SimVfs, path: &Path) -> Option<Vec<u8>> {
    let file = vfs.open_read(path).ok()?;
    let mut bytes = vec![0; usize::try_from(file.len().expect("length")).expect("small")];
    file.read_exact_at(&mut bytes, 0).expect("read");
    Some(bytes)
}

#[test]
fn synced_data_under_a_synced_name_survives_and_the_rest_may_or_may_not() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let (vfs, path) = fresh();
        let file = vfs.create(&path).expect("created");
        file.write_all_at(&[1; 2048], 0).expect("written");
        file.sync_data().expect("synced");
        vfs.sync_dir(Path::new("/d")).expect("synced");
        file.write_all_at(&[2; 1024], 512).expect("written");
        file.write_all_at(&[3; 512], 2048).expect("written");
        let after = content(&vfs.crash(seed), &path).expect("a synced name");
        assert_eq!(after, content(&vfs.crash(seed), &path).expect("the same again"));
        assert!(after[..512].iter().all(|&b| b == 1));
        let sectors: Vec<_> = after.chunks(512).map(|s| (s[0], s.len())).collect();
        assert!(after.chunks(512).all(|s| s.iter().all(|&b| b == s[0])), "torn at sectors only");
        outcomes.insert(sectors);
    }
    assert!(outcomes.len() >= 6, "every combination occurs: {outcomes:?}");
}

#[test]
fn names_survive_a_sync_of_their_directory_only() {
    let (mut kept, mut lost, mut both) = (0, 0, 0);
    for seed in 0..200 {
        let (vfs, path) = fresh();
        vfs.create(&path).expect("created").sync_all().expect("synced");
        kept += u32::from(content(&vfs.crash(seed), &path).is_some());
        lost += u32::from(content(&vfs.crash(seed), &path).is_none());
        vfs.sync_dir(Path::new("/d")).expect("synced");
        let new = Path::new("/d/new");
        vfs.rename(&path, new).expect("renamed");
        let after = vfs.crash(seed);
        let found = (content(&after, &path).is_some(), content(&after, new).is_some());
        assert!(found.0 != found.1, "a rename is atomic");
        both += u32::from(found.0);
        vfs.sync_dir(Path::new("/d")).expect("synced");
        vfs.remove(new).expect("removed");
        vfs.sync_dir(Path::new("/d")).expect("synced");
        assert_eq!(vfs.crash(seed).list(Path::new("/d")).expect("listed"), [""; 0]);
    }
    assert!(kept > 20 && lost > 20 && both > 20);
}

#[test]
fn a_directory_survives_a_sync_of_the_one_it_is_in_only() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..200 {
        let vfs = SimVfs::new();
        let dir = Path::new("/a/b");
        vfs.create_dir_all(dir).expect("created");
        vfs.create(&dir.join("f")).expect("created").sync_all().expect("synced");
        vfs.sync_dir(dir).expect("synced");
        vfs.sync_dir(Path::new("/a")).expect("synced");
        let after = vfs.crash(seed);
        let found = content(&after, &dir.join("f")).is_some();
        assert_eq!(after.exists(dir).expect("looked"), found);
        assert_eq!(after.exists(Path::new("/a")).expect("looked"), found);
        kept += u32::from(found);
        lost += u32::from(!found);
        vfs.sync_dir(Path::new("/")).expect("synced");
        assert!(content(&vfs.crash(seed), &dir.join("f")).is_some());
    }
    assert!(kept > 20 && lost > 20);
}

#[test]
fn a_failed_sync_loses_the_data_for_good() {
    let mut lost = 0;
    for seed in 0..100 {
        let (vfs, path) = fresh();
        let file = vfs.create(&path).expect("created");
        vfs.sync_dir(Path::new("/d")).expect("synced");
        file.write_all_at(b"before", 0).expect("written");
        vfs.fail(FaultPlan::once(1, FaultKind::Io));
        assert!(file.sync_data().is_err());
        file.write_all_at(b"after", 10).expect("written");
        file.sync_data().expect("succeeds, and saves only what was written since");
        let after = content(&vfs.crash(seed), &path).expect("a synced name");
        assert_eq!(&after[10..], b"after");
        lost += u32::from(&after[..6] != b"before");
        assert_eq!(content(&vfs, &path).expect("cached")[..6], *b"before");
        assert_eq!(vfs.heal(), 1);
    }
    assert!(lost > 10);
}

#[test]
fn space_runs_out_and_comes_back() {
    let (vfs, path) = fresh();
    vfs.set_capacity(Some(1000));
    let file = vfs.create(&path).expect("created");
    file.allocate(600).expect("allocated");
    assert_eq!(vfs.free_bytes(Path::new("/d")).expect("space"), 400);
    let other = vfs.create(Path::new("/d/g")).expect("created");
    assert_eq!(other.allocate(401).map_err(|e| e.kind()), Err(io::ErrorKind::StorageFull));
    assert_eq!(other.write_at(&[0; 500], 0).expect("short"), 400);
    assert_eq!(other.write_at(&[0; 1], 400).map_err(|e| e.kind()), Err(io::ErrorKind::StorageFull));
    assert_eq!(file.write_at(&[0; 700], 0).expect("within the allocation"), 600);
    drop(other);
    vfs.remove(Path::new("/d/g")).expect("removed");
    assert_eq!(vfs.used_bytes(), 600);
    vfs.set_capacity(None);
    file.write_all_at(&[0; 5000], 600).expect("written");
}

#[test]
fn faults_hit_the_calls_they_name() {
    for n in 1..cases(6) {
        let (vfs, path) = fresh();
        let file = vfs.create(&path).expect("created");
        file.write_all_at(&[7; 100], 0).expect("written");
        vfs.fail(FaultPlan::once(n, FaultKind::Short));
        let mut buf = [0; 100];
        let counts: Vec<_> = (1..6).map(|_| file.read_at(&mut buf, 0).expect("read")).collect();
        let expected: Vec<_> = (1..6).map(|i| if i == n { 50 } else { 100 }).collect();
        assert_eq!(counts, expected);
        vfs.fail(FaultPlan::from(2, FaultKind::NoSpace));
        assert!(vfs.exists(&path).expect("before the fault"));
        assert!(vfs.exists(&path).is_err() && vfs.exists(&path).is_err());
        assert_eq!(vfs.heal(), 2);
    }
}

#[test]
fn links_locks_and_flipped_bytes() {
    let (vfs, path) = fresh();
    let file = vfs.create(&path).expect("created");
    file.write_all_at(b"abc", 0).expect("written");
    vfs.hard_link(&path, Path::new("/d/link")).expect("linked");
    vfs.remove(&path).expect("removed");
    vfs.flip_byte(Path::new("/d/link"), 1).expect("flipped");
    assert_eq!(content(&vfs, Path::new("/d/link")).expect("linked"), [b'a', !b'b', b'c']);
    assert_eq!(content(&vfs.process_crash(), Path::new("/d/link")).expect("linked").len(), 3);
    let guard = vfs.lock(Path::new("/d/LOCK")).expect("locked");
    let second = vfs.lock(Path::new("/d/LOCK")).err().expect("refused");
    assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
    drop(guard);
    vfs.lock(Path::new("/d/LOCK")).expect("free");
}
