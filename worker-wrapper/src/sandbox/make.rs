//! Preparing a sandbox: the wrapper's side, up to the point where it waits for its order.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use nix::{
    fcntl::OFlag,
    sys::{
        signal::{SigSet, SigmaskHow},
        socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt},
        time::{TimeVal, TimeValLike},
    },
    unistd::pipe2,
};
use trace_contracts::wire::worker::Resources;

use super::{
    Error,
    cgroup::{Cgroups, Group},
    child, controls,
    descriptors::Kept,
    listeners::{Message, Passed},
    namespaces::{self, Copied},
    order,
    place::Entrance,
    plan::{Host, Key, Plan},
    probe,
    process::Handle,
    spare::{Remains, Spare, early, failed, next_message},
};

/// Setting up takes milliseconds; a machine on which it takes this long is not fit for work.
pub(super) const MAX_SETUP: Duration = Duration::from_secs(10);

/// Prepares sandboxes.
pub(super) struct Maker {
    /// What every sandbox is made of.
    pub host: Host,
    /// Where they get their control groups.
    pub cgroups: Cgroups,
}

impl Maker {
    /// Prepares a sandbox, for now with these limits. Blocks, for milliseconds; what it made lives no longer
    /// than the thread that calls this.
    pub(super) fn make(&self, key: &Key, resources: &Resources) -> Result<Spare, Error> {
        let (stdout, stdout_inside) = pipe()?;
        let (stderr, stderr_inside) = pipe()?;
        let (control, control_inside) = control_sockets()?;
        let group = self.cgroups.create(
            &controls::group_resources(resources),
            controls::group_processes(self.host.max_processes),
        )?;
        let planned = self.host.plan(key, resources.disk_bytes, |ruleset| {
            Kept::new(stdout_inside, stderr_inside, control_inside, ruleset, group.entrances()?)
                .map_err(|source| Error::io("arrange descriptors", source))
        });
        let mut plan = match planned {
            Ok(plan) => plan,
            Err(error) => {
                group.remove()?;
                return Err(error);
            }
        };
        let copied = copy(&mut plan, &group);
        let Plan { table, identity, kept, .. } = plan;
        // The child has its own; this side would never see the end of the socket otherwise.
        drop(kept);
        let (pid, pidfd) = match copied {
            Ok(child) => child,
            Err(error) => {
                group.remove()?;
                return Err(probe::explain_clone(error));
            }
        };
        let remains = Remains { handle: Arc::new(Handle::new(pidfd)), group };
        let ready = Entrance::of(pid).and_then(|entrance| {
            identity.map(pid)?;
            let passed = follow(&control, |step, index| table.subject(step, index))?;
            Ok((entrance, passed))
        });
        match ready {
            Ok((entrance, passed)) => {
                let disk_bytes = resources.disk_bytes;
                Ok(Spare { remains, pid, entrance, control, stdout, stderr, passed, disk_bytes })
            }
            Err(error) => {
                remains.bury();
                Err(error)
            }
        }
    }
}

/// Copies this process; only the wrapper returns.
fn copy(plan: &mut Plan, group: &Group) -> io::Result<(libc::pid_t, OwnedFd)> {
    // A signal handler of the wrapper must not run in the copy; it resets them before it unblocks.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: the copy calls `child::run` and nothing else.
    let copied = unsafe { namespaces::clone_into(group.descriptor().map(|fd| fd.as_raw_fd())) };
    match copied {
        Ok(Copied::Child) => child::run(plan),
        Ok(Copied::Wrapper { pid, pidfd }) => {
            before.thread_set_mask()?;
            Ok((pid, pidfd))
        }
        Err(error) => {
            before.thread_set_mask()?;
            Err(error)
        }
    }
}

/// Lets the child go on, and listens to it until it has passed out what it has prepared.
fn follow(control: &OwnedFd, subject: impl Fn(super::Step, u32) -> String) -> Result<Passed, Error> {
    use std::os::fd::AsFd as _;
    nix::unistd::write(control, &[child::GO]).map_err(|errno| Error::io("start the set-up", errno))?;
    match next_message(control.as_fd())? {
        Message::Ready(passed) => Ok(passed),
        Message::Other(report) => Err(failed(&report, subject)),
        Message::End => Err(early()),
    }
}

/// A pipe; the end that the wrapper reads, and the end inside.
fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    pipe2(OFlag::O_CLOEXEC).map_err(|errno| Error::io("make a pipe", errno))
}

/// The socket between the wrapper and the child: the wrapper's end, and the one inside.
fn control_sockets() -> Result<(OwnedFd, OwnedFd), Error> {
    let failed = |errno: nix::errno::Errno| Error::io("make a socket", errno);
    let (outside, inside) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).map_err(failed)?;
    let seconds = i64::try_from(MAX_SETUP.as_secs()).unwrap_or(i64::MAX);
    setsockopt(&outside, sockopt::ReceiveTimeout, &TimeVal::seconds(seconds)).map_err(failed)?;
    // An order is one message, which is sent at once.
    setsockopt(&outside, sockopt::SndBuf, &(2 * order::MAX_BYTES)).map_err(failed)?;
    setsockopt(&outside, sockopt::SendTimeout, &TimeVal::seconds(seconds)).map_err(failed)?;
    Ok((outside, inside))
}
