//! leased → ready again, when no word came from the worker in time.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use trace_contracts::{AttemptId, RunId, wire::worker::FailureReason};

use super::{
    Core, Error,
    fail::{self, Failure},
};
use crate::{db, lease::Fenced};

/// Leases that are taken back in one transaction at most.
const BATCH: i64 = 500;

/// Whether there may be more to take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    /// A whole batch was found: look again.
    Batch,
    /// This was all.
    All,
}

/// Takes back leases that have run out by the database's clock. A lease that is extended or
/// completed in the meantime is left alone.
///
/// # Errors
/// When the database fails.
pub async fn reap(tx: &mut PgConnection, core: &Core) -> Result<Reaped, Error> {
    let expired = db::leases::expired(tx, BATCH).await?;
    if expired.is_empty() {
        return Ok(Reaped::All);
    }
    let runs: BTreeSet<RunId> = expired.iter().map(|(_, task)| task.run()).collect();
    let attempts: Vec<AttemptId> = expired.iter().map(|(attempt, _)| *attempt).collect();
    let mut fenced = Fenced::lock(tx, core, &runs).await?;
    let held = fenced.hold_expired(&attempts).await?;
    let lost = held.into_iter().map(|held| {
        let detail = "the lease ran out without a word from its worker".to_owned();
        (held, Failure { reason: FailureReason::LeaseExpired, detail })
    });
    fail::fail(&mut fenced, core, lost.collect()).await?;
    let _heard_by_news = fenced.settle(&*core.wake).await?;
    let whole = i64::try_from(expired.len()).unwrap_or(BATCH) >= BATCH;
    Ok(if whole { Reaped::Batch } else { Reaped::All })
}
