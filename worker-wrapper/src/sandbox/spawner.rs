//! The threads that prepare sandboxes and bury them.
//!
//! A child asks to be killed when its parent is gone (`PR_SET_PDEATHSIG`), and the kernel takes the
//! parent to be the *thread* that made it. Threads of a runtime's pool come and go, so sandboxes are
//! made by threads that live as long as any sandbox does.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;
use trace_contracts::wire::worker::Resources;

use super::{
    Error,
    make::Maker,
    plan::Key,
    pool::Pool,
    spare::{Remains, Spare},
};

/// Hands work to the threads; they end when it is dropped, after what was still to be buried.
pub(super) struct Spawner {
    jobs: Option<mpsc::Sender<Job>>,
    pool: Arc<Pool>,
    threads: Vec<JoinHandle<()>>,
}

enum Job {
    /// For somebody who waits for it.
    Make(Key, Resources, oneshot::Sender<Result<Spare, Error>>),
    /// For the pool.
    Refill(Key, Resources),
    Bury(Remains),
}

/// More at a time only wait for one another in the kernel.
const MAX_THREADS: usize = 4;

impl Spawner {
    /// Starts the threads.
    pub(super) fn new(maker: &Arc<Maker>, pool: &Arc<Pool>) -> Result<Self, Error> {
        let (jobs, waiting) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let count = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let threads = (0..count)
            .map(|_| {
                let (waiting, maker, pool) = (waiting.clone(), maker.clone(), pool.clone());
                thread::Builder::new()
                    .name("sandbox-spawner".to_owned())
                    .spawn(move || work(&waiting, &maker, &pool))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| Error::io("start a thread", source))?;
        Ok(Self { jobs: Some(jobs), pool: pool.clone(), threads })
    }

    /// Prepares a sandbox. When the caller goes away in the meantime, the sandbox is buried.
    pub(super) async fn make(&self, key: &Key, resources: &Resources) -> Result<Spare, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Make(key.clone(), *resources, reply));
        answer.await.map_err(|_| Error::Stopped)?
    }

    /// Prepares as many as the pool lacks, without waiting for them. They get the limits of the attempt
    /// before: the next is likely to have the same, and needs no others then.
    pub(super) fn refill(&self, key: &Key, resources: &Resources) {
        for _ in 0..self.pool.call_for(key) {
            self.send(Job::Refill(key.clone(), *resources));
        }
    }

    /// Kills what is left and removes it.
    pub(super) fn bury(&self, remains: Remains) {
        self.send(Job::Bury(remains));
    }

    fn send(&self, job: Job) {
        let Some(jobs) = &self.jobs else { return };
        // Without a thread the job is dropped, and a caller that waits for it hears that.
        if jobs.send(job).is_err() {
            tracing::error!("the threads that prepare sandboxes are gone");
        }
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that prepares sandboxes has panicked");
            }
        }
    }
}

fn work(waiting: &Mutex<mpsc::Receiver<Job>>, maker: &Maker, pool: &Pool) {
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(job) = next() {
        match job {
            Job::Make(key, resources, reply) => {
                if reply.is_closed() {
                    continue;
                }
                if let Err(Ok(unwanted)) = reply.send(maker.make(&key, &resources)) {
                    unwanted.remains.bury();
                }
            }
            Job::Refill(key, resources) => refill(maker, pool, &key, &resources),
            Job::Bury(remains) => remains.bury(),
        }
    }
}

fn refill(maker: &Maker, pool: &Pool, key: &Key, resources: &Resources) {
    let made = if pool.is_open() { maker.make(key, resources) } else { Err(Error::Stopped) };
    let made = match made {
        Ok(spare) => Some(spare),
        Err(Error::Stopped) => None,
        Err(error) => {
            // The next launch tries it again, and reports it if it still fails.
            tracing::warn!(%error, "no sandbox could be prepared ahead");
            None
        }
    };
    if let Some(unwanted) = pool.arrive(key, made) {
        unwanted.remains.bury();
    }
}
