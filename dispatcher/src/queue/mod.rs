//! Wake-ups: the port that tells workers of tasks that are ready.
//!
//! A wake-up is a hint. It may be lost, come twice or come late, and whoever gets it asks the
//! database by claiming: the `ready` row is the truth. So an adapter may send task ids in messages
//! ([`sqs`], ten to a batch) or nothing but the fact ([`postgres`]), and a sweep makes up for what an
//! adapter loses: the one in `background`, or the adapter's own.

pub mod postgres;
pub mod sqs;

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use sqlx::{PgConnection, PgPool};
use tokio::sync::{broadcast, watch};
use trace_contracts::{AttemptId, Runtime, TaskId};

use crate::{
    db::{self, notify::News},
    runtimes::Offered,
};

/// Announces tasks that are ready.
#[async_trait]
pub trait WakeUps: Send + Sync {
    /// Called in the transaction that makes `tasks` ready, and takes effect when it commits: an
    /// adapter for a queue outside the database writes outbox rows here and sends them afterwards,
    /// in batches of what its queue takes. Answers the news that the transaction sends with its own,
    /// which costs no statement more.
    ///
    /// # Errors
    /// When the database fails.
    async fn announce(&self, tx: &mut PgConnection, tasks: &[TaskId]) -> Result<Vec<News>, db::Error>;

    /// What the adapter does in the background as long as the service runs: an adapter for a queue outside
    /// the database sends. Dropped when the service stops.
    async fn keep_sending(&self, _db: &PgPool, _signals: &Signals) {}
}

/// Where wake-ups go, as an operator configures it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// To whoever waits at a dispatcher: the database is the queue.
    #[default]
    Postgres,
    /// To queues of SQS, through the outbox.
    Sqs(Box<sqs::Config>),
}

impl Source {
    /// The adapter. Nothing is sent yet.
    #[must_use]
    pub fn adapter(&self) -> Arc<dyn WakeUps> {
        match self {
            Self::Postgres => Arc::new(postgres::PgWakeUps),
            Self::Sqs(config) => Arc::new(sqs::SqsWakeUps::new(config)),
        }
    }

    /// The runtimes that are offered. Where the database is the queue, a task goes to whoever asks, so that one alone
    /// can be asked for.
    #[must_use]
    pub fn offered(&self) -> Offered {
        match self {
            Self::Postgres => Offered::only(Runtime::Process),
            Self::Sqs(config) => config.queues.offered().clone(),
        }
    }
}

/// What this dispatcher has heard, for those who wait; cheap to clone.
#[derive(Debug, Clone)]
pub struct Signals(Arc<Channels>);

#[derive(Debug)]
struct Channels {
    ready: watch::Sender<u64>,
    later: watch::Sender<u64>,
    authority: watch::Sender<u64>,
    deliveries: watch::Sender<u64>,
    logs: broadcast::Sender<AttemptId>,
}

/// Log news kept for a slow reader; one that falls behind looks again.
const LOG_NEWS: usize = 1024;

impl Default for Signals {
    fn default() -> Self {
        Self(Arc::new(Channels {
            ready: watch::Sender::new(0),
            later: watch::Sender::new(0),
            authority: watch::Sender::new(0),
            deliveries: watch::Sender::new(0),
            logs: broadcast::Sender::new(LOG_NEWS),
        }))
    }
}

impl Signals {
    /// Changes whenever tasks may be ready. Subscribe before looking, so that nothing is missed.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<u64> {
        self.0.ready.subscribe()
    }

    /// Changes whenever the next due time may have come nearer.
    #[must_use]
    pub fn later(&self) -> watch::Receiver<u64> {
        self.0.later.subscribe()
    }

    /// Changes whenever keys, users or workers may have got or lost authority.
    #[must_use]
    pub fn authority(&self) -> watch::Receiver<u64> {
        self.0.authority.subscribe()
    }

    /// Changes whenever deliveries may be due.
    #[must_use]
    pub fn deliveries(&self) -> watch::Receiver<u64> {
        self.0.deliveries.subscribe()
    }

    /// Attempts that have new log lines.
    #[must_use]
    pub fn logs(&self) -> broadcast::Receiver<AttemptId> {
        self.0.logs.subscribe()
    }

    /// Tasks may be ready.
    pub fn tell_ready(&self) {
        self.0.ready.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The next due time may have come nearer.
    pub fn tell_later(&self) {
        self.0.later.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Keys, users or workers may have got or lost authority.
    pub fn tell_authority(&self) {
        self.0.authority.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Deliveries may be due.
    pub fn tell_deliveries(&self) {
        self.0.deliveries.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// An attempt has new log lines.
    pub fn tell_logs(&self, attempt: AttemptId) {
        // Nobody following any log is no error.
        let _followers = self.0.logs.send(attempt);
    }
}
