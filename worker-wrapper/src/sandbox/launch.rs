//! Starting a sandbox: the wrapper's side.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, OwnedFd},
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
use tokio::net::unix::pipe::Receiver;

use super::{
    Confined, Confinement, Error, Sandbox,
    cgroup::{self, Group},
    child::{self, Failure},
    controls,
    descriptors::Kept,
    exit::Bounds,
    forwarder::Forwarders,
    listeners::{self, Message, Passed},
    namespaces::{self, Copied},
    plan::Plan,
    probe,
    process::{Handle, Process},
};

/// Setting up takes milliseconds; a machine on which it takes this long is not fit for work.
const MAX_SETUP: Duration = Duration::from_secs(10);

/// A sandbox that can be started.
pub(super) struct Prepared {
    plan: Plan,
    group: Group,
    /// The wrapper's end of the socket to the child.
    control: OwnedFd,
}

/// A sandbox whose program runs.
pub(super) struct Started {
    remains: Remains,
    passed: Passed,
}

/// What must be buried, sooner or later: process 1 of a sandbox, and its control group.
pub(super) struct Remains {
    /// The process.
    pub handle: Arc<Handle>,
    /// The group.
    pub group: Group,
}

impl Sandbox {
    /// Starts a program, confined. It runs when this returns; dropping the result kills it.
    ///
    /// # Errors
    /// When the confinement asks for something that can't be shown or set, or the set-up fails. The
    /// program has not run then, and nothing of it is left.
    pub async fn launch(&self, confinement: Confinement) -> Result<Confined, Error> {
        let shared = &self.shared;
        let draft = shared.host.draft(&confinement)?;
        let upstreams: Vec<SocketAddr> = draft.routes.iter().map(|route| route.upstream).collect();
        let (stdout, stdout_inside) = pipe()?;
        let (stderr, stderr_inside) = pipe()?;
        let (control, control_inside) = control_sockets()?;
        let group = shared.cgroups.create(
            &controls::group_resources(&confinement.resources),
            controls::group_processes(shared.host.max_processes),
        )?;
        let planned = shared.host.plan(&confinement, draft, |ruleset| {
            Kept::new(stdout_inside, stderr_inside, control_inside, ruleset, group.entrances()?)
                .map_err(|source| Error::io("arrange descriptors", source))
        });
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) => {
                group.remove()?;
                return Err(error);
            }
        };
        let started = shared.spawner.start(Prepared { plan, group, control }).await?;
        let bounds = Bounds {
            memory: confinement.resources.memory_bytes,
            disk: confinement.resources.disk_bytes,
            files: shared.host.max_files,
            processes: shared.host.max_processes,
            time: controls::time(confinement.timeout),
        };
        let Started { remains, passed: Passed { output, listeners } } = started;
        let process = Process::new(remains, output, bounds, shared.spawner.clone())?;
        let forwarders = Forwarders::start(listeners.into_iter().zip(upstreams))
            .map_err(|source| Error::io("forward from the sandbox", source))?;
        Ok(Confined { stdout, stderr, process: process.with_forwarders(forwarders) })
    }
}

impl Started {
    /// What is left of it when nobody wants it any more.
    pub(super) fn into_remains(self) -> Remains {
        self.remains
    }
}

impl Remains {
    /// Kills everything that still runs, waits for it, and removes the group.
    pub(super) fn bury(self) {
        cgroup::kill(self.handle.as_fd());
        let buried = cgroup::await_death(self.handle.as_fd())
            .and_then(|()| self.handle.reap().map(drop))
            .map_err(|source| Error::io("wait for a killed sandbox", source))
            .and_then(|()| self.group.remove());
        if let Err(error) = buried {
            tracing::error!(%error, "a killed sandbox has left something behind");
        }
    }
}

impl Prepared {
    /// Makes the child and sees it through its set-up. Blocks, for milliseconds; the child lives no
    /// longer than the thread that calls this.
    pub(super) fn start(self) -> Result<Started, Error> {
        let Self { mut plan, group, control } = self;
        let copied = copy(&mut plan, &group);
        // The child has its own; this side would never see the end of the socket otherwise.
        drop(plan.kept);
        let (pid, pidfd) = match copied {
            Ok(child) => child,
            Err(error) => {
                group.remove()?;
                return Err(probe::explain_clone(error));
            }
        };
        let remains = Remains { handle: Arc::new(Handle::new(pidfd)), group };
        let ready = plan
            .identity
            .map(pid)
            .and_then(|()| follow(&control, |step, index| plan.table.subject(step, index)));
        match ready {
            Ok(passed) => Ok(Started { remains, passed }),
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

/// Lets the child go on, and listens to it until it has become the program.
fn follow(control: &OwnedFd, subject: impl Fn(super::step::Step, u32) -> String) -> Result<Passed, Error> {
    nix::unistd::write(control, &[child::GO]).map_err(|errno| Error::io("start the set-up", errno))?;
    let mut ready = None;
    loop {
        match listeners::receive(control.as_fd()) {
            Ok(Message::Ready(passed)) => ready = Some(passed),
            Ok(Message::Other(report)) => return Err(failed(&report, subject)),
            Ok(Message::End) => {
                let early = || io::Error::other("the child ended without a word");
                return ready.ok_or_else(|| Error::io("set up the sandbox", early()));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Error::Stalled(MAX_SETUP)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("listen to the set-up", error)),
        }
    }
}

fn failed(report: &[u8], subject: impl Fn(super::step::Step, u32) -> String) -> Error {
    match Failure::parse(report) {
        Some((step, index, errno)) => {
            Error::Step { step, subject: subject(step, index), source: io::Error::from_raw_os_error(errno) }
        }
        None => Error::io("set up the sandbox", io::Error::other("the child said something unknown")),
    }
}

/// A pipe; the end that the wrapper reads, and the end inside.
fn pipe() -> Result<(Receiver, OwnedFd), Error> {
    let failed = |source: io::Error| Error::io("make a pipe", source);
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(errno.into()))?;
    Ok((Receiver::from_owned_fd(read).map_err(failed)?, write))
}

/// The socket between the wrapper and the child: the wrapper's end, and the one inside.
fn control_sockets() -> Result<(OwnedFd, OwnedFd), Error> {
    let failed = |errno: nix::errno::Errno| Error::io("make a socket", errno);
    let (outside, inside) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).map_err(failed)?;
    let seconds = i64::try_from(MAX_SETUP.as_secs()).unwrap_or(i64::MAX);
    setsockopt(&outside, sockopt::ReceiveTimeout, &TimeVal::seconds(seconds)).map_err(failed)?;
    Ok((outside, inside))
}
