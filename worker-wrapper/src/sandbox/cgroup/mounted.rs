//! Where control groups are mounted, and which ones this process is in.

use std::{fs, path::PathBuf};

use crate::sandbox::Error;

/// The mounted hierarchies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mounted {
    hierarchies: Vec<Mount>,
}

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    version: Version,
    /// Which part of the hierarchy is mounted, `/` for all of it.
    root: String,
    /// Where.
    point: PathBuf,
    /// The group of this process in that hierarchy.
    own: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Version {
    V1 { controllers: Vec<String> },
    V2,
}

impl Mounted {
    /// Asks the kernel.
    pub(super) fn read() -> Result<Self, Error> {
        let read =
            |path: &str| fs::read_to_string(path).map_err(|source| Error::io(format!("read {path}"), source));
        Ok(Self::parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?))
    }

    fn parse(mountinfo: &str, membership: &str) -> Self {
        let hierarchies = mountinfo.lines().filter_map(|line| mount(line, membership)).collect();
        Self { hierarchies }
    }

    /// The folder for `controller` of version 1: `parent` below the mount point, or this process's own
    /// group.
    pub(super) fn v1(&self, controller: &str, parent: Option<&str>) -> Option<PathBuf> {
        let has = |mount: &&Mount| match &mount.version {
            Version::V1 { controllers } => controllers.iter().any(|name| name == controller),
            Version::V2 => false,
        };
        self.hierarchies.iter().find(has).map(|mount| mount.folder(parent))
    }

    /// The same for version 2, which has one hierarchy.
    pub(super) fn v2(&self, parent: Option<&str>) -> Option<PathBuf> {
        let found = self.hierarchies.iter().find(|mount| mount.version == Version::V2)?;
        Some(found.folder(parent))
    }
}

impl Mount {
    fn folder(&self, parent: Option<&str>) -> PathBuf {
        let relative = match parent {
            Some(parent) => parent,
            // What is mounted may be only a part of the hierarchy, as in a container.
            None => self.own.strip_prefix(self.root.trim_end_matches('/')).unwrap_or("/"),
        };
        self.point.join(relative.trim_matches('/'))
    }
}

/// `36 31 0:29 /root /mount/point options [optional…] - type source super-options`.
fn mount(line: &str, membership: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, point) = (left.next()?.to_owned(), PathBuf::from(unescape(left.next()?)));
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1)?);
    let version = match kind {
        "cgroup2" => Version::V2,
        "cgroup" => Version::V1 { controllers: options.split(',').map(str::to_owned).collect() },
        _ => return None,
    };
    let own = membership.lines().find_map(|line| own_group(line, &version))?;
    Some(Mount { version, root, point, own })
}

/// `4:memory,other:/path`; version 2 is `0::/path`.
fn own_group(line: &str, version: &Version) -> Option<String> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (names, path) = (parts.next()?, parts.next()?);
    let is_it = match version {
        Version::V2 => names.is_empty(),
        Version::V1 { controllers } => names.split(',').any(|name| controllers.iter().any(|c| c == name)),
    };
    is_it.then(|| path.to_owned())
}

/// Mount points are written with spaces as `\040`.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs cgroup rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

    #[test]
    fn version_1_has_a_folder_for_each_controller() {
        let mounted = Mounted::parse(V1, "4:memory:/a/b\n2:cpu,cpuacct:/\n0::/\n");
        assert_eq!(mounted.v1("memory", None), Some("/sys/fs/cgroup/memory/a/b".into()));
        assert_eq!(mounted.v1("cpu", None), Some("/sys/fs/cgroup/cpu,cpuacct/".into()));
        assert_eq!(mounted.v1("memory", Some("/trace")), Some("/sys/fs/cgroup/memory/trace".into()));
        assert_eq!(mounted.v1("pids", None), None);
        assert_eq!(mounted.v2(None), Some("/sys/fs/cgroup/unified/".into()));
    }

    #[test]
    fn version_2_in_a_container_without_a_namespace_of_its_own() {
        let info = "29 23 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw,nsdelegate";
        let mounted = Mounted::parse(info, "0::/docker/x/inner\n");
        assert_eq!(mounted.v2(None), Some("/sys/fs/cgroup/inner".into()));
        assert_eq!(mounted.v1("memory", None), None);
    }
}
