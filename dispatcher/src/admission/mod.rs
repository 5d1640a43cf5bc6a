//! Decides which of the tasks that limits hold back may become ready. Pure: counts and candidates in,
//! a decision out.
//!
//! A task is under up to three limits: its org's, its DAG's, its job's. Tasks that are under the same
//! ones stand in one [`Lane`], in the order of their [`rank`]. Either the first of a lane may go or none
//! of the lane may, so a decision looks at the heads of lanes and never at everything that waits.

mod bucket;
mod decide;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use trace_contracts::{DagId, DatasetId, OrgId, TaskId};

pub use bucket::Bucket;
pub use decide::{Admitted, Limit, Queue, Snapshot, admit};

/// What a point of priority is worth in waiting.
pub const MINUTES_PER_POINT: i64 = 1;

/// Where a task stands in line: the smaller goes first. Everything that waits ages at the same rate, so
/// the order of two tasks never changes, and one sortable time says it: when the task came, moved back by
/// its priority. A task of priority 100 goes before everything of priority 0 that has come in the last
/// hundred minutes, and behind what has waited longer; so nothing waits for ever.
#[must_use]
pub fn rank(since: DateTime<Utc>, priority: i16) -> DateTime<Utc> {
    since - TimeDelta::minutes(MINUTES_PER_POINT * i64::from(priority))
}

/// One limit: whose tasks it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKey {
    /// All tasks of an org.
    Org(OrgId),
    /// All tasks of a DAG.
    Dag(DagId),
    /// All tasks of a job, which is known by the dataset that it makes.
    Job(DatasetId),
}

/// The limits that a task is under. The org's counts every task that is under any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The org.
    pub org: OrgId,
    /// The DAG, if it has a limit.
    pub dag: Option<DagId>,
    /// The job, if it has a limit or a rate.
    pub job: Option<DatasetId>,
}

impl Lane {
    /// The limits, in the order in which they are told.
    pub fn keys(&self) -> impl Iterator<Item = LimitKey> {
        let (dag, job) = (self.dag.map(LimitKey::Dag), self.job.map(LimitKey::Job));
        [Some(LimitKey::Org(self.org)), dag, job].into_iter().flatten()
    }
}

/// A task that is due and waits for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// Its [`rank`].
    pub rank: DateTime<Utc>,
    /// The task; of two with the same rank the one with the smaller id goes first.
    pub task: TaskId,
}
