//! Version 2: one hierarchy for all controllers, and a process is made in its group.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use trace_contracts::wire::worker::Resources;

use super::{Error, Events, PERIOD_MICROS, counter, make, mounted::Mounted, quota, remove, write};

/// The folder in which groups are made.
pub(super) struct Tree {
    base: PathBuf,
}

/// The folder of one group.
pub(super) struct Folder {
    path: PathBuf,
    descriptor: File,
}

const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// Where the wrapper itself goes: a group with limited children may have no processes of its own.
const OWN_LEAF: &str = "trace-wrapper";

impl Tree {
    /// `None` when version 2 is not mounted, or has none of the three controllers (they belong to
    /// version 1 then).
    pub(super) fn open(mounted: &Mounted, parent: Option<&str>) -> Result<Option<Self>, Error> {
        let Some(mut base) = mounted.v2(parent) else { return Ok(None) };
        if base.ends_with(OWN_LEAF) {
            // This process has made room for limited groups before.
            base.pop();
        }
        if parent.is_some() {
            fs::create_dir_all(&base)
                .map_err(|source| Error::io(format!("make {}", base.display()), source))?;
        }
        let available = fs::read_to_string(base.join("cgroup.controllers")).unwrap_or_default();
        let missing = missing(&available);
        if missing.len() == CONTROLLERS.len() {
            return Ok(None);
        }
        if !missing.is_empty() {
            return Err(not_delegated(&base, &format!("it has no {} controller", missing.join(", no "))));
        }
        enable(&base).map_err(|source| not_delegated(&base, &source.to_string()))?;
        Ok(Some(Self { base }))
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    pub(super) fn create(&self, name: &str, resources: &Resources, processes: u32) -> Result<Folder, Error> {
        let path = self.base.join(name);
        make(&path)?;
        limit(&path, resources, processes)
            .and_then(|()| {
                let descriptor = File::open(&path)
                    .map_err(|source| Error::io(format!("open {}", path.display()), source))?;
                Ok(Folder { path: path.clone(), descriptor })
            })
            // The error that is reported is the first one; a folder that stays is swept later.
            .inspect_err(|_| drop(remove(&path)))
    }
}

impl Folder {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Sets the limit on memory; swap stays forbidden.
    pub(super) fn limit_memory(&self, bytes: u64) -> Result<(), Error> {
        write(&self.path, "memory.max", &bytes.to_string())
    }

    /// Sets the limit on processor time.
    pub(super) fn limit_cpu(&self, resources: &Resources) -> Result<(), Error> {
        write(&self.path, "cpu.max", &format!("{} {PERIOD_MICROS}", quota(resources)))
    }

    pub(super) fn events(&self) -> Events {
        Events {
            out_of_memory: counter(&self.path, "memory.events", "oom_kill") > 0,
            out_of_processes: counter(&self.path, "pids.events", "max") > 0,
        }
    }
}

fn limit(folder: &Path, resources: &Resources, processes: u32) -> Result<(), Error> {
    write(folder, "memory.max", &resources.memory_bytes.to_string())?;
    // Absent where the kernel has no swap.
    if folder.join("memory.swap.max").exists() {
        write(folder, "memory.swap.max", "0")?;
    }
    write(folder, "memory.oom.group", "1")?;
    write(folder, "pids.max", &processes.to_string())?;
    write(folder, "cpu.max", &format!("{} {PERIOD_MICROS}", quota(resources)))
}

fn missing(available: &str) -> Vec<&'static str> {
    let has = |name: &&str| available.split_whitespace().any(|known| known == *name);
    CONTROLLERS.into_iter().filter(|name| !has(name)).collect()
}

/// Lets the children of `base` have limits; moves this process out of `base` if it is in the way.
fn enable(base: &Path) -> io::Result<()> {
    let control = base.join("cgroup.subtree_control");
    if missing(&fs::read_to_string(&control)?).is_empty() {
        return Ok(());
    }
    let wanted = CONTROLLERS.map(|name| format!("+{name}")).join(" ");
    match fs::write(&control, &wanted) {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            let leaf = base.join(OWN_LEAF);
            fs::create_dir_all(&leaf)?;
            fs::write(leaf.join("cgroup.procs"), std::process::id().to_string())?;
            fs::write(&control, &wanted)
        }
        other => other,
    }
}

fn not_delegated(base: &Path, why: &str) -> Error {
    Error::Missing {
        feature: "a delegated control group",
        remedy: format!(
            "Limits can't be set in {}: {why}. Run the wrapper as a service with Delegate=yes (for a try: \
             systemd-run --user --scope -p Delegate=yes …), or as root",
            base.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOURCES: Resources = Resources { cpu_millis: 1500, memory_bytes: 1 << 28, disk_bytes: 1 << 20 };

    /// A folder with the files of a group; a real one would fill new groups by itself.
    fn group(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, content) in files {
            fs::write(folder.path().join(file), content).unwrap();
        }
        folder
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(missing("cpuset cpu io memory hugetlb pids\n").is_empty());
        assert_eq!(missing("cpu io\n"), ["memory", "pids"]);
        assert_eq!(missing(""), CONTROLLERS);
        let text = not_delegated(Path::new("/g"), "it has no pids controller").to_string();
        assert!(text.contains("no pids controller") && text.contains("Delegate=yes"), "{text}");
    }

    #[test]
    fn limits_are_written_in_the_kernels_words() {
        let folder = group(&[("memory.swap.max", "max")]);
        limit(folder.path(), &RESOURCES, 64).unwrap();
        let read = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!(read("memory.max"), "268435456");
        assert_eq!(read("memory.swap.max"), "0");
        assert_eq!(read("memory.oom.group"), "1");
        assert_eq!(read("pids.max"), "64");
        assert_eq!(read("cpu.max"), "150000 100000");
    }

    #[test]
    fn events_are_read() {
        let folder = group(&[
            ("memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 1\n"),
            ("pids.events", "max 0\n"),
        ]);
        let folder =
            Folder { path: folder.path().to_owned(), descriptor: File::open(folder.path()).unwrap() };
        assert_eq!(folder.events(), Events { out_of_memory: true, out_of_processes: false });
    }

    #[test]
    fn controllers_are_enabled_once() {
        let folder = group(&[("cgroup.subtree_control", "")]);
        enable(folder.path()).unwrap();
        let control = folder.path().join("cgroup.subtree_control");
        assert_eq!(fs::read_to_string(&control).unwrap(), "+memory +pids +cpu");
        fs::write(&control, "cpu memory pids\n").unwrap();
        enable(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&control).unwrap(), "cpu memory pids\n");
    }
}
