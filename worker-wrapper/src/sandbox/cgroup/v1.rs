//! Version 1: one hierarchy for each controller.

use std::{
    fs::File,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use trace_contracts::wire::worker::Resources;

use super::{Error, Events, PERIOD_MICROS, counter, make, mounted::Mounted, quota, remove, write};

/// The folder of each controller in which groups are made.
pub(super) struct Hierarchies {
    memory: PathBuf,
    pids: PathBuf,
    cpu: PathBuf,
}

/// The folders of one group.
pub(super) struct Folders {
    memory: PathBuf,
    pids: PathBuf,
    cpu: PathBuf,
}

impl Hierarchies {
    pub(super) fn open(mounted: &Mounted, parent: Option<&str>) -> Result<Self, Error> {
        let missing: Vec<&str> = ["memory", "pids", "cpu"]
            .into_iter()
            .filter(|controller| mounted.v1(controller, parent).is_none())
            .collect();
        let folder = |controller: &str| {
            mounted.v1(controller, parent).ok_or_else(|| Error::Missing {
                feature: "control groups",
                remedy: format!(
                    "No {} limit can be set: mount control groups version 2 at /sys/fs/cgroup with the \
                     controllers memory, pids and cpu (or those three of version 1)",
                    missing.join(", no ")
                ),
            })
        };
        let hierarchies = Self { memory: folder("memory")?, pids: folder("pids")?, cpu: folder("cpu")? };
        if parent.is_some() {
            for base in hierarchies.bases() {
                std::fs::create_dir_all(base)
                    .map_err(|source| Error::io(format!("make {}", base.display()), source))?;
            }
        }
        Ok(hierarchies)
    }

    pub(super) fn bases(&self) -> impl Iterator<Item = &Path> {
        [&self.memory, &self.pids, &self.cpu].into_iter().map(PathBuf::as_path)
    }

    pub(super) fn create(&self, name: &str, resources: &Resources, processes: u32) -> Result<Folders, Error> {
        let folders =
            Folders { memory: self.memory.join(name), pids: self.pids.join(name), cpu: self.cpu.join(name) };
        folders.limit(resources, processes).inspect_err(|_| {
            // The error that is reported is the first one; a folder that stays is swept later.
            folders.paths().for_each(|path| drop(remove(path)));
        })?;
        Ok(folders)
    }
}

impl Folders {
    fn limit(&self, resources: &Resources, processes: u32) -> Result<(), Error> {
        self.paths().try_for_each(make)?;
        self.limit_memory(resources.memory_bytes)?;
        write(&self.pids, "pids.max", &processes.to_string())?;
        write(&self.cpu, "cpu.cfs_period_us", &PERIOD_MICROS.to_string())?;
        self.limit_cpu(resources)
    }

    /// Sets a limit on memory that is not above the one before: the limit that counts swap too may never
    /// be the lower one.
    pub(super) fn limit_memory(&self, bytes: u64) -> Result<(), Error> {
        let bytes = bytes.to_string();
        write(&self.memory, "memory.limit_in_bytes", &bytes)?;
        self.limit_swap(&bytes)
    }

    /// Sets one that is not below the one before.
    pub(super) fn raise_memory(&self, bytes: u64) -> Result<(), Error> {
        let bytes = bytes.to_string();
        self.limit_swap(&bytes)?;
        write(&self.memory, "memory.limit_in_bytes", &bytes)
    }

    /// Sets the limit on processor time.
    pub(super) fn limit_cpu(&self, resources: &Resources) -> Result<(), Error> {
        write(&self.cpu, "cpu.cfs_quota_us", &quota(resources).to_string())
    }

    /// Memory and swap together get the same limit, so that nothing is swapped out.
    fn limit_swap(&self, bytes: &str) -> Result<(), Error> {
        const FILE: &str = "memory.memsw.limit_in_bytes";
        if self.memory.join(FILE).exists() {
            return write(&self.memory, FILE, bytes);
        }
        let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
        if swaps.lines().count() <= 1 {
            return Ok(());
        }
        let remedy = "The memory limit would not count swap: boot with swapaccount=1, or without swap";
        Err(Error::Missing { feature: "control group swap accounting", remedy: remedy.to_owned() })
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.memory, &self.pids, &self.cpu].into_iter().map(PathBuf::as_path)
    }

    /// Where a thread that writes `0` enters.
    pub(super) fn entrances(&self) -> Result<Vec<OwnedFd>, Error> {
        let open = |path: &Path| {
            let tasks = path.join("tasks");
            let file = File::options().write(true).open(&tasks);
            file.map(OwnedFd::from).map_err(|source| Error::io(format!("open {}", tasks.display()), source))
        };
        self.paths().map(open).collect()
    }

    pub(super) fn events(&self) -> Events {
        Events {
            out_of_memory: counter(&self.memory, "memory.oom_control", "oom_kill") > 0,
            out_of_processes: counter(&self.pids, "pids.events", "max") > 0,
        }
    }
}
