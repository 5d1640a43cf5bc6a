//! The rows that are there. Changes are applied as they come: whether they are allowed is for
//! [`judge`](crate::judge) to say.

use std::collections::BTreeMap;

use crate::{
    id::{Attempt, Claim, Dataset, Run, Task, Version, Worker},
    row::{
        Change, Claimed, Commit, Completion, End, Ended, Filling, Key, Lease, Progress, Registered, Row,
        Tries,
    },
    shape::{Input, Shape},
};

/// The tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tables {
    /// `runs`.
    pub runs: BTreeMap<Run, Progress>,
    /// `ready`.
    pub ready: BTreeMap<Task, Tries>,
    /// `delayed`, each with the time before which it is not tried.
    pub delayed: BTreeMap<Task, (Tries, crate::id::Time)>,
    /// `held`.
    pub held: BTreeMap<Task, Tries>,
    /// `leases`.
    pub leases: BTreeMap<Task, Lease>,
    /// `claims`.
    pub claims: BTreeMap<(Claim, Worker), Claimed>,
    /// `commits`.
    pub commits: BTreeMap<Task, Commit>,
    /// `attempts`.
    pub attempts: BTreeMap<Attempt, Ended>,
    /// `task_ends`.
    pub ends: BTreeMap<Task, End>,
    /// `dataset_versions`.
    pub versions: BTreeMap<Version, Filling>,
    /// `datasets`.
    pub datasets: BTreeMap<Dataset, Registered>,
    /// The youngest attempt that was ever claimed.
    pub last_attempt: i64,
    /// How long each current lease was when it was claimed, in microseconds. Empty in the checked
    /// model, where leases have no length.
    pub terms: BTreeMap<Attempt, i64>,
}

impl Tables {
    /// Makes the changes, allowed or not.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Insert(row) | Change::Update(row) => self.put(row),
                Change::Delete(key) => self.delete(*key),
            }
        }
    }

    fn put(&mut self, row: &Row) {
        match row {
            Row::Ready(task, tries) => drop(self.ready.insert(*task, *tries)),
            Row::Delayed(task, tries, at) => drop(self.delayed.insert(*task, (*tries, *at))),
            Row::Held(task, tries) => drop(self.held.insert(*task, *tries)),
            Row::Lease(task, lease) => {
                let attempt = lease.fence.attempt;
                self.last_attempt = self.last_attempt.max(attempt.0);
                let term = lease.expires_at.0 - lease.started_at.0;
                if self.leases.insert(*task, *lease).is_none() && term > 0 {
                    self.terms.insert(attempt, term);
                }
            }
            Row::Claim(claim, claimed) => drop(self.claims.insert((*claim, claimed.worker), claimed.clone())),
            Row::Commit(task, commit) => drop(self.commits.insert(*task, *commit)),
            Row::Attempt(attempt, ended) => drop(self.attempts.insert(*attempt, *ended)),
            Row::End(task, end) => drop(self.ends.insert(*task, *end)),
            Row::Run(run, progress) => drop(self.runs.insert(*run, *progress)),
            Row::Version(version, filling) => drop(self.versions.insert(*version, *filling)),
            Row::Dataset(dataset, registered) => drop(self.datasets.insert(*dataset, *registered)),
            // Shapes are kept beside the tables: they never change.
            Row::Dag(..) => {}
        }
    }

    fn delete(&mut self, key: Key) {
        match key {
            Key::Ready(task) => drop(self.ready.remove(&task)),
            Key::Delayed(task) => drop(self.delayed.remove(&task)),
            Key::Held(task) => drop(self.held.remove(&task)),
            Key::Lease(task) => {
                if let Some(lease) = self.leases.remove(&task) {
                    self.terms.remove(&lease.fence.attempt);
                }
            }
            Key::LeaseOf(attempt) => {
                self.leases.retain(|_, lease| lease.fence.attempt != attempt);
                self.terms.remove(&attempt);
            }
            Key::Claim(claim, worker) => drop(self.claims.remove(&(claim, worker))),
            Key::End(task) => drop(self.ends.remove(&task)),
            Key::Kept(_) => {}
        }
    }

    /// In how many places a task is.
    #[must_use]
    pub fn places(&self, task: Task) -> usize {
        [
            self.ready.contains_key(&task),
            self.delayed.contains_key(&task),
            self.held.contains_key(&task),
            self.leases.contains_key(&task),
            self.commits.contains_key(&task),
            self.ends.contains_key(&task),
        ]
        .into_iter()
        .filter(|there| *there)
        .count()
    }

    /// Whether a task is planned and has not ended.
    #[must_use]
    pub fn is_open(&self, task: Task) -> bool {
        self.ready.contains_key(&task)
            || self.delayed.contains_key(&task)
            || self.held.contains_key(&task)
            || self.leases.contains_key(&task)
    }

    /// An open task of a run, if there is one.
    #[must_use]
    pub fn any_open(&self, run: Run) -> Option<Task> {
        let span = Task::at(run, 0)..Task::at(Run(run.0 + 1), 0);
        let ready = self.ready.range(span.clone()).map(|(task, _)| *task).next();
        let delayed = self.delayed.range(span.clone()).map(|(task, _)| *task).next();
        let held = self.held.range(span.clone()).map(|(task, _)| *task).next();
        ready.or(delayed).or(held).or_else(|| self.leases.range(span).map(|(task, _)| *task).next())
    }

    /// Whether everything is there that the task at a place of a run reads.
    #[must_use]
    pub fn inputs_are_there(&self, run: Run, shape: &Shape, place: u32) -> bool {
        let Some((job, partition)) = shape.job_at(place) else { return false };
        shape.jobs()[job].inputs.iter().all(|input| match input {
            Input::Pinned => true,
            Input::Whole { job } => self.is_complete(Version::at(run, shape.jobs()[*job].first)),
            Input::Same { places, .. } => places[partition as usize]
                .is_some_and(|place| self.commits.contains_key(&Task::at(run, place))),
        })
    }

    /// Whether readers may read a version.
    #[must_use]
    pub fn is_complete(&self, version: Version) -> bool {
        self.versions.get(&version).is_some_and(|filling| filling.completion == Completion::Complete)
    }
}
