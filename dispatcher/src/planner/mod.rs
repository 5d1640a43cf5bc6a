//! Decides which tasks of a run come into being next. Pure: facts in, plan out.
//!
//! A task is planned in the transaction that commits the last of its inputs. So the planner never
//! looks at the whole run: it is told what has just been committed, names the tasks that this could
//! make ready ([`Frontier`]), is given the facts that those depend on, and plans. Facts only ever
//! become true, and one run's commits are serialised by its row's lock; so exactly one transaction
//! sees the last input of a task come true.

mod check;
mod frontier;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};

pub use check::{CheckedPlan, Violation, check};
pub use frontier::{Commit, Frontier, VersionState};
pub use plan::{Plan, plan};
use trace_contracts::PartitionKey;

use crate::dag::spec::Spec;

/// One task of a run: one partition of one job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    /// The job's index in the spec.
    pub job: usize,
    /// The partition.
    pub partition: PartitionKey,
}

/// What is known of a run: enough to judge the tasks of one frontier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Jobs of which every partition is committed.
    pub complete: BTreeSet<usize>,
    /// Partitions that are committed.
    pub committed: BTreeSet<TaskKey>,
}

/// The tasks that a DAG lists, made once for each version: a run may have a hundred thousand, and
/// every batch of commits asks for a few.
#[derive(Debug, Default)]
pub struct Listed(Vec<HashSet<PartitionKey>>);

impl Listed {
    /// The tasks of a version.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        Self(spec.jobs.iter().map(|job| job.partitions.iter().cloned().collect()).collect())
    }

    /// Whether the DAG has this task.
    #[must_use]
    pub fn contains(&self, task: &TaskKey) -> bool {
        self.0.get(task.job).is_some_and(|partitions| partitions.contains(&task.partition))
    }
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The DAG's version.
    pub spec: &'a Spec,
    /// The tasks that it lists.
    pub listed: &'a Listed,
    /// The tasks to judge.
    pub frontier: &'a Frontier,
    /// What is known.
    pub facts: &'a Facts,
}

impl Facts {
    /// What commits themselves say.
    #[must_use]
    pub fn of(commits: &[Commit]) -> Self {
        let complete = commits.iter().filter(|commit| commit.version == VersionState::Complete);
        Self {
            complete: complete.map(|commit| commit.task.job).collect(),
            committed: commits.iter().map(|commit| commit.task.clone()).collect(),
        }
    }
}
