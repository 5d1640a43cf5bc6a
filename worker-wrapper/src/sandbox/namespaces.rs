//! `clone3` into new namespaces, and who the user inside is to the rest of the machine.

use std::{
    fs, io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{Error, controls};

/// New namespaces: users, mounts, processes, network, IPC and host name. The child takes its control
/// group namespace later, when it is in its group.
const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

/// `CLONE_INTO_CGROUP`; libc's constant is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of the copy this is.
pub(super) enum Copied {
    /// The copy.
    Child,
    /// The wrapper.
    Wrapper {
        /// The child's number outside.
        pid: libc::pid_t,
        /// The child.
        pidfd: OwnedFd,
    },
}

/// Copies this process into new namespaces; with `cgroup`, the descriptor of a version 2 group,
/// straight into that group.
///
/// # Safety
/// In the copy only this thread goes on: the caller must call nothing there but [`super::child::run`].
pub(super) unsafe fn clone_into(cgroup: Option<RawFd>) -> io::Result<Copied> {
    // SAFETY: as the caller promises.
    unsafe { clone(controls::namespaces(NAMESPACES), cgroup) }
}

/// Copies this process without new namespaces.
///
/// # Safety
/// In the copy only this thread goes on: the caller must call nothing there but [`super::place`]'s visit.
pub(super) unsafe fn clone_plain() -> io::Result<Copied> {
    // SAFETY: as the caller promises.
    unsafe { clone(0, None) }
}

/// # Safety
/// In the copy only this thread goes on, and it follows the rule of [`super::child`].
unsafe fn clone(namespaces: libc::c_int, cgroup: Option<RawFd>) -> io::Result<Copied> {
    let mut pidfd: RawFd = -1;
    let into = if cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 };
    let arguments = libc::clone_args {
        flags: u64::from((namespaces | libc::CLONE_PIDFD).cast_unsigned()) | into,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.and_then(|fd| u64::try_from(fd).ok()).unwrap_or(0),
    };
    // SAFETY: the structure is live and its size is given; without CLONE_VM and a stack this is a fork.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match libc::pid_t::try_from(pid) {
        Ok(0) => Ok(Copied::Child),
        // SAFETY: the kernel has stored a new descriptor there, and nothing else owns it.
        Ok(pid) if pid > 0 => Ok(Copied::Wrapper { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The first of the outside users that sandboxes run as when the wrapper is root; systemd's list of
/// user numbers leaves the range from here on to nobody.
const FIRST_OUTSIDE: u32 = 0x7000_0000;
/// As many before they are used again.
const OUTSIDE: u32 = 0x1_0000;

static NEXT_OUTSIDE: AtomicU32 = AtomicU32::new(0);

/// Who the user of a sandbox is outside.
#[derive(Debug, Clone, Copy)]
pub(super) enum Identity {
    /// The wrapper is root: a user that owns nothing on this machine, another one for each sandbox.
    Nobody {
        /// User and group.
        outside: u32,
    },
    /// The wrapper is an ordinary user, and can map none but itself.
    Wrapper {
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

impl Identity {
    /// The user and group inside.
    pub(super) const INSIDE: u32 = 1000;

    /// As every sandbox of this wrapper has one.
    pub(super) fn any() -> Self {
        let uid = nix::unistd::geteuid();
        if uid.is_root() {
            Self::Nobody { outside: FIRST_OUTSIDE }
        } else {
            Self::Wrapper { uid: uid.as_raw(), gid: nix::unistd::getegid().as_raw() }
        }
    }

    /// For the next sandbox.
    pub(super) fn next() -> Self {
        match Self::any() {
            Self::Nobody { .. } => {
                // Wrappers on the same machine start at different places.
                let start = std::process::id().wrapping_mul(97);
                let slot = NEXT_OUTSIDE.fetch_add(1, Ordering::Relaxed).wrapping_add(start) % OUTSIDE;
                Self::Nobody { outside: FIRST_OUTSIDE + slot }
            }
            wrapper @ Self::Wrapper { .. } => wrapper,
        }
    }

    /// Whether supplementary groups can be dropped; an ordinary user may not, and keeps them.
    pub(super) fn clears_groups(&self) -> bool {
        matches!(self, Self::Nobody { .. })
    }

    /// Whether the user inside has the wrapper's own access to files.
    pub(super) fn is_wrapper(&self) -> bool {
        matches!(self, Self::Wrapper { .. })
    }

    /// Writes the mapping of exactly one user and one group for a child that waits for it.
    pub(super) fn map(&self, pid: libc::pid_t) -> Result<(), Error> {
        let write = |file: &str, content: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::write(&path, content).map_err(|source| Error::io(format!("write {path}"), source))
        };
        let (uid, gid) = match *self {
            Self::Nobody { outside } => (outside, outside),
            Self::Wrapper { uid, gid } => {
                write("setgroups", "deny")?;
                (uid, gid)
            }
        };
        write("uid_map", &format!("{} {uid} 1", Self::INSIDE))?;
        write("gid_map", &format!("{} {gid} 1", Self::INSIDE))
    }
}
