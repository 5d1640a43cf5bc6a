//! The threads that give waiting sandboxes their orders.
//!
//! They do nothing else: such a thread goes into the sandbox's mounts and back, and has a view of the
//! machine's mounts that is its own.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::{
    Error,
    place::Visitor,
    plan::Request,
    spare::{Given, Refused, Spare},
};

/// Hands orders to the threads; they end when it is dropped.
pub(super) struct Handover {
    jobs: Option<mpsc::Sender<Box<Job>>>,
    threads: Vec<JoinHandle<()>>,
}

struct Job {
    spare: Spare,
    request: Arc<Request>,
    reply: oneshot::Sender<Result<Given, Refused>>,
}

/// More at a time only wait for one another in the kernel.
const MAX_THREADS: usize = 4;

impl Handover {
    /// Starts the threads.
    pub(super) fn new() -> Result<Self, Error> {
        let (jobs, waiting) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let count = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let (ready, is_ready) = mpsc::channel();
        let threads = (0..count)
            .map(|_| {
                let (waiting, ready) = (Arc::clone(&waiting), ready.clone());
                thread::Builder::new().name("sandbox-orders".to_owned()).spawn(move || {
                    // A thread becomes a visitor by itself; who has started it hears whether it can.
                    let visitor = Visitor::new();
                    let can = visitor.as_ref().map(drop).map_err(ToString::to_string);
                    if ready.send(can).is_ok()
                        && let Ok(visitor) = visitor
                    {
                        work(&waiting, &visitor);
                    }
                })
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| Error::io("start a thread", source))?;
        let handover = Self { jobs: Some(jobs), threads };
        drop(ready);
        is_ready.iter().take(count).find_map(Result::err).map_or(Ok(handover), |said| Err(Error::Trial(said)))
    }

    /// Gives this sandbox its order. When the caller goes away in the meantime, the sandbox is buried.
    pub(super) async fn give(&self, spare: Spare, request: &Arc<Request>) -> Result<Given, Refused> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Job { spare, request: Arc::clone(request), reply });
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job));
        if let Some(Err(mpsc::SendError(job))) = sent {
            job.spare.remains.bury();
            return Err(Refused::Failed(Error::Stopped));
        }
        answer.await.map_err(|_| Refused::Failed(Error::Stopped))?
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that gives orders to sandboxes has panicked");
            }
        }
    }
}

fn work(waiting: &Mutex<mpsc::Receiver<Box<Job>>>, visitor: &Visitor) {
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(job) = next() {
        let Job { spare, request, reply } = *job;
        if let Err(Ok(unwanted)) = reply.send(spare.give(&request, visitor)) {
            unwanted.remains.bury();
        }
    }
}
