//! The counters and states of runs.

use super::{Broken, Case, Moves, must};
use crate::{
    id::{Run, Version},
    life::Move,
    row::{Completion, Filling, Progress, RunState},
    rule::Rule,
};

pub(super) fn check(case: &Case<'_>, moves: &Moves) -> Result<(), Broken> {
    for (run, before) in &moves.runs {
        let now = case.tables.runs.get(run).ok_or_else(|| Broken::new(Rule::Unknown, run))?;
        if before.is_none() {
            check_start(case, moves, *run, now)?;
        }
        let start = Progress { state: RunState::Running, open: 0, succeeded: 0, dead: 0, ..*now };
        check_one(case, moves, *run, &before.unwrap_or(start), now)?;
    }
    Ok(())
}

/// A new run has the versions that its DAG says, empty.
fn check_start(case: &Case<'_>, moves: &Moves, run: Run, now: &Progress) -> Result<(), Broken> {
    let shape = case.shape(run)?;
    must(now.total == shape.total(), Rule::Versions, (run, now))?;
    for job in shape.jobs() {
        let version = Version::at(run, job.first);
        let fits = case.tables.versions.get(&version).is_some_and(|filling| {
            let Filling { total, done, completion, .. } = *filling;
            total == job.partitions && done == 0 && completion == Completion::Partial
        });
        must(fits && moves.versions.contains_key(&version), Rule::Versions, version)?;
    }
    let opened = moves.versions.iter().filter(|(version, before)| version.run() == run && before.is_none());
    must(opened.count() == shape.jobs().len(), Rule::Versions, run)
}

fn check_one(
    case: &Case<'_>,
    moves: &Moves,
    run: Run,
    before: &Progress,
    now: &Progress,
) -> Result<(), Broken> {
    must((before.dag, before.total) == (now.dag, now.total), Rule::AppendOnly, (run, now))?;
    let Counted { open, succeeded, dead, cancelled, revived } = Counted::of(moves, run);
    let sum = |counter: u32, delta: i64| i64::from(counter) + delta;
    let fits = sum(before.open, open) == i64::from(now.open)
        && sum(before.succeeded, succeeded) == i64::from(now.succeeded)
        && sum(before.dead, dead) == i64::from(now.dead);
    must(fits, Rule::Counters, (run, before, now, (open, succeeded, dead)))?;
    let started = if revived && before.state == RunState::Failed { RunState::Running } else { before.state };
    if now.state == RunState::Cancelled && started == RunState::Running {
        return must(case.tables.any_open(run).is_none(), Rule::CancelledTogether, (run, now));
    }
    must(!cancelled, Rule::CancelledTogether, (run, now))?;
    let expected = match started {
        RunState::Running if now.open > 0 => RunState::Running,
        RunState::Running if now.succeeded == now.total => RunState::Succeeded,
        RunState::Running => RunState::Failed,
        ended => ended,
    };
    must(now.state == expected, Rule::RunState, (run, before, now))
}

#[derive(Default)]
struct Counted {
    open: i64,
    succeeded: i64,
    dead: i64,
    cancelled: bool,
    revived: bool,
}

impl Counted {
    fn of(moves: &Moves, run: Run) -> Self {
        let mut counted = Self::default();
        for (_, how) in moves.tasks.iter().filter(|(task, _)| task.run() == run) {
            match how {
                Move::Plan => counted.open += 1,
                Move::Commit(_) => {
                    counted.open -= 1;
                    counted.succeeded += 1;
                }
                Move::Die(_) => {
                    counted.open -= 1;
                    counted.dead += 1;
                }
                Move::Cancel => {
                    counted.open -= 1;
                    counted.cancelled = true;
                }
                Move::Revive => {
                    counted.open += 1;
                    counted.dead -= 1;
                    counted.revived = true;
                }
                Move::Admit | Move::Claim(_) | Move::Extend | Move::Again(_) | Move::Due => {}
            }
        }
        counted
    }
}
