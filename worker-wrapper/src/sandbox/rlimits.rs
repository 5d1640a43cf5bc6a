//! Resource limits of a process: a second line behind the control group, and a few things that a
//! control group does not count.

use trace_contracts::wire::worker::Resources;

use super::controls;

/// A limit that holds from the start and can't be raised.
pub(super) struct Limit {
    /// `RLIMIT_*`.
    pub resource: libc::c_uint,
    /// The soft and the hard limit are the same.
    pub value: libc::rlimit64,
}

/// Open files.
const DESCRIPTORS: u64 = 1024;
/// Signals that wait, which are kernel memory.
const PENDING_SIGNALS: u64 = 1024;
/// A file pattern for core files writes nothing below a page; a pipe pattern, where the kernel runs a
/// program outside the sandbox as root, ignores 0 and is stopped by exactly 1 (`do_coredump`).
const NO_CORE: u64 = 1;

/// Processes and threads, as a multiple of what the control group allows: the control group must be the
/// one that refuses, because it is the one that tells.
const PROCESSES: u64 = 2;

/// The limits for these resources.
pub(super) fn limits(resources: &Resources, max_processes: u32) -> Vec<Limit> {
    [
        (libc::RLIMIT_CORE, controls::core_bytes(NO_CORE)),
        (libc::RLIMIT_NOFILE, DESCRIPTORS),
        (libc::RLIMIT_NPROC, PROCESSES * u64::from(max_processes)),
        (libc::RLIMIT_FSIZE, resources.disk_bytes),
        (libc::RLIMIT_MEMLOCK, 0),
        (libc::RLIMIT_MSGQUEUE, 0),
        (libc::RLIMIT_SIGPENDING, PENDING_SIGNALS),
        (libc::RLIMIT_NICE, 0),
        (libc::RLIMIT_RTPRIO, 0),
    ]
    .into_iter()
    .map(|(resource, value)| Limit { resource, value: libc::rlimit64 { rlim_cur: value, rlim_max: value } })
    .collect()
}
