//! What of a sandbox the hostile suite can leave out, one protection at a time.
//!
//! In every other build [`stands`] is a constant `true`, and each function here gives back what it was
//! given. The mechanisms ask here, so that all that can be left out is seen in one place; but for how outputs are
//! read, which `trace-surface` does for every launcher.

use std::time::Duration;

use trace_contracts::wire::worker::Resources;
pub(super) use trace_controls::{Protection, stands};

/// A limit that is off is this many times as large: an attack goes slightly past the limit, and the
/// machine must not be endangered when it succeeds.
const SLACK: u32 = 4;

/// What the control group limits.
pub(super) fn group_resources(resources: &Resources) -> Resources {
    let slack = slack(Protection::MemoryLimit);
    Resources { memory_bytes: resources.memory_bytes * u64::from(slack), ..*resources }
}

/// Processes that the control group allows.
pub(super) fn group_processes(most: u32) -> u32 {
    most * slack(Protection::ProcessLimit)
}

/// Bytes in the writable folders.
pub(super) fn disk_bytes(most: u64) -> u64 {
    most * u64::from(slack(Protection::DiskLimit))
}

/// Files in the writable folders.
pub(super) fn disk_files(most: u32) -> u32 {
    most * slack(Protection::FileCountLimit)
}

/// Wall-clock time.
pub(super) fn time(most: Duration) -> Duration {
    most * slack(Protection::Deadline)
}

/// The largest core file.
pub(super) fn core_bytes(most: u64) -> u64 {
    if stands(Protection::NoCoreFiles) { most } else { libc::RLIM64_INFINITY }
}

/// Flags for `clone3`. In the child's place, before it is made.
pub(super) fn namespaces(all: libc::c_int) -> libc::c_int {
    if stands(Protection::NetworkNamespace) { all } else { all & !libc::CLONE_NEWNET }
}

/// Attributes of what is shown.
pub(super) fn shown_attributes(all: u64) -> u64 {
    if stands(Protection::ReadOnlyMounts) { all } else { all & !libc::MOUNT_ATTR_RDONLY }
}

/// In the child: flags of the root's mount.
pub(super) fn root_flags(all: libc::c_ulong) -> libc::c_ulong {
    if stands(Protection::SealedRoot) { all } else { all & !libc::MS_RDONLY }
}

/// In the child: flags of the writable folders.
pub(super) fn disk_flags(all: libc::c_ulong) -> libc::c_ulong {
    if stands(Protection::NoExec) { all } else { all & !libc::MS_NOEXEC }
}

fn slack(protection: Protection) -> u32 {
    if stands(protection) { 1 } else { SLACK }
}
