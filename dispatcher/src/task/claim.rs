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
        claims::{AtOnce, Slot},
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

/// Takes claims together in one statement, which is a transaction by itself; answers the leases of each,
/// in order. `None` where that is not possible, and nothing was taken: one of the claims comes twice, was
/// answered before, or wants certain tasks. Then [`claim`] answers them.
///
/// # Errors
/// When the database fails.
pub async fn claim_at_once(
    conn: &mut PgConnection,
    limits: &Limits,
    ids: &mut Reserved,
    claims: &[Claim],
) -> Result<Option<Vec<Vec<LeaseRow>>>, Error> {
    let mut asked = HashSet::new();
    let mut plain = |claim: &Claim| claim.only.is_none() && asked.insert((claim.worker, claim.claim));
    if !claims.iter().all(&mut plain) {
        return Ok(None);
    }
    let slots: Vec<Slot> = claims.iter().map(slot).collect();
    match db::claims::take_at_once(conn, &slots, ids, limits.lease().as_secs_f64()).await? {
        AtOnce::AnsweredBefore => Ok(None),
        AtOnce::Taken(rows) => {
            let mut dealt = Dealt::default();
            dealt.add(rows);
            Ok(Some(claims.iter().map(|claim| dealt.of(claim)).collect()))
        }
    }
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
    let asked_for: Vec<_> = claims.iter().map(|claim| claim.claim.get()).collect();
    db::claims::lock(tx).await?;
    let mut dealt = Dealt::default();
    remember(tx, &mut dealt, &asked_for).await?;
    let lease_seconds = limits.lease().as_secs_f64();
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
