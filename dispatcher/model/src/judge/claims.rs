//! Leases come with the record of their claim, so that the claim can be asked again.

use std::collections::BTreeMap;

use super::{Broken, Case, Moves, must};
use crate::{
    id::{Attempt, Worker},
    life::Move,
    row::{Change, Row},
    rule::Rule,
};

pub(super) fn check(case: &Case<'_>, moves: &Moves) -> Result<(), Broken> {
    let mut leased: BTreeMap<Attempt, Worker> = BTreeMap::new();
    for (task, how) in &moves.tasks {
        let Move::Claim(lease) = how else { continue };
        let fresh = lease.fence.attempt.0 > case.tables.last_attempt
            && leased.insert(lease.fence.attempt, lease.fence.worker).is_none();
        must(fresh, Rule::AttemptReused, (task, lease))?;
    }
    for change in &case.tx.changes {
        let Change::Insert(Row::Claim(claim, claimed)) = change else { continue };
        must(!case.tables.claims.contains_key(&(*claim, claimed.worker)), Rule::Conflict, change)?;
        must(!claimed.attempts.is_empty(), Rule::Claimed, change)?;
        for attempt in &claimed.attempts {
            must(leased.remove(attempt) == Some(claimed.worker), Rule::Claimed, (change, attempt))?;
        }
    }
    must(leased.is_empty(), Rule::Claimed, leased)
}
