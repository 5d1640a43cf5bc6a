//! Which task goes where.

use std::collections::BTreeMap;

use super::{Broken, Case, must};
use crate::{
    id::Task,
    life::{Move, Rows, step},
    row::{Change, Ended, Key, Outcome, Row, RunState},
    rule::Rule,
    tables::Tables,
};

/// One task in one transaction.
struct Touched {
    before: Rows,
    now: Rows,
    ended: Option<Ended>,
}

/// How each task moves that the transaction touches.
pub(super) fn moves(case: &Case<'_>) -> Result<Vec<(Task, Move)>, Broken> {
    let mut touched: BTreeMap<Task, Touched> = BTreeMap::new();
    for change in &case.tx.changes {
        let Some(task) = task_of(case.tables, change)? else { continue };
        let one = touched.entry(task).or_insert_with(|| {
            let before = rows_of(case.tables, task);
            Touched { before, now: before, ended: None }
        });
        let fits = one.change(change);
        must(fits, Rule::Conflict, change)?;
    }
    let mut moves = Vec::with_capacity(touched.len());
    for (task, Touched { before, now, ended }) in touched {
        if before == now && ended.is_none() {
            continue;
        }
        let failed = |rule| Broken::new(rule, (task, before, now, ended));
        let before = before.life().map_err(failed)?;
        let after = now.life().map_err(failed)?;
        let how = step(before, after, ended).map_err(failed)?;
        check_tries(case, task, how)?;
        check_run(case, task, how)?;
        moves.push((task, how));
    }
    Ok(moves)
}

fn rows_of(tables: &Tables, task: Task) -> Rows {
    Rows {
        held: tables.held.get(&task).copied(),
        ready: tables.ready.get(&task).copied(),
        delayed: tables.delayed.get(&task).copied(),
        lease: tables.leases.get(&task).copied(),
        commit: tables.commits.get(&task).copied(),
        end: tables.ends.get(&task).copied(),
    }
}

fn task_of(tables: &Tables, change: &Change) -> Result<Option<Task>, Broken> {
    let task = match change {
        Change::Insert(row) | Change::Update(row) => match row {
            Row::Ready(task, _)
            | Row::Delayed(task, ..)
            | Row::Held(task, _)
            | Row::Lease(task, _)
            | Row::Commit(task, _)
            | Row::End(task, _) => *task,
            Row::Attempt(attempt, ended) => {
                let known = tables.attempts.contains_key(attempt) || ended.fence.attempt != *attempt;
                must(!known, Rule::AttemptReused, change)?;
                ended.task
            }
            Row::Claim(..) | Row::Run(..) | Row::Version(..) | Row::Dataset(..) | Row::Dag(..) => {
                return Ok(None);
            }
        },
        Change::Delete(key) => match key {
            Key::Ready(task) | Key::Delayed(task) | Key::Held(task) | Key::Lease(task) | Key::End(task) => {
                *task
            }
            Key::LeaseOf(attempt) => {
                let held = tables.leases.iter().find(|(_, lease)| lease.fence.attempt == *attempt);
                *held.ok_or_else(|| Broken::new(Rule::Conflict, change))?.0
            }
            Key::Claim(..) | Key::Kept(_) => return Ok(None),
        },
    };
    Ok(Some(task))
}

impl Touched {
    /// Makes one change; `false` when it inserts what is there, or changes what is not.
    fn change(&mut self, change: &Change) -> bool {
        let now = &mut self.now;
        match change {
            Change::Insert(row) => match row {
                Row::Ready(_, tries) => now.ready.replace(*tries).is_none(),
                Row::Delayed(_, tries, at) => now.delayed.replace((*tries, *at)).is_none(),
                Row::Held(_, tries) => now.held.replace(*tries).is_none(),
                Row::Lease(_, lease) => now.lease.replace(*lease).is_none(),
                Row::Commit(_, commit) => now.commit.replace(*commit).is_none(),
                Row::End(_, end) => now.end.replace(*end).is_none(),
                Row::Attempt(_, ended) => self.ended.replace(*ended).is_none(),
                _ => true,
            },
            Change::Update(row) => match row {
                Row::Ready(_, tries) => now.ready.replace(*tries).is_some(),
                Row::Delayed(_, tries, at) => now.delayed.replace((*tries, *at)).is_some(),
                Row::Held(_, tries) => now.held.replace(*tries).is_some(),
                Row::Lease(_, lease) => now.lease.replace(*lease).is_some(),
                _ => true,
            },
            Change::Delete(key) => match key {
                Key::Ready(_) => now.ready.take().is_some(),
                Key::Delayed(_) => now.delayed.take().is_some(),
                Key::Held(_) => now.held.take().is_some(),
                Key::Lease(_) | Key::LeaseOf(_) => now.lease.take().is_some(),
                Key::End(_) => now.end.take().is_some(),
                Key::Claim(..) | Key::Kept(_) => true,
            },
        }
    }
}

/// A task is tried again while it has tries left, and given up when it has none.
fn check_tries(case: &Case<'_>, task: Task, how: Move) -> Result<(), Broken> {
    let (ended, tried_again) = match how {
        Move::Again(ended) => (ended, true),
        Move::Die(ended) => (ended, false),
        _ => return Ok(()),
    };
    let shape = case.shape(task.run())?;
    let lease = case.tables.leases.get(&task).ok_or_else(|| Broken::new(Rule::Step, task))?;
    let (job, _) = shape.job_at(task.place()).ok_or_else(|| Broken::new(Rule::Unknown, task))?;
    let left = match ended.outcome {
        Outcome::Failure => lease.tries.failures < shape.jobs()[job].retries,
        Outcome::Loss | Outcome::Expired => match case.settings.max_losses {
            Some(most) => lease.tries.losses + 1 < most,
            None => return Ok(()),
        },
        Outcome::Cancelled => return Ok(()),
    };
    must(tried_again == left, Rule::Retries, (task, lease.tries, how))
}

/// Tasks of a run that has ended stay as they are; only a dead one can be brought back.
fn check_run(case: &Case<'_>, task: Task, how: Move) -> Result<(), Broken> {
    let state = case.tables.runs.get(&task.run()).map(|run| run.state);
    let fits = match (state, how) {
        (Some(RunState::Running), _) => true,
        (Some(RunState::Failed), Move::Revive) => true,
        // A run that this transaction starts.
        (None, Move::Plan) => true,
        _ => false,
    };
    must(fits, Rule::RunEnded, (task, state, how))
}
