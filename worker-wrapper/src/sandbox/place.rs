//! What belongs to an attempt, placed into a sandbox that waits: the bundle, files and inputs, and the size
//! of the writable folders.
//!
//! Whoever does that enters the mount namespace of the sandbox for a moment. Nothing of a task runs there
//! yet. What is mounted is a copy that was made read-only before it was attached.
//!
//! - **Root** sends one of its own threads ([`Visitor`]). A thread has its own view of the mounts, and root's
//!   goes there and back.
//! - **An ordinary user** has a say over those mounts only as a member of the sandbox's user namespace, from
//!   which there is no way back, and which a process with threads can't enter. So a copy of the wrapper goes,
//!   and ends there; it follows the rule of [`super::child`].

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nix::{
    fcntl::OFlag,
    sys::signal::{SigSet, SigmaskHow},
    unistd::pipe2,
};

use super::{
    Error, cgroup,
    child::{At, Failure},
    exit::Status,
    mounts::{self, Shown, Tree, disk_size},
    namespaces::{self, Copied},
    process::Handle,
    step::Step,
    syscall,
};

/// What is to be placed.
pub(super) struct Placement {
    trees: Vec<Tree>,
    /// The new size of the writable folders, unless they have it already.
    disk: Option<std::ffi::CString>,
}

/// The namespaces of a sandbox that waits, through which it is entered.
pub(super) struct Entrance {
    users: OwnedFd,
    mounts: OwnedFd,
}

impl Entrance {
    /// Of process `pid`, a child that has not changed its user yet: later an ordinary user may not look.
    pub(super) fn of(pid: libc::pid_t) -> Result<Self, Error> {
        let open = |name: &str| {
            let path = format!("/proc/{pid}/ns/{name}");
            File::open(&path).map(OwnedFd::from).map_err(|source| Error::io(format!("open {path}"), source))
        };
        Ok(Self { users: open("user")?, mounts: open("mnt")? })
    }
}

impl Placement {
    /// Shows these, which were checked.
    pub(super) fn new(shown: &[Shown]) -> Result<Self, Error> {
        Ok(Self { trees: shown.iter().map(Tree::new).collect::<Result<_, _>>()?, disk: None })
    }

    /// Gives the writable folders another size, too.
    pub(super) fn resize_disk(&mut self, bytes: u64) -> Result<(), Error> {
        self.disk = Some(disk_size(bytes)?);
        Ok(())
    }

    fn is_nothing(&self) -> bool {
        self.trees.is_empty() && self.disk.is_none()
    }

    /// In the mount namespace of the sandbox.
    fn arrive(&self) -> Result<(), Failure> {
        mounts::attach_trees(&self.trees).at(Step::Attach)?;
        match &self.disk {
            Some(options) => mounts::resize_disk(options).at(Step::Resize),
            None => Ok(()),
        }
    }

    fn explain(&self, failure: Failure) -> Error {
        failure.explain(|step, index| {
            let tree = usize::try_from(index).ok().and_then(|index| self.trees.get(index));
            let (outside, inside) = tree.map_or((c"", c""), Tree::names);
            let name = if step == Step::CloneTree { outside } else { inside };
            name.to_string_lossy().into_owned()
        })
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        self.trees.iter_mut().for_each(Tree::forget_copy);
    }
}

/// A thread that can enter sandboxes.
pub(super) enum Visitor {
    /// Root's: it goes there itself, and comes back here.
    Goes {
        /// The wrapper's own mount namespace.
        home: OwnedFd,
    },
    /// An ordinary user's: it sends a copy.
    Sends,
}

impl Visitor {
    /// For the calling thread, which must do nothing but visits.
    pub(super) fn new() -> Result<Self, Error> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(Self::Sends);
        }
        let failed = |source| Error::io("prepare a thread that enters sandboxes", source);
        // The working folder is one of a thread of its own from here on: others keep theirs.
        syscall::unshare(libc::CLONE_FS).map_err(|errno| failed(io::Error::from_raw_os_error(errno)))?;
        let home = File::open("/proc/thread-self/ns/mnt").map_err(failed)?;
        Ok(Self::Goes { home: home.into() })
    }

    /// Places it in the sandbox.
    ///
    /// # Panics
    /// When this thread can't come back: it must not do anything in a place that is not its own.
    pub(super) fn place(&self, mut placement: Placement, entrance: &Entrance) -> Result<(), Error> {
        if placement.is_nothing() {
            return Ok(());
        }
        let placed = match self {
            Self::Goes { home } => go(&mut placement, entrance, home.as_fd()),
            Self::Sends => send(&mut placement, entrance)?,
        };
        placed.map_err(|failure| placement.explain(failure))
    }
}

fn go(placement: &mut Placement, entrance: &Entrance, home: BorrowedFd<'_>) -> Result<(), Failure> {
    mounts::copy_trees(&mut placement.trees).at(Step::CloneTree)?;
    syscall::enter_namespace(entrance.mounts.as_raw_fd(), libc::CLONE_NEWNS).at(Step::Visit)?;
    let placed = placement.arrive();
    let back = syscall::enter_namespace(home.as_raw_fd(), libc::CLONE_NEWNS);
    assert!(back.is_ok(), "a thread can't come back from a sandbox: {back:?}");
    // They belong to the sandbox, or are closed.
    placement.trees.clear();
    placed
}

/// The same in a copy of this process. The error on the outside says that there was no copy.
fn send(placement: &mut Placement, entrance: &Entrance) -> Result<Result<(), Failure>, Error> {
    let failed = |source: io::Error| Error::io("send a copy into the sandbox", source);
    let (report, report_inside) =
        pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(|errno| failed(errno.into()))?;
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(|e| failed(e.into()))?;
    // SAFETY: the copy calls `visit` and ends.
    let copied = unsafe { namespaces::clone_plain() };
    if matches!(copied, Ok(Copied::Child)) {
        let status = match visit(placement, entrance) {
            Ok(()) => 0,
            Err(failure) => {
                let _ = syscall::write(report_inside.as_raw_fd(), &failure.to_bytes());
                1
            }
        };
        syscall::exit(status)
    }
    before.thread_set_mask().map_err(|errno| failed(errno.into()))?;
    let handle = match copied.map_err(failed)? {
        Copied::Wrapper { pidfd, .. } => Handle::new(pidfd),
        Copied::Child => return Ok(Ok(())),
    };
    cgroup::await_death(handle.as_fd()).map_err(failed)?;
    let status = handle.reap().map_err(failed)?;
    let mut said = [0; 12];
    let bytes = nix::unistd::read(&report, &mut said).unwrap_or(0);
    match (status, Failure::parse(&said[..bytes])) {
        (Status::Exited(0), _) => Ok(Ok(())),
        (_, Some(failure)) => Ok(Err(failure)),
        (_, None) => Err(failed(io::Error::other("it ended without a word"))),
    }
}

/// In a copy, as the wrapper's user: it joins the sandbox's users, looks at the machine's mounts from there,
/// and goes on to the sandbox's own.
fn visit(placement: &mut Placement, entrance: &Entrance) -> Result<(), Failure> {
    syscall::enter_namespace(entrance.users.as_raw_fd(), libc::CLONE_NEWUSER).at(Step::Visit)?;
    syscall::unshare(libc::CLONE_NEWNS).at(Step::Namespaces)?;
    mounts::copy_trees(&mut placement.trees).at(Step::CloneTree)?;
    syscall::enter_namespace(entrance.mounts.as_raw_fd(), libc::CLONE_NEWNS).at(Step::Visit)?;
    placement.arrive()
}
