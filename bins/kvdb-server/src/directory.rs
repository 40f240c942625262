//! The data directory before it is opened: what an operator should know about where it lies and whose it is.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What to say about the data directory, whether or not there is data in it yet; an empty list says nothing. Whatever is
/// wrong with it besides shows when it is opened.
pub fn concerns(dir: &Path) -> Vec<String> {
    let mut concerns = Vec::new();
    // What a server has written tells more than the directory around it, which may be a mount that somebody else prepared.
    let data = dir.join("data");
    let own = rustix::process::geteuid().as_raw();
    if let Some(place) = [data.as_path(), dir].into_iter().find(|place| place.is_dir()) {
        let owner = place.metadata().map_or(own, |metadata| metadata.uid());
        if owner != own {
            concerns.push(format!(
                "{} belongs to user {owner} and this server runs as user {own}: what it writes may not be readable or \
                 writable for the other one",
                place.display()
            ));
        }
        if let Ok(system) = rustix::fs::statfs(place)
            && let Some(name) = network_file_system(system.f_type as u64)
        {
            concerns.push(format!(
                "{} is on a network file system ({name}), where locks and syncs may not hold what they promise: use a local \
                 disk",
                place.display()
            ));
        }
    }
    concerns
}

/// The name of a file system whose disk is another machine's, by its number.
fn network_file_system(number: u64) -> Option<&'static str> {
    // The numbers of linux/magic.h and of the file systems' own sources; the kernel hands some on with their sign.
    Some(match number & 0xffff_ffff {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xff53_4d42 => "CIFS",
        0xfe53_4d42 => "SMB2",
        0x5346_414f => "AFS",
        0x00c3_6400 => "Ceph",
        0x0102_1997 => "9P",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_with_their_sign_and_without() {
        assert_eq!(network_file_system(0x6969), Some("NFS"));
        assert_eq!(network_file_system(0xff53_4d42), Some("CIFS"));
        assert_eq!(network_file_system(i64::from(0xff53_4d42_u32 as i32) as u64), Some("CIFS"));
        for local in [0xef53, 0x0102_1994, 0x9123_683e] {
            assert_eq!(network_file_system(local), None, "{local:x}");
        }
    }

    #[test]
    fn nothing_is_said_of_an_own_directory_nor_of_one_that_is_not_there() {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        assert_eq!(concerns(dir.path()), Vec::<String>::new());
        assert_eq!(concerns(&dir.path().join("missing")), Vec::<String>::new());
    }
}
