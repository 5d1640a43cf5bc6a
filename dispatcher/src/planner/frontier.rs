//! Which tasks an event could make ready, and what must be known to judge them.

use std::collections::BTreeSet;

use super::{Facts, Listed, TaskKey};
use crate::dag::spec::{JobSpec, Source, Spec};

/// A partition that has just been committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Which one.
    pub task: TaskKey,
    /// Whether it was the last one of its job.
    pub version: VersionState,
}

/// Where the version stands after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// Partitions are missing.
    Partial,
    /// Every partition is in.
    Complete,
}

/// Tasks that may be ready now. None of them was ready before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    pub(super) candidates: BTreeSet<TaskKey>,
}

impl Frontier {
    /// At a run's start: the tasks of every job without upstream jobs.
    #[must_use]
    pub fn at_start(spec: &Spec) -> Self {
        let starts_alone = |job: &JobSpec| job.inputs.iter().all(|input| upstream(&input.source).is_none());
        let candidates = spec
            .jobs
            .iter()
            .enumerate()
            .filter(|(_, job)| starts_alone(job))
            .flat_map(|(index, job)| tasks_of(index, job))
            .collect();
        Self { candidates }
    }

    /// After commits: the tasks with an input that one of them made true.
    #[must_use]
    pub fn after(spec: &Spec, listed: &Listed, commits: &[Commit]) -> Self {
        let committed: BTreeSet<&TaskKey> = commits.iter().map(|commit| &commit.task).collect();
        let touched: BTreeSet<usize> = commits.iter().map(|commit| commit.task.job).collect();
        let complete: BTreeSet<usize> = commits
            .iter()
            .filter(|commit| commit.version == VersionState::Complete)
            .map(|commit| commit.task.job)
            .collect();
        let mut candidates = BTreeSet::new();
        for (index, job) in spec.jobs.iter().enumerate() {
            for input in &job.inputs {
                match input.source {
                    Source::WholeJob { job: upstream } if complete.contains(&upstream) => {
                        candidates.extend(tasks_of(index, job));
                    }
                    Source::SamePartition { job: upstream } if touched.contains(&upstream) => {
                        let own = committed.iter().filter(|task| task.job == upstream);
                        let same = own.map(|task| TaskKey { job: index, partition: task.partition.clone() });
                        // An upstream job may have partitions that this one does not.
                        candidates.extend(same.filter(|task| listed.contains(task)));
                    }
                    _ => {}
                }
            }
        }
        Self { candidates }
    }

    /// Whether there is nothing to judge.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Everything that the candidates' inputs depend on and `known` does not say already.
    #[must_use]
    pub fn unknown(&self, spec: &Spec, known: &Facts) -> Facts {
        let mut unknown = Facts::default();
        for task in &self.candidates {
            for input in spec.jobs.get(task.job).map_or(&[][..], |job| &job.inputs) {
                match needed(task, &input.source) {
                    Need::Nothing => {}
                    Need::Version(job) if known.complete.contains(&job) => {}
                    Need::Version(job) => {
                        unknown.complete.insert(job);
                    }
                    Need::Partition(key) if known.committed.contains(&key) => {}
                    Need::Partition(key) => {
                        unknown.committed.insert(key);
                    }
                }
            }
        }
        unknown
    }
}

/// What one input waits for.
pub(super) enum Need {
    /// It was pinned when the run started.
    Nothing,
    /// The whole version of a job.
    Version(usize),
    /// One partition of a job.
    Partition(TaskKey),
}

pub(super) fn needed(task: &TaskKey, source: &Source) -> Need {
    match source {
        Source::Dataset { .. } => Need::Nothing,
        Source::WholeJob { job } => Need::Version(*job),
        Source::SamePartition { job } => {
            Need::Partition(TaskKey { job: *job, partition: task.partition.clone() })
        }
    }
}

const fn upstream(source: &Source) -> Option<usize> {
    match source {
        Source::SamePartition { job } | Source::WholeJob { job } => Some(*job),
        Source::Dataset { .. } => None,
    }
}

fn tasks_of(index: usize, job: &JobSpec) -> impl Iterator<Item = TaskKey> {
    job.partitions.iter().map(move |partition| TaskKey { job: index, partition: partition.clone() })
}
