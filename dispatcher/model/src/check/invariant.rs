//! What must hold in every state, and what must be seen in some, so that a check that walks through
//! nothing is noticed.

use stateright::Property;

use super::{
    Platform,
    state::{BOUND, Deadline, Power, Reply, Said, Stage, State, Verdict, Wrong},
};
use crate::{
    id::{Attempt, Task, Version},
    row::{Completion, End, Outcome, Progress, RunState},
    tables::Tables,
};

type Condition = fn(&Platform, &State) -> bool;

/// A task is in one place at a time.
pub const ONE_PLACE: &str = "a task is in one place at a time";
/// An attempt is current, ended or committed, and a task has one that is current at most.
pub const ONE_ATTEMPT: &str = "a task has one current attempt at most";
/// No two workers that are awake both believe that they may run a task.
pub const ONE_WORKER: &str = "one worker at a time runs a task";
/// A commit shows the fence of a current lease.
pub const NO_STALE_COMMIT: &str = "a stale attempt commits nothing";
/// A task has one commit at most.
pub const COMMITTED_ONCE: &str = "a task is committed once";
/// Every task is somewhere, or waits for something that is still to come.
pub const NO_LOST_TASK: &str = "no task is lost";
/// Counters say what rows do.
pub const COUNTERS: &str = "counters say what the rows do";
/// The current version of a dataset is complete and never goes back.
pub const CURRENT_VERSION: &str = "the current version is complete and never goes back";
/// A plane lets no attempt act for longer than its bound after the end.
pub const NO_AUTHORITY: &str = "no authority after revocation";
/// The same claim answers the same leases.
pub const SAME_CLAIM: &str = "a claim that is asked again answers the same leases";
/// What workers are told of completions is so.
pub const TOLD_THE_TRUTH: &str = "workers are told the truth";
/// A lease that has run out never holds again.
pub const OVER_IS_OVER: &str = "a lease that has run out never holds again";
/// The replay would accept every transaction.
pub const ALLOWED: &str = "every transaction is allowed";

const ALWAYS: &[(&str, Condition)] = &[
    (ONE_PLACE, |_, state| tasks(&state.tables).all(|task| state.tables.places(task) <= 1)),
    (ONE_ATTEMPT, one_attempt),
    (ONE_WORKER, one_worker),
    (NO_STALE_COMMIT, |_, state| !state.seen.wrongs.contains(&Wrong::StaleCommit)),
    (COMMITTED_ONCE, |_, state| !state.seen.wrongs.contains(&Wrong::SecondCommit)),
    (NO_LOST_TASK, no_lost_task),
    (COUNTERS, counters),
    (CURRENT_VERSION, current_version),
    (NO_AUTHORITY, no_authority),
    (SAME_CLAIM, |_, state| !state.seen.wrongs.contains(&Wrong::OtherLease)),
    (TOLD_THE_TRUTH, told_the_truth),
    (OVER_IS_OVER, |_, state| !state.seen.wrongs.contains(&Wrong::Revived)),
    (ALLOWED, |_, state| state.seen.refused.is_none()),
];

/// What at least one scenario must show.
pub const SOMETIMES: &[(&str, Condition)] = &[
    ("a run succeeds", |_, state| any_run(state, RunState::Succeeded)),
    ("a run fails", |_, state| any_run(state, RunState::Failed)),
    ("a run is cancelled", |_, state| any_run(state, RunState::Cancelled)),
    ("a task is committed by its second attempt", |_, state| {
        state.tables.commits.values().any(|commit| commit.fence.attempt.0 > 1)
            && state.tables.commits.len() == 1
    }),
    ("a worker is told that it is stale", |_, state| {
        state.net.replies.iter().any(|reply| matches!(reply, Reply::Verdict(_, Verdict::Stale)))
    }),
    ("a completion is recorded after its lease ended and another began", |_, state| {
        state
            .net
            .completions
            .iter()
            .any(|one| state.tables.leases.get(&one.task).is_some_and(|lease| lease.fence != one.fence))
    }),
    ("a worker goes on with a lease that is another's", |_, state| {
        state.workers.iter().flat_map(|one| one.holding).any(|holding| {
            state.tables.leases.get(&holding.task).is_some_and(|lease| lease.fence != holding.fence)
        })
    }),
    ("a newer version is complete before an older one", |_, state| {
        let versions = &state.tables.versions;
        let complete =
            |(_, filling): &(&Version, &crate::row::Filling)| filling.completion == Completion::Complete;
        let first_complete = versions.iter().find(complete).map(|(version, _)| *version);
        first_complete.is_some_and(|version| versions.keys().next().is_some_and(|first| *first < version))
    }),
    ("a plane serves an attempt that is over", |_, state| {
        state.plane.held.keys().any(|attempt| !state.lives(*attempt))
    }),
    ("a plane knows that an attempt is over", |_, state| !state.plane.dead.is_empty()),
    ("a task is held by a limit", |_, state| !state.tables.held.is_empty()),
    ("a task waits for its next try", |_, state| !state.tables.delayed.is_empty()),
    ("two commits of one run are under way", |_, state| {
        state.dispatchers.iter().all(|one| matches!(one.doing, Some(super::state::Doing::Listing(..))))
    }),
];

/// All of them, for `stateright`.
#[must_use]
pub fn properties() -> Vec<Property<Platform>> {
    let always = ALWAYS.iter().map(|(name, condition)| Property::always(name, *condition));
    let sometimes = SOMETIMES.iter().map(|(name, condition)| Property::sometimes(name, *condition));
    always.chain(sometimes).collect()
}

/// The names of what must always hold.
pub fn always() -> impl Iterator<Item = &'static str> {
    ALWAYS.iter().map(|(name, _)| *name)
}

fn any_run(state: &State, at: RunState) -> bool {
    state.tables.runs.values().any(|run| run.state == at)
}

fn tasks(tables: &Tables) -> impl Iterator<Item = Task> {
    let tasks = tables
        .runs
        .iter()
        .flat_map(|(run, progress)| (0..progress.total).map(move |place| Task::at(*run, place)));
    tasks.collect::<Vec<_>>().into_iter()
}

fn one_attempt(_: &Platform, state: &State) -> bool {
    let tables = &state.tables;
    (1..=tables.last_attempt).map(Attempt).all(|attempt| {
        let leased = tables.leases.values().filter(|lease| lease.fence.attempt == attempt).count();
        let committed = tables.commits.values().filter(|commit| commit.fence.attempt == attempt).count();
        leased + committed + usize::from(tables.attempts.contains_key(&attempt)) == 1
    })
}

fn one_worker(_: &Platform, state: &State) -> bool {
    let awake = state.workers.iter().filter(|worker| worker.power == Power::Awake);
    let mut running = awake
        .flat_map(|worker| worker.holding)
        .filter(|one| one.deadline == Deadline::Ahead && one.doing == Stage::Running)
        .map(|one| one.task);
    match (running.next(), running.next()) {
        (Some(one), Some(other)) => one != other,
        _ => true,
    }
}

fn no_lost_task(platform: &Platform, state: &State) -> bool {
    let tables = &state.tables;
    tables.runs.iter().all(|(run, progress)| {
        let mut own = (0..progress.total).map(|place| Task::at(*run, place));
        let open = tables.any_open(*run).is_some();
        match progress.state {
            RunState::Running => {
                let waits = |task: &Task| !tables.inputs_are_there(*run, platform.shape(), task.place());
                open && own.all(|task| tables.places(task) >= 1 || waits(&task))
            }
            RunState::Succeeded => !open && own.all(|task| tables.commits.contains_key(&task)),
            RunState::Failed => !open && own.any(|task| tables.ends.get(&task) == Some(&End::Dead)),
            RunState::Cancelled => !open,
        }
    })
}

fn counters(_: &Platform, state: &State) -> bool {
    let tables = &state.tables;
    let runs = tables.runs.iter().all(|(run, progress)| {
        let own = || (0..progress.total).map(|place| Task::at(*run, place));
        let count = |which: &dyn Fn(&Task) -> bool| {
            u32::try_from(own().filter(|task| which(task)).count()).unwrap_or(u32::MAX)
        };
        let counted = Progress {
            open: count(&|task| tables.is_open(*task)),
            succeeded: count(&|task| tables.commits.contains_key(task)),
            dead: count(&|task| tables.ends.get(task) == Some(&End::Dead)),
            ..*progress
        };
        counted == *progress
    });
    let versions = tables.versions.iter().all(|(version, filling)| {
        let first = Task(version.0);
        let last = Task(version.0 + i64::from(filling.total));
        u32::try_from(tables.commits.range(first..last).count()) == Ok(filling.done)
    });
    runs && versions
}

fn current_version(_: &Platform, state: &State) -> bool {
    let complete = |version| state.tables.is_complete(version);
    let all = state.tables.datasets.values().all(|dataset| dataset.current.is_none_or(complete));
    all && !state.seen.wrongs.contains(&Wrong::WentBack)
}

fn no_authority(_: &Platform, state: &State) -> bool {
    let plane = &state.plane;
    let too_long = |attempt: &Attempt| plane.ages.get(attempt).is_some_and(|age| *age >= BOUND);
    plane.held.keys().all(|attempt| !plane.dead.contains(attempt) && !too_long(attempt))
}

fn told_the_truth(_: &Platform, state: &State) -> bool {
    state.net.replies.iter().all(|reply| {
        let Reply::Verdict(one, verdict) = reply else { return true };
        let committed = state.tables.commits.get(&one.task).is_some_and(|commit| commit.fence == one.fence);
        let failed = state
            .tables
            .attempts
            .get(&one.fence.attempt)
            .is_some_and(|ended| ended.fence == one.fence && ended.outcome == Outcome::Failure);
        let recorded = match one.said {
            Said::Succeeded => committed,
            Said::Failed => failed,
        };
        recorded == (*verdict == Verdict::Recorded)
    })
}
