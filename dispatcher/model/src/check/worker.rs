//! What workers do, and what they believe.

use super::{
    Platform, Weakness,
    next::{Awake, Step, done},
    state::{Completion, Deadline, Doing, Holding, Power, Reply, Said, Stage, State, Wrong, index},
};
use crate::id::{Claim, Task, Worker};

impl Platform {
    /// A wake-up makes an idle worker claim.
    pub(super) fn wake(&self, state: &mut State, worker: Worker, task: Task) -> Step {
        let now = state.worker(worker);
        let idle = now.power == Power::Awake && now.asking.is_none() && now.holding.is_none();
        if !idle || !state.net.wakeups.remove(&task) {
            return None;
        }
        let claim = fresh_claim(state, worker);
        state.worker(worker).asking = Some((claim, task));
        done(state.net.claims.insert((worker, claim, task)))
    }

    /// An answer does not come, and the worker asks once more, with the same claim.
    pub(super) fn ask_again(&self, state: &mut State, worker: Worker) -> Step {
        let (claim, task) = state.worker(worker).asking?;
        let waits =
            |reply: &Reply| matches!(reply, Reply::Leased(to, of, _) if (*to, *of) == (worker, claim));
        if state.net.replies.iter().any(waits) {
            return None;
        }
        done(state.net.claims.insert((worker, claim, task)))
    }

    /// A worker that is awake gets an answer.
    pub(super) fn deliver(&self, state: &mut State, reply: &Reply) -> Step {
        let to = match reply {
            Reply::Leased(worker, ..) => *worker,
            Reply::Verdict(one, _) => one.fence.worker,
        };
        if state.worker(to).power == Power::Paused || !state.net.replies.remove(reply) {
            return None;
        }
        match reply {
            Reply::Leased(_, _, leased) => {
                let holding = leased.map(|(task, fence)| {
                    // Counted from before the claim was sent: an answer that comes after the end of
                    // the lease starts nothing.
                    let in_time = state.lives(fence.attempt) || self.lacks(Weakness::DeadlineFromTheAnswer);
                    let deadline = if in_time { Deadline::Ahead } else { Deadline::Passed };
                    Holding { task, fence, deadline, doing: Stage::Running }
                });
                let now = state.worker(to);
                now.asking = None;
                now.holding = holding;
            }
            Reply::Verdict(..) => state.worker(to).holding = None,
        }
        Some(())
    }

    /// The code ends, and the worker completes.
    pub(super) fn finish(&self, state: &mut State, worker: Worker, said: Said) -> Step {
        let holding = state.worker(worker).holding.as_mut()?;
        holding.doing = Stage::Completing(said);
        let one = Completion { task: holding.task, fence: holding.fence, said };
        done(state.net.completions.insert(one))
    }

    /// An answer does not come, and the worker completes once more.
    pub(super) fn complete_again(&self, state: &mut State, worker: Worker) -> Step {
        let Holding { task, fence, doing: Stage::Completing(said), .. } = state.worker(worker).holding?
        else {
            return None;
        };
        let one = Completion { task, fence, said };
        let answered =
            state.net.replies.iter().any(|reply| matches!(reply, Reply::Verdict(of, _) if *of == one));
        let served = state.dispatchers.iter().any(|at| match &at.doing {
            Some(Doing::Listing(of, _) | Doing::Committing(of, _)) => *of == one,
            _ => false,
        });
        if answered || served {
            return None;
        }
        done(state.net.completions.insert(one))
    }

    /// A heartbeat is answered. One that extends changes nothing here, where leases have no length.
    pub(super) fn heartbeat(&self, state: &mut State, worker: Worker) -> Step {
        let holding = state.worker(worker).holding?;
        let Holding { task, fence, .. } = holding;
        let row = state.tables.leases.get(&task).filter(|lease| lease.fence == fence);
        if row.is_some() && !state.over.contains(&fence.attempt) {
            return None;
        }
        if row.is_some() && self.lacks(Weakness::HeartbeatRevives) {
            state.over.remove(&fence.attempt);
            state.seen.wrongs.insert(Wrong::Revived);
            state.worker(worker).holding = Some(Holding { deadline: Deadline::Ahead, ..holding });
            return Some(());
        }
        state.worker(worker).holding = None;
        Some(())
    }

    /// Its own deadline has passed: it kills without asking anybody.
    pub(super) fn give_up(&self, state: &mut State, worker: Worker) -> Step {
        let holding = &mut state.worker(worker).holding;
        done(holding.take_if(|holding| holding.deadline == Deadline::Passed).is_some())
    }

    /// It stands still, or goes on.
    pub(super) fn switch(&self, state: &mut State, worker: Worker) -> Step {
        let power = &mut state.worker(worker).power;
        *power = match power {
            Power::Awake => Power::Paused,
            Power::Paused => Power::Awake,
        };
        Some(())
    }

    /// The end of a lease passes. By then its worker's own deadline has passed: one that is awake
    /// has killed, one that is paused will see it when it goes on.
    pub(super) fn expire(&self, state: &mut State, task: Task, awake: Awake) -> Step {
        let lease = *state.tables.leases.get(&task)?;
        let holder = &state.workers[index(lease.fence.worker)];
        let holds =
            holder.holding.is_some_and(|one| one.fence == lease.fence && one.deadline == Deadline::Ahead);
        let extends = holds && holder.power == Power::Awake;
        if extends != (awake == Awake::ItsWorker) || !state.over.insert(lease.fence.attempt) {
            return None;
        }
        if holds && !self.lacks(Weakness::ExpiryByWorkersClock) {
            let holder = state.worker(lease.fence.worker);
            match holder.power {
                Power::Awake => holder.holding = None,
                Power::Paused => {
                    holder.holding = holder.holding.map(|one| Holding { deadline: Deadline::Passed, ..one });
                }
            }
        }
        Some(())
    }
}

/// An id that nobody has heard of. Ids are random; the smallest unused number stands for any.
fn fresh_claim(state: &State, worker: Worker) -> Claim {
    let own = |claim: &Claim| claim.0 >> 64 == u128::try_from(worker.0).unwrap_or_default();
    let recorded = state.tables.claims.keys().map(|(claim, _)| claim);
    let granted = state.seen.grants.keys();
    let asked = state.net.claims.iter().map(|(_, claim, _)| claim);
    let youngest = recorded.chain(granted).chain(asked).filter(|claim| own(claim)).max();
    let first = Claim(u128::try_from(worker.0).unwrap_or_default() << 64);
    Claim(youngest.map_or(first.0, |claim| claim.0 + 1))
}
