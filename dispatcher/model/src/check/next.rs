//! One step.

use super::{
    Action, Platform,
    state::{DispatcherNow, Left, PlaneNow, Reply, Seen, State, WorkerNow, index},
};
use crate::{id::Run, tables::Tables};

/// Whether a step was possible.
pub(super) type Step = Option<()>;

impl Platform {
    /// The state in which everything begins: the runs have started.
    pub(super) fn start(&self) -> State {
        let mut state = State {
            tables: Tables::default(),
            over: Default::default(),
            workers: Default::default(),
            dispatchers: Default::default(),
            plane: PlaneNow::default(),
            net: Default::default(),
            left: Left {
                faults: self.scenario.most_faults,
                cancels: self.scenario.cancels,
                revivals: self.scenario.revivals,
            },
            seen: Seen::default(),
        };
        for run in (1..=self.scenario.runs).map(Run) {
            self.start_run(&mut state, run);
        }
        state
    }

    /// The state after a step; none if the step is not possible or changes nothing.
    pub(super) fn next(&self, before: &State, action: &Action) -> Option<State> {
        let mut state = before.clone();
        if action.is_fault() {
            state.left.faults = state.left.faults.checked_sub(1)?;
        }
        self.step(&mut state, action)?;
        tidy(&mut state);
        (state != *before).then_some(state)
    }

    fn step(&self, state: &mut State, action: &Action) -> Step {
        match action {
            Action::Wake(worker, task) => self.wake(state, *worker, *task),
            Action::WakeTwice(worker, task) => {
                self.wake(state, *worker, *task)?;
                state.net.wakeups.insert(*task);
                Some(())
            }
            Action::AskAgain(worker) => self.ask_again(state, *worker),
            Action::Deliver(reply) => self.deliver(state, reply),
            Action::Finish(worker, said) => self.finish(state, *worker, *said),
            Action::CompleteAgain(worker) => self.complete_again(state, *worker),
            Action::Heartbeat(worker) => self.heartbeat(state, *worker),
            Action::GiveUp(worker) => self.give_up(state, *worker),
            Action::Resume(worker) | Action::Pause(worker) => self.switch(state, *worker),
            Action::CrashWorker(worker) => {
                *state.worker(*worker) = WorkerNow::default();
                Some(())
            }
            Action::ServeClaim(worker, claim, task) => {
                state.net.claims.remove(&(*worker, *claim, *task));
                self.serve_claim(state, *worker, *claim, *task)
            }
            Action::ServeClaimTwice(worker, claim, task) => self.serve_claim(state, *worker, *claim, *task),
            Action::LoseClaim(worker, claim, task) => {
                done(state.net.claims.remove(&(*worker, *claim, *task)))
            }
            Action::Cut(at, one) => {
                state.net.completions.remove(one);
                self.cut(state, *at, *one)
            }
            Action::CutTwice(at, one) => self.cut(state, *at, *one),
            Action::CutUnheard(at, one) => {
                state.net.completions.remove(one);
                self.cut_unheard(state, *at, *one)
            }
            Action::LoseCompletion(one) => done(state.net.completions.remove(one)),
            Action::Record(at) => {
                self.lock(state, *at)?;
                self.write(state, *at)
            }
            Action::Lock(at) => self.lock(state, *at),
            Action::Write(at) => self.write(state, *at),
            Action::FindExpired(at, task) => self.find_expired(state, *at, *task),
            Action::Reap(at) => self.reap(state, *at),
            Action::Due(task) => self.due(state, *task),
            Action::Sweep(task) => done(state.net.wakeups.insert(*task)),
            Action::LoseWakeUp(task) => done(state.net.wakeups.remove(task)),
            Action::Admit(task) => self.admit(state, *task),
            Action::Cancel(at, run) => self.cancel(state, *at, *run),
            Action::Cancelled(at) => self.cancelled(state, *at),
            Action::Revive(task) => self.revive(state, *task),
            Action::Expire(task) => self.expire(state, *task, Awake::Nobody),
            Action::LoseHeartbeats(task) => self.expire(state, *task, Awake::ItsWorker),
            Action::LoseReply(reply) => done(state.net.replies.remove(reply)),
            Action::CrashDispatcher(at) => {
                state.dispatchers[*at] = DispatcherNow::default();
                Some(())
            }
            Action::FirstSight(_)
            | Action::FirstLook(_)
            | Action::FirstAnswer
            | Action::FeedAsks
            | Action::FeedLook(_)
            | Action::FeedAnswer
            | Action::LetGo(_)
            | Action::Tick => self.plane(state, action),
        }
    }
}

/// Who is there to extend a lease that runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awake {
    /// Nobody.
    Nobody,
    /// Its worker, whose heartbeats are lost.
    ItsWorker,
}

pub(super) const fn done(changed: bool) -> Step {
    if changed { Some(()) } else { None }
}

/// Makes states equal that differ in nothing that matters.
fn tidy(state: &mut State) {
    let State { tables, over, workers, dispatchers, plane, net, .. } = state;
    over.retain(|attempt| tables.leases.values().any(|lease| lease.fence.attempt == *attempt));
    net.replies.retain(|reply| match reply {
        Reply::Leased(worker, claim, _) => {
            workers[index(*worker)].asking.is_some_and(|(asking, _)| asking == *claim)
        }
        Reply::Verdict(one, _) => {
            workers[index(one.fence.worker)].holding.is_some_and(|holding| holding.fence == one.fence)
        }
    });
    let asked = |attempt: &_| plane.first_sight.as_ref().is_some_and(|one| one.about.contains(attempt));
    plane.ages.retain(|attempt, _| plane.held.contains_key(attempt) || asked(attempt));
    dispatchers.sort();
}
