//! leased → ready again, because the authority behind the lease is over: its key or its worker is revoked.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use trace_contracts::{AttemptId, RunId, TaskId, wire::worker::FailureReason};

use super::{
    Core, Error,
    fail::{self, Failure},
};
use crate::lease::Fenced;

/// Leases that are taken back in one transaction at most.
pub const BATCH: i64 = 500;

/// Ends these attempts and lets their tasks run again, as after the loss of a worker: it uses up no retry.
/// Answers how many still had a lease.
///
/// # Errors
/// When the database fails.
pub async fn take_back(
    tx: &mut PgConnection,
    core: &Core,
    attempts: &[(AttemptId, TaskId)],
    reason: FailureReason,
    why: &str,
) -> Result<u64, Error> {
    let runs: BTreeSet<RunId> = attempts.iter().map(|(_, task)| task.run()).collect();
    let attempts: Vec<AttemptId> = attempts.iter().map(|(attempt, _)| *attempt).collect();
    let mut fenced = Fenced::lock(tx, core, &runs).await?;
    let held = fenced.hold_attempts(&attempts).await?;
    let taken = held.len() as u64;
    let failed = held.into_iter().map(|held| (held, Failure { reason, detail: why.to_owned() }));
    fail::fail(&mut fenced, core, failed.collect()).await?;
    let _heard_by_news = fenced.settle(&*core.wake).await?;
    Ok(taken)
}
