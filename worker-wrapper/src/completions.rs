//! Telling the dispatcher how attempts ended: what is due together goes in one request, and goes
//! again until there is an answer or the lease is gone.

use tokio::sync::{mpsc, oneshot};
use trace_contracts::wire::worker::{CompleteRequest, CompleteVerdict, Completion, Outcome};

use crate::{
    backoff::Backoff,
    dispatcher::{Dispatcher, Error},
    leases::{Held, Lost},
};

/// Completions in one request: with the longest details, well within a body's limit.
const BATCH: usize = 200;

/// What became of a completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completed {
    /// The dispatcher answered.
    Answered(CompleteVerdict),
    /// The lease was lost before there was an answer. It may or may not have been recorded; if not,
    /// the task is tried again.
    LeaseLost(Lost),
    /// The dispatcher refuses to take it, or the wrapper is gone.
    Refused(String),
}

struct Due {
    completion: Completion,
    answer: oneshot::Sender<Result<CompleteVerdict, String>>,
}

/// Takes completions; clones share the queue.
#[derive(Debug, Clone)]
pub struct Completions {
    queue: mpsc::Sender<Due>,
}

/// The other end of the queue.
pub struct Sending {
    dispatcher: Dispatcher,
    queue: mpsc::Receiver<Due>,
    due: Vec<Due>,
}

impl Completions {
    /// A queue and the loop that empties it, which somebody has to run.
    #[must_use]
    pub fn new(dispatcher: Dispatcher) -> (Self, Sending) {
        let (sender, queue) = mpsc::channel(BATCH);
        (Self { queue: sender }, Sending { dispatcher, queue, due: Vec::new() })
    }

    /// Completes one attempt, and says what became of it. Ends early when the lease does.
    pub async fn complete(&self, held: &Held, outcome: Outcome) -> Completed {
        let (answer, answered) = oneshot::channel();
        let due = Due { completion: Completion { fence: held.fence(), outcome }, answer };
        let sent = async {
            let stopped = || "the wrapper is stopping".to_owned();
            self.queue.send(due).await.map_err(|_| stopped())?;
            answered.await.map_err(|_| stopped())?
        };
        tokio::select! {
            // An answer that is there counts more than the lease that it ended.
            biased;
            answer = sent => match answer {
                Ok(verdict) => Completed::Answered(verdict),
                Err(detail) => Completed::Refused(detail),
            },
            lost = held.lost() => Completed::LeaseLost(lost),
        }
    }
}

impl Sending {
    /// Sends what is due until every [`Completions`] is dropped and nothing is left.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        while self.gather().await {
            match self.send().await {
                Ok(()) => backoff = Backoff::default(),
                Err(error) => {
                    tracing::warn!(%error, due = self.due.len(), "completions have no answer; sending them again");
                    backoff.pause().await;
                }
            }
        }
    }

    /// Waits until something is due, and takes everything that is; false when nothing ever will be.
    async fn gather(&mut self) -> bool {
        // Nobody waits for these any more: their leases are gone.
        self.due.retain(|due| !due.answer.is_closed());
        if self.due.is_empty() {
            return self.queue.recv_many(&mut self.due, BATCH).await > 0;
        }
        while self.due.len() < BATCH
            && let Ok(due) = self.queue.try_recv()
        {
            self.due.push(due);
        }
        true
    }

    async fn send(&mut self) -> Result<(), Error> {
        let completions = self.due.iter().map(|due| due.completion.clone()).collect();
        match self.dispatcher.complete(&CompleteRequest { completions }).await {
            Ok(reply) => {
                for (due, verdict) in self.due.drain(..).zip(reply.verdicts) {
                    let _nobody_waits = due.answer.send(Ok(verdict));
                }
                Ok(())
            }
            Err(error) if error.is_passing() => Err(error),
            Err(error) => {
                for due in self.due.drain(..) {
                    let _nobody_waits = due.answer.send(Err(error.to_string()));
                }
                Ok(())
            }
        }
    }
}
