//! Looks at every plan before it is carried out, by other means than it was made.

use std::collections::BTreeSet;

use super::{Plan, Snapshot, TaskKey};
use crate::dag::spec::Source;

/// What is wrong with a plan: a defect of the planner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The job does not have that partition, or there is no such job.
    #[error("the plan has {0:?}, which the DAG does not")]
    Unknown(TaskKey),
    /// One task twice.
    #[error("the plan has {0:?} twice")]
    Twice(TaskKey),
    /// A task outside the frontier, which may have been planned before.
    #[error("the plan has {0:?}, which nothing has just made ready")]
    OutsideFrontier(TaskKey),
    /// An input is missing.
    #[error("the plan has {0:?} before its input `{1}` is there")]
    TooEarly(TaskKey, String),
    /// A ready task is left out, and nothing would ever plan it again.
    #[error("the plan leaves out {0:?}, which is ready")]
    Lost(TaskKey),
}

/// A plan that was checked; the only kind that is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedPlan(Vec<TaskKey>);

impl CheckedPlan {
    /// The tasks, each once.
    #[must_use]
    pub fn tasks(&self) -> &[TaskKey] {
        &self.0
    }
}

/// Checks a plan against what it was made from.
///
/// # Errors
/// The first [`Violation`] found.
pub fn check(snapshot: &Snapshot<'_>, plan: Plan) -> Result<CheckedPlan, Violation> {
    let mut planned = BTreeSet::new();
    for task in &plan.tasks {
        if !snapshot.listed.contains(task) {
            return Err(Violation::Unknown(task.clone()));
        }
        if !planned.insert(task) {
            return Err(Violation::Twice(task.clone()));
        }
        if !snapshot.frontier.candidates.contains(task) {
            return Err(Violation::OutsideFrontier(task.clone()));
        }
        if let Some(input) = missing_input(snapshot, task) {
            return Err(Violation::TooEarly(task.clone(), input));
        }
    }
    let lost = snapshot
        .frontier
        .candidates
        .iter()
        .find(|task| !planned.contains(task) && missing_input(snapshot, task).is_none());
    match lost {
        Some(task) => Err(Violation::Lost(task.clone())),
        None => Ok(CheckedPlan(plan.tasks)),
    }
}

/// The name of the first input that is not there.
fn missing_input(snapshot: &Snapshot<'_>, task: &TaskKey) -> Option<String> {
    let facts = snapshot.facts;
    let there = |source: &Source| match source {
        Source::Dataset { .. } => true,
        Source::WholeJob { job } => facts.complete.contains(job),
        Source::SamePartition { job } => {
            facts.committed.contains(&TaskKey { job: *job, partition: task.partition.clone() })
        }
    };
    let inputs = &snapshot.spec.jobs.get(task.job)?.inputs;
    inputs.iter().find(|input| !there(&input.source)).map(|input| input.name.to_string())
}
