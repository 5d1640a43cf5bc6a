//! `/v1/keys`: the keys that sign capabilities, for the platform's own admins.

use axum::{Json, extract::State};
use serde_json::json;
use sqlx::PgConnection;
use trace_contracts::{
    KeyId,
    wire::{
        authority::{KeyInfo, ReasonRequest, RevokeKeyReply},
        plane::AuditRecord,
    },
};
use trace_plane::{Body, Reply};

use super::{
    extract::{Id, Page, Params, reason},
    identify::PlatformPermit,
    problem::database,
};
use crate::{App, audit, authority::keys, db, keys::ring::info, permissions::action};

/// `GET /v1/keys`: the one that signs first, then by when they stopped.
pub(super) async fn list(
    _permit: PlatformPermit<action::ListKeys>,
    State(app): State<App>,
) -> Reply<Json<Vec<KeyInfo>>> {
    let mut conn = app.db.acquire().await.map_err(database)?;
    let rows = db::keys::all(&mut conn).await.map_err(database)?;
    Ok(Json(rows.into_iter().map(info).collect()))
}

/// `POST /v1/keys/rotate`: answers the new key.
pub(super) async fn rotate(
    PlatformPermit(permit): PlatformPermit<action::RotateKeys>,
    State(app): State<App>,
    Body(request): Body<ReasonRequest>,
) -> Reply<Json<KeyInfo>> {
    let why = reason(&request)?;
    let new = app.keys.make().await?;
    let mut tx = app.db.begin().await.map_err(database)?;
    let turned = match keys::rotate(&mut tx, &app, &new).await {
        Ok(turned) => turned,
        Err(error) => {
            app.keys.discard(&new);
            return Err(error.into());
        }
    };
    let detail = json!({ "reason": why, "before": turned.before });
    audit::record(&mut tx, &permit, turned.now.as_str(), detail).await.map_err(database)?;
    let now = read(&mut tx, &turned.now).await?;
    tx.commit().await.map_err(database)?;
    reload(&app).await?;
    Ok(Json(now))
}

/// `POST /v1/keys/{kid}/revoke`: every plane refuses what the key signed from the commit on; the answer
/// comes when the attempts are ended that held a token of it.
pub(super) async fn revoke(
    PlatformPermit(permit): PlatformPermit<action::RevokeKeys>,
    State(app): State<App>,
    Id(kid): Id<KeyId>,
    Body(request): Body<ReasonRequest>,
) -> Reply<Json<RevokeKeyReply>> {
    let why = reason(&request)?;
    let successor = keys::successor_of(&app, &kid).await?;
    let mut tx = app.db.begin().await.map_err(database)?;
    keys::revoke(&mut tx, &app, &kid, permit.user(), why, successor).await?;
    let signing = keys::find(&mut tx, |row| row.stopped_at.is_none()).await?;
    let detail = json!({ "reason": why, "signing": signing.kid });
    audit::record(&mut tx, &permit, kid.as_str(), detail).await.map_err(database)?;
    let revoked = read(&mut tx, &kid).await?;
    tx.commit().await.map_err(database)?;
    reload(&app).await?;
    let attempts_ended = keys::end_holders(&app).await?;
    Ok(Json(RevokeKeyReply { revoked, signing: info(signing), attempts_ended }))
}

/// `GET /v1/keys/{kid}/touched`: what was done and refused under capabilities that the key signed, in every
/// org, oldest first.
pub(super) async fn touched(
    PlatformPermit(permit): PlatformPermit<action::ReadTouched>,
    State(app): State<App>,
    Id(kid): Id<KeyId>,
    Params(page): Params<Page<i64>>,
) -> Reply<Json<Vec<AuditRecord>>> {
    let (after, limit) = (page.after.unwrap_or(0), page.limit()?);
    let mut tx = app.db.begin().await.map_err(database)?;
    let records = db::audit::of_key(&mut tx, &kid, after, limit).await.map_err(database)?;
    let detail = json!({ "after": after, "records": records.len() });
    audit::record(&mut tx, &permit, kid.as_str(), detail).await.map_err(database)?;
    tx.commit().await.map_err(database)?;
    Ok(Json(records))
}

/// This dispatcher shows at once what it has answered; news tell the others.
async fn reload(app: &App) -> Reply<()> {
    Ok(app.keys.reload(&mut *app.db.acquire().await.map_err(database)?).await?)
}

async fn read(conn: &mut PgConnection, kid: &KeyId) -> Reply<KeyInfo> {
    Ok(info(keys::find(conn, |row| row.kid == *kid).await?))
}
