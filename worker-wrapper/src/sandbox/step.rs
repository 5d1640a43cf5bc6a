//! The steps that the child takes, by number, so that it can say in twelve bytes which one failed.

use std::{fmt, io};

/// One step of the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Step {
    /// Put its descriptors in place and close every other.
    Descriptors,
    /// Reset signals, start a session.
    Session,
    /// Enter the control groups of version 1.
    ControlGroup,
    /// Wait until the wrapper has written the user mapping.
    WrapperGone,
    /// A control group namespace of its own, a host name.
    Namespaces,
    /// Take a copy of a mount.
    CloneTree,
    /// Become the unprivileged user.
    Identity,
    /// Die with the wrapper.
    ParentDeath,
    /// Mount the new root.
    Root,
    /// Create a folder, file or link in the new root.
    Node,
    /// Attach a copied mount.
    Attach,
    /// Mount the folders that can be written.
    Disk,
    /// Mount `/proc`.
    Proc,
    /// Make the root read-only and leave the old one.
    Seal,
    /// Bring up the loopback interface.
    Loopback,
    /// Open a listener.
    Listener,
    /// Pass descriptors to the wrapper.
    Report,
    /// Set a resource limit.
    ResourceLimit,
    /// Give up all capabilities.
    Capabilities,
    /// Enforce Landlock.
    Landlock,
    /// Install a system call filter.
    Seccomp,
    /// Start the program.
    Exec,
    /// Take the order.
    Order,
    /// Enter the namespaces of a sandbox that waits.
    Visit,
    /// Give the writable folders another size.
    Resize,
}

const STEPS: [(Step, &str); 25] = [
    (Step::Descriptors, "close inherited descriptors"),
    (Step::Session, "start a session"),
    (Step::ControlGroup, "enter the control groups"),
    (Step::WrapperGone, "wait for the wrapper"),
    (Step::Namespaces, "set up the uts and cgroup namespaces"),
    (Step::CloneTree, "open_tree"),
    (Step::Identity, "become the unprivileged user"),
    (Step::ParentDeath, "die with the wrapper"),
    (Step::Root, "mount the root"),
    (Step::Node, "fill the root"),
    (Step::Attach, "move_mount and mount_setattr"),
    (Step::Disk, "mount the writable folders"),
    (Step::Proc, "mount /proc with subset=pid,hidepid=invisible"),
    (Step::Seal, "pivot_root"),
    (Step::Loopback, "bring up the loopback interface"),
    (Step::Listener, "open a loopback listener"),
    (Step::Report, "pass descriptors out"),
    (Step::ResourceLimit, "setrlimit"),
    (Step::Capabilities, "drop capabilities"),
    (Step::Landlock, "landlock_restrict_self"),
    (Step::Seccomp, "install the seccomp filter"),
    (Step::Exec, "execve"),
    (Step::Order, "take the order"),
    (Step::Visit, "setns"),
    (Step::Resize, "resize the writable folders"),
];

impl Step {
    /// The step with this number.
    pub(super) fn from_number(unverified: u32) -> Option<Self> {
        STEPS.iter().map(|(step, _)| *step).find(|step| *step as u32 == unverified)
    }

    /// What may help when this step fails in this way; empty when nothing is known.
    pub(super) fn hint(self, source: &io::Error) -> &'static str {
        match (self, source.raw_os_error()) {
            (Self::Exec, Some(libc::ENOENT)) => {
                ". The program is missing, or needs a dynamic loader that is not in the sandbox: build it static"
            }
            (Self::Exec, Some(libc::EACCES)) => ". The program is not executable",
            (Self::Exec, Some(libc::ENOEXEC)) => ". The program is not an executable for this machine",
            (Self::Exec, Some(libc::ETXTBSY)) => ". Somebody still has the program open for writing",
            (Self::Exec, Some(libc::E2BIG)) => ". The arguments and the environment are too large",
            (Self::Proc, Some(libc::EPERM)) => {
                ". The container that the wrapper runs in hides parts of /proc; run it with an unmasked /proc"
            }
            (Self::Seal, Some(libc::EINVAL)) => ". pivot_root does not work on an initramfs",
            _ => "",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = STEPS.iter().find(|(step, _)| step == self).map_or("unknown", |(_, name)| name);
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_names_its_step() {
        for (number, (step, name)) in (0u32..).zip(STEPS) {
            assert_eq!(step as u32, number);
            assert_eq!(Step::from_number(number), Some(step));
            assert_eq!(step.to_string(), name);
        }
        assert_eq!(Step::from_number(25), None);
    }
}
