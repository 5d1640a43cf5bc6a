//! Nothing of an attempt stays behind on the machine: no file, no process, no control group, no mount.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::Findings;

/// Looks for what workers of these process numbers have left behind, in their folders and elsewhere.
///
/// # Errors
/// When the machine can't be looked at.
pub fn left_by_workers(folders: &[PathBuf], pids: &[u32], findings: &mut Findings) -> anyhow::Result<()> {
    for folder in folders {
        for path in files(folder)? {
            // The lock that keeps a second worker out stays where it is.
            if path != folder.join("lock") {
                findings.wrong(format!("a worker left {}", path.display()));
            }
        }
    }
    let prefixes: BTreeSet<String> = pids.iter().map(|pid| format!("trace.{pid}.")).collect();
    let is_ours = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
    for group in folders_below(Path::new("/sys/fs/cgroup")) {
        if group.file_name().and_then(|name| name.to_str()).is_some_and(is_ours) {
            findings.wrong(format!("a control group is left: {}", group.display()));
        }
    }
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process that ended meanwhile has no groups any more.
        let groups = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        if groups.split(['/', '\n']).any(is_ours) {
            findings.wrong(format!("process {pid} of an attempt still runs"));
        }
    }
    Ok(())
}

/// Looks for what a run has left mounted below its folder, besides the disks that it was given.
///
/// # Errors
/// When the mounts can't be read.
pub fn left_behind(folder: &Path, disks: &[&Path], findings: &mut Findings) -> anyhow::Result<()> {
    for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
        let at = line.split(' ').nth(4).map(Path::new);
        if let Some(at) = at.filter(|at| at.starts_with(folder) && !disks.contains(at)) {
            findings.wrong(format!("{} is still mounted", at.display()));
        }
    }
    Ok(())
}

/// The files below a folder.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// All folders below this one; groups come and go while it is read.
fn folders_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(folders_below(&entry.path()));
            found.push(entry.path());
        }
    }
    found
}
