//! Data directories that are not as a server wants them: each is made right, named, or refused with a reason.

use std::fs;
use std::os::unix::fs::chown;

use crate::faulty_disk::SmallDisk;
use crate::harness::{Setup, bulk, is_root, ok, skipped};

#[test]
fn a_directory_that_is_missing_is_made() {
    let setup = Setup::new();
    let dir = setup.home().join("not/yet/there");
    let setup = setup.in_dir(&dir);
    let server = setup.start();
    assert_eq!(server.client().run("SET k v"), ok());
    server.crash();
    assert!(dir.is_dir());
    assert_eq!(setup.start().client().run("GET k"), bulk("v"));
}

#[test]
fn a_directory_that_may_only_be_read_is_refused_with_its_name() {
    let setup = Setup::new();
    let small = setup.home().join("small");
    let Some(disk) = SmallDisk::mount(&small, "80m") else { return };
    let setup = setup.in_dir(&small);
    // With nothing in it yet, and with data.
    for _ in 0..2 {
        disk.remount("ro");
        let failed = setup.fail();
        assert_eq!(failed.status.code(), Some(1));
        let (named, why) = (small.display().to_string(), "Read-only file system");
        assert!(failed.log.contains(&named) && failed.log.contains(why), "{}", failed.log);
        disk.remount("rw");
        let server = setup.start();
        assert_eq!(server.client().run("SET k v"), ok());
        server.stop();
    }
}

#[test]
fn a_directory_of_a_newer_version_is_refused_and_left_alone() {
    let setup = Setup::new();
    let server = setup.start();
    assert_eq!(server.client().run("SET k v"), ok());
    let data = server.dir().join("data");
    server.stop();
    let name = fs::read_to_string(data.join("CURRENT")).expect("it names the manifest");
    let manifest = data.join(name.lines().next().expect("a name"));
    let before = fs::read(&manifest).expect("there is a manifest");
    let mut newer = before.clone();
    newer[9] += 1;
    let crc = crc32(&newer[..12]);
    newer[12..16].copy_from_slice(&crc.to_le_bytes());
    fs::write(&manifest, &newer).expect("the test's own directory can be written");
    let failed = setup.fail();
    assert_eq!(failed.status.code(), Some(1));
    for part in ["MANIFEST-", "open it with the version that wrote it, or a newer one"] {
        assert!(failed.log.contains(part), "{part}: {}", failed.log);
    }
    assert_eq!(fs::read(&manifest).expect("it is still there"), newer);
    fs::write(&manifest, &before).expect("the test's own directory can be written");
    assert_eq!(setup.start().client().run("GET k"), bulk("v"));
}

/// CRC-32/IEEE, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8)
            .fold(crc ^ u32::from(*byte), |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn a_directory_of_another_user_is_warned_about() {
    if !is_root() {
        skipped("only root may give a directory away");
        return;
    }
    let setup = Setup::new();
    let dir = setup.home().join("theirs");
    fs::create_dir(&dir).expect("the test's own directory can be written");
    let setup = setup.in_dir(&dir);
    let warning = "belongs to user 12345 and this server runs as user 0";
    let server = setup.start();
    assert!(!server.log().contains("belongs to user"), "{}", server.log());
    server.stop();
    chown(dir.join("data"), Some(12_345), None).expect("root may give it away");
    let server = setup.start();
    assert!(server.log().contains(warning), "{}", server.log());
    assert_eq!(server.client().run("SET k v"), ok());
}
