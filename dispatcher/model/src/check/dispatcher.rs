//! What dispatchers do between transactions.

use std::collections::BTreeSet;

use super::{
    Platform, Weakness,
    action::At,
    next::{Step, done},
    scenario::Planes,
    state::{Completion, Doing, Reply, Snapshot, State, Verdict, Wrong},
};
use crate::{
    id::{Claim, Run, Task, Version, Worker},
    row::{Fence, RunState},
};

impl Platform {
    /// A claim and its answer. The answer is remembered with the leases, in one transaction.
    pub(super) fn serve_claim(&self, state: &mut State, worker: Worker, claim: Claim, task: Task) -> Step {
        let answer = self.claim(state, worker, claim, task);
        let granted = state.seen.grants.get(&claim).copied();
        match (granted, answer) {
            (None, None) => {}
            (None, Some((_, fence))) => {
                state.seen.grants.insert(claim, fence.attempt);
            }
            (Some(before), answer) => {
                let expected = state.lives(before).then_some(before);
                if answer.map(|(_, fence)| fence.attempt) != expected {
                    state.seen.wrongs.insert(Wrong::OtherLease);
                }
            }
        }
        state.net.replies.insert(Reply::Leased(worker, claim, answer));
        Some(())
    }

    /// The first half of a completion. All dispatchers hear that the authority is cut.
    pub(super) fn cut(&self, state: &mut State, at: At, one: Completion) -> Step {
        self.cut_unheard(state, at, one)?;
        if state.dispatchers[at].cut.contains(&one.fence.attempt) {
            for dispatcher in &mut state.dispatchers {
                dispatcher.cut.insert(one.fence.attempt);
            }
        }
        Some(())
    }

    /// The same, heard by nobody else.
    pub(super) fn cut_unheard(&self, state: &mut State, at: At, one: Completion) -> Step {
        if state.dispatchers[at].doing.is_some() {
            return None;
        }
        if !self.is_current(state, &one) {
            let verdict = on_record(state, &one);
            state.net.replies.insert(Reply::Verdict(one, verdict));
            return Some(());
        }
        let early = self.lacks(Weakness::FactsFromBeforeTheLock).then(|| look(state, one.task.run()));
        let dispatcher = &mut state.dispatchers[at];
        dispatcher.doing = Some(Doing::Listing(one, early));
        if self.scenario.planes == Planes::One {
            dispatcher.cut.insert(one.fence.attempt);
        }
        Some(())
    }

    /// Locks the run, and reads what the commit is made from.
    pub(super) fn lock(&self, state: &mut State, at: At) -> Step {
        let Some(Doing::Listing(one, early)) = state.dispatchers[at].doing.clone() else { return None };
        let run = one.task.run();
        if state.is_locked(run) && !self.lacks(Weakness::NoRunLock) {
            return None;
        }
        let now = look(state, run);
        let snapshot = match early {
            Some(early) => Snapshot { progress: now.progress, ..early },
            None => now,
        };
        state.dispatchers[at].doing = Some(Doing::Committing(one, snapshot));
        Some(())
    }

    /// Writes, commits and answers.
    pub(super) fn write(&self, state: &mut State, at: At) -> Step {
        let Some(Doing::Committing(one, snapshot)) = state.dispatchers[at].doing.take() else { return None };
        let verdict = if self.is_current(state, &one) {
            self.record(state, &one, &snapshot);
            Verdict::Recorded
        } else {
            on_record(state, &one)
        };
        state.net.replies.insert(Reply::Verdict(one, verdict));
        Some(())
    }

    /// Whether a completion shows the fence of a current lease.
    fn is_current(&self, state: &State, one: &Completion) -> bool {
        let Some(lease) = state.tables.leases.get(&one.task) else { return false };
        if self.lacks(Weakness::CompletionWithoutFence) {
            return true;
        }
        let in_time =
            !state.over.contains(&lease.fence.attempt) || self.lacks(Weakness::CompletionAfterExpiry);
        lease.fence == one.fence && in_time
    }

    /// Finds a lease that has run out, without a lock.
    pub(super) fn find_expired(&self, state: &mut State, at: At, task: Task) -> Step {
        let attempt = state.tables.leases.get(&task)?.fence.attempt;
        state.dispatchers[at].doing = Some(Doing::Reaping(task, attempt));
        Some(())
    }

    /// Takes it back under the run's lock, if it is still there and still over.
    pub(super) fn reap(&self, state: &mut State, at: At) -> Step {
        let Some(Doing::Reaping(task, attempt)) = state.dispatchers[at].doing else { return None };
        if state.is_locked(task.run()) {
            return None;
        }
        state.dispatchers[at].doing = None;
        let unchecked = self.lacks(Weakness::ReaperDoesNotLookAgain);
        let lease = state.tables.leases.get(&task).copied();
        let found = lease
            .filter(|lease| unchecked || (lease.fence.attempt == attempt && state.over.contains(&attempt)));
        if let Some(lease) = found {
            self.take_back(state, task, lease);
        }
        Some(())
    }

    /// Locks a run and takes what nobody has claimed: those rows can't be claimed any more.
    pub(super) fn cancel(&self, state: &mut State, at: At, run: Run) -> Step {
        let running = state.tables.runs.get(&run).is_some_and(|run| run.state == RunState::Running);
        if !running || state.is_locked(run) || state.dispatchers[at].doing.is_some() {
            return None;
        }
        state.left.cancels = state.left.cancels.checked_sub(1)?;
        let first: BTreeSet<Task> = if self.lacks(Weakness::CancelLeasesFirst) {
            leased(state, run).collect()
        } else {
            unclaimed(state, run).collect()
        };
        state.dispatchers[at].doing = Some(Doing::Cancelling(run, first));
        Some(())
    }

    /// Takes the other half, and commits.
    pub(super) fn cancelled(&self, state: &mut State, at: At) -> Step {
        let Some(Doing::Cancelling(run, first)) = state.dispatchers[at].doing.take() else { return None };
        let tasks: Vec<Task> = if self.lacks(Weakness::CancelLeasesFirst) {
            first.into_iter().chain(unclaimed(state, run)).collect()
        } else {
            first.into_iter().chain(leased(state, run)).collect()
        };
        self.cancel_run(state, run, &tasks);
        done(true)
    }
}

fn unclaimed(state: &State, run: Run) -> impl Iterator<Item = Task> {
    let tables = &state.tables;
    let tasks = tables.held.keys().chain(tables.delayed.keys()).chain(tables.ready.keys());
    tasks.filter(move |task| task.run() == run).copied()
}

fn leased(state: &State, run: Run) -> impl Iterator<Item = Task> {
    state.tables.leases.keys().filter(move |task| task.run() == run).copied()
}

/// What a transaction reads of a run.
fn look(state: &State, run: Run) -> Snapshot {
    let tables = &state.tables;
    let own = |version: &Version| version.run() == run;
    Snapshot {
        progress: tables.runs[&run],
        committed: tables.commits.keys().filter(|task| task.run() == run).copied().collect(),
        done: tables.versions.iter().filter(|(id, _)| own(id)).map(|(id, row)| (*id, row.done)).collect(),
    }
}

/// What a completion is answered whose lease is not current: what is on record under its fence.
fn on_record(state: &State, one: &Completion) -> Verdict {
    use super::state::Said;
    use crate::row::Outcome;
    let Completion { task, fence, said } = one;
    let same = |other: &Fence| other == fence;
    let committed = state.tables.commits.get(task).is_some_and(|commit| same(&commit.fence));
    let ended = state.tables.attempts.get(&fence.attempt).filter(|ended| same(&ended.fence));
    let failed = ended.is_some_and(|ended| ended.outcome == Outcome::Failure);
    match said {
        Said::Succeeded if committed => Verdict::Recorded,
        Said::Failed if failed => Verdict::Recorded,
        Said::Succeeded | Said::Failed => Verdict::Stale,
    }
}
