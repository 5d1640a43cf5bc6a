//! Wake-ups by SQS, through the outbox.
//!
//! The transaction that makes tasks ready leaves a row for each ([`outbox`](crate::db::outbox)); whoever hears
//! that it has committed packs rows into messages of task ids and sends them in batches ([`send`]). A row goes
//! once SQS has taken its message, so that every wake-up is sent at least once. What SQS loses is sent again
//! for tasks that stay ready ([`resend`]).

mod resend;
mod send;

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use serde::Deserialize;
use sqlx::{PgConnection, PgPool};
use tokio::time::{Instant, timeout_at};
use trace_aws::{Aws, Failure, Patience};
use trace_contracts::TaskId;
use trace_plane::Backoff;

use super::{Runtime, Signals, WakeUps};
use crate::db::{
    self,
    notify::{Channel, News},
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

/// The queue of each runtime, by its address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queues {
    /// Of the process sandbox.
    pub process: String,
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
            resend_after: Duration::from_secs(config.resend_after_seconds.max(1)),
        }
    }

    fn queue(&self, runtime: Runtime) -> &str {
        match runtime {
            Runtime::Process => &self.queues.process,
        }
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
    /// Rows for the queue; and news to dispatchers, which send them.
    async fn announce(&self, tx: &mut PgConnection, tasks: &[TaskId]) -> Result<Vec<News>, db::Error> {
        // Every job runs in the process sandbox: it is the one runtime that DAGs are offered.
        db::outbox::add(tx, Runtime::Process, tasks).await?;
        Ok(vec![News::plain(Channel::Ready)])
    }

    async fn keep_sending(&self, db: &PgPool, signals: &Signals) {
        let mut ready = signals.ready();
        let mut backoff = Backoff::default();
        let mut next_sweep = Instant::now() + self.resend_after;
        loop {
            ready.mark_unchanged();
            let again = match self.send_due(db, Runtime::Process).await {
                Ok(again) => {
                    backoff = Backoff::default();
                    again
                }
                Err(error) => {
                    tracing::warn!(%error, "wake-ups stay in the outbox");
                    backoff.pause().await;
                    continue;
                }
            };
            if Instant::now() >= next_sweep {
                next_sweep = Instant::now() + self.resend_after;
                match self.resend(db, Runtime::Process).await {
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
