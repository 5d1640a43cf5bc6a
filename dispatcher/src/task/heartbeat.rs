//! leased → leased, for longer.

use std::collections::HashMap;

use sqlx::PgConnection;
use trace_contracts::wire::worker::HeartbeatVerdict;

use super::Error;
use crate::{
    config::Limits,
    db::leases::{self, ShownFence},
};

/// Extends the leases whose fences are current; answers a verdict for each fence, in order.
///
/// # Errors
/// When the database fails.
pub async fn heartbeat(
    tx: &mut PgConnection,
    limits: &Limits,
    shown: &[ShownFence],
) -> Result<Vec<HeartbeatVerdict>, Error> {
    let extended = leases::extend(tx, shown, limits.lease().as_secs_f64()).await?;
    // Within one batch an attempt may be named by a right fence and by a wrong one: what was
    // extended is looked up by the whole fence.
    let ends: HashMap<_, _> = extended.into_iter().collect();
    let verdict = |one: &ShownFence| match ends.get(&one.key()) {
        Some(expires_at) => HeartbeatVerdict::Extended { expires_at: *expires_at },
        None => HeartbeatVerdict::Stale,
    };
    Ok(shown.iter().map(verdict).collect())
}
