//! Nothing that the wrapper has open is inherited: the child puts a few descriptors where it wants
//! them and closes all others before it does anything else.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use super::{
    controls::{Protection, stands},
    syscall::{self, Errno},
};

/// Where the child finds the socket to the wrapper.
pub(super) const CONTROL: RawFd = 3;
/// Where the child finds the Landlock ruleset.
pub(super) const RULESET: RawFd = 4;
/// Where the child finds the entrances of its control groups, if it enters them itself.
const ENTRANCES: RawFd = 5;
/// The first one that the program does not get.
const FIRST_PRIVATE: libc::c_uint = 3;

/// Those that the child keeps, each above all the places that they are put at.
pub(super) struct Kept {
    descriptors: Vec<OwnedFd>,
}

impl Kept {
    /// `/dev/null`, the ends of the pipes for output, the socket to the wrapper, the ruleset, and the
    /// entrances of control groups.
    pub(super) fn new(
        stdout: OwnedFd,
        stderr: OwnedFd,
        control: OwnedFd,
        ruleset: OwnedFd,
        entrances: Vec<OwnedFd>,
    ) -> io::Result<Self> {
        let null = OwnedFd::from(std::fs::File::open("/dev/null")?);
        let all = [null, stdout, stderr, control, ruleset].into_iter().chain(entrances);
        Ok(Self { descriptors: all.map(raise).collect::<io::Result<_>>()? })
    }

    /// The socket to the wrapper, before it is in its place.
    pub(super) fn control(&self) -> RawFd {
        self.descriptors[3].as_raw_fd()
    }

    /// In the child: puts each in its place and closes every other.
    pub(super) fn place(&self) -> Result<(), Errno> {
        let mut to: RawFd = 0;
        for from in &self.descriptors {
            let flags = if to >= CONTROL { libc::O_CLOEXEC } else { 0 };
            syscall::place(from.as_raw_fd(), to, flags)?;
            to += 1;
        }
        if stands(Protection::ClosedDescriptors) { syscall::close_from(to.cast_unsigned()) } else { Ok(()) }
    }

    /// In the child: where the entrances of control groups are, if there are any.
    pub(super) fn entrances(&self) -> std::ops::Range<RawFd> {
        // A handful; the conversion can't fail, and may not panic here.
        ENTRANCES..RawFd::try_from(self.descriptors.len()).unwrap_or(ENTRANCES)
    }
}

/// In the child: makes sure that the program starts with three descriptors.
pub(super) fn keep_three() -> Result<(), Errno> {
    if stands(Protection::ClosedDescriptors) { syscall::close_on_exec_from(FIRST_PRIVATE) } else { Ok(()) }
}

/// In the child: the same, and the socket, from which an interpreter that waits reads its order.
pub(super) fn keep_control() -> Result<(), Errno> {
    keep_three()?;
    syscall::keep_on_exec(CONTROL)
}

/// The same file at a number that no place in the child has.
fn raise(fd: OwnedFd) -> io::Result<OwnedFd> {
    const ABOVE: libc::c_int = 16;
    // SAFETY: takes numbers only.
    let raised = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, ABOVE) };
    if raised < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raised) })
}
