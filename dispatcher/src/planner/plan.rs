//! The plan.

use super::{
    Facts, Snapshot, TaskKey,
    frontier::{Need, needed},
};

/// Tasks that come into being, each ready at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order of jobs and partitions.
    pub tasks: Vec<TaskKey>,
}

/// Plans the tasks of the frontier whose every input is there.
#[must_use]
pub fn plan(snapshot: &Snapshot<'_>) -> Plan {
    let ready = |task: &&TaskKey| {
        let job = snapshot.spec.jobs.get(task.job);
        job.is_some_and(|job| {
            job.inputs.iter().all(|input| is_met(&needed(task, &input.source), snapshot.facts))
        })
    };
    Plan { tasks: snapshot.frontier.candidates.iter().filter(ready).cloned().collect() }
}

fn is_met(need: &Need, facts: &Facts) -> bool {
    match need {
        Need::Nothing => true,
        Need::Version(job) => facts.complete.contains(job),
        Need::Partition(key) => facts.committed.contains(key),
    }
}
