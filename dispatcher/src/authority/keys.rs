//! Another key signs; or nothing that a key signed is believed any more.

use sqlx::PgConnection;
use trace_contracts::{KeyId, UserId, wire::worker::FailureReason};

use super::end_batch;
use crate::{
    App, db,
    db::{
        keys::{KeyRow, Revoked},
        notify::Channel,
    },
    keys::{
        self, SigningKey,
        ring::{Turned, has_room},
    },
    task::{self, take_back::BATCH},
};

/// Why keys stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key can't be made, or the database failed.
    #[error(transparent)]
    Key(#[from] keys::Error),
    /// There is no such key.
    #[error("there is no such key")]
    Unknown,
    /// Too many are believed at the same time.
    #[error(
        "too many keys are believed already: wait until one of them retires, or revoke one (`trace keys list`)"
    )]
    TooMany,
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        Self::Key(error.into())
    }
}

/// Lets a new key sign. What the one before it signed is believed until the overlap is over.
///
/// # Errors
/// See [`Error`].
pub async fn rotate(tx: &mut PgConnection, app: &App) -> Result<Turned, Error> {
    db::keys::lock(tx).await?;
    if !has_room(&db::keys::all(tx).await?) {
        return Err(Error::TooMany);
    }
    turn(tx, app).await
}

/// The file of the new key is there, and has reached the disk, before the database says that it signs.
async fn turn(tx: &mut PgConnection, app: &App) -> Result<Turned, Error> {
    let key: std::sync::Arc<SigningKey> = app.keys.make()?;
    let turned = app.keys.turn_to(tx, key.id(), key.point(), app.config.key_overlap_seconds()).await?;
    db::notify::send(tx, Channel::Authority).await?;
    Ok(turned)
}

/// Revokes a key: what it signed is refused from the commit on. When it is the one that signs, a new one
/// does from then on. Revoking a key twice changes nothing.
///
/// # Errors
/// See [`Error`].
pub async fn revoke(
    tx: &mut PgConnection,
    app: &App,
    kid: &KeyId,
    by: UserId,
    reason: &str,
) -> Result<Revoked, Error> {
    db::keys::lock(tx).await?;
    if db::keys::signing(tx).await?.as_ref() == Some(kid) {
        turn(tx, app).await?;
    }
    let revoked = db::keys::revoke(tx, kid, by, reason).await?;
    match revoked {
        Revoked::Unknown => return Err(Error::Unknown),
        Revoked::Now => db::notify::send(tx, Channel::Authority).await?,
        Revoked::Before => {}
    }
    Ok(revoked)
}

/// Ends the attempts that may hold a token of a revoked key. Their tasks run again, and get tokens of the
/// key that signs now. Answers how many there were.
///
/// # Errors
/// When the database fails.
pub async fn end_holders(app: &App) -> Result<u64, task::Error> {
    let mut ended = 0;
    loop {
        let holders = {
            let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
            db::keys::holders_of_revoked(&mut conn, BATCH).await?
        };
        if holders.is_empty() {
            return Ok(ended);
        }
        let why = "the key that signed its capability was revoked";
        let taken = end_batch(app, &holders, FailureReason::KeyRevoked, why).await?;
        ended += taken;
        // Somebody else is at it. What they leave is the sweep's.
        if taken == 0 {
            return Ok(ended);
        }
    }
}

/// A key as it is now.
///
/// # Errors
/// When the database fails, or there is no such key.
pub async fn find(conn: &mut PgConnection, wanted: impl Fn(&KeyRow) -> bool) -> Result<KeyRow, Error> {
    db::keys::all(conn).await?.into_iter().find(wanted).ok_or(Error::Unknown)
}
