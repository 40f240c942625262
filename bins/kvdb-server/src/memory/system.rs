//! What the operating system says about memory: how much of it is resident, and how much there is.

use std::fs;
use std::path::Path;

/// The resident set of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResidentSet {
    /// All of it, bytes.
    pub bytes: usize,
    /// The part that maps files, code above all, bytes.
    pub of_files: usize,
}

impl ResidentSet {
    /// What the system says; zeros where it has no `/proc`.
    pub fn now() -> Self {
        let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
        Self::parse(&statm, rustix::param::page_size())
    }

    /// Reads the text of `statm`, whose second and third numbers are pages.
    fn parse(statm: &str, page: usize) -> Self {
        let pages = |text: &str| text.parse().unwrap_or(0usize).saturating_mul(page);
        let mut bytes = statm.split_ascii_whitespace().map(pages);
        Self { bytes: bytes.nth(1).unwrap_or(0), of_files: bytes.next().unwrap_or(0) }
    }

    /// The part that was allocated.
    pub fn allocated(&self) -> usize {
        self.bytes.saturating_sub(self.of_files)
    }
}

/// The resident set of the process, bytes; 0 where the system does not tell.
pub fn resident_set_bytes() -> usize {
    ResidentSet::now().bytes
}

/// The memory that the process can count on, bytes: that of the machine, or less where a control group (of a container
/// or a service) sets a limit. 0 where the system does not tell.
pub fn machine_bytes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = parse_meminfo(&meminfo);
    group_limit(&groups, Path::new("/sys/fs/cgroup")).map_or(machine, |limit| machine.min(limit))
}

fn parse_meminfo(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_ascii_whitespace().next()).and_then(|n| n.parse().ok());
    kib.unwrap_or(0u64).saturating_mul(1024)
}

/// The lowest limit of the process's control group and those around it. `groups` has a line for each hierarchy,
/// `number:controllers:/path`; the one hierarchy of version 2 has no controllers.
fn group_limit(groups: &str, mounted_at: &Path) -> Option<u64> {
    groups
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
            let (top, file) = if controllers.is_empty() {
                (mounted_at.to_owned(), "memory.max")
            } else if controllers.split(',').any(|name| name == "memory") {
                (mounted_at.join("memory"), "memory.limit_in_bytes")
            } else {
                return None;
            };
            let own = top.join(path);
            // A container sees its own group as the top, whatever the path says.
            let around = own.ancestors().take_while(|group| group.starts_with(&top));
            around.filter_map(|group| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()).min()
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_read_as_documented_and_nonsense_is_zero() {
        let set = ResidentSet::parse("5000 300 100 40 0 900 0\n", 4096);
        assert_eq!(set, ResidentSet { bytes: 300 * 4096, of_files: 100 * 4096 });
        assert_eq!(set.allocated(), 200 * 4096);
        assert_eq!(ResidentSet::parse("a b", 4096), ResidentSet::default());
        assert_eq!(parse_meminfo("MemTotal:       1024 kB\nMemFree: 1 kB\n"), 1 << 20);
        assert_eq!(parse_meminfo("MemFree: 1 kB\n"), 0);
    }

    #[test]
    fn this_process_has_a_resident_set_on_this_machine() {
        let resident = resident_set_bytes() as u64;
        assert!(resident > 0 && resident < machine_bytes());
    }

    #[test]
    fn the_lowest_limit_of_the_groups_around_the_process_counts() {
        let top = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = top.path().join(path);
            fs::create_dir_all(path.parent().expect("it is below the top")).expect("a directory is made");
            fs::write(path, text).expect("it is written");
        };
        write("system.slice/memory.max", "3000\n");
        write("system.slice/kvdb.service/memory.max", "max\n");
        assert_eq!(group_limit("0::/system.slice/kvdb.service\n", top.path()), Some(3000));
        assert_eq!(group_limit("0::/elsewhere\n", top.path()), None);
        assert_eq!(group_limit("", top.path()), None);

        write("memory/docker/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/memory.limit_in_bytes", "2000\n");
        assert_eq!(group_limit("4:cpu:/x\n3:hugetlb,memory:/docker\n", top.path()), Some(2000));

        write("memory.max", "1000\n");
        assert_eq!(group_limit("0::/\n", top.path()), Some(1000));
        assert_eq!(group_limit("0::/not/seen/from/inside\n", top.path()), Some(1000));
    }
}
