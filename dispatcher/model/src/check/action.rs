//! Steps, and which of them are possible.

use super::{
    Platform, Weakness,
    scenario::{Fault, Grain, Leases, Planes},
    state::{Completion, DISPATCHERS, Deadline, Doing, Power, Reply, Said, Stage, State, index, workers},
};
use crate::id::{Attempt, Claim, Run, Task, Worker};

/// A dispatcher, by its place in the state.
pub type At = usize;

/// One atomic step. Where it stands for a function of the code, the function is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A worker hears of a task and claims it: `worker-wrapper` `Worker::round`, `claim::claim`.
    Wake(Worker, Task),
    /// A worker asks again with the same claim: `claim::claim`.
    AskAgain(Worker),
    /// A worker gets an answer: `Worker::start`, `Completions::complete`.
    Deliver(Reply),
    /// The code of an attempt ends, and its worker says so: `attempt::run`.
    Finish(Worker, Said),
    /// A worker completes again: `Sending::run`.
    CompleteAgain(Worker),
    /// A worker asks for more time and is told that its lease is over: `Leases::beat`.
    Heartbeat(Worker),
    /// A worker sees that its own deadline has passed, and kills: `Held::lost`.
    GiveUp(Worker),
    /// A paused worker goes on.
    Resume(Worker),

    /// A claim in one transaction, and its answer: `dispatcher` `task::claim::claim`.
    ServeClaim(Worker, Claim, Task),
    /// The first half of a completion: `task::cut::cut`, then outputs are listed.
    Cut(At, Completion),
    /// The second half in one transaction: `task::complete::complete`.
    Record(At),
    /// The same in two steps. This one locks the run and reads: `Fenced::lock`, `planner`.
    Lock(At),
    /// And this one writes.
    Write(At),
    /// The reaper finds a lease that has run out: `db::leases::expired`.
    FindExpired(At, Task),
    /// The reaper takes it back, if it still is what was found: `task::reap::reap`.
    Reap(At),
    /// A delayed task is due: `task::wake::wake`.
    Due(Task),
    /// Wake-ups are sent again: `background::sweep`.
    Sweep(Task),
    /// A limit lets a held task go.
    Admit(Task),
    /// A cancellation locks its run and takes what is ready: `Fenced::hold_run`.
    Cancel(At, Run),
    /// It ends the run's leases as well, and commits: `task::cancel::cancel_run`.
    Cancelled(At),
    /// A user brings a dead task back: `task::retry::retry_task`.
    Revive(Task),
    /// The end of a lease passes by the database's clock.
    Expire(Task),

    /// A plane sees an attempt for the first time: `contracts/plane` `Liveness::admit`.
    FirstSight(Attempt),
    /// A dispatcher looks whether it lives: `dispatcher` `liveness::Liveness::look`.
    FirstLook(At),
    /// The plane gets the answer.
    FirstAnswer,
    /// The plane asks about all that it holds: `liveness::follow`.
    FeedAsks,
    /// A dispatcher looks which of them are over.
    FeedLook(At),
    /// The plane gets the answer.
    FeedAnswer,
    /// Nothing runs for an attempt any more, and the plane forgets it.
    LetGo(Attempt),
    /// A tick of the clock that planes count their bound by: `Inner::expire`.
    Tick,

    /// A fault: a wake-up is lost.
    LoseWakeUp(Task),
    /// A fault: a wake-up reaches a worker and will come again.
    WakeTwice(Worker, Task),
    /// A fault: a claim is lost.
    LoseClaim(Worker, Claim, Task),
    /// A fault: a claim is served and will come again.
    ServeClaimTwice(Worker, Claim, Task),
    /// A fault: a completion is lost.
    LoseCompletion(Completion),
    /// A fault: a completion is served and will come again.
    CutTwice(At, Completion),
    /// A fault: an answer is lost.
    LoseReply(Reply),
    /// A fault: a worker is killed and starts anew.
    CrashWorker(Worker),
    /// A fault: a worker stands still.
    Pause(Worker),
    /// A fault: a dispatcher is killed and starts anew.
    CrashDispatcher(At),
    /// A fault: a lease runs out under a worker that is awake.
    LoseHeartbeats(Task),
    /// A fault: the other dispatcher does not hear of a cut.
    CutUnheard(At, Completion),
}

impl Action {
    /// Whether it is one of the faults that the bounds count.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        matches!(
            self,
            Self::LoseWakeUp(_)
                | Self::WakeTwice(..)
                | Self::LoseClaim(..)
                | Self::ServeClaimTwice(..)
                | Self::LoseCompletion(_)
                | Self::CutTwice(..)
                | Self::LoseReply(_)
                | Self::CrashWorker(_)
                | Self::Pause(_)
                | Self::CrashDispatcher(_)
                | Self::LoseHeartbeats(_)
                | Self::CutUnheard(..)
        )
    }

    /// Whether it is a user who does it, or does not.
    #[must_use]
    pub const fn is_a_users(&self) -> bool {
        matches!(self, Self::Cancel(..) | Self::Revive(_))
    }
}

impl Platform {
    /// The steps that are possible; a few of them change nothing, which `next` finds out.
    pub(super) fn possible(&self, state: &State, out: &mut Vec<Action>) {
        for worker in workers().take(self.scenario.workers) {
            self.of_worker(state, worker, out);
        }
        for (worker, claim, task) in &state.net.claims {
            out.push(Action::ServeClaim(*worker, *claim, *task));
        }
        out.extend(state.net.replies.iter().cloned().map(Action::Deliver));
        for at in 0..self.scenario.dispatchers {
            // Dispatchers that are alike need not be tried one after the other.
            if at == 0 || state.dispatchers[at] != state.dispatchers[0] {
                self.of_dispatcher(state, at, out);
            }
        }
        self.of_background(state, out);
        if self.scenario.planes == Planes::One {
            self.of_plane(state, out);
        }
        if state.left.faults > 0 {
            for fault in self.scenario.faults {
                self.faults(state, *fault, out);
            }
        }
    }

    fn of_worker(&self, state: &State, worker: Worker, out: &mut Vec<Action>) {
        let now = &state.workers[index(worker)];
        if now.power == Power::Paused {
            out.push(Action::Resume(worker));
            return;
        }
        if now.asking.is_some() {
            out.push(Action::AskAgain(worker));
        } else if now.holding.is_none() {
            out.extend(state.net.wakeups.iter().map(|task| Action::Wake(worker, *task)));
        }
        let Some(holding) = &now.holding else { return };
        out.push(Action::Heartbeat(worker));
        if holding.deadline == Deadline::Passed {
            out.push(Action::GiveUp(worker));
        }
        match holding.doing {
            Stage::Running => {
                out.extend(self.scenario.outcomes.iter().map(|said| Action::Finish(worker, *said)));
            }
            Stage::Completing(_) => out.push(Action::CompleteAgain(worker)),
        }
    }

    fn of_dispatcher(&self, state: &State, at: At, out: &mut Vec<Action>) {
        match &state.dispatchers[at].doing {
            Some(Doing::Listing(..)) if self.scenario.grain == Grain::LockThenWrite => {
                out.push(Action::Lock(at))
            }
            Some(Doing::Listing(..)) => out.push(Action::Record(at)),
            Some(Doing::Committing(..)) => out.push(Action::Write(at)),
            Some(Doing::Reaping(..)) => out.push(Action::Reap(at)),
            Some(Doing::Cancelling(..)) => out.push(Action::Cancelled(at)),
            None => {
                out.extend(state.net.completions.iter().map(|one| Action::Cut(at, *one)));
                if !self.lacks(Weakness::NoReaper) {
                    let leases = state.tables.leases.iter();
                    let expired = leases.filter(|(_, lease)| state.over.contains(&lease.fence.attempt));
                    out.extend(expired.map(|(task, _)| Action::FindExpired(at, *task)));
                }
                if state.left.cancels > 0 {
                    out.extend(state.tables.runs.keys().map(|run| Action::Cancel(at, *run)));
                }
            }
        }
    }

    fn of_background(&self, state: &State, out: &mut Vec<Action>) {
        let tables = &state.tables;
        out.extend(tables.delayed.keys().map(|task| Action::Due(*task)));
        if !self.lacks(Weakness::NoSweep) {
            let missed = tables.ready.keys().filter(|task| !state.net.wakeups.contains(task));
            out.extend(missed.map(|task| Action::Sweep(*task)));
        }
        out.extend(tables.held.keys().next().map(|task| Action::Admit(*task)));
        if state.left.revivals > 0 {
            out.extend(tables.ends.keys().map(|task| Action::Revive(*task)));
        }
        if self.scenario.leases == Leases::RunOut {
            out.extend(tables.leases.keys().map(|task| Action::Expire(*task)));
        }
    }

    fn of_plane(&self, state: &State, out: &mut Vec<Action>) {
        let plane = &state.plane;
        if plane.first_sight.is_none() {
            let tokens = (1..=state.tables.last_attempt).map(Attempt);
            let unknown = tokens.filter(|one| !plane.held.contains_key(one) && !plane.dead.contains(one));
            out.extend(unknown.map(Action::FirstSight));
        }
        if plane.feed.is_none() && !plane.held.is_empty() {
            out.push(Action::FeedAsks);
        }
        out.extend([Action::FirstAnswer, Action::FeedAnswer, Action::Tick]);
        out.extend(
            (0..self.scenario.dispatchers).flat_map(|at| [Action::FirstLook(at), Action::FeedLook(at)]),
        );
        out.extend(plane.held.keys().map(|attempt| Action::LetGo(*attempt)));
    }
}

impl Platform {
    fn faults(&self, state: &State, fault: Fault, out: &mut Vec<Action>) {
        let workers = || workers().take(self.scenario.workers);
        let net = &state.net;
        let idle = || (0..self.scenario.dispatchers).find(|at| state.dispatchers[*at].doing.is_none());
        match fault {
            Fault::LoseWakeUp => out.extend(net.wakeups.iter().map(|task| Action::LoseWakeUp(*task))),
            Fault::RepeatWakeUp => {
                for worker in workers() {
                    out.extend(net.wakeups.iter().map(|task| Action::WakeTwice(worker, *task)));
                }
            }
            Fault::LoseRequest => {
                out.extend(
                    net.claims.iter().map(|(worker, claim, task)| Action::LoseClaim(*worker, *claim, *task)),
                );
                out.extend(net.completions.iter().map(|one| Action::LoseCompletion(*one)));
            }
            Fault::RepeatRequest => {
                let again = |(worker, claim, task): &_| Action::ServeClaimTwice(*worker, *claim, *task);
                out.extend(net.claims.iter().map(again));
                if let Some(at) = idle() {
                    out.extend(net.completions.iter().map(|one| Action::CutTwice(at, *one)));
                }
            }
            Fault::LoseReply => out.extend(net.replies.iter().cloned().map(Action::LoseReply)),
            Fault::CrashWorker => out.extend(workers().map(Action::CrashWorker)),
            Fault::PauseWorker => out.extend(workers().map(Action::Pause)),
            Fault::CrashDispatcher => {
                let busy = |at: &At| state.dispatchers[*at] != super::state::DispatcherNow::default();
                out.extend((0..DISPATCHERS).filter(busy).map(Action::CrashDispatcher));
            }
            Fault::LoseHeartbeats => {
                out.extend(state.tables.leases.keys().map(|task| Action::LoseHeartbeats(*task)))
            }
            Fault::MissNews => {
                if let Some(at) = idle() {
                    out.extend(net.completions.iter().map(|one| Action::CutUnheard(at, *one)));
                }
            }
        }
    }
}
