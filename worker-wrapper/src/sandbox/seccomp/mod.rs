//! System calls: an allow-list, and what happens to the rest.
//!
//! One filter decides, by the number of the call and for a few by its arguments:
//!
//! - **Attacks.** Calls that no task has a reason for end the process with `SIGSYS`, so that the
//!   attempt's reason says what happened. [`lists::FATAL`]
//! - **Sockets.** Families other than Unix and IPv4, and protocols other than TCP and UDP, answer
//!   `EAFNOSUPPORT`, as on a machine without them.
//! - **Allow-list.** What is not on it, unknown future calls included, answers `ENOSYS`: libraries try
//!   new calls and fall back (`clone3` and `io_uring_setup` are meant to). [`lists::ALLOWED`]
//!
//! A call of another architecture than the one compiled for ends the process (x86's 32-bit calls).
//!
//! The kernel tries a new filter out with every call there is, so that its length is paid for at each
//! start. It is compiled once, and looks calls up by halves ([`program`]).

mod lists;
#[cfg(test)]
mod oracle;
mod program;
mod rules;

use super::{
    Error,
    syscall::{self, Errno},
};

/// The compiled filter.
pub(super) struct Filter(Vec<libc::sock_filter>);

impl Filter {
    /// Compiles the filter for this machine.
    pub(super) fn compile() -> Result<Self, Error> {
        let missing = |remedy: String| Error::Missing { feature: "a seccomp filter", remedy };
        let architecture = program::ARCHITECTURE
            .ok_or_else(|| missing(format!("None is known for {} processors", std::env::consts::ARCH)))?;
        let program = program::assemble(architecture, &rules::rules());
        if program.len() > program::MAX_INSTRUCTIONS {
            return Err(missing(format!("It has {} instructions, too many for a kernel", program.len())));
        }
        Ok(Self(program))
    }

    /// In the child: installs it. From here on the process can do what the filter allows.
    pub(super) fn install(&self) -> Result<(), Errno> {
        syscall::install_filter(&self.0)
    }
}
