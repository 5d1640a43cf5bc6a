//! leased, and about to end: the authority goes first.
//!
//! Outputs are listed before the transaction that commits them, and nothing should be written
//! meanwhile. So every dispatcher is told that the attempt is over, and tells its planes. The lease
//! stays as it is: should this dispatcher stop here, the worker completes again, or the lease runs
//! out.

use std::collections::HashMap;

use sqlx::PgConnection;
use trace_contracts::AttemptId;

use super::Error;
use crate::db::{
    self,
    leases::{LeaseRow, ShownFence},
    notify::Channel,
};

/// Cuts the authority of the attempts whose fences are current; answers their leases, in order.
///
/// # Errors
/// When the database fails.
pub async fn cut(tx: &mut PgConnection, shown: &[ShownFence]) -> Result<Vec<Option<LeaseRow>>, Error> {
    let current = db::leases::peek(tx, shown).await?;
    let attempts: Vec<AttemptId> = current.iter().map(|lease| lease.attempt).collect();
    if !attempts.is_empty() {
        // News are worth nothing after a crash, so they need not wait for the disk.
        db::notify::skip_disk(tx).await?;
        db::notify::send_attempts(tx, Channel::Cut, &attempts).await?;
    }
    let by_fence: HashMap<_, LeaseRow> = current
        .into_iter()
        .map(|lease| ((lease.attempt, lease.lease_token.get(), lease.worker), lease))
        .collect();
    Ok(shown.iter().map(|one| by_fence.get(&one.key()).cloned()).collect())
}
