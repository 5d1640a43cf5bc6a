//! `/v1/users`: who is in the org, and who may do nothing for now.

use axum::{Json, extract::State};
use serde_json::json;
use trace_contracts::{
    ErrorCode, UserId,
    wire::authority::{ReasonRequest, SuspendReply, UserInfo},
};
use trace_plane::{Body, Refusal, Reply};

use super::{
    extract::{Id, Page, Params, reason},
    problem::{database, not_found},
};
use crate::{
    App, audit,
    authority::users,
    db::{self, users::Standing},
    permissions::{Act, Permit, action},
};

/// `GET /v1/users`: by number.
pub(super) async fn list(
    permit: Permit<action::ListUsers>,
    State(app): State<App>,
    Params(page): Params<Page<UserId>>,
) -> Reply<Json<Vec<UserInfo>>> {
    let limit = page.limit()?;
    let mut conn = app.db.acquire().await.map_err(database)?;
    db::users::page(&mut conn, permit.org(), page.after, limit).await.map(Json).map_err(database)
}

/// `POST /v1/users/{user}/suspend`: their tokens open nothing from the commit on, and what runs for them is
/// ended on every plane; the answer comes when their runs are cancelled.
pub(super) async fn suspend(
    permit: Permit<action::SuspendUser>,
    State(app): State<App>,
    Id(user): Id<UserId>,
    Body(request): Body<ReasonRequest>,
) -> Reply<Json<SuspendReply>> {
    if user == permit.user() {
        let detail = "you would lock yourself out: ask another admin of your org";
        return Err(Refusal::new(ErrorCode::Conflict, detail));
    }
    let info = set_standing(&app, &permit, user, &request, Standing::Suspended).await?;
    let runs_cancelled = users::cancel_runs(&app, Some(user)).await?;
    Ok(Json(SuspendReply { user: info, runs_cancelled }))
}

/// `POST /v1/users/{user}/restore`. What was cancelled stays so.
pub(super) async fn restore(
    permit: Permit<action::RestoreUser>,
    State(app): State<App>,
    Id(user): Id<UserId>,
    Body(request): Body<ReasonRequest>,
) -> Reply<Json<UserInfo>> {
    set_standing(&app, &permit, user, &request, Standing::Active).await.map(Json)
}

async fn set_standing<A: Act>(
    app: &App,
    permit: &Permit<A>,
    user: UserId,
    request: &ReasonRequest,
    standing: Standing,
) -> Reply<UserInfo> {
    let why = reason(request)?;
    let mut tx = app.db.begin().await.map_err(database)?;
    let info = users::set_standing(&mut tx, permit.org(), user, standing).await.map_err(database)?;
    let info = info.ok_or_else(|| not_found("user"))?;
    audit::record(&mut tx, permit, &user.to_string(), json!({ "reason": why })).await.map_err(database)?;
    tx.commit().await.map_err(database)?;
    Ok(info)
}
