//! The server's process.
//!
//! It is started and awaited by a thread of its own: the kernel's signal at the parent's death goes by
//! the thread that started the child, and other threads of this process come and go.

use std::{
    io,
    process::{Child, Command},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use tokio::sync::{oneshot, watch};

/// A running server.
pub(super) struct Postmaster {
    /// `None` once the process has been reaped, when its number may be another's.
    pid: Arc<Mutex<Option<Pid>>>,
    ended: watch::Receiver<Option<String>>,
}

impl Postmaster {
    /// Starts the command.
    pub(super) async fn spawn(mut command: Command) -> io::Result<Self> {
        let (started, starting) = oneshot::channel();
        let (report, ended) = watch::channel(None);
        thread::Builder::new().name("postgres".to_owned()).spawn(move || {
            let (child, pid) = match command.spawn() {
                Ok(child) => {
                    let pid = Arc::new(Mutex::new(Some(pid_of(&child))));
                    (child, pid)
                }
                Err(error) => {
                    // Whoever started this has given up when nobody takes the answer.
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let _ = started.send(Ok(Arc::clone(&pid)));
            report.send_replace(Some(reap(child, &pid)));
        })?;
        let pid = starting.await.map_err(io::Error::other)??;
        Ok(Self { pid, ended })
    }

    /// The process, while it runs.
    pub(super) fn process_id(&self) -> Option<i32> {
        lock(&self.pid).map(Pid::as_raw)
    }

    /// Sends a signal, unless the process is over.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = lock(&self.pid);
        if let Some(pid) = *pid
            && let Err(error) = kill(pid, signal)
        {
            tracing::warn!(%error, %signal, "PostgreSQL could not be signalled");
        }
    }

    /// Waits until the process is over, and says how it ended.
    pub(super) async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        let status = ended.wait_for(Option::is_some).await;
        status.ok().and_then(|status| status.clone()).unwrap_or_else(|| "unknown".to_owned())
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        self.signal(Signal::SIGINT);
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Waits for the end without taking the process's number away, then takes it away under the lock, so
/// that no signal ever goes to a stranger.
fn reap(mut child: Child, pid: &Mutex<Option<Pid>>) -> String {
    while waitid(Id::Pid(pid_of(&child)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
    let mut pid = lock(pid);
    *pid = None;
    child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
}

fn lock(pid: &Mutex<Option<Pid>>) -> MutexGuard<'_, Option<Pid>> {
    pid.lock().unwrap_or_else(PoisonError::into_inner)
}
