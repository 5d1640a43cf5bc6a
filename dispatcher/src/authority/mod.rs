//! Taking authority away: from keys, users, workers and destinations. What is decided commits first, so that every plane
//! refuses at once; then what runs on that authority is ended, in transactions of its own. Should this
//! dispatcher stop between the two, the sweep of any other one ends the rest.

pub mod egress;
pub mod keys;
pub mod launches;
pub mod users;
pub mod workers;

use trace_contracts::{AttemptId, TaskId, wire::worker::FailureReason};

use crate::{
    App, db,
    task::{self, take_back::take_back},
};

/// Ends whatever runs on an authority that is over.
///
/// # Errors
/// When the database fails.
pub async fn take_back_everything(app: &App) -> Result<(), task::Error> {
    keys::end_holders(app).await?;
    users::cancel_runs(app, None).await?;
    workers::end_attempts(app, None).await?;
    egress::end_holders(app, None).await?;
    Ok(())
}

/// Takes attempts back in one transaction.
async fn end_batch(
    app: &App,
    attempts: &[(AttemptId, TaskId)],
    reason: FailureReason,
    why: &str,
) -> Result<u64, task::Error> {
    let mut tx = app.db.begin().await.map_err(db::Error::from)?;
    let taken = take_back(&mut tx, &app.core, attempts, reason, why).await?;
    tx.commit().await.map_err(db::Error::from)?;
    Ok(taken)
}
