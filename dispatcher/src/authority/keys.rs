//! Another key signs; or nothing that a key signed is believed any more.

use std::time::Duration;

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
        self,
        ring::{Made, Turned, has_room},
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

/// Lets a new key sign, which was made before the transaction: its file has reached the disk, and the root of
/// trust has certified it, while nobody waited. What the key before it signed is believed until the overlap is
/// over.
///
/// # Errors
/// See [`Error`].
pub async fn rotate(tx: &mut PgConnection, app: &App, new: &Made) -> Result<Turned, Error> {
    db::keys::lock(tx).await?;
    if !has_room(&db::keys::all(tx).await?) {
        return Err(Error::TooMany);
    }
    turn(tx, app, new).await
}

async fn turn(tx: &mut PgConnection, app: &App, new: &Made) -> Result<Turned, Error> {
    let turned = app.keys.turn_to(tx, new).await?;
    db::notify::send(tx, Channel::Authority).await?;
    Ok(turned)
}

/// Lets a new key sign where one has signed for long enough, or is not certified for long enough. Answers in
/// what time the next one is to.
///
/// # Errors
/// When the root of trust is away, among others; the key that signs goes on then.
pub async fn rotate_when_due(app: &App, every: Duration) -> Result<Duration, Error> {
    let due = look(app, &mut *app.db.acquire().await.map_err(db::Error::from)?, every).await?;
    if due > Duration::ZERO {
        return Ok(due);
    }
    let new = app.keys.make().await?;
    let rotated = async {
        let mut tx = app.db.begin().await.map_err(db::Error::from)?;
        db::keys::lock(&mut tx).await?;
        // Another dispatcher may have been faster.
        if look(app, &mut tx, every).await? > Duration::ZERO {
            return Ok(None);
        }
        let turned = rotate(&mut tx, app, &new).await?;
        tx.commit().await.map_err(db::Error::from)?;
        Ok(Some(turned))
    };
    match rotated.await {
        Ok(Some(turned)) => {
            tracing::info!(now = %turned.now, before = turned.before.as_ref().map(KeyId::as_str), "a new key signs");
        }
        Ok(None) => app.keys.discard(&new),
        Err(error) => {
            app.keys.discard(&new);
            return Err(error);
        }
    }
    look(app, &mut *app.db.acquire().await.map_err(db::Error::from)?, every).await
}

async fn look(app: &App, conn: &mut PgConnection, every: Duration) -> Result<Duration, Error> {
    Ok(app.keys.due(app.keys.signing_row(conn).await?.as_ref(), every))
}

/// A key to sign after the one that is to be revoked, if that one signs. A root of trust that is away does not
/// hold a revocation up: nothing is signed then until it is back.
///
/// # Errors
/// When the database fails, or the key folder can't be used.
pub async fn successor_of(app: &App, kid: &KeyId) -> Result<Option<Made>, Error> {
    let signing = db::keys::signing(&mut *app.db.acquire().await.map_err(db::Error::from)?).await?;
    if signing.as_ref() != Some(kid) {
        return Ok(None);
    }
    match app.keys.make().await {
        Ok(made) => Ok(Some(made)),
        Err(error @ keys::Error::Root(_)) => {
            tracing::error!(%error, "a key is revoked, and nothing is signed until the next one is certified");
            Ok(Some(app.keys.make_uncertified()?))
        }
        Err(error) => Err(error.into()),
    }
}

/// Revokes a key: what it signed is refused from the commit on. When it is the one that signs, its successor
/// ([`successor_of`]) does from then on. Revoking a key twice changes nothing.
///
/// # Errors
/// See [`Error`].
pub async fn revoke(
    tx: &mut PgConnection,
    app: &App,
    kid: &KeyId,
    by: UserId,
    reason: &str,
    successor: Option<Made>,
) -> Result<Revoked, Error> {
    db::keys::lock(tx).await?;
    if db::keys::signing(tx).await?.as_ref() == Some(kid) {
        let new = match successor {
            Some(made) => made,
            None => app.keys.make_uncertified().map_err(Error::Key)?,
        };
        turn(tx, app, &new).await?;
    } else if let Some(made) = successor {
        app.keys.discard(&made);
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
