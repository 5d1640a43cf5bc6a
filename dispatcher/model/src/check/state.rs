//! Everything that is known anywhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::{Attempt, Claim, Run, Task, Version, Worker},
    row::{Fence, Progress},
    rule::Rule,
    tables::Tables,
};

/// How many workers there are.
pub const WORKERS: usize = 2;
/// How many dispatchers there are.
pub const DISPATCHERS: usize = 2;
/// A plane that has heard nothing for this many ticks of the clock believes nobody.
pub const BOUND: u8 = 2;

/// The whole platform at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The database.
    pub tables: Tables,
    /// Attempts whose lease has run out by the database's clock, taken back or not.
    pub over: BTreeSet<Attempt>,
    /// The workers.
    pub workers: [WorkerNow; WORKERS],
    /// The dispatchers; they are alike, so their order means nothing.
    pub dispatchers: [DispatcherNow; DISPATCHERS],
    /// The plane.
    pub plane: PlaneNow,
    /// What is under way.
    pub net: Net,
    /// Faults and user actions that may still come.
    pub left: Left,
    /// What went wrong and leaves no trace in the rest.
    pub seen: Seen,
}

/// One worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct WorkerNow {
    /// Whether it runs.
    pub power: Power,
    /// The claim that it waits for an answer to, and the task that woke it.
    pub asking: Option<(Claim, Task)>,
    /// The attempt that it believes is its own.
    pub holding: Option<Holding>,
}

/// Whether a worker's process runs. One that crashes starts again at once and knows nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Power {
    /// It does.
    #[default]
    Awake,
    /// It stands still; its sandbox may not.
    Paused,
}

/// What a worker believes about its attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holding {
    /// The task.
    pub task: Task,
    /// The fence.
    pub fence: Fence,
    /// Whether its own clock still lets it go on.
    pub deadline: Deadline,
    /// How far it is.
    pub doing: Stage,
}

/// A worker's own end of a lease, which is never later than the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deadline {
    /// To come.
    Ahead,
    /// Passed, while the worker stood still.
    Passed,
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Its code runs.
    Running,
    /// Its code has ended, and the worker says so until there is an answer.
    Completing(Said),
}

/// What a worker says of an attempt that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Said {
    /// It succeeded.
    Succeeded,
    /// It failed, and that counts.
    Failed,
}

/// One dispatcher. Between transactions it remembers nothing that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DispatcherNow {
    /// What it is in the middle of.
    pub doing: Option<Doing>,
    /// Attempts whose authority was cut, as far as it has heard.
    pub cut: BTreeSet<Attempt>,
}

/// What a dispatcher may be in the middle of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doing {
    /// The authority is cut, and outputs are being listed.
    Listing(Completion, Option<Snapshot>),
    /// In the transaction that commits: the run is locked and was looked at.
    Committing(Completion, Snapshot),
    /// A lease was found that has run out. Nothing is locked.
    Reaping(Task, Attempt),
    /// In the transaction that cancels: the run is locked, and these tasks are taken.
    Cancelling(Run, BTreeSet<Task>),
}

/// What a transaction has read of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Snapshot {
    /// Its row.
    pub progress: Progress,
    /// Its committed tasks.
    pub committed: BTreeSet<Task>,
    /// The partitions that are in, by version.
    pub done: BTreeMap<Version, u32>,
}

/// One plane: the query service, or the object store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PlaneNow {
    /// Attempts that it lets act, each with the ticks since the last word about it was asked for.
    pub held: BTreeMap<Attempt, u8>,
    /// Attempts that it knows are over.
    pub dead: BTreeSet<Attempt>,
    /// The question whether an attempt lives that it has not seen before.
    pub first_sight: Option<Question>,
    /// The question of its feed.
    pub feed: Option<Question>,
    /// Ticks since the end of attempts that it holds or asks about; kept for the invariant.
    pub ages: BTreeMap<Attempt, u8>,
}

/// A question of the plane.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// About these.
    pub about: BTreeSet<Attempt>,
    /// Ticks since it was asked.
    pub age: u8,
    /// Those of them that were over when a dispatcher looked.
    pub dead: Option<BTreeSet<Attempt>>,
}

/// Messages under way, in no order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Net {
    /// Wake-ups.
    pub wakeups: BTreeSet<Task>,
    /// Claims: who asks, by which claim, for which task.
    pub claims: BTreeSet<(Worker, Claim, Task)>,
    /// Completions.
    pub completions: BTreeSet<Completion>,
    /// Answers.
    pub replies: BTreeSet<Reply>,
}

/// A worker's word on one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Completion {
    /// The task.
    pub task: Task,
    /// The fence that it shows.
    pub fence: Fence,
    /// The word.
    pub said: Said,
}

/// An answer to a worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reply {
    /// To a claim.
    Leased(Worker, Claim, Option<(Task, Fence)>),
    /// To a completion.
    Verdict(Completion, Verdict),
}

/// What became of a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It is on record.
    Recorded,
    /// It is not, and never will be.
    Stale,
}

/// What may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Left {
    /// Faults.
    pub faults: u8,
    /// Runs that a user may cancel.
    pub cancels: u8,
    /// Dead tasks that a user may bring back.
    pub revivals: u8,
}

/// What went wrong so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// The rule by which a transaction was refused.
    pub refused: Option<Rule>,
    /// What broke at the moment of a step.
    pub wrongs: BTreeSet<Wrong>,
    /// The attempt that each claim was given first.
    pub grants: BTreeMap<Claim, Attempt>,
}

/// What can break at the moment of a step and not be seen afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wrong {
    /// A commit under a fence that was not current.
    StaleCommit,
    /// A second commit of a task.
    SecondCommit,
    /// A claim that was asked again was given something else.
    OtherLease,
    /// A dataset's current version went back.
    WentBack,
    /// A lease that had run out holds again.
    Revived,
}

impl State {
    /// Whether the attempt's lease is current.
    #[must_use]
    pub fn lives(&self, attempt: Attempt) -> bool {
        !self.over.contains(&attempt)
            && self.tables.leases.values().any(|lease| lease.fence.attempt == attempt)
    }

    /// Whether a dispatcher is in a transaction that has locked this run.
    #[must_use]
    pub fn is_locked(&self, run: Run) -> bool {
        self.dispatchers.iter().any(|one| match &one.doing {
            Some(Doing::Committing(completion, _)) => completion.task.run() == run,
            Some(Doing::Cancelling(cancelled, _)) => *cancelled == run,
            Some(Doing::Listing(..) | Doing::Reaping(..)) | None => false,
        })
    }

    /// The state of a worker.
    #[must_use]
    pub fn worker(&mut self, worker: Worker) -> &mut WorkerNow {
        &mut self.workers[index(worker)]
    }
}

/// Workers are numbered from 1.
pub(crate) fn index(worker: Worker) -> usize {
    usize::try_from(worker.0 - 1).unwrap_or_default()
}

/// All workers.
pub(crate) fn workers() -> impl Iterator<Item = Worker> {
    (1..).take(WORKERS).map(Worker)
}
