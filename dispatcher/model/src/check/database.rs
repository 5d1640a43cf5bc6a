//! The transactions. Each makes its changes in the same rows and the same order as the statements of
//! `dispatcher/src/db` do, and each is judged.

use std::collections::BTreeSet;

use super::{
    DAG, Platform, Weakness,
    next::{Step, done},
    state::{Completion, Doing, Said, Snapshot, State, Wrong},
};
use crate::{
    id::{Attempt, Claim, Dataset, Run, Task, Time, Token, Version, Worker},
    judge,
    row::{
        self, Change, Claimed, Commit, End, Ended, Fence, Filling, Key, Lease, Outcome, Progress,
        Publication, Registered, Row, RunState, Transaction, Tries,
    },
    shape::Input,
};

const NEVER: Time = Time(0);

impl Platform {
    /// Makes a transaction's changes, and notes what is wrong with them. Waiting workers are told of
    /// what it makes ready, and dispatchers of the attempts that it ends.
    fn commit(&self, state: &mut State, changes: Vec<Change>) {
        let tx = Transaction { changes, ..Transaction::default() };
        let judged = judge::before(&state.tables, &self.shapes, &self.settings, &tx);
        for change in &tx.changes {
            note_wrongs(state, change);
        }
        state.tables.apply(&tx.changes);
        let judged =
            judged.and_then(|moves| judge::after(&state.tables, &self.shapes, &self.settings, &tx, &moves));
        if let Err(broken) = judged {
            state.seen.refused.get_or_insert(broken.rule);
        }
        for change in &tx.changes {
            if let Change::Insert(Row::Ready(task, _)) = change {
                state.net.wakeups.insert(*task);
            }
        }
        let State { tables, dispatchers, .. } = state;
        let leased = |attempt: &Attempt| tables.leases.values().any(|lease| lease.fence.attempt == *attempt);
        for dispatcher in dispatchers {
            dispatcher.cut.retain(leased);
        }
    }

    /// `task::start_run`.
    pub(super) fn start_run(&self, state: &mut State, run: Run) {
        let shape = self.shape();
        let mut changes = Vec::new();
        for (index, job) in shape.jobs().iter().enumerate() {
            let dataset = Dataset(i64::try_from(index).unwrap_or_default() + 1);
            if !state.tables.datasets.contains_key(&dataset) {
                let publication =
                    if shape.publishes(index) { Publication::Published } else { Publication::Internal };
                changes
                    .push(Change::Insert(Row::Dataset(dataset, Registered { publication, current: None })));
            }
            let completion = row::Completion::Partial;
            let filling = Filling { dataset, total: job.partitions, done: 0, completion };
            changes.push(Change::Insert(Row::Version(Version::at(run, job.first), filling)));
        }
        let first: Vec<Task> = (0..shape.total())
            .filter(|place| state.tables.inputs_are_there(run, shape, *place))
            .map(|place| Task::at(run, place))
            .collect();
        let open = u32::try_from(first.len()).unwrap_or_default();
        let state_now = RunState::Running;
        let progress =
            Progress { dag: DAG, state: state_now, total: shape.total(), open, succeeded: 0, dead: 0 };
        changes.push(Change::Insert(Row::Run(run, progress)));
        changes.extend(self.plan(state, first));
        self.commit(state, changes);
    }

    /// Tasks come into being: ready as far as the limit has room, held beyond it.
    fn plan(&self, state: &State, tasks: Vec<Task>) -> Vec<Change> {
        let busy = state.tables.ready.len() + state.tables.leases.len() + state.tables.delayed.len();
        let room = self.scenario.limit.map_or(usize::MAX, |limit| limit.saturating_sub(busy));
        let place = |(n, task)| {
            let tries = Tries::default();
            Change::Insert(if n < room { Row::Ready(task, tries) } else { Row::Held(task, tries) })
        };
        tasks.into_iter().enumerate().map(place).collect()
    }

    /// `task::claim`: what the claim was given before, as far as it still holds; otherwise the task,
    /// if it is ready and nobody is about to take it away.
    pub(super) fn claim(
        &self,
        state: &mut State,
        worker: Worker,
        claim: Claim,
        task: Task,
    ) -> Option<(Task, Fence)> {
        if let Some(claimed) = state.tables.claims.get(&(claim, worker)) {
            let attempt = *claimed.attempts.first()?;
            let mut held = state.tables.leases.iter().filter(|(_, lease)| lease.fence.attempt == attempt);
            return held.next().map(|(task, lease)| (*task, lease.fence)).filter(|_| state.lives(attempt));
        }
        let being_cancelled = state.dispatchers.iter().any(|one| match &one.doing {
            Some(Doing::Cancelling(_, taken)) => taken.contains(&task),
            _ => false,
        });
        let tries = *state.tables.ready.get(&task).filter(|_| !being_cancelled)?;
        let attempt = Attempt(state.tables.last_attempt + 1);
        let fence = Fence { attempt, worker, token: Token(u128::try_from(attempt.0).unwrap_or_default()) };
        let lease = Lease { fence, tries, started_at: NEVER, expires_at: NEVER };
        let mut changes = vec![Change::Delete(Key::Ready(task)), Change::Insert(Row::Lease(task, lease))];
        if !self.lacks(Weakness::ClaimNotRemembered) {
            let claimed = Claimed { worker, attempts: vec![attempt], claimed_at: NEVER };
            changes.push(Change::Insert(Row::Claim(claim, claimed)));
        }
        self.commit(state, changes);
        Some((task, fence))
    }

    /// `task::complete`, for one attempt whose lease was found current.
    pub(super) fn record(&self, state: &mut State, one: &Completion, seen: &Snapshot) {
        let Some(lease) = state.tables.leases.get(&one.task).copied() else { return };
        if one.said == Said::Failed {
            return self.fail(state, one.task, lease, Outcome::Failure, &seen.progress);
        }
        if lease.fence != one.fence || state.over.contains(&lease.fence.attempt) {
            state.seen.wrongs.insert(Wrong::StaleCommit);
        }
        let shape = self.shape();
        let (run, place) = (one.task.run(), one.task.place());
        let Some((job, _)) = shape.job_at(place) else { return };
        let version = Version::at(run, shape.jobs()[job].first);
        let mut changes = vec![
            Change::Delete(Key::Lease(one.task)),
            Change::Insert(Row::Commit(one.task, Commit { fence: one.fence, committed_at: NEVER })),
        ];
        // The counting itself is an increment, which the row's own lock makes safe.
        let row = state.tables.versions[&version];
        let completion = if row.done + 1 == row.total { row::Completion::Complete } else { row.completion };
        let filling = Filling { done: row.done + 1, completion, ..row };
        changes.push(Change::Update(Row::Version(version, filling)));
        let complete = completion == row::Completion::Complete;
        if shape.publishes(job) && (complete || self.lacks(Weakness::CutOverIncomplete)) {
            changes.extend(self.cut_over(state, row.dataset, version));
        }
        let mut known = seen.clone();
        known.committed.insert(one.task);
        known.done.insert(version, filling.done);
        let waiting: BTreeSet<u32> = shape.waiting_for(place).into_iter().collect();
        let next: Vec<Task> = waiting
            .into_iter()
            .filter(|place| self.may_start(&known, run, *place))
            .map(|place| Task::at(run, place))
            .collect();
        let open = seen.progress.open - 1 + u32::try_from(next.len()).unwrap_or_default();
        let progress = Progress { open, succeeded: seen.progress.succeeded + 1, ..seen.progress };
        changes.extend(self.plan(state, next));
        changes.push(Change::Update(Row::Run(run, settled(progress))));
        self.commit(state, changes);
    }

    /// `db::versions::cut_over`.
    fn cut_over(&self, state: &State, dataset: Dataset, version: Version) -> Option<Change> {
        let row = state.tables.datasets[&dataset];
        let newer = row.current < Some(version) || self.lacks(Weakness::CutOverWithoutGuard);
        newer.then_some(Change::Update(Row::Dataset(dataset, Registered { current: Some(version), ..row })))
    }

    /// `planner::plan`: whether all that a task reads is known to be there.
    fn may_start(&self, known: &Snapshot, run: Run, place: u32) -> bool {
        let shape = self.shape();
        let Some((job, partition)) = shape.job_at(place) else { return false };
        shape.jobs()[job].inputs.iter().all(|input| match input {
            Input::Pinned => true,
            Input::Whole { job } => {
                let job = &shape.jobs()[*job];
                known.done.get(&Version::at(run, job.first)) == Some(&job.partitions)
            }
            Input::Same { places, .. } => {
                let needs = usize::try_from(partition).ok().and_then(|partition| places[partition]);
                needs.is_some_and(|place| known.committed.contains(&Task::at(run, place)))
            }
        })
    }

    /// `task::reap`, for one lease that was found over.
    pub(super) fn take_back(&self, state: &mut State, task: Task, lease: Lease) {
        let progress = state.tables.runs[&task.run()];
        self.fail(state, task, lease, Outcome::Expired, &progress);
    }

    /// `task::fail`: the attempt ends, and the task is tried again or is dead.
    fn fail(&self, state: &mut State, task: Task, lease: Lease, outcome: Outcome, progress: &Progress) {
        let Tries { failures, losses } = lease.tries;
        let retries =
            self.shape().job_at(task.place()).map_or(0, |(job, _)| self.shape().jobs()[job].retries);
        let again = match outcome {
            Outcome::Failure if failures < retries => {
                Some(Row::Delayed(task, Tries { failures: failures + 1, losses }, NEVER))
            }
            Outcome::Expired if losses == 0 && losses + 1 < self.scenario.max_losses => {
                Some(Row::Ready(task, Tries { failures, losses: losses + 1 }))
            }
            Outcome::Expired if losses + 1 < self.scenario.max_losses => {
                Some(Row::Delayed(task, Tries { failures, losses: losses + 1 }, NEVER))
            }
            _ => None,
        };
        let ended = Ended { task, fence: lease.fence, outcome, ended_at: NEVER };
        let mut changes = vec![Change::Insert(Row::Attempt(lease.fence.attempt, ended))];
        if !self.lacks(Weakness::RequeueKeepsLease) {
            changes.push(Change::Delete(Key::Lease(task)));
        }
        match again {
            Some(row) => changes.push(Change::Insert(row)),
            None => {
                let progress = Progress { open: progress.open - 1, dead: progress.dead + 1, ..*progress };
                changes.push(Change::Insert(Row::End(task, End::Dead)));
                changes.push(Change::Update(Row::Run(task.run(), settled(progress))));
            }
        }
        self.commit(state, changes);
    }

    /// `task::wake`: the time of a delayed task has come.
    pub(super) fn due(&self, state: &mut State, task: Task) -> Step {
        let (tries, _) = *state.tables.delayed.get(&task).filter(|_| !state.is_locked(task.run()))?;
        let changes = vec![Change::Delete(Key::Delayed(task)), Change::Insert(Row::Ready(task, tries))];
        self.commit(state, changes);
        Some(())
    }

    /// A limit has room again.
    pub(super) fn admit(&self, state: &mut State, task: Task) -> Step {
        let tries = *state.tables.held.get(&task).filter(|_| !state.is_locked(task.run()))?;
        let busy = state.tables.ready.len() + state.tables.leases.len() + state.tables.delayed.len();
        done(busy < self.scenario.limit?)?;
        let changes = vec![Change::Delete(Key::Held(task)), Change::Insert(Row::Ready(task, tries))];
        self.commit(state, changes);
        Some(())
    }

    /// `task::cancel`, for tasks that the transaction holds.
    pub(super) fn cancel_run(&self, state: &mut State, run: Run, tasks: &[Task]) {
        let mut changes = Vec::new();
        for task in tasks {
            let tables = &state.tables;
            if let Some(lease) = tables.leases.get(task) {
                let ended =
                    Ended { task: *task, fence: lease.fence, outcome: Outcome::Cancelled, ended_at: NEVER };
                changes.push(Change::Delete(Key::Lease(*task)));
                changes.push(Change::Insert(Row::Attempt(lease.fence.attempt, ended)));
            }
            let unclaimed = [
                tables.held.contains_key(task).then_some(Key::Held(*task)),
                tables.ready.contains_key(task).then_some(Key::Ready(*task)),
                tables.delayed.contains_key(task).then_some(Key::Delayed(*task)),
            ];
            changes.extend(unclaimed.into_iter().flatten().map(Change::Delete));
            changes.push(Change::Insert(Row::End(*task, End::Cancelled)));
        }
        let progress = Progress { open: 0, state: RunState::Cancelled, ..state.tables.runs[&run] };
        changes.push(Change::Update(Row::Run(run, progress)));
        self.commit(state, changes);
    }

    /// `task::retry`: a user gives a dead task all its tries again.
    pub(super) fn revive(&self, state: &mut State, task: Task) -> Step {
        let dead = state.tables.ends.get(&task) == Some(&End::Dead);
        let progress = *state.tables.runs.get(&task.run())?;
        done(dead && progress.state != RunState::Cancelled && !state.is_locked(task.run()))?;
        state.left.revivals = state.left.revivals.checked_sub(1)?;
        let progress = Progress {
            state: RunState::Running,
            open: progress.open + 1,
            dead: progress.dead - 1,
            ..progress
        };
        let changes = vec![
            Change::Delete(Key::End(task)),
            Change::Insert(Row::Ready(task, Tries::default())),
            Change::Update(Row::Run(task.run(), progress)),
        ];
        self.commit(state, changes);
        Some(())
    }
}

/// `lease::state_of`: a run ends when nothing of it is open.
fn settled(progress: Progress) -> Progress {
    let state = match progress.state {
        RunState::Running if progress.open > 0 => RunState::Running,
        RunState::Running if progress.succeeded == progress.total => RunState::Succeeded,
        RunState::Running => RunState::Failed,
        ended => ended,
    };
    Progress { state, ..progress }
}

fn note_wrongs(state: &mut State, change: &Change) {
    match change {
        Change::Insert(Row::Commit(task, _)) if state.tables.commits.contains_key(task) => {
            state.seen.wrongs.insert(Wrong::SecondCommit);
        }
        Change::Update(Row::Dataset(dataset, now))
            if now.current < state.tables.datasets.get(dataset).and_then(|row| row.current) =>
        {
            state.seen.wrongs.insert(Wrong::WentBack);
        }
        _ => {}
    }
}
