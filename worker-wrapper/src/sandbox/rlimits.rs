//! Resource limits of a process: a second line behind the control group, and a few things that a
//! control group does not count.

use std::io;

use super::Error;

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

/// The limits of every sandbox.
pub(super) fn limits(max_processes: u32) -> Vec<Limit> {
    [
        (libc::RLIMIT_CORE, controls::core_bytes(NO_CORE)),
        (libc::RLIMIT_NOFILE, DESCRIPTORS),
        (libc::RLIMIT_NPROC, PROCESSES * u64::from(max_processes)),
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

/// Limits the size of a file that process `pid`, a child of this one that was not waited for, can write. It
/// belongs to the attempt, so it is set from outside when the process waits; a lower one stays.
pub(super) fn limit_file_size(pid: libc::pid_t, bytes: u64) -> Result<(), Error> {
    let mut now = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let nothing = std::ptr::null::<libc::rlimit64>();
    // SAFETY: takes numbers, a null pointer and a live structure to write to.
    if unsafe { libc::prlimit64(pid, libc::RLIMIT_FSIZE, nothing, &raw mut now) } != 0 {
        return Err(Error::io("read the limit on files", io::Error::last_os_error()));
    }
    let value = bytes.min(now.rlim_max);
    let limit = libc::rlimit64 { rlim_cur: value, rlim_max: value };
    // SAFETY: takes numbers, a live structure to read and a null pointer.
    if unsafe { libc::prlimit64(pid, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()) } != 0 {
        return Err(Error::io("limit the size of files", io::Error::last_os_error()));
    }
    Ok(())
}
