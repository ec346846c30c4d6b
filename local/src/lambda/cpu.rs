//! Lambda's CPU share, with a control group for each environment.
//!
//! A function has CPU in proportion to its memory, one vCPU for 1,769 MB. Version 1 of cgroups has `cpu.cfs_quota_us`,
//! version 2 `cpu.max`; both allow a certain time in each period. Groups are made only below the host's own group, and are
//! removed with their environment. On version 2 a group that holds processes cannot pass controllers on to ordinary children,
//! so these are *threaded* groups, for which `cpu` is exempt from that rule
//! (<https://docs.kernel.org/admin-guide/cgroup-v2.html#threads>). If something is not available, the host says so in words
//! and does without.

use super::limits::MEMORY_MB_PER_VCPU;
use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

const PERIOD_US: u64 = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The host's own group.
pub(super) struct CpuGroups {
    version: Version,
    own: PathBuf,
}

/// The group of one environment.
pub(super) struct CpuGroup {
    dir: PathBuf,
}

impl CpuGroups {
    /// Finds the group of this process, or says why there is none to use.
    pub(super) fn find() -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("reading {path}: {error}"));
        let (version, own) = own_group(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?)
            .ok_or("no cgroup with a cpu controller is mounted")?;
        let groups = Self { version, own };
        groups.remove_leftovers();
        if version == Version::Two {
            // In a group that holds processes this also makes it the root of threaded groups.
            write(&groups.own.join("cgroup.subtree_control"), "+cpu")?;
        }
        Ok(groups)
    }

    /// Makes a group for an environment with this much memory.
    pub(super) fn create(&self, number: u64, memory_mb: u32) -> Result<CpuGroup, String> {
        let dir = self.own.join(format!("kinglet-{}-{number}", std::process::id()));
        fs::create_dir(&dir).map_err(|error| format!("creating {}: {error}", dir.display()))?;
        let group = CpuGroup { dir };
        let quota_us = PERIOD_US * u64::from(memory_mb) / MEMORY_MB_PER_VCPU;
        let set = match self.version {
            Version::One => write(&group.dir.join("cpu.cfs_period_us"), &PERIOD_US.to_string())
                .and_then(|()| write(&group.dir.join("cpu.cfs_quota_us"), &quota_us.to_string())),
            Version::Two => write(&group.dir.join("cgroup.type"), "threaded")
                .and_then(|()| write(&group.dir.join("cpu.max"), &format!("{quota_us} {PERIOD_US}"))),
        };
        if let Err(why) = set {
            group.remove();
            return Err(why);
        }
        Ok(group)
    }

    /// Removes the groups of hosts that were killed. A group that still holds a process cannot be removed.
    fn remove_leftovers(&self) {
        for entry in fs::read_dir(&self.own).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.strip_prefix("kinglet-")?.split('-').next());
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

impl CpuGroup {
    /// Moves a process, with all its threads, into the group.
    pub(super) fn add(&self, pid: u32) -> Result<(), String> {
        write(&self.dir.join("cgroup.procs"), &pid.to_string())
    }

    /// Removes the group, which takes a moment after its last process has ended. Blocks for at most 0.2 s.
    pub(super) fn remove(self) {
        for _ in 0..20 {
            match fs::remove_dir(&self.dir) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => thread::sleep(Duration::from_millis(10)),
                _ => return,
            }
        }
        tracing::debug!(dir = %self.dir.display(), "a cgroup could not be removed");
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("writing {text:?} to {}: {error}", path.display()))
}

/// Returns the directory of this process's group, from `/proc/self/cgroup` (lines `id:controllers:path`) and
/// `/proc/self/mountinfo` (`… root mountpoint … - type source options`).
fn own_group(cgroup: &str, mountinfo: &str) -> Option<(Version, PathBuf)> {
    let line = |version: Version| {
        cgroup.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let fits = match version {
                Version::One => controllers.split(',').any(|controller| controller == "cpu"),
                Version::Two => id == "0" && controllers.is_empty(),
            };
            fits.then_some(path)
        })
    };
    // A machine with both versions has the cpu controller in only one: in version 1, if that lists it.
    let (version, path) =
        line(Version::One).map(|path| (Version::One, path)).or(line(Version::Two).map(|path| (Version::Two, path)))?;
    mountinfo.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, mountpoint) = (mount.next()?, mount.next()?);
        let file_system: Vec<_> = file_system.split(' ').collect();
        let fits = match version {
            Version::One => *file_system.first()? == "cgroup" && file_system.last()?.split(',').any(|o| o == "cpu"),
            Version::Two => *file_system.first()? == "cgroup2",
        };
        let below = Path::new(path).strip_prefix(root).ok()?;
        fits.then(|| (version, Path::new(mountpoint).join(below)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_in_either_version() {
        let one = "4:memory:/a\n3:cpuacct,cpu:/box/b\n0::/\n";
        let mounts = "30 29 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      31 29 0:27 /box /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                      32 29 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup rw\n";
        assert_eq!(own_group(one, mounts), Some((Version::One, "/sys/fs/cgroup/cpu/b".into())));
        let two = "0::/user.slice/me.scope\n";
        let mounts = "30 29 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(own_group(two, mounts), Some((Version::Two, "/sys/fs/cgroup/user.slice/me.scope".into())));
        assert_eq!(own_group("", mounts), None);
    }
}
