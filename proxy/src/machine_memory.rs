//! How much memory the machine has, or the cgroup of this process.

use std::path::{Path, PathBuf};

use crate::config::MIN_MEMORY_BYTES;

/// What the machine is taken to have if it does not say: a small container.
const UNKNOWN_MACHINE_BYTES: u64 = 512 * 1024 * 1024;

/// Default of [`Config::memory_budget`](crate::Config::memory_budget) in bytes: half of what this
/// process can have. The rest is for the streams of a server without Redis, for code and buffers of
/// the system, and for what the allocator keeps.
pub(crate) fn default_budget_bytes() -> usize {
    let half = usize::try_from(bytes_below(Path::new("/")) / 2).unwrap_or(usize::MAX / 2);
    half.max(MIN_MEMORY_BYTES)
}

/// Returns the memory of the machine, or the lower limit of a cgroup, as the files below this root
/// say.
fn bytes_below(root: &Path) -> u64 {
    let machine = read(&root.join("proc/meminfo")).and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes * 1024)
    });
    let machine = machine.unwrap_or(UNKNOWN_MACHINE_BYTES);
    cgroup_limits(root).fold(machine, u64::min)
}

/// Returns the limits of this process's cgroups and of those above them.
fn cgroup_limits(root: &Path) -> impl Iterator<Item = u64> {
    let cgroups = read(&root.join("proc/self/cgroup")).unwrap_or_default();
    let files: Vec<PathBuf> = cgroups
        .lines()
        .flat_map(|line| limit_files(root, line))
        .collect();
    // Version 2 says `max` for no limit, and version 1 a number beyond any machine.
    files
        .into_iter()
        .filter_map(|file| read(&file)?.trim().parse().ok())
}

/// Returns the files that limit a cgroup, given its line of `/proc/self/cgroup`.
fn limit_files(root: &Path, line: &str) -> Vec<PathBuf> {
    let mut parts = line.splitn(3, ':');
    let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
    else {
        return Vec::new();
    };
    let (mount, file) = if controllers.is_empty() {
        ("sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|name| name == "memory") {
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return Vec::new();
    };
    let mount = root.join(mount);
    // Within a container the path may be that of the host, which is not there; the mount itself is
    // then the container's.
    let path = Path::new(path.trim_start_matches('/'));
    path.ancestors()
        .map(|ancestor| mount.join(ancestor).join(file))
        .collect()
}

fn read(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(files: &[(&str, &str)]) -> u64 {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = root.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        bytes_below(root.path())
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemFree: 5 kB\nMemTotal:  4096 kB\n");

    #[test]
    fn without_a_cgroup_it_is_the_memory_of_the_machine() {
        assert_eq!(bytes_of(&[MEMINFO]), 4 << 20);
        assert_eq!(bytes_of(&[]), UNKNOWN_MACHINE_BYTES);
    }

    #[test]
    fn a_cgroup_of_version_2_limits_it_and_so_do_those_above() {
        let cgroup = ("proc/self/cgroup", "0::/a/b\n");
        let own = ("sys/fs/cgroup/a/b/memory.max", "max\n");
        let above = ("sys/fs/cgroup/a/memory.max", "2097152\n");
        assert_eq!(bytes_of(&[MEMINFO, cgroup, own, above]), 2 << 20);
        let own = ("sys/fs/cgroup/a/b/memory.max", "1048576\n");
        assert_eq!(bytes_of(&[MEMINFO, cgroup, own, above]), 1 << 20);
    }

    #[test]
    fn a_cgroup_of_version_1_limits_it() {
        let cgroup = (
            "proc/self/cgroup",
            "5:cpu:/x\n4:memory,hugetlb:/docker/abc\n",
        );
        // The path is that of the host; the container sees its own limit at the mount.
        let file = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "3145728\n");
        assert_eq!(bytes_of(&[MEMINFO, cgroup, file]), 3 << 20);
        let none = (file.0, "9223372036854771712\n");
        assert_eq!(bytes_of(&[MEMINFO, cgroup, none]), 4 << 20);
    }

    #[test]
    fn this_machine_has_some() {
        assert!(default_budget_bytes() > 1 << 20);
    }
}
