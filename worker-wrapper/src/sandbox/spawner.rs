//! The threads that start sandboxes and bury them.
//!
//! A child asks to be killed when its parent is gone (`PR_SET_PDEATHSIG`), and the kernel takes the
//! parent to be the *thread* that made it. Threads of a runtime's pool come and go, so sandboxes are
//! started by threads that live as long as any sandbox does.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::{
    Error,
    launch::{Prepared, Remains, Started},
};

/// Hands work to the threads; they end when it is dropped, after what was still to be buried.
pub(super) struct Spawner {
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

enum Job {
    Start(Box<Prepared>, oneshot::Sender<Result<Started, Error>>),
    Bury(Remains),
}

/// More at a time only wait for one another in the kernel.
const MAX_THREADS: usize = 4;

impl Spawner {
    /// Starts the threads.
    pub(super) fn new() -> Result<Self, Error> {
        let (jobs, waiting) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let count = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let threads = (0..count)
            .map(|_| {
                let waiting = waiting.clone();
                thread::Builder::new().name("sandbox-spawner".to_owned()).spawn(move || work(&waiting))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| Error::io("start a thread", source))?;
        Ok(Self { jobs: Some(jobs), threads })
    }

    /// Starts a sandbox. When the caller goes away in the meantime, the sandbox is buried.
    pub(super) async fn start(&self, prepared: Prepared) -> Result<Started, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Start(Box::new(prepared), reply));
        answer.await.map_err(|_| Error::Stopped)?
    }

    /// Kills what is left and removes it.
    pub(super) fn bury(&self, remains: Remains) {
        self.send(Job::Bury(remains));
    }

    fn send(&self, job: Job) {
        let Some(jobs) = &self.jobs else { return };
        // Without a thread the job is dropped, and a caller that waits for it hears that.
        if jobs.send(job).is_err() {
            tracing::error!("the threads that start sandboxes are gone");
        }
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that starts sandboxes has panicked");
            }
        }
    }
}

fn work(waiting: &Mutex<mpsc::Receiver<Job>>) {
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(job) = next() {
        match job {
            Job::Start(prepared, reply) => {
                if let Err(Ok(unwanted)) = reply.send(prepared.start()) {
                    unwanted.into_remains().bury();
                }
            }
            Job::Bury(remains) => remains.bury(),
        }
    }
}
