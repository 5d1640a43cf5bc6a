//! A confined program that runs.

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::sys::statvfs::fstatvfs;
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::unix::pipe::Receiver,
    time::{Instant, timeout_at},
};
use trace_surface::{forwarder::Forwarders, output::MAX_DEPTH};

use super::{
    Error, Exit, OutputDir, OutputLimits,
    cgroup::{self, Group},
    child,
    exit::{Bounds, Observed, Status, Stop},
    spare::{self, Remains},
    spawner::Spawner,
};

/// A confined program that runs, and what it prints. Read both pipes: a program whose pipe is full
/// waits.
pub struct Confined {
    /// Its standard output.
    pub stdout: Receiver,
    /// Its standard error.
    pub stderr: Receiver,
    /// The program.
    pub process: Process,
}

/// A confined program. Dropping it kills everything in the sandbox and removes what is left.
pub struct Process {
    running: Running,
    watch: AsyncFd<Watched>,
    output: OwnedFd,
    bounds: Bounds,
    deadline: Instant,
    /// Where an interpreter says why it has not become its program.
    control: Option<OwnedFd>,
    _forwarders: Option<Forwarders>,
}

/// How a program ended, and what it left.
pub struct Ended {
    /// How it ended.
    pub exit: Exit,
    /// What it left in `/out`.
    pub output: OutputDir,
}

/// Kills a program from elsewhere; it may have ended already.
#[derive(Clone)]
pub struct Killer(Arc<Handle>);

/// Process 1 of a sandbox.
pub(super) struct Handle {
    pidfd: OwnedFd,
    asked: AtomicBool,
}

/// What is buried unless the program was waited for.
struct Running {
    remains: Option<Remains>,
    spawner: Arc<Spawner>,
}

struct Watched(Arc<Handle>);

impl Process {
    pub(super) fn new(
        remains: Remains,
        output: OwnedFd,
        bounds: Bounds,
        control: Option<OwnedFd>,
        spawner: Arc<Spawner>,
    ) -> Result<Self, Error> {
        let watched = Watched(remains.handle.clone());
        let running = Running { remains: Some(remains), spawner };
        // SAFETY: the handle keeps its one descriptor open and never changes it, and `watched` keeps the
        // handle.
        let watch = unsafe { AsyncFd::register_with_interest(watched, Interest::READABLE) }
            .map_err(|error| Error::io("watch the sandbox", io::Error::from(error)))?;
        let deadline = Instant::now() + bounds.time;
        Ok(Self { running, watch, output, bounds, deadline, control, _forwarders: None })
    }

    pub(super) fn with_forwarders(self, forwarders: Forwarders) -> Self {
        Self { _forwarders: Some(forwarders), ..self }
    }

    /// Something that kills it from elsewhere while this is waited for.
    #[must_use]
    pub fn killer(&self) -> Killer {
        Killer(self.watch.get_ref().0.clone())
    }

    /// Waits until the program has ended, or kills it at its time limit. Then everything in the sandbox
    /// is dead, and its control group and mounts are gone; the folder `/out` lives on in the result.
    ///
    /// # Errors
    /// When the kernel does not tell how it ended, or something of it can't be removed.
    pub async fn wait(mut self) -> Result<Ended, Error> {
        let watched = |source| Error::io("wait for the sandbox", source);
        let in_time = timeout_at(self.deadline, self.watch.readable()).await;
        let timed_out = in_time.is_err();
        if timed_out {
            cgroup::kill(self.watch.get_ref().0.as_fd());
            // The kernel answers when every process of the namespace is gone.
            drop(self.watch.readable().await.map_err(watched)?);
        }
        let Some(Remains { handle, group }) = self.running.remains.take() else { return Err(Error::Stopped) };
        let asked = handle.asked.load(Ordering::Acquire);
        let stopped = if timed_out { Some(Stop::Deadline) } else { asked.then_some(Stop::Asked) };
        let observed = observe(handle.reap().map_err(watched)?, stopped, &group, &self.output);
        group.remove()?;
        if observed.status == Status::Exited(child::NEVER_STARTED)
            && let Some(error) = self.control.as_ref().and_then(spare::last_words)
        {
            return Err(error);
        }
        let exit = Exit::judge(observed, &self.bounds);
        let limits = OutputLimits {
            files: usize::try_from(self.bounds.files).unwrap_or(usize::MAX),
            depth: MAX_DEPTH,
            bytes: self.bounds.disk,
        };
        Ok(Ended { exit, output: OutputDir::new(self.output, limits) })
    }
}

fn observe(status: Status, stopped: Option<Stop>, group: &Group, output: &OwnedFd) -> Observed {
    if status == Status::Exited(0) {
        // A success, whatever it met: that needs not be read.
        return Observed {
            status,
            stopped,
            out_of_memory: false,
            out_of_processes: false,
            out_of_disk: false,
        };
    }
    let events = group.events();
    let full = fstatvfs(output).is_ok_and(|disk| disk.blocks_available() == 0 || disk.files_free() == 0);
    Observed {
        status,
        stopped,
        out_of_memory: events.out_of_memory,
        out_of_processes: events.out_of_processes,
        out_of_disk: full,
    }
}

impl Killer {
    /// Kills everything in the sandbox with `SIGKILL`, which nothing in it can hold off.
    pub fn kill(&self) {
        self.0.asked.store(true, Ordering::Release);
        cgroup::kill(self.0.as_fd());
    }
}

impl Handle {
    /// For the descriptor of process 1.
    pub(super) fn new(pidfd: OwnedFd) -> Self {
        Self { pidfd, asked: AtomicBool::new(false) }
    }

    /// Takes the status of the process, which has ended.
    pub(super) fn reap(&self) -> io::Result<Status> {
        // SAFETY: all zero is a valid `siginfo_t`.
        let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
        let fd = libc::id_t::try_from(self.pidfd.as_raw_fd()).map_err(io::Error::other)?;
        // SAFETY: the structure is live and exclusively borrowed.
        if unsafe { libc::waitid(libc::P_PIDFD, fd, &raw mut info, libc::WEXITED) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `waitid` has filled in the form for ended children.
        let status = unsafe { info.si_status() };
        Ok(if info.si_code == libc::CLD_EXITED { Status::Exited(status) } else { Status::Signaled(status) })
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.pidfd.as_raw_fd()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(remains) = self.remains.take() {
            self.spawner.bury(remains);
        }
    }
}
