//! The child: from the copy of the wrapper to the confined program.
//!
//! It prepares a sandbox before it is known for which attempt, waits there for its order, and becomes the
//! program that the order names. If that is a Python program, it becomes the interpreter first, fully
//! confined, and `start.py` waits for the order.
//!
//! **The rule.** The wrapper has many threads; the copy has one, and any lock of the others may be held
//! in it for good, the allocator's included. So from `clone3` to `execve` the child allocates nothing,
//! frees nothing, takes no lock, formats nothing and can't panic: it works through a [`Plan`] that was
//! made before, with system calls from [`super::syscall`] alone. Each `child-side` function that it calls
//! in the files of the mechanisms says "In the child" and follows the same rule.
//!
//! The order matters. Copies of mounts are taken while the child is still the wrapper's user; Landlock
//! comes after the last mount, because it forbids mounting; capabilities go after everything that needs
//! one; the allow-list comes last, because it allows little of all this.

use std::{convert::Infallible, io, ops::Range, os::fd::RawFd};

use super::{
    Error,
    controls::{Protection, stands},
    descriptors::{self, CONTROL, RULESET},
    landlock::Enforced,
    listeners,
    mounts::Table,
    order::Inbox,
    plan::{Interpreter, Plan, Then, WORKING_FOLDER},
    privileges,
    step::Step,
    syscall::{self, Errno},
};

/// What the wrapper sends when the user mapping is written.
pub(super) const GO: u8 = b'g';

/// The status of a child that has not become its program; `start.py` has the same.
pub(super) const NEVER_STARTED: libc::c_int = 127;

/// The process that writes it, to the kernel's control groups.
const MYSELF: &[u8] = b"0";

/// A step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    step: Step,
    index: u32,
    errno: Errno,
}

impl Failure {
    /// In twelve bytes, for the wrapper.
    pub(super) fn to_bytes(self) -> [u8; 12] {
        let step = self.step as u32;
        let [a, b, c] = [step.to_ne_bytes(), self.index.to_ne_bytes(), self.errno.to_ne_bytes()];
        [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3]]
    }

    /// What a copy sent: step, index and error number.
    pub(super) fn parse(unverified: &[u8]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *unverified else { return None };
        let step = Step::from_number(u32::from_ne_bytes([a, b, c, d]))?;
        let (index, errno) = (u32::from_ne_bytes([e, f, g, h]), Errno::from_ne_bytes([i, j, k, l]));
        Some(Self { step, index, errno })
    }

    /// In words; `subject` says what the step was done to.
    pub(super) fn explain(self, subject: impl FnOnce(Step, u32) -> String) -> Error {
        let Self { step, index, errno } = self;
        Error::Step { step, subject: subject(step, index), source: io::Error::from_raw_os_error(errno) }
    }
}

/// Names the step of an error.
pub(super) trait At<T> {
    /// The same, as a failure.
    fn at(self, step: Step) -> Result<T, Failure>;
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, step: Step) -> Result<T, Failure> {
        self.map_err(|errno| Failure { step, index: 0, errno })
    }
}

impl<T> At<T> for Result<T, (u32, Errno)> {
    fn at(self, step: Step) -> Result<T, Failure> {
        self.map_err(|(index, errno)| Failure { step, index, errno })
    }
}

/// Confines this process and becomes the program, or reports the step that failed and ends.
pub(super) fn run(plan: &mut Plan) -> ! {
    let (control, failure) = match plan.kept.place().at(Step::Descriptors) {
        Err(failure) => (plan.kept.control(), failure),
        Ok(()) => match confine(plan) {
            Err(failure) => (CONTROL, failure),
            Ok(never) => match never {},
        },
    };
    // If even this fails the wrapper sees the end of the socket and an exit status.
    let _ = syscall::send(control, &failure.to_bytes());
    syscall::exit(NEVER_STARTED)
}

fn confine(plan: &mut Plan) -> Result<Infallible, Failure> {
    start_afresh()?;
    enter_groups(plan.kept.entrances()).at(Step::ControlGroup)?;
    wait_for_wrapper().at(Step::WrapperGone)?;
    plan.table.copy_trees().at(Step::CloneTree)?;
    syscall::unshare(libc::CLONE_NEWCGROUP).at(Step::Namespaces)?;
    syscall::set_host_name(c"trace").at(Step::Namespaces)?;
    privileges::assume(&plan.identity).at(Step::Identity)?;
    die_with_wrapper().at(Step::ParentDeath)?;
    let output = build_root(&plan.table)?;
    if stands(Protection::NetworkNamespace) {
        listeners::bring_up_loopback().at(Step::Loopback)?;
    }
    let opened = listeners::open(&plan.ports).at(Step::Listener)?;
    listeners::pass(output, &opened).at(Step::Report)?;
    give_everything_up(plan)?;
    let Plan { then, inside, filter, .. } = plan;
    match then {
        Then::TakeOrder(inbox) => {
            // Nothing but the rules of this file has run here, and the attempt's folders are mounted
            // when the order comes: each gets its rule.
            inbox.take(CONTROL).at(Step::Order)?;
            if stands(Protection::Landlock) {
                inside.enforce(RULESET, Enforced::AfterMounts).at(Step::Landlock)?;
            }
            descriptors::keep_three().at(Step::Descriptors)?;
            syscall::enter(WORKING_FOLDER).at(Step::Seal)?;
            if stands(Protection::Seccomp) {
                filter.install().at(Step::Seccomp)?;
            }
            become_program(inbox)
        }
        Then::Interpret(interpreter) => {
            if stands(Protection::Landlock) {
                inside.enforce(RULESET, Enforced::BeforeMounts).at(Step::Landlock)?;
            }
            descriptors::keep_control().at(Step::Descriptors)?;
            if stands(Protection::Seccomp) {
                filter.install().at(Step::Seccomp)?;
            }
            become_interpreter(interpreter)
        }
    }
}

fn start_afresh() -> Result<(), Failure> {
    syscall::reset_signals().at(Step::Session)?;
    syscall::new_session().at(Step::Session)?;
    syscall::set_umask(0o022);
    Ok(())
}

/// Enters the control groups of version 1. Doing so oneself is what the kernel does at once: it lets a
/// process be moved by another only after every processor has passed a point of rest, which takes
/// milliseconds on a busy machine.
fn enter_groups(entrances: Range<RawFd>) -> Result<(), Errno> {
    for entrance in entrances {
        syscall::write(entrance, MYSELF)?;
        syscall::close(entrance);
    }
    Ok(())
}

/// Nothing can be done before the wrapper has written the user mapping.
fn wait_for_wrapper() -> Result<(), Errno> {
    let mut answer = [0u8; 1];
    match syscall::receive(CONTROL, &mut answer, 0)? {
        1 if answer[0] == GO => Ok(()),
        _ => Err(libc::ECONNRESET),
    }
}

/// Asks to be killed with the wrapper. Set after the user has changed, which clears it; then looks
/// whether the wrapper was gone already.
fn die_with_wrapper() -> Result<(), Errno> {
    syscall::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0)?;
    let mut nothing = [0u8; 1];
    match syscall::receive(CONTROL, &mut nothing, libc::MSG_DONTWAIT | libc::MSG_PEEK) {
        Err(libc::EAGAIN) => Ok(()),
        Ok(_) => Err(libc::ECONNRESET),
        Err(errno) => Err(errno),
    }
}

fn build_root(table: &Table) -> Result<RawFd, Failure> {
    table.mount_root().at(Step::Root)?;
    table.create_nodes().at(Step::Node)?;
    table.attach_trees().at(Step::Attach)?;
    let output = table.mount_disk().at(Step::Disk)?;
    Table::mount_proc().at(Step::Proc)?;
    Table::seal().at(Step::Seal)?;
    Ok(output)
}

fn give_everything_up(plan: &Plan) -> Result<(), Failure> {
    for (index, limit) in (0..).zip(&plan.limits) {
        syscall::set_limit(limit.resource, &limit.value)
            .map_err(|errno| (index, errno))
            .at(Step::ResourceLimit)?;
    }
    privileges::give_up().at(Step::Capabilities)
}

fn become_program(inbox: &Inbox) -> Result<Infallible, Failure> {
    let mut tries_left = EXEC_TRIES;
    loop {
        let errno = inbox.exec();
        tries_left -= 1;
        if errno != libc::ETXTBSY || tries_left == 0 {
            return Err(errno).at(Step::Exec);
        }
        syscall::pause(&BETWEEN_TRIES);
    }
}

fn become_interpreter(interpreter: &Interpreter) -> Result<Infallible, Failure> {
    let Interpreter { path, arguments, environment } = interpreter;
    // SAFETY: both lists end in a null pointer and live as long as the plan.
    Err(unsafe { syscall::exec(path, arguments.as_ptr(), environment.as_ptr()) }).at(Step::Exec)
}

/// A program that the wrapper has just unpacked may still be open for writing in another copy of the
/// wrapper, which was made while it was being written and has not closed its descriptors yet. The kernel
/// refuses to start it until then, and has no way to wait for that but to ask again.
const EXEC_TRIES: u32 = 2000;
const BETWEEN_TRIES: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_the_socket() {
        let failure = Failure { step: Step::Landlock, index: 7, errno: libc::EPERM };
        assert_eq!(Failure::parse(&failure.to_bytes()), Some(failure));
        assert_eq!(Failure::parse(b"short"), None);
    }
}
