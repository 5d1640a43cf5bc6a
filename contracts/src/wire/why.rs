//! `/v1/tasks/{task}/why` and `/v1/runs/{run}/why`: why something does not run, or failed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::user::{RunState, TaskState};
use crate::{AttemptId, Name, PartitionKey, RunId, TaskId, UserId};

/// `GET /v1/tasks/{task}/why`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskWhy {
    /// The task.
    pub task: TaskId,
    /// Its job.
    pub job: Name,
    /// Its partition.
    pub partition: PartitionKey,
    /// Where it stands.
    pub state: TaskState,
    /// The cause in a sentence or two.
    pub sentence: String,
    /// The cause, for programs.
    pub cause: Cause,
}

/// `GET /v1/runs/{run}/why`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunWhy {
    /// The run.
    pub run: RunId,
    /// Its DAG.
    pub dag: Name,
    /// Where it stands.
    pub state: RunState,
    /// What matters most, in a sentence.
    pub sentence: String,
    /// What else its tasks wait for, the worst first; tasks of one cause together.
    pub causes: Vec<Group>,
}

/// Tasks of a run that share a cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// How many tasks have the cause themselves.
    pub tasks: u64,
    /// How many wait for those, or were skipped because of them.
    pub behind: u64,
    /// One of them.
    pub example: TaskWhy,
}

/// Why a task stands where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// An input has not come.
    Input {
        /// The input's name.
        input: Name,
        /// The job that it comes from.
        job: Name,
        /// Partitions of that job that are missing.
        missing: u64,
        /// Partitions that are needed.
        of: u64,
        /// The task at the root of it.
        root: Box<TaskWhy>,
    },
    /// Limits hold it back.
    LimitReached {
        /// Those that are reached.
        limits: Vec<LimitUse>,
        /// Its place in the line for the first of them, from 1.
        position: u64,
        /// Since when it is held.
        since: DateTime<Utc>,
    },
    /// The rate of its job holds it back.
    RateReached {
        /// Tasks that may start in a period.
        tasks: u32,
        /// `second`, `minute` or `hour`.
        per: String,
        /// When the next task of the job may start.
        next_at: DateTime<Utc>,
        /// Its place in the line, from 1.
        position: u64,
        /// Since when it is held.
        since: DateTime<Utc>,
    },
    /// It was held, there is room now, and the next look at held tasks lets it go.
    AdmissionDue {
        /// Since when it is held.
        since: DateTime<Utc>,
    },
    /// It has just become ready.
    Ready {
        /// Since when.
        since: DateTime<Utc>,
    },
    /// No worker asks for tasks.
    NoWorker {
        /// Since when the task is ready.
        since: DateTime<Utc>,
        /// When one last asked; absent if none ever has.
        last_claim: Option<DateTime<Utc>>,
    },
    /// Workers have other tasks to do.
    WorkersBusy {
        /// Since when the task is ready.
        since: DateTime<Utc>,
        /// Tasks that run, of all orgs.
        running: u64,
    },
    /// Workers ask and are given nothing, so a wake-up is late or lost. The next sweep makes up for it.
    WakeUpLate {
        /// Since when the task is ready.
        since: DateTime<Utc>,
        /// When a worker last asked.
        last_claim: DateTime<Utc>,
    },
    /// It runs.
    Running {
        /// The attempt.
        attempt: AttemptId,
        /// The worker that holds the lease.
        worker: String,
        /// Since when.
        since: DateTime<Utc>,
        /// Until when the lease holds unless it is extended.
        lease_until: DateTime<Utc>,
    },
    /// It failed and is tried again.
    RetryAt {
        /// Not before then.
        at: DateTime<Utc>,
        /// How the last attempt ended; absent if it is gone from the records.
        last: Option<LastAttempt>,
    },
    /// Its retries are used up.
    Dead {
        /// How the last attempt ended; absent if it is gone from the records.
        last: Option<LastAttempt>,
    },
    /// Its run was cancelled.
    Cancelled {
        /// Who did it, if that is known.
        by: Option<UserId>,
        /// When.
        at: Option<DateTime<Utc>>,
    },
    /// Its run ended before an input came.
    Skipped {
        /// The task at the root of it, if there is one.
        root: Option<Box<TaskWhy>>,
    },
    /// It succeeded.
    Succeeded {
        /// The attempt.
        attempt: AttemptId,
        /// When.
        at: DateTime<Utc>,
    },
}

/// A limit that is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitUse {
    /// Whose tasks it counts.
    pub scope: Scope,
    /// The name of the DAG or job; absent for the org.
    pub name: Option<Name>,
    /// At most this many at once.
    pub max: u32,
    /// This many are ready or running.
    pub in_use: u32,
}

/// Whose tasks a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// An org's.
    Org,
    /// A DAG's.
    Dag,
    /// A job's.
    Job,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAttempt {
    /// The attempt.
    pub attempt: AttemptId,
    /// For programs.
    pub reason: String,
    /// For people.
    pub detail: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}
