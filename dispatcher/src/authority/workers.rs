//! A worker or a plane is revoked: its token opens nothing any more.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{Name, WorkerId, wire::worker::FailureReason};

use super::end_batch;
use crate::{
    App, db,
    db::notify::Channel,
    task::{self, take_back::BATCH},
};

/// Revokes an identity, from the commit on. `None` when there is none of this name.
///
/// # Errors
/// When the database fails.
pub async fn revoke(
    tx: &mut PgConnection,
    name: &Name,
) -> Result<Option<(WorkerId, DateTime<Utc>)>, db::Error> {
    let found = db::identities::revoke(tx, name).await?;
    if found.is_some() {
        db::notify::send(tx, Channel::Authority).await?;
    }
    Ok(found)
}

/// Takes the attempts back that a revoked worker runs, or all of them do. Their tasks go to other workers.
/// Answers how many there were.
///
/// # Errors
/// When the database fails.
pub async fn end_attempts(app: &App, worker: Option<WorkerId>) -> Result<u64, task::Error> {
    let mut ended = 0;
    loop {
        let attempts = {
            let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
            db::leases::of_revoked_workers(&mut conn, worker, BATCH).await?
        };
        if attempts.is_empty() {
            return Ok(ended);
        }
        let why = "the identity of its worker was revoked";
        let taken = end_batch(app, &attempts, FailureReason::WorkerRevoked, why).await?;
        ended += taken;
        // Somebody else is at it. What they leave is the sweep's.
        if taken == 0 {
            return Ok(ended);
        }
    }
}
