//! Control groups: memory (swap and memory-backed files included), processes and processor time of a
//! whole sandbox.
//!
//! Version 1 and version 2 of the kernel's interface are behind one type. A group is made for each
//! sandbox and removed when it has ended; groups that a killed wrapper left behind are removed by the
//! next one.

mod mounted;
mod v1;
mod v2;

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use trace_contracts::wire::worker::Resources;

use super::Error;
use mounted::Mounted;

/// Where sandboxes get their groups.
pub(super) struct Cgroups {
    hierarchy: Hierarchy,
    owner: Owner,
    busy: Arc<Busy>,
}

/// The number of the next group: of the whole process, because a group's name tells the process and
/// not which of its sandboxes the group belongs to.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Groups that the kernel did not let go of at once; it may still be busy with a process that has ended.
#[derive(Default)]
struct Busy(Mutex<Vec<PathBuf>>);

enum Hierarchy {
    V1(v1::Hierarchies),
    V2(v2::Tree),
}

/// The group of one sandbox.
pub(super) struct Group {
    files: Files,
    /// What its processes may have.
    resources: Resources,
    busy: Arc<Busy>,
}

enum Files {
    V1(v1::Folders),
    V2(v2::Folder),
}

/// What happened in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Events {
    /// A process was killed for memory.
    pub out_of_memory: bool,
    /// A process or thread could not be made.
    pub out_of_processes: bool,
}

/// Which wrapper a group belongs to: a process number and when that process started, in clock ticks
/// since boot, because numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    pid: u32,
    started: u64,
}

/// All groups are called `trace.<pid>.<started>.<n>`.
const PREFIX: &str = "trace";
/// Processes of a left-over group die within this time after `SIGKILL`.
const DEATH: Duration = Duration::from_secs(5);
/// Nothing tells when the kernel lets go of a group.
const BETWEEN_TRIES: Duration = Duration::from_millis(1);

impl Cgroups {
    /// Finds a place for groups and checks that all three limits can be set there; `parent` is a path
    /// below the mount points, absent: the wrapper's own groups.
    pub(super) fn open(parent: Option<&str>) -> Result<Self, Error> {
        let mounted = Mounted::read()?;
        let hierarchy = match v2::Tree::open(&mounted, parent)? {
            Some(tree) => Hierarchy::V2(tree),
            None => Hierarchy::V1(v1::Hierarchies::open(&mounted, parent)?),
        };
        let owner = Owner::of(std::process::id())
            .ok_or_else(|| Error::io("read /proc/self/stat", io::Error::from(io::ErrorKind::InvalidData)))?;
        let cgroups = Self { hierarchy, owner, busy: Arc::default() };
        cgroups.try_out()?;
        Ok(cgroups)
    }

    /// Makes a group with all limits, and removes it.
    fn try_out(&self) -> Result<(), Error> {
        let resources = Resources { cpu_millis: 1000, memory_bytes: 1 << 26, disk_bytes: 0 };
        self.create(&resources, 1).and_then(Group::remove).map_err(|error| match error {
            missing @ Error::Missing { .. } => missing,
            other => Error::Missing {
                feature: "control groups",
                remedy: format!(
                    "Limits on memory, processes and processor time can't be set ({other}): run the wrapper as \
                     root, or as a service with Delegate=yes under control groups version 2"
                ),
            },
        })
    }

    /// For messages: which version is used.
    pub(super) fn version(&self) -> &'static str {
        match self.hierarchy {
            Hierarchy::V1(_) => "v1",
            Hierarchy::V2(_) => "v2",
        }
    }

    /// Makes a group with these limits.
    pub(super) fn create(&self, resources: &Resources, max_processes: u32) -> Result<Group, Error> {
        self.busy.retry()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = self.owner.group_name(number);
        let files = match &self.hierarchy {
            Hierarchy::V1(hierarchies) => Files::V1(hierarchies.create(&name, resources, max_processes)?),
            Hierarchy::V2(tree) => Files::V2(tree.create(&name, resources, max_processes)?),
        };
        Ok(Group { files, resources: *resources, busy: self.busy.clone() })
    }

    /// Kills and removes what wrappers that no longer run have left behind; returns how many groups.
    pub(super) fn sweep(&self) -> Result<usize, Error> {
        let bases: Vec<&Path> = match &self.hierarchy {
            Hierarchy::V1(hierarchies) => hierarchies.bases().collect(),
            Hierarchy::V2(tree) => vec![tree.base()],
        };
        let mut swept = 0;
        for base in bases {
            for folder in left_over(base)? {
                kill_all(&folder)?;
                remove(&folder)?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

impl Group {
    /// For `clone3`: the group to be made in; absent in version 1.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.files {
            Files::V1(_) => None,
            Files::V2(folder) => Some(folder.descriptor()),
        }
    }

    /// Where a process that was not made in the group enters it: it writes `0` to each of these. None
    /// in version 2.
    pub(super) fn entrances(&self) -> Result<Vec<OwnedFd>, Error> {
        match &self.files {
            Files::V1(folders) => folders.entrances(),
            Files::V2(_) => Ok(Vec::new()),
        }
    }

    /// Gives its processes other limits. Fails where they use more than that already.
    pub(super) fn relimit(&mut self, resources: &Resources) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.resources, *resources);
        if before.memory_bytes != resources.memory_bytes {
            let raised = resources.memory_bytes > before.memory_bytes;
            match &self.files {
                Files::V1(folders) if raised => folders.raise_memory(resources.memory_bytes)?,
                Files::V1(folders) => folders.limit_memory(resources.memory_bytes)?,
                Files::V2(folder) => folder.limit_memory(resources.memory_bytes)?,
            }
        }
        if before.cpu_millis != resources.cpu_millis {
            match &self.files {
                Files::V1(folders) => folders.limit_cpu(resources)?,
                Files::V2(folder) => folder.limit_cpu(resources)?,
            }
        }
        Ok(())
    }

    /// What happened so far.
    pub(super) fn events(&self) -> Events {
        match &self.files {
            Files::V1(folders) => folders.events(),
            Files::V2(folder) => folder.events(),
        }
    }

    /// Removes the group, which has no process any more.
    pub(super) fn remove(self) -> Result<(), Error> {
        match &self.files {
            Files::V1(folders) => folders.paths().try_for_each(|path| self.busy.remove(path)),
            Files::V2(folder) => self.busy.remove(folder.path()),
        }
    }
}

impl Busy {
    /// Removes a group now, or when the next one is made.
    fn remove(&self, folder: &Path) -> Result<(), Error> {
        match remove(folder) {
            Err(Error::Io { source, .. }) if source.raw_os_error() == Some(libc::EBUSY) => {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).push(folder.to_owned());
                Ok(())
            }
            other => other,
        }
    }

    /// Removes what could not be removed before.
    fn retry(&self) -> Result<(), Error> {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.iter().try_for_each(|folder| self.remove(folder))
    }
}

impl Drop for Busy {
    /// No group is made any more that would try again, so this waits for the kernel.
    fn drop(&mut self) {
        let until = Instant::now() + DEATH;
        loop {
            let tried = self.retry();
            let left = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
            match tried {
                Ok(()) if left.is_empty() => return,
                Ok(()) if Instant::now() < until => thread::park_timeout(BETWEEN_TRIES),
                Ok(()) => {
                    tracing::warn!(?left, "control groups stay, and are removed by the next wrapper");
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "a control group stays, and is removed by the next wrapper");
                    return;
                }
            }
        }
    }
}

impl Owner {
    /// The owner that is this process, if it runs.
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; the start is the 20th field after it.
        let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, started })
    }

    fn group_name(self, number: u64) -> String {
        format!("{PREFIX}.{}.{}.{number}", self.pid, self.started)
    }

    /// The owner in a group's name; `None` for a group that is not ours.
    fn in_name(unverified: &str) -> Option<Self> {
        let mut parts = unverified.split('.');
        let (prefix, pid, started, number) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if prefix != PREFIX || parts.next().is_some() || number.parse::<u64>().is_err() {
            return None;
        }
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    fn runs(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// The groups in `base` whose owner no longer runs.
fn left_over(base: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::io(format!("read {}", base.display()), source);
    let mut found = Vec::new();
    for entry in fs::read_dir(base).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let owner = entry.file_name().to_str().and_then(Owner::in_name);
        if owner.is_some_and(|owner| !owner.runs()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Kills every process of a group and waits until each is gone.
fn kill_all(folder: &Path) -> Result<(), Error> {
    let path = folder.join("cgroup.procs");
    let list = match fs::read_to_string(&path) {
        // Another wrapper has swept it in the meantime.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|source| Error::io(format!("read {}", path.display()), source))?,
    };
    for pid in list.lines().filter_map(|line| line.parse::<libc::pid_t>().ok()) {
        // SAFETY: takes numbers only.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let Ok(fd @ 0..) = i32::try_from(fd) else { continue };
        // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
        let process = unsafe { OwnedFd::from_raw_fd(fd) };
        kill(process.as_fd());
        await_death(process.as_fd()).map_err(|source| Error::io(format!("kill process {pid}"), source))?;
    }
    Ok(())
}

/// Sends `SIGKILL`; that the process is gone already is no error.
pub(super) fn kill(process: BorrowedFd<'_>) {
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes numbers and a null pointer.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), libc::SIGKILL, nothing, 0) };
}

/// Waits until a process is gone.
pub(super) fn await_death(process: BorrowedFd<'_>) -> io::Result<()> {
    let timeout = PollTimeout::try_from(DEATH).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(process, PollFlags::POLLIN)], timeout)? {
        0 => Err(io::Error::from(io::ErrorKind::TimedOut)),
        _ => Ok(()),
    }
}

/// Removes an empty group; that it is gone already is no error.
fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| Error::io(format!("remove {}", folder.display()), source)),
    }
}

/// Writes a group's file.
fn write(folder: &Path, file: &str, value: &str) -> Result<(), Error> {
    let path = folder.join(file);
    fs::write(&path, value)
        .map_err(|source| Error::io(format!("write {value} to {}", path.display()), source))
}

/// Makes a group.
fn make(folder: &Path) -> Result<(), Error> {
    fs::create_dir(folder).map_err(|source| Error::io(format!("make {}", folder.display()), source))
}

/// The number behind `key` in a group's file of `key number` lines; 0 when there is none.
fn counter(folder: &Path, file: &str, key: &str) -> u64 {
    let content = fs::read_to_string(folder.join(file)).unwrap_or_default();
    let value = content.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// `cpu_millis` thousandths of a processor, as microseconds of each period.
fn quota(resources: &Resources) -> u64 {
    u64::from(resources.cpu_millis) * PERIOD_MICROS / 1000
}

/// The period in which processor time is counted.
const PERIOD_MICROS: u64 = 100_000;

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_group_that_the_kernel_holds_at_the_end_is_waited_for() {
        let cgroups = Cgroups::open(None).unwrap();
        let resources = Resources { cpu_millis: 1000, memory_bytes: 1 << 26, disk_bytes: 0 };
        let group = cgroups.create(&resources, 2).unwrap();
        let folders: Vec<PathBuf> = match &group.files {
            Files::V1(folders) => folders.paths().map(Path::to_owned).collect(),
            Files::V2(folder) => vec![folder.path().to_owned()],
        };
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        for folder in &folders {
            write(folder, "cgroup.procs", &child.id().to_string()).unwrap();
        }
        group.remove().unwrap();
        assert!(folders.iter().all(|folder| folder.exists()), "a group with a process is busy");
        let last = thread::spawn(move || drop(cgroups));
        drop(child.stdin.take());
        child.wait().unwrap();
        last.join().unwrap();
        assert!(!folders.iter().any(|folder| folder.exists()));
    }

    #[test]
    fn only_our_own_names_are_swept() {
        let owner = Owner { pid: 7, started: 99 };
        assert_eq!(Owner::in_name(&owner.group_name(3)), Some(owner));
        for name in [
            "trace",
            "trace.7",
            "trace.7.99",
            "trace.7.99.3.4",
            "trace.7.99.x",
            "user.7.99.3",
            "system.slice",
        ] {
            assert_eq!(Owner::in_name(name), None, "{name}");
        }
    }

    #[test]
    fn an_owner_is_this_very_process() {
        let this = Owner::of(std::process::id()).unwrap();
        assert!(this.runs());
        assert!(!Owner { started: this.started + 1, ..this }.runs());
    }

    #[test]
    fn left_over_groups_are_those_of_dead_owners() {
        let base = tempfile::tempdir().unwrap();
        let this = Owner::of(std::process::id()).unwrap();
        let dead = Owner { started: this.started + 1, ..this };
        for name in [this.group_name(0), dead.group_name(5), "other".to_owned()] {
            fs::create_dir(base.path().join(name)).unwrap();
        }
        assert_eq!(left_over(base.path()).unwrap(), [base.path().join(dead.group_name(5))]);
    }
}
