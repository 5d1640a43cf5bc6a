//! The transitions of tasks, one a file. Each runs in a transaction that its caller began and
//! commits; a caller that goes away before the commit has changed nothing.

pub mod admit;
pub mod back_pressure;
pub mod cancel;
pub mod claim;
mod commit;
pub mod complete;
pub mod cut;
pub mod fail;
pub mod heartbeat;
pub mod reap;
pub mod retry;
pub mod set_limits;
pub mod start_run;
pub mod take_back;
pub mod wake;

use std::sync::Arc;

use sqlx::PgPool;
use trace_contracts::{Name, wire::user::RunState};

use crate::{attempt_ids::AttemptIds, config::Limits, db, facts::FactCache, keys, planner, queue::WakeUps};

/// What transitions need; cheap to clone.
#[derive(Clone)]
pub struct Core {
    /// The state database.
    pub db: PgPool,
    /// Tells workers of ready tasks.
    pub wake: Arc<dyn WakeUps>,
    /// What of runs never changes.
    pub facts: Arc<FactCache>,
    /// Times and counts.
    pub limits: Limits,
    /// Numbers for new attempts.
    pub attempt_ids: AttemptIds,
}

/// Why a transition did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// There is no key to sign with.
    #[error(transparent)]
    Key(#[from] keys::Error),
    /// The planner made a plan that its checker refuses.
    #[error("a plan was refused: {0}")]
    Plan(#[from] planner::Violation),
    /// A manifest in the database can't be read.
    #[error("a manifest can't be read: {0}")]
    Manifest(#[from] serde_json::Error),
    /// A run reads a dataset that the org does not have.
    #[error("there is no dataset `{0}`: deploy the DAG that publishes it first")]
    UnknownDataset(Name),
    /// A run reads a dataset that has no version yet.
    #[error("the dataset `{0}` has no version yet: run the DAG that publishes it first")]
    EmptyDataset(Name),
    /// The run or task is not there, or not this org's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The run has ended.
    #[error("the run has already ended as {}", .0.as_str())]
    RunEnded(RunState),
    /// Who starts the run is suspended.
    #[error("your account is suspended: ask an admin of your org")]
    Suspended,
    /// A limit of the org has no room for another run.
    #[error(transparent)]
    NoRoom(#[from] back_pressure::NoRoom),
    /// The task is not on the dead-letter list.
    #[error("the task is not dead: only a task whose retries are used up can be retried by hand")]
    NotDead,
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}
