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

use std::collections::{BTreeSet, HashMap};

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

/// The tasks that a DAG lists and their places, which are the tasks' numbers in every run: by the
/// order of jobs, and of partitions in a job. Made once for each version: a run may have a hundred
/// thousand tasks, and every batch of commits asks for a few.
#[derive(Debug, Default)]
pub struct Listed {
    /// The place of each job's first task, and at the end the number of tasks.
    firsts: Vec<u32>,
    places: Vec<HashMap<PartitionKey, u32>>,
}

impl Listed {
    /// The tasks of a version.
    ///
    /// # Panics
    /// When there are more than 2^32 tasks; a DAG has at most [`MAX_TASKS`](crate::dag::bounds::MAX_TASKS).
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let mut firsts = vec![0];
        let mut places = Vec::with_capacity(spec.jobs.len());
        let mut next = 0u32;
        for job in &spec.jobs {
            places.push(job.partitions.iter().cloned().zip(next..).collect());
            next += u32::try_from(job.partitions.len()).expect("a DAG's tasks are bounded");
            firsts.push(next);
        }
        Self { firsts, places }
    }

    /// Whether the DAG has this task.
    #[must_use]
    pub fn contains(&self, task: &TaskKey) -> bool {
        self.place(task).is_some()
    }

    /// The task's place.
    #[must_use]
    pub fn place(&self, task: &TaskKey) -> Option<u32> {
        self.places.get(task.job)?.get(&task.partition).copied()
    }

    /// The place of a job's first task.
    #[must_use]
    pub fn first_of(&self, job: usize) -> Option<u32> {
        self.places.get(job)?;
        self.firsts.get(job).copied()
    }

    /// The job that a place belongs to, and the place within the job.
    #[must_use]
    pub fn at(&self, place: u32) -> Option<(usize, usize)> {
        let job = self.firsts.partition_point(|first| *first <= place).checked_sub(1)?;
        let first = self.first_of(job)?;
        Some((job, usize::try_from(place - first).ok()?))
    }

    /// How many tasks there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.firsts.last().copied().unwrap_or_default()
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
