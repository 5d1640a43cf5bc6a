//! Wake-ups by SQS, through the outbox.
//!
//! The transaction that makes tasks ready leaves a row for each ([`outbox`](crate::db::outbox)); whoever hears
//! that it has committed packs rows into messages of task ids and sends them in batches ([`send`]). A row goes
//! once SQS has taken its message, so that every wake-up is sent at least once. What SQS loses is sent again
//! for tasks that stay ready ([`resend`]).

mod queues;
mod resend;
mod send;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use serde::Deserialize;
use sqlx::{PgConnection, PgPool};
use tokio::time::{Instant, timeout_at};
use trace_aws::{Aws, Failure, Patience};
use trace_contracts::{RunId, Runtime, TaskId};
use trace_plane::Backoff;

pub use queues::Queues;

use super::{Signals, WakeUps};
use crate::{
    db::{
        self,
        notify::{Channel, News},
    },
    facts::FactCache,
};

/// Which queues, and how they are reached.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where SQS is.
    pub aws: Aws,
    /// The queue of each runtime.
    pub queues: Queues,
    /// A task that has been ready for so many seconds is announced again, at most once in that time: its
    /// message may be lost.
    #[serde(default = "resend_after")]
    pub resend_after_seconds: u64,
}

const fn resend_after() -> u64 {
    60
}

/// Calls give up long before somebody else may send the same rows, see [`send::HOLD`].
const PATIENCE: Patience =
    Patience { attempt: Duration::from_secs(5), operation: Duration::from_secs(15), tries: 3 };
/// How long an empty outbox is left alone when nobody says that there is something in it.
const REST: Duration = Duration::from_secs(60);

/// Sends wake-ups to SQS.
#[derive(Debug)]
pub struct SqsWakeUps {
    client: Client,
    queues: Queues,
    /// Asked only where there are several queues.
    facts: FactCache,
    resend_after: Duration,
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Sqs(#[from] Failure),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl SqsWakeUps {
    /// A client of SQS. Nothing is sent yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            client: Client::new(&config.aws.sdk(PATIENCE)),
            queues: config.queues.clone(),
            facts: FactCache::default(),
            resend_after: Duration::from_secs(config.resend_after_seconds.max(1)),
        }
    }

    /// Leaves a row for each task, for the queue of its runtime.
    async fn add(&self, tx: &mut PgConnection, tasks: &[TaskId]) -> Result<(), db::Error> {
        if let Some(runtime) = self.queues.offered().one() {
            return db::outbox::add(tx, runtime, tasks).await;
        }
        let runs: BTreeSet<RunId> = tasks.iter().map(|task| task.run()).collect();
        let facts = self.facts.of(tx, &runs).await?;
        let mut sorted: BTreeMap<Runtime, Vec<TaskId>> = BTreeMap::new();
        for task in tasks {
            let facts = facts.get(&task.run()).ok_or_else(|| db::Error::corrupt("a task of a run", task))?;
            let runtime = self.queues.offered().of_job(facts.place(*task)?.spec.runtime);
            sorted.entry(runtime).or_default().push(*task);
        }
        for (runtime, tasks) in sorted {
            db::outbox::add(tx, runtime, &tasks).await?;
        }
        Ok(())
    }

    /// Sends all that is due, to every queue; answers when to look again, unless one of them did not take it.
    async fn send_all(&self, db: &PgPool) -> Option<Duration> {
        let mut again = Some(REST);
        for runtime in self.queues.offered().all() {
            match self.send_due(db, runtime).await {
                Ok(next) => again = again.map(|again| again.min(next)),
                Err(error) => {
                    tracing::warn!(%error, %runtime, "wake-ups stay in the outbox");
                    again = None;
                }
            }
        }
        again
    }

    /// Sends all that is due; answers when to look again.
    async fn send_due(&self, db: &PgPool, runtime: Runtime) -> Result<Duration, Error> {
        loop {
            match self.send_batch(db, runtime).await? {
                send::Sent::Some => {}
                send::Sent::Nothing { next } => return Ok(next.unwrap_or(REST)),
            }
        }
    }
}

#[async_trait]
impl WakeUps for SqsWakeUps {
    /// Rows for the queues; and news to dispatchers, which send them.
    async fn announce(&self, tx: &mut PgConnection, tasks: &[TaskId]) -> Result<Vec<News>, db::Error> {
        self.add(tx, tasks).await?;
        Ok(vec![News::plain(Channel::Ready)])
    }

    async fn keep_sending(&self, db: &PgPool, signals: &Signals) {
        let mut ready = signals.ready();
        let mut backoff = Backoff::default();
        let mut next_sweep = Instant::now() + self.resend_after;
        loop {
            ready.mark_unchanged();
            let Some(again) = self.send_all(db).await else {
                backoff.pause().await;
                continue;
            };
            backoff = Backoff::default();
            if Instant::now() >= next_sweep {
                next_sweep = Instant::now() + self.resend_after;
                match self.resend(db).await {
                    Ok(0) => {}
                    Ok(tasks) => {
                        tracing::info!(tasks, "tasks have been ready for long and are announced again");
                        continue;
                    }
                    Err(error) => tracing::warn!(%error, "lost wake-ups were not looked for"),
                }
            }
            let until = (Instant::now() + again).min(next_sweep);
            let _news_or_time = timeout_at(until, ready.changed()).await;
        }
    }
}
