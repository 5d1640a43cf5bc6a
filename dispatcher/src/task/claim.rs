//! ready → leased: a new attempt for each task that is claimed.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use trace_contracts::{ClaimId, TaskId, WorkerId};

use super::Error;
use crate::{
    attempt_ids::Reserved,
    config::Limits,
    db::{
        self,
        claims::Slot,
        leases::{self, LeaseRow},
    },
};

/// One claim.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who claims.
    pub worker: WorkerId,
    /// Made up by the worker; the same one again answers the same leases.
    pub claim: ClaimId,
    /// At most this many.
    pub max: u32,
    /// Only these tasks; absent: whatever is ready.
    pub only: Option<Vec<TaskId>>,
}

/// The most tasks that these claims can be given.
#[must_use]
pub fn most(claims: &[Claim]) -> usize {
    claims.iter().map(|claim| usize::try_from(claim.max).unwrap_or(usize::MAX)).sum()
}

/// Takes claims together; answers the leases of each, in order. A claim that was given leases before
/// is answered with those that still hold and takes no more: its first answer was lost.
///
/// # Errors
/// When the database fails.
pub async fn claim(
    tx: &mut PgConnection,
    limits: &Limits,
    ids: &mut Reserved,
    claims: &[Claim],
) -> Result<Vec<Vec<LeaseRow>>, Error> {
    db::claims::lock(tx).await?;
    let lease_seconds = limits.lease().as_secs_f64();
    let mut dealt = Dealt::default();
    let slots = distinct(claims);
    if let Some(slots) = &slots {
        // Most of the time none of the claims was answered before, and one statement is enough.
        dealt.add(db::claims::take(tx, slots, None, ids, lease_seconds).await?);
        if !dealt.0.is_empty() {
            return Ok(claims.iter().map(|claim| dealt.of(claim)).collect());
        }
    }
    let asked_for: Vec<_> = claims.iter().map(|claim| claim.claim.get()).collect();
    remember(tx, &mut dealt, &asked_for).await?;
    if slots.is_some() && dealt.0.is_empty() {
        return Ok(vec![Vec::new(); claims.len()]);
    }
    let mut asked = HashSet::new();
    let fresh: Vec<&Claim> = claims
        .iter()
        .filter(|claim| !dealt.has(claim) && claim.max > 0 && asked.insert((claim.worker, claim.claim)))
        .collect();
    let open: Vec<Slot> =
        fresh.iter().filter(|claim| claim.only.is_none()).map(|claim| slot(claim)).collect();
    if !open.is_empty() {
        dealt.add(db::claims::take(tx, &open, None, ids, lease_seconds).await?);
    }
    for claim in fresh {
        if let Some(only) = &claim.only {
            let only: Vec<i64> = only.iter().map(|task| task.get()).collect();
            dealt.add(db::claims::take(tx, &[slot(claim)], Some(&only), ids, lease_seconds).await?);
        }
    }
    Ok(claims.iter().map(|claim| dealt.of(claim)).collect())
}

/// The slots of these claims, when each comes once and takes whatever is ready.
fn distinct(claims: &[Claim]) -> Option<Vec<Slot>> {
    let mut asked = HashSet::new();
    let plain = |claim: &Claim| claim.only.is_none() && asked.insert((claim.worker, claim.claim));
    if claims.iter().all(plain) {
        Some(claims.iter().filter(|claim| claim.max > 0).map(slot).collect())
    } else {
        None
    }
}

/// Deals out what these claims were given before, as far as it still holds.
async fn remember(tx: &mut PgConnection, dealt: &mut Dealt, ids: &[uuid::Uuid]) -> Result<(), Error> {
    let claimed = db::claims::answered(tx, ids).await?;
    if claimed.is_empty() {
        return Ok(());
    }
    let attempts: Vec<i64> = claimed.iter().flat_map(|claim| &claim.attempts).copied().collect();
    let holding = leases::holding(tx, &attempts).await?;
    for claim in claimed {
        let own = holding.iter().filter(|row| claim.attempts.binary_search(&row.attempt.get()).is_ok());
        dealt.0.insert((claim.worker, claim.claim), own.cloned().collect());
    }
    Ok(())
}

const fn slot(claim: &Claim) -> Slot {
    Slot { worker: claim.worker, claim: claim.claim, max: claim.max }
}

/// Leases by who claimed them.
#[derive(Default)]
struct Dealt(HashMap<(WorkerId, ClaimId), Vec<LeaseRow>>);

impl Dealt {
    fn add(&mut self, rows: Vec<(ClaimId, LeaseRow)>) {
        for (claim, row) in rows {
            self.0.entry((row.worker, claim)).or_default().push(row);
        }
    }

    fn has(&self, claim: &Claim) -> bool {
        self.0.contains_key(&(claim.worker, claim.claim))
    }

    fn of(&self, claim: &Claim) -> Vec<LeaseRow> {
        self.0.get(&(claim.worker, claim.claim)).cloned().unwrap_or_default()
    }
}
