//! A destination is taken away from DAGs: what still runs and might reach it is ended.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use trace_contracts::{
    AttemptId, EgressRuleId, OrgId, TaskId, UserId,
    wire::{
        egress::{EgressEffect, EgressRuleInfo, EgressRuleRequest, MAX_RULES},
        worker::FailureReason,
    },
};

use super::end_batch;
use crate::{
    App, db,
    db::egress::{RuleRow, State},
    egress::{Policies, Policy, Verdict},
    task::{self, take_back::BATCH},
};

/// Why a rule was not set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The org has as many as it may have.
    #[error(
        "your org has {MAX_RULES} egress rules, and no room for another: remove some (`trace egress list`)"
    )]
    TooMany,
}

/// Whether a rule is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// It is in force from the commit on.
    Now,
    /// It was in force already.
    Before,
}

/// Sets a rule, in force from the commit on.
///
/// # Errors
/// See [`Error`].
pub async fn set(
    tx: &mut PgConnection,
    org: OrgId,
    by: UserId,
    rule: &EgressRuleRequest,
) -> Result<(EgressRuleInfo, Set), Error> {
    db::egress::lock(tx, org).await?;
    if let Some(found) = db::egress::find(tx, org, rule).await? {
        return Ok((found, Set::Before));
    }
    if db::egress::count(tx, org).await? >= u64::from(MAX_RULES) {
        return Err(Error::TooMany);
    }
    let state = match rule.effect {
        EgressEffect::Allow => State::Holds,
        EgressEffect::Deny => State::Begins,
    };
    Ok((db::egress::insert(tx, org, by, rule, state).await?, Set::Now))
}

/// Takes a rule of the org out of force, from the commit on. `None` when there is none.
///
/// # Errors
/// When the database fails.
pub async fn remove(
    tx: &mut PgConnection,
    org: OrgId,
    rule: EgressRuleId,
) -> Result<Option<EgressRuleInfo>, db::Error> {
    db::egress::lock(tx, org).await?;
    db::egress::remove(tx, org, rule).await
}

/// Ends the attempts that may hold a destination which a changed rule has taken away; of one rule, or of all
/// whose attempts are not ended yet. Their tasks run again, without it. Answers how many there were.
///
/// A capability is signed after its lease is there, by the rules of that moment. So whatever was signed by
/// the rules before the change belongs to a lease that is there now.
///
/// # Errors
/// When the database fails.
pub async fn end_holders(app: &App, only: Option<EgressRuleId>) -> Result<u64, task::Error> {
    let unsettled = {
        let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
        db::egress::unsettled(&mut conn).await?
    };
    let mut ended = 0;
    for row in unsettled.into_iter().filter(|row| only.is_none_or(|rule| row.info.rule == rule)) {
        ended += end_holders_of(app, &row).await?;
        let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
        db::egress::settle(&mut conn, row.info.rule).await?;
    }
    Ok(ended)
}

async fn end_holders_of(app: &App, row: &RuleRow) -> Result<u64, task::Error> {
    let policy = {
        let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
        Policies::of(&mut conn, app.config.egress, &BTreeSet::from([row.org])).await?.into_one(row.org)
    };
    // All are looked for before the first is ended: its task may be leased again at once, without the destination.
    let holders = all_holders(app, row, &policy).await?;
    let why = format!("an admin has taken {} away from it", row.info.to);
    let mut ended = 0;
    for batch in holders.chunks(BATCH as usize) {
        ended += end_batch(app, batch, FailureReason::EgressWithdrawn, &why).await?;
    }
    Ok(ended)
}

async fn all_holders(
    app: &App,
    row: &RuleRow,
    policy: &Policy,
) -> Result<Vec<(AttemptId, TaskId)>, db::Error> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = {
            let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
            db::egress::leased(&mut conn, row.org, after, BATCH).await?
        };
        let Some((last, _)) = page.last() else { return Ok(all) };
        after = Some(*last);
        all.extend(holders(app, &page, &row.info, policy).await?);
    }
}

/// Those of these attempts whose job declares what the rule is about, and may not have it any more.
async fn holders(
    app: &App,
    leased: &[(AttemptId, TaskId)],
    rule: &EgressRuleInfo,
    policy: &Policy,
) -> Result<Vec<(AttemptId, TaskId)>, db::Error> {
    let runs = leased.iter().map(|(_, task)| task.run()).collect();
    let facts = app.core.facts.of_pool(&app.db, &runs).await?;
    let mut holders = Vec::new();
    for (attempt, task) in leased {
        let run = facts.get(&task.run()).ok_or_else(|| db::Error::corrupt("a run", task.run()))?;
        let place = run.place(*task)?;
        let dag = &run.spec.name;
        let is_about = rule.dag.as_ref().is_none_or(|only| only == dag);
        let is_lost = place.spec.egress.iter().map(|grant| &grant.destination).any(|destination| {
            rule.to.matches(destination) && !matches!(policy.decide(dag, destination), Verdict::Allowed(_))
        });
        if is_about && is_lost {
            holders.push((*attempt, *task));
        }
    }
    Ok(holders)
}
