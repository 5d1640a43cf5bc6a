//! `/v1/workers`: for the platform's own admins.

use axum::{Json, extract::State};
use serde_json::json;
use trace_contracts::{
    Name,
    wire::authority::{ReasonRequest, RevokeWorkerReply},
};
use trace_plane::{Body, Reply};

use super::{
    extract::{Id, reason},
    identify::PlatformPermit,
    problem::{database, not_found},
};
use crate::{App, audit, authority::workers, permissions::action};

/// `POST /v1/workers/{name}/revoke`: the worker's or plane's token opens nothing from the commit on; the
/// answer comes when its attempts are taken back.
pub(super) async fn revoke(
    PlatformPermit(permit): PlatformPermit<action::RevokeWorker>,
    State(app): State<App>,
    Id(name): Id<Name>,
    Body(request): Body<ReasonRequest>,
) -> Reply<Json<RevokeWorkerReply>> {
    let why = reason(&request)?;
    let mut tx = app.db.begin().await.map_err(database)?;
    let found = workers::revoke(&mut tx, &name).await.map_err(database)?;
    let (worker, revoked_at) = found.ok_or_else(|| not_found("worker"))?;
    audit::record(&mut tx, &permit, &name, json!({ "reason": why, "worker": worker }))
        .await
        .map_err(database)?;
    tx.commit().await.map_err(database)?;
    let attempts_ended = workers::end_attempts(&app, Some(worker)).await?;
    Ok(Json(RevokeWorkerReply { worker, revoked_at, attempts_ended }))
}
