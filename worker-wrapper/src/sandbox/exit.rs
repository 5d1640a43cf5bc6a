//! How a confined program ended.

use std::time::Duration;

use trace_contracts::wire::worker::FailureReason;

/// How a confined program ended. When it is known, everything in the sandbox is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// With status 0.
    Success,
    /// With another status.
    Status(i32),
    /// By a signal, such as 11 for a memory fault.
    Signal(i32),
    /// By the kernel, for a system call that the sandbox forbids.
    ForbiddenSyscall,
    /// Not well, and a process of it was killed for memory.
    Memory {
        /// The limit in bytes.
        limit: u64,
    },
    /// Not well, and `/out` and `/tmp` were full.
    Disk {
        /// The limit in bytes.
        limit: u64,
        /// The limit in files.
        files: u32,
    },
    /// Not well, and it could not start another process or thread.
    Processes {
        /// The limit.
        limit: u32,
    },
    /// Killed at its time limit.
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// Killed because the wrapper asked for it.
    Killed,
}

/// What was seen of a program that has ended, before it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Observed {
    /// What the kernel says.
    pub status: Status,
    /// Why the wrapper killed it, if it did.
    pub stopped: Option<Stop>,
    /// A process was killed for memory.
    pub out_of_memory: bool,
    /// A process could not be made.
    pub out_of_processes: bool,
    /// The writable folders have no room left.
    pub out_of_disk: bool,
}

/// The status of process 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It exited.
    Exited(i32),
    /// A signal ended it.
    Signaled(i32),
}

/// Why the wrapper killed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Time was up.
    Deadline,
    /// Somebody asked.
    Asked,
}

/// The bounds that the program had.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// In bytes.
    pub memory: u64,
    /// In bytes.
    pub disk: u64,
    /// In files and folders.
    pub files: u32,
    /// Processes and threads.
    pub processes: u32,
    /// Wall-clock time.
    pub time: Duration,
}

impl Exit {
    /// A program that exits with 0 has succeeded, whatever it met; one that has not is explained by the
    /// first cause that applies: the wrapper's own kill, a forbidden call, then the limits.
    pub(super) fn judge(observed: Observed, bounds: &Bounds) -> Self {
        match observed {
            Observed { status: Status::Exited(0), .. } => Self::Success,
            Observed { status: Status::Signaled(libc::SIGKILL), stopped: Some(Stop::Deadline), .. } => {
                Self::Timeout { after: bounds.time }
            }
            Observed { status: Status::Signaled(libc::SIGKILL), stopped: Some(Stop::Asked), .. } => {
                Self::Killed
            }
            Observed { status: Status::Signaled(libc::SIGSYS), .. } => Self::ForbiddenSyscall,
            Observed { out_of_memory: true, .. } => Self::Memory { limit: bounds.memory },
            Observed { out_of_disk: true, .. } => Self::Disk { limit: bounds.disk, files: bounds.files },
            Observed { out_of_processes: true, .. } => Self::Processes { limit: bounds.processes },
            Observed { status: Status::Exited(status), .. } => Self::Status(status),
            Observed { status: Status::Signaled(signal), .. } => Self::Signal(signal),
        }
    }

    /// The reason of a failed attempt; `None` for a success, and for a kill that the wrapper asked for,
    /// whose reason the wrapper knows.
    #[must_use]
    pub const fn reason(&self) -> Option<FailureReason> {
        match self {
            Self::Success | Self::Killed => None,
            Self::Status(_) => Some(FailureReason::Exit),
            Self::Signal(_) => Some(FailureReason::Signal),
            Self::ForbiddenSyscall => Some(FailureReason::ForbiddenSyscall),
            Self::Memory { .. } => Some(FailureReason::Memory),
            Self::Disk { .. } => Some(FailureReason::Disk),
            Self::Processes { .. } => Some(FailureReason::Processes),
            Self::Timeout { .. } => Some(FailureReason::Timeout),
        }
    }

    /// For people: what happened, and what to do about it.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Success => "exited with status 0".to_owned(),
            Self::Status(status) => format!("exited with status {status}; its log says why"),
            Self::Signal(signal) => {
                let name = nix::sys::signal::Signal::try_from(*signal).map_or("unknown", |s| s.as_str());
                format!("ended by signal {signal} ({name})")
            }
            Self::ForbiddenSyscall => "made a system call that the sandbox forbids, and was ended".to_owned(),
            Self::Memory { limit } => format!(
                "reached its memory limit of {} (files in /out and /tmp count too); raise `resources.memory`",
                mebibytes(*limit)
            ),
            Self::Disk { limit, files } => format!(
                "filled /out and /tmp: {} or {files} files; raise `resources.disk`",
                mebibytes(*limit)
            ),
            Self::Processes { limit } => format!("reached its limit of {limit} processes and threads"),
            Self::Timeout { after } => {
                format!("did not end within {} s; raise `timeout`", after.as_secs_f64())
            }
            Self::Killed => "killed by the wrapper".to_owned(),
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { memory: 64 << 20, disk: 1 << 20, files: 10, processes: 8, time: Duration::from_secs(2) };

    const WELL: Observed = Observed {
        status: Status::Exited(1),
        stopped: None,
        out_of_memory: false,
        out_of_processes: false,
        out_of_disk: false,
    };

    #[test]
    fn the_first_cause_that_applies_is_the_reason() {
        use FailureReason as R;
        let killed = Status::Signaled(libc::SIGKILL);
        let table = [
            (WELL, Some(R::Exit)),
            (Observed { status: Status::Exited(0), out_of_disk: true, ..WELL }, None),
            (Observed { status: Status::Exited(0), stopped: Some(Stop::Deadline), ..WELL }, None),
            (
                Observed { status: killed, stopped: Some(Stop::Deadline), out_of_memory: true, ..WELL },
                Some(R::Timeout),
            ),
            (Observed { status: killed, stopped: Some(Stop::Asked), ..WELL }, None),
            (Observed { status: killed, ..WELL }, Some(R::Signal)),
            (Observed { status: killed, out_of_memory: true, ..WELL }, Some(R::Memory)),
            (
                Observed { status: Status::Signaled(libc::SIGSYS), out_of_memory: true, ..WELL },
                Some(R::ForbiddenSyscall),
            ),
            (Observed { status: Status::Signaled(libc::SIGSEGV), ..WELL }, Some(R::Signal)),
            (Observed { out_of_disk: true, out_of_processes: true, ..WELL }, Some(R::Disk)),
            (Observed { out_of_processes: true, ..WELL }, Some(R::Processes)),
            (Observed { stopped: Some(Stop::Deadline), ..WELL }, Some(R::Exit)),
        ];
        for (observed, reason) in table {
            assert_eq!(Exit::judge(observed, &BOUNDS).reason(), reason, "{observed:?}");
        }
    }

    #[test]
    fn details_tell_what_to_do() {
        let all = [
            Exit::Status(3),
            Exit::Signal(11),
            Exit::ForbiddenSyscall,
            Exit::Memory { limit: 64 << 20 },
            Exit::Disk { limit: 64 << 10, files: 10 },
            Exit::Processes { limit: 8 },
            Exit::Timeout { after: Duration::from_millis(1500) },
            Exit::Killed,
        ];
        insta::assert_snapshot!(all.map(|exit| exit.detail()).join("\n"));
    }
}
