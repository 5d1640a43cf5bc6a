//! Rows of the state database, as far as they tell where tasks, runs and datasets stand; and the
//! changes that a transaction makes of them. Both the checked model and the replay speak of these.

use crate::{
    id::{Attempt, Claim, DagVersion, Dataset, Run, Task, Time, Token, Version, Worker},
    shape::Shape,
};

/// Tries so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tries {
    /// That count against the job's retries.
    pub failures: u32,
    /// That do not, because the worker was lost.
    pub losses: u32,
}

/// Who may say what becomes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The attempt.
    pub attempt: Attempt,
    /// The worker that claimed it.
    pub worker: Worker,
    /// The secret that it was given.
    pub token: Token,
}

/// `leases`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    /// Who holds it.
    pub fence: Fence,
    /// Tries before this one.
    pub tries: Tries,
    /// When it was claimed.
    pub started_at: Time,
    /// When it ends, unless it is extended.
    pub expires_at: Time,
}

/// `commits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commit {
    /// The lease that it ended.
    pub fence: Fence,
    /// When its transaction began.
    pub committed_at: Time,
}

/// `attempts`: one that ended otherwise than by a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ended {
    /// Its task.
    pub task: Task,
    /// The lease that it had.
    pub fence: Fence,
    /// How it ended.
    pub outcome: Outcome,
    /// When the transaction began that ended it.
    pub ended_at: Time,
}

/// How an attempt ended that has no commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It failed, and that counts.
    Failure,
    /// Its worker could not run it, or stopped.
    Loss,
    /// Its lease ran out.
    Expired,
    /// Its run was cancelled.
    Cancelled,
}

/// `task_ends`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// Its retries are used up.
    Dead,
    /// Its run was cancelled.
    Cancelled,
}

/// `claims`: what a claim was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claimed {
    /// Who claimed.
    pub worker: Worker,
    /// The attempts that it made.
    pub attempts: Vec<Attempt>,
    /// When.
    pub claimed_at: Time,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunState {
    /// Something of it is open.
    Running,
    /// Every task is committed.
    Succeeded,
    /// Nothing is open any more, and something is dead.
    Failed,
    /// By a user.
    Cancelled,
}

/// `runs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Progress {
    /// The version that runs.
    pub dag: DagVersion,
    /// Where it stands.
    pub state: RunState,
    /// Tasks of the version.
    pub total: u32,
    /// Planned and not ended.
    pub open: u32,
    /// Committed.
    pub succeeded: u32,
    /// Dead.
    pub dead: u32,
}

/// `dataset_versions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filling {
    /// Its dataset.
    pub dataset: Dataset,
    /// Partitions of the job.
    pub total: u32,
    /// Partitions that are committed.
    pub done: u32,
    /// Whether readers may read it.
    pub completion: Completion,
}

/// Whether a version is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Completion {
    /// Partitions are missing.
    Partial,
    /// It has its manifest.
    Complete,
}

/// `datasets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registered {
    /// Whether it has a published name.
    pub publication: Publication,
    /// What readers get.
    pub current: Option<Version>,
}

/// Whether a dataset has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Publication {
    /// It has one, and is cut over to new versions.
    Published,
    /// It has none.
    Internal,
}

/// A row, with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// `ready`: claimable now.
    Ready(Task, Tries),
    /// `delayed`: not before then.
    Delayed(Task, Tries, Time),
    /// `held`: a limit keeps it out of `ready`.
    Held(Task, Tries),
    /// `leases`.
    Lease(Task, Lease),
    /// `claims`.
    Claim(Claim, Claimed),
    /// `commits`.
    Commit(Task, Commit),
    /// `attempts`.
    Attempt(Attempt, Ended),
    /// `task_ends`.
    End(Task, End),
    /// `runs`.
    Run(Run, Progress),
    /// `dataset_versions`.
    Version(Version, Filling),
    /// `datasets`.
    Dataset(Dataset, Registered),
    /// `dag_versions`.
    Dag(DagVersion, Shape),
}

/// Which row is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `ready`.
    Ready(Task),
    /// `delayed`.
    Delayed(Task),
    /// `held`.
    Held(Task),
    /// `leases`.
    Lease(Task),
    /// `leases`, where their key is the attempt.
    LeaseOf(Attempt),
    /// `claims`.
    Claim(Claim, Worker),
    /// `task_ends`.
    End(Task),
    /// A table whose rows are never deleted.
    Kept(&'static str),
}

/// One change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new row.
    Insert(Row),
    /// A row as it is now.
    Update(Row),
    /// A row that is gone.
    Delete(Key),
}

/// What one transaction changed, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Its number in the database; 0 in the checked model.
    pub number: u64,
    /// When it committed; absent in the checked model, where rules about time do not apply.
    pub at: Option<Time>,
    /// The changes.
    pub changes: Vec<Change>,
}
