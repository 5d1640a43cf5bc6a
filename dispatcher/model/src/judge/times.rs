//! Leases end by the database's clock, and tasks are tried again when their time has come.
//!
//! `now()` in PostgreSQL is the beginning of a transaction and `at` its end; what a statement saw
//! of the clock lies between. So a lease that was used must have held at the beginning, and one
//! that was taken back must be over at the end.

use super::{Broken, Case, Clock, Moves, must};
use crate::{
    id::{Task, Time},
    life::Move,
    row::{Change, Ended, Key, Lease, Outcome, Row},
    rule::Rule,
};

/// What a claim was given is remembered for this long, in microseconds.
const CLAIMS_KEPT: i64 = 3_600_000_000;

pub(super) fn check(case: &Case<'_>, moves: &Moves) -> Result<(), Broken> {
    let Some(at) = case.tx.at.filter(|_| case.settings.clock == Clock::Steady) else { return Ok(()) };
    for (task, how) in &moves.tasks {
        check_move(case, at, *task, how)?;
    }
    for change in &case.tx.changes {
        let Change::Delete(Key::Claim(claim, worker)) = change else { continue };
        let claimed =
            case.tables.claims.get(&(*claim, *worker)).ok_or_else(|| Broken::new(Rule::Conflict, change))?;
        must(at.0 - claimed.claimed_at.0 >= CLAIMS_KEPT, Rule::Forgotten, (claim, claimed, at))?;
    }
    Ok(())
}

fn check_move(case: &Case<'_>, at: Time, task: Task, how: &Move) -> Result<(), Broken> {
    let lease = || case.tables.leases.get(&task);
    match how {
        Move::Commit(commit) => held_at(lease(), task, commit.committed_at),
        Move::Again(Ended { outcome: Outcome::Expired, .. })
        | Move::Die(Ended { outcome: Outcome::Expired, .. }) => {
            let over = lease().is_some_and(|lease| lease.expires_at <= at);
            must(over, Rule::Expiry, (task, lease(), at))
        }
        Move::Again(ended) | Move::Die(ended) => held_at(lease(), task, ended.ended_at),
        Move::Extend => check_extension(case, task),
        Move::Due => {
            let due = case.tables.delayed.get(&task).is_some_and(|(_, not_before)| *not_before <= at);
            must(due, Rule::Early, (task, at))
        }
        Move::Claim(lease) => must(lease.expires_at > lease.started_at, Rule::Expiry, (task, lease)),
        Move::Plan | Move::Admit | Move::Cancel | Move::Revive => Ok(()),
    }
}

fn held_at(lease: Option<&Lease>, task: Task, began: Time) -> Result<(), Broken> {
    let held = lease.is_some_and(|lease| began < lease.expires_at);
    must(held, Rule::Expiry, (task, lease, began))
}

/// A lease that is over is not extended: its new end, less the length of a lease, is when the
/// transaction began. The shortest length seen of the lease counts, which is that of its first term.
fn check_extension(case: &Case<'_>, task: Task) -> Result<(), Broken> {
    let Some(before) = case.tables.leases.get(&task) else { return Err(Broken::new(Rule::Expiry, task)) };
    let extended = case.tx.changes.iter().find_map(|change| match change {
        Change::Update(Row::Lease(of, lease)) if *of == task => Some(lease),
        _ => None,
    });
    let Some(after) = extended else { return Err(Broken::new(Rule::Expiry, task)) };
    let began =
        after.expires_at.0 - case.tables.terms.get(&before.fence.attempt).copied().unwrap_or_default();
    must(began < before.expires_at.0, Rule::Expiry, (task, before, after))
}
