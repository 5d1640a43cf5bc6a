//! `/internal`, for worker wrappers: claim, heartbeat, log, complete. A worker shows its identity
//! (`Authorization: Bearer <worker token>`) and, for a lease, the fence.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    AttemptId, ClaimId, LeaseToken, Name, OrgId, PartitionKey, RunId, Runtime, Secret, Sha256, TaskId,
};

/// `POST /internal/claim`: take up to `max` ready tasks, waiting until there is one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// Made up for this claim; the same one again answers the same leases.
    pub claim_id: ClaimId,
    /// At most this many leases, up to [`limit::BATCH_ITEMS`](super::limit::BATCH_ITEMS).
    pub max: u32,
    /// Only these tasks, as a wake-up named them; absent: whatever is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<TaskId>>,
    /// Wait this long for a task, in milliseconds.
    #[serde(default)]
    pub wait_ms: u64,
    /// What this worker launches; left out by one that launches processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
}

/// The answer to a claim.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClaimReply {
    /// One for each task that was claimed; may be empty.
    pub leases: Vec<Lease>,
}

/// One attempt, leased.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lease {
    /// The attempt; new with this claim.
    pub attempt: AttemptId,
    /// The fence; stays with the wrapper.
    pub lease_token: LeaseToken,
    /// By the database's clock.
    pub expires_at: DateTime<Utc>,
    /// How long a lease holds from now, in milliseconds: heartbeat at a third of it.
    pub lease_ms: u64,
    /// What to launch.
    pub launch: LaunchSpec,
    /// The capability token for the dispatcher's task API.
    pub capability_token: Secret<String>,
}

/// What to launch for an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// The org.
    pub org: OrgId,
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// The DAG's name.
    pub dag: Name,
    /// The job's name.
    pub job: Name,
    /// The partition.
    pub partition: PartitionKey,
    /// Tries before this one that count, from 0.
    pub failures: u32,
    /// The code.
    pub code: Code,
    /// Files that the job declares, unpacked read-only as `files/<name>`.
    pub files: BTreeMap<Name, Blob>,
    /// Bounds.
    pub resources: Resources,
    /// Wall-clock time for the attempt, in milliseconds.
    pub timeout_ms: u64,
}

/// The code of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Code {
    /// A user's function: untrusted.
    Udf {
        /// What runs it.
        language: Language,
        /// The zip with its files.
        bundle: Blob,
    },
    /// A built-in operator: trusted, and confined all the same.
    Operator {
        /// Its name, such as `csv_to_parquet`.
        operator: Name,
        /// Its settings.
        config: serde_json::Value,
        /// Names of the org's secrets that it finds in its environment. Values are nowhere but there. Left out of the
        /// JSON where there is none, so that what is stored of other jobs stays as it was.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<Name>,
    },
}

/// What a UDF is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// `main.py` in the bundle, run by `python3` with the SDK on its path.
    Python,
    /// `main` in the bundle, an executable for this machine.
    Rust,
}

/// Content by hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// Hard bounds of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_millis: u32,
    /// Memory, the memory-backed folders included.
    pub memory_bytes: u64,
    /// Output and temporary files.
    pub disk_bytes: u64,
}

/// A lease, as its holder names it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fence {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its fence.
    pub lease_token: LeaseToken,
}

/// `POST /internal/heartbeat`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatRequest {
    /// The leases to extend.
    pub leases: Vec<Fence>,
}

/// A verdict for each lease, in the order of the request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeartbeatReply {
    /// One a lease.
    pub verdicts: Vec<HeartbeatVerdict>,
}

/// What became of one lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum HeartbeatVerdict {
    /// Holds until then, by the database's clock.
    Extended {
        /// The new end.
        expires_at: DateTime<Utc>,
    },
    /// Expired, cancelled, completed or superseded: kill what runs under it.
    Stale,
}

/// `POST /internal/complete`: attempts that ended, however they did.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompleteRequest {
    /// Up to [`limit::BATCH_ITEMS`](super::limit::BATCH_ITEMS).
    pub completions: Vec<Completion>,
}

/// One attempt that ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// The lease.
    pub fence: Fence,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It exited with 0, and its outputs lie under its prefix.
    Succeeded,
    /// It did not.
    Failed {
        /// Why, for programs.
        reason: FailureReason,
        /// Why, for people; at most 4 KiB, masked.
        detail: String,
    },
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The code exited with another status than 0.
    Exit,
    /// A signal that nobody else sent ended it.
    Signal,
    /// It reached its memory limit.
    Memory,
    /// It reached its time limit.
    Timeout,
    /// It reached its disk limit.
    Disk,
    /// It reached its process limit.
    Processes,
    /// The kernel ended it for a system call that the sandbox forbids.
    ForbiddenSyscall,
    /// The bundle or a file is missing, too large, or not what its hash says.
    Bundle,
    /// A secret that it declares is not there, or can't be given to it.
    Secret,
    /// Its outputs are not acceptable (a link, a device, a name that is not a key).
    Output,
    /// The sandbox could not be set up; counts as a lost worker, not as a failure of the task.
    Launch,
    /// The wrapper is shutting down; counts as a lost worker.
    WorkerStopping,
    /// The lease ran out without a word from its worker; set by the reaper alone.
    LeaseExpired,
    /// A user cancelled it; set by the dispatcher alone.
    Cancelled,
    /// The key that signed its capability was revoked; set by the dispatcher alone, and counts as a lost
    /// worker.
    KeyRevoked,
    /// The identity of its worker was revoked; set by the dispatcher alone, and counts as a lost worker.
    WorkerRevoked,
    /// It might have reached a destination that an admin has taken away; set by the dispatcher alone, and
    /// counts as a lost worker.
    EgressWithdrawn,
    /// Two have redeemed its launch ticket, and one of them is no runner of ours; set by the dispatcher
    /// alone, and counts as a lost worker.
    TicketStolen,
}

impl FailureReason {
    /// The name used in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Memory => "memory",
            Self::Timeout => "timeout",
            Self::Disk => "disk",
            Self::Processes => "processes",
            Self::ForbiddenSyscall => "forbidden_syscall",
            Self::Bundle => "bundle",
            Self::Secret => "secret",
            Self::Output => "output",
            Self::Launch => "launch",
            Self::WorkerStopping => "worker_stopping",
            Self::LeaseExpired => "lease_expired",
            Self::Cancelled => "cancelled",
            Self::KeyRevoked => "key_revoked",
            Self::WorkerRevoked => "worker_revoked",
            Self::EgressWithdrawn => "egress_withdrawn",
            Self::TicketStolen => "ticket_stolen",
        }
    }

    /// Whether the dispatcher alone says it, and no worker.
    #[must_use]
    pub const fn is_the_dispatchers(self) -> bool {
        matches!(
            self,
            Self::LeaseExpired
                | Self::Cancelled
                | Self::KeyRevoked
                | Self::WorkerRevoked
                | Self::EgressWithdrawn
                | Self::TicketStolen
        )
    }

    /// Whether it uses up one of the job's retries. A lost worker does not.
    #[must_use]
    pub const fn counts_as_failure(self) -> bool {
        !matches!(
            self,
            Self::Launch
                | Self::WorkerStopping
                | Self::LeaseExpired
                | Self::KeyRevoked
                | Self::WorkerRevoked
                | Self::EgressWithdrawn
                | Self::TicketStolen
        )
    }
}

/// A verdict for each completion, in the order of the request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CompleteReply {
    /// One a completion.
    pub verdicts: Vec<CompleteVerdict>,
}

/// What became of one completion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum CompleteVerdict {
    /// Recorded; also the answer to the same completion sent again.
    Recorded,
    /// The lease was not the current one: nothing changed.
    Stale,
    /// It can't be recorded as it is: the outputs are not acceptable. The attempt has failed.
    Refused {
        /// What is wrong.
        detail: String,
    },
}

/// `POST /internal/logs`: what an attempt printed, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRequest {
    /// The lease.
    pub fence: Fence,
    /// The number of the first line, from 0; lines sent again are dropped.
    pub first_seq: u64,
    /// Masked and capped by the wrapper.
    pub lines: Vec<LogLine>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLine {
    /// When the wrapper read it.
    pub at: DateTime<Utc>,
    /// Where it came from.
    pub stream: LogStream,
    /// The line without its end; invalid UTF-8 and control characters replaced.
    pub text: String,
}

/// Where a line of a log came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The platform's own words about the attempt.
    Platform,
}
