//! `/v1`, for users: deploy, trigger, watch, query, grant.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::worker::{Blob, LogStream};
use crate::{
    AttemptId, DagId, DagVersionId, DatasetId, DatasetVersionId, Name, OrgId, PartitionKey, Role, RunId,
    Sha256, TaskId, UserId,
};

/// `GET /v1/whoami`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhoAmI {
    /// The user.
    pub user: UserId,
    /// The org.
    pub org: OrgId,
    /// The org's slug.
    pub org_slug: String,
    /// The role.
    pub role: Role,
}

/// `POST /v1/dags`: deploy. The blobs must have been uploaded (`PUT /v1/blobs/{sha256}`).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// The file as written, so that errors name its lines.
    pub yaml: String,
    /// What each path named in the file (of `files` and of `udf.path`) stands for: the content of a
    /// file, or the zip of a UDF's folder.
    #[serde(default)]
    pub blobs: BTreeMap<String, Blob>,
}

/// What a deploy did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeployReply {
    /// The DAG.
    pub dag: DagId,
    /// Its name.
    pub name: Name,
    /// The version, now current.
    pub version: DagVersionId,
    /// The version's content hash.
    pub sha256: Sha256,
    /// Whether the version is new; the same file with the same content is the same version.
    pub created: bool,
    /// Its jobs, in order.
    pub jobs: Vec<Name>,
}

/// One DAG (`GET /v1/dags`, `GET /v1/dags/{name}`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DagInfo {
    /// The DAG.
    pub dag: DagId,
    /// Its name.
    pub name: Name,
    /// The current version.
    pub version: DagVersionId,
    /// The version's content hash.
    pub sha256: Sha256,
    /// When that version was deployed.
    pub deployed_at: DateTime<Utc>,
}

/// `POST /v1/dags/{name}/runs`: trigger. Send an `Idempotency-Key` to make it safe to repeat.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerRequest {
    /// Parameters of the run, checked against the DAG's `params`.
    #[serde(default)]
    pub params: BTreeMap<String, serde_json::Value>,
}

/// One run (`POST …/runs`, `GET /v1/runs`, `GET /v1/runs/{run}`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunInfo {
    /// The run.
    pub run: RunId,
    /// The DAG's name.
    pub dag: Name,
    /// The version that runs.
    pub version: DagVersionId,
    /// Where it stands.
    pub state: RunState,
    /// Tasks by state.
    pub tasks: TaskCounts,
    /// When it was triggered.
    pub created_at: DateTime<Utc>,
    /// When its last task ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Something is ready, running or waiting.
    Running,
    /// Every task succeeded.
    Succeeded,
    /// A task is dead and nothing more can run.
    Failed,
    /// A user cancelled it.
    Cancelled,
}

impl RunState {
    /// The name used in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Tasks by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Inputs unmet.
    pub waiting: u64,
    /// Ready.
    pub queued: u64,
    /// Leased.
    pub running: u64,
    /// Failed, will be tried again.
    pub failed: u64,
    /// Committed.
    pub succeeded: u64,
    /// Retries used up.
    pub dead: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Never ran, because an input never came.
    pub skipped: u64,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// An input has not come yet.
    Waiting,
    /// Ready, never failed.
    Queued,
    /// Leased.
    Running,
    /// Committed.
    Succeeded,
    /// Failed, will be tried again.
    Failed,
    /// Retries used up: on the dead-letter list.
    Dead,
    /// Cancelled.
    Cancelled,
    /// Never ran, because an input never came.
    Skipped,
}

impl TaskState {
    /// All of them, in the order of a task's life.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Queued,
        Self::Running,
        Self::Failed,
        Self::Succeeded,
        Self::Dead,
        Self::Cancelled,
        Self::Skipped,
    ];

    /// The name used in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// One task (`GET /v1/runs/{run}/tasks`, `GET /v1/tasks/{task}`, `GET /v1/dead-letters`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskInfo {
    /// The task.
    pub task: TaskId,
    /// Its run.
    pub run: RunId,
    /// Its job.
    pub job: Name,
    /// Its partition.
    pub partition: PartitionKey,
    /// Where it stands.
    pub state: TaskState,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptInfo>,
    /// Not before then, for one that will be tried again.
    pub retry_at: Option<DateTime<Utc>>,
}

/// One attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttemptInfo {
    /// The attempt.
    pub attempt: AttemptId,
    /// The worker's name.
    pub worker: String,
    /// When it was claimed.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// `succeeded`, or the failure's reason; absent while it runs.
    pub outcome: Option<String>,
    /// Why, for people.
    pub detail: Option<String>,
}

/// `GET /v1/tasks/{task}/logs?attempt=&after=&wait_ms=`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogReply {
    /// The attempt that these lines are of; the latest one unless asked otherwise.
    pub attempt: Option<AttemptId>,
    /// Lines after `after`.
    pub lines: Vec<NumberedLogLine>,
    /// Whether the attempt is over and this is all.
    pub done: bool,
}

/// A line of a log with its number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NumberedLogLine {
    /// The number, from 0.
    pub seq: u64,
    /// When the wrapper read it.
    pub at: DateTime<Utc>,
    /// Where it came from.
    pub stream: LogStream,
    /// The line.
    pub text: String,
}

/// One dataset (`GET /v1/datasets`, `GET /v1/datasets/{name}`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// The dataset.
    pub dataset: DatasetId,
    /// Its published name.
    pub name: Name,
    /// The DAG that produces it.
    pub dag: Name,
    /// The job that produces it.
    pub job: Name,
    /// Roles that may read it besides the DAG's deployers and the org's admins.
    pub read_roles: Vec<Role>,
    /// The current version; absent until a first one is complete.
    pub current: Option<DatasetVersionInfo>,
}

/// One version of a dataset.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatasetVersionInfo {
    /// The version.
    pub version: DatasetVersionId,
    /// The run that made it.
    pub run: RunId,
    /// Its manifest.
    pub manifest: Sha256,
    /// Objects in it.
    pub objects: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// When it became current.
    pub current_at: DateTime<Utc>,
}

/// `POST /v1/datasets/{name}/grants`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    /// The role that may read from now on.
    pub role: Role,
}
