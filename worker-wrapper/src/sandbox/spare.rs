//! A sandbox that waits for its order, and how it gets it.
//!
//! It belongs to nobody until one attempt takes it, and to that attempt alone until its end. What depends on
//! the attempt comes from outside at the order: limits, folders, the size of the disk. It comes before
//! the order itself, so that nothing of the attempt runs while any of it is missing.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, send},
};

use super::{
    Error,
    cgroup::{self, Group},
    child::Failure,
    controls,
    listeners::{self, Message, Passed},
    make::MAX_SETUP,
    place::{Entrance, Placement, Visitor},
    plan::{Kind, Request},
    process::Handle,
    rlimits,
};

/// A sandbox that waits for its order. It must be given one, or be buried.
pub(super) struct Spare {
    /// Process 1 and its control group.
    pub remains: Remains,
    /// Its number outside.
    pub pid: libc::pid_t,
    /// Where it is entered.
    pub entrance: Entrance,
    /// The wrapper's end of the socket to it.
    pub control: OwnedFd,
    /// What it will print.
    pub stdout: OwnedFd,
    /// What it will complain about.
    pub stderr: OwnedFd,
    /// The folder `/out` and the listeners.
    pub passed: Passed,
    /// The size of its writable folders.
    pub disk_bytes: u64,
}

/// A sandbox that has its order.
pub(super) struct Given {
    /// Process 1 and its control group.
    pub remains: Remains,
    /// What it prints.
    pub stdout: OwnedFd,
    /// What it complains about.
    pub stderr: OwnedFd,
    /// The folder `/out` and the listeners.
    pub passed: Passed,
    /// Where an interpreter says why it has not become its program.
    pub control: Option<OwnedFd>,
}

/// What must be buried, sooner or later: process 1 of a sandbox, and its control group.
pub(super) struct Remains {
    /// The process.
    pub handle: Arc<Handle>,
    /// The group.
    pub group: Group,
}

/// Why a sandbox was not given its order. It is gone then.
pub(super) enum Refused {
    /// It uses more already than the attempt may. One that is made for the attempt does not.
    Unfit(Error),
    /// Another would fail as well.
    Failed(Error),
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

impl Spare {
    /// Whether it still waits.
    pub(super) fn is_alive(&self) -> bool {
        let mut ended = [PollFd::new(self.remains.handle.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut ended, PollTimeout::ZERO), Ok(0))
    }

    /// Waits until an interpreter has come to the point where it waits for its order.
    pub(super) fn await_interpreter(&self) -> Result<(), Error> {
        match next_message(self.control.as_fd())? {
            Message::Other(said) if said == WAITING => Ok(()),
            Message::Other(report) => Err(failed(&report, |_, _| String::new())),
            Message::Ready(_) | Message::End => Err(early()),
        }
    }

    /// Gives it its order. Blocks, for less than a millisecond, or for as long as somebody has the program
    /// open for writing.
    pub(super) fn give(mut self, request: &Request, visitor: &Visitor) -> Result<Given, Refused> {
        match self.try_give(request, visitor) {
            Ok(()) => {
                let control = (request.key.kind == Kind::Python).then_some(self.control);
                let Self { remains, stdout, stderr, passed, .. } = self;
                Ok(Given { remains, stdout, stderr, passed, control })
            }
            Err(refused) => {
                self.remains.bury();
                Err(refused)
            }
        }
    }

    fn try_give(&mut self, request: &Request, visitor: &Visitor) -> Result<(), Refused> {
        self.remains.group.relimit(&controls::group_resources(&request.resources)).map_err(Refused::Unfit)?;
        rlimits::limit_file_size(self.pid, request.resources.disk_bytes).map_err(Refused::Failed)?;
        self.place(request, visitor).map_err(Refused::Failed)?;
        self.send(request).map_err(Refused::Failed)
    }

    fn place(&self, request: &Request, visitor: &Visitor) -> Result<(), Error> {
        let mut placement = Placement::new(&request.shown)?;
        if self.disk_bytes != request.resources.disk_bytes {
            placement.resize_disk(controls::disk_bytes(request.resources.disk_bytes))?;
        }
        visitor.place(placement, &self.entrance)
    }

    /// Sends the order, and waits until an executable has become its program.
    fn send(&self, request: &Request) -> Result<(), Error> {
        match send(self.control.as_raw_fd(), request.order.as_bytes(), MsgFlags::MSG_NOSIGNAL) {
            // If it has ended, it has said why, or the kernel will.
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => {}
            Err(errno) => return Err(Error::io("send the order", errno)),
        }
        match request.key.kind {
            Kind::Python => Ok(()),
            Kind::Executable => match next_message(self.control.as_fd())? {
                Message::End => Ok(()),
                Message::Other(report) => Err(failed(&report, |_, _| request.order.program())),
                Message::Ready(_) => Err(early()),
            },
        }
    }
}

/// The next message of a child. Waits for it as long as the socket's timeout says.
pub(super) fn next_message(control: BorrowedFd<'_>) -> Result<Message, Error> {
    loop {
        match listeners::receive(control) {
            Ok(message) => return Ok(message),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Error::Stalled(MAX_SETUP)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Message::End),
            Err(error) => return Err(Error::io("listen to the sandbox", error)),
        }
    }
}

/// Why an interpreter ended with the status of one that has not become its program: what it said.
pub(super) fn last_words(control: &OwnedFd) -> Option<Error> {
    loop {
        match next_message(control.as_fd()) {
            Ok(Message::Other(said)) if said == WAITING => {}
            Ok(Message::Other(report)) => return Some(failed(&report, |_, _| String::new())),
            _ => return None,
        }
    }
}

/// What an interpreter says that waits; `start.py` has the same.
const WAITING: &[u8] = b"waiting";
/// How it begins when it can't take its order.
const REFUSAL: &[u8] = b"order: ";

/// What a child says about its failure, in words.
pub(super) fn failed(report: &[u8], subject: impl FnOnce(super::Step, u32) -> String) -> Error {
    if let Some(failure) = Failure::parse(report) {
        return failure.explain(subject);
    }
    let said = match report.strip_prefix(REFUSAL) {
        Some(why) => format!("the order is {}", String::from_utf8_lossy(why)),
        None => "the child said something unknown".to_owned(),
    };
    Error::io("set up the sandbox", io::Error::other(said))
}

/// It ended, and nobody knows why.
pub(super) fn early() -> Error {
    Error::io("set up the sandbox", io::Error::other("the child ended without a word"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trace_contracts::wire::worker::Resources;

    use super::*;
    use crate::sandbox::{
        Confinement, Program, Sandbox, SandboxConfig, Step, Upstreams,
        order::{MAX_BYTES, Order},
    };

    fn confinement(program: Program) -> Confinement {
        Confinement {
            program,
            bundle: None,
            files: None,
            inputs: None,
            env: Vec::new(),
            resources: Resources { cpu_millis: 1000, memory_bytes: 128 << 20, disk_bytes: 1 << 20 },
            timeout: Duration::from_secs(60),
            upstreams: Upstreams::default(),
            egress: None,
        }
    }

    /// Orders that are cut, changed, empty and too large; and what is said about them.
    fn bad_orders(good: &[u8]) -> Vec<(Vec<u8>, libc::c_int, &'static str)> {
        let mut counts = good.to_vec();
        counts[4] += 1;
        vec![
            (good[..good.len() - 1].to_vec(), libc::EBADMSG, "malformed"),
            (good[..5].to_vec(), libc::EBADMSG, "malformed"),
            (counts, libc::EBADMSG, "malformed"),
            ([good, b"more\0"].concat(), libc::EBADMSG, "malformed"),
            (vec![0; MAX_BYTES + 1], libc::E2BIG, "larger than 192 KiB"),
        ]
    }

    #[tokio::test]
    async fn an_order_that_is_none_ends_a_sandbox_with_a_clear_error() {
        let sandbox = Sandbox::probe(SandboxConfig::default()).await.unwrap();
        let shared = &sandbox.shared;
        let executable = Program::Executable { path: "/task/bundle/main".to_owned(), arguments: Vec::new() };
        let python = Program::Python { arguments: vec!["main.py".to_owned()] };
        for confinement in [confinement(executable), confinement(python)] {
            let good = shared.maker.host.request(&confinement).unwrap().order;
            for (bytes, errno, words) in bad_orders(good.as_bytes()) {
                let mut request = shared.maker.host.request(&confinement).unwrap();
                request.order = Order::raw(bytes);
                let spare = shared.spawner.make(&request.key, &request.resources).await.unwrap();
                let pid = spare.pid;
                let request = Arc::new(request);
                let error = match shared.handover.give(spare, &request).await {
                    Err(Refused::Failed(error)) => {
                        let raw = matches!(&error, Error::Step { step: Step::Order, source, .. }
                            if source.raw_os_error() == Some(errno));
                        assert!(raw, "{error}");
                        None
                    }
                    Err(Refused::Unfit(error)) => panic!("{error}"),
                    Ok(given) => {
                        let confined = sandbox.watch(given, &request, &confinement).unwrap();
                        Some(confined.process.wait().await.err().unwrap().to_string())
                    }
                };
                assert_eq!(error.is_some(), request.key.kind == Kind::Python);
                assert!(error.as_ref().is_none_or(|said| said.contains(words)), "{error:?}");
                assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "it has ended");
            }
        }
    }
}
