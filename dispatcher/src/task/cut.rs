//! leased, and about to end: the authority goes first.
//!
//! Outputs are listed before the transaction that commits them, and nothing should be written
//! meanwhile. So every dispatcher is told that the attempt is over, and tells its planes. The lease
//! stays as it is: should this dispatcher stop here, the worker completes again, or the lease runs
//! out.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::Error;
use crate::db::{
    self,
    leases::{LeaseRow, ShownFence},
};

/// Cuts the authority of the attempts whose fences are current; answers their leases, in order.
///
/// # Errors
/// When the database fails.
pub async fn cut(conn: &mut PgConnection, shown: &[ShownFence]) -> Result<Vec<Option<LeaseRow>>, Error> {
    let current = db::leases::cut(conn, shown).await?;
    let by_fence: HashMap<_, LeaseRow> = current
        .into_iter()
        .map(|lease| ((lease.attempt, lease.lease_token.get(), lease.worker), lease))
        .collect();
    Ok(shown.iter().map(|one| by_fence.get(&one.key()).cloned()).collect())
}
