//! A user is suspended, or let in again.

use sqlx::PgConnection;
use trace_contracts::{OrgId, UserId, wire::authority::UserInfo};

use crate::{
    App, db,
    db::{notify::Channel, users::Standing},
    task::{
        self,
        cancel::{Cancelled, cancel_run},
    },
};

/// Suspends a user of the org, or lets them in again: from the commit on. `None` when there is none.
///
/// # Errors
/// When the database fails.
pub async fn set_standing(
    tx: &mut PgConnection,
    org: OrgId,
    user: UserId,
    standing: Standing,
) -> Result<Option<UserInfo>, db::Error> {
    let found = db::users::set_standing(tx, org, user, standing).await?;
    if found.is_some() {
        db::notify::send(tx, Channel::Authority).await?;
    }
    Ok(found)
}

/// Cancels what runs for a user who is suspended, or for all who are. Each run has a transaction of its own,
/// because whoever locks several runs does so before anything else. Answers how many were cancelled.
///
/// # Errors
/// When the database fails.
pub async fn cancel_runs(app: &App, user: Option<UserId>) -> Result<u64, task::Error> {
    let mut cancelled = 0;
    loop {
        let runs = {
            let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
            db::users::runs_of_suspended(&mut conn, user).await?
        };
        if runs.is_empty() {
            return Ok(cancelled);
        }
        for (org, run) in runs {
            let mut tx = app.db.begin().await.map_err(db::Error::from)?;
            match cancel_run(&mut tx, &app.core, org, run).await {
                Ok(Cancelled::Now) => cancelled += 1,
                // It ended by itself meanwhile.
                Ok(Cancelled::Before) | Err(task::Error::RunEnded(_)) => {}
                Err(error) => return Err(error),
            }
            tx.commit().await.map_err(db::Error::from)?;
        }
    }
}
