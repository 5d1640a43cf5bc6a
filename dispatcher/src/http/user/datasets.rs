//! `/v1/datasets`: the registry, and who may read.

use axum::{Json, extract::State};
use serde_json::json;
use sqlx::PgConnection;
use trace_contracts::{
    ErrorCode, Name, OrgId, Role,
    wire::user::{DatasetInfo, GrantRequest},
};
use trace_plane::{Body, Refusal, Reply};

use super::{
    extract::{Id, Page, Params},
    problem::{database, not_found},
};
use crate::{
    App, audit, db,
    permissions::{Permit, action},
};

/// `GET /v1/datasets`: what there is. To see what is in it takes a grant.
pub(super) async fn list(
    permit: Permit<action::View>,
    State(app): State<App>,
    Params(page): Params<Page<Name>>,
) -> Reply<Json<Vec<DatasetInfo>>> {
    let limit = page.limit()?;
    let mut conn = app.db.acquire().await.map_err(database)?;
    let datasets = db::datasets::page(&mut conn, permit.org(), None, page.after.as_deref(), limit).await;
    datasets.map(Json).map_err(database)
}

/// `GET /v1/datasets/{name}`.
pub(super) async fn one(
    permit: Permit<action::View>,
    State(app): State<App>,
    Id(name): Id<Name>,
) -> Reply<Json<DatasetInfo>> {
    let mut conn = app.db.acquire().await.map_err(database)?;
    read(&mut conn, permit.org(), &name).await.map(Json)
}

/// `POST /v1/datasets/{name}/grants`.
pub(super) async fn grant(
    permit: Permit<action::Grant>,
    State(app): State<App>,
    Id(name): Id<Name>,
    Body(request): Body<GrantRequest>,
) -> Reply<Json<DatasetInfo>> {
    if request.role == Role::Auditor {
        let detail = "auditors read the audit log and no data: grant to reader, writer, operator or admin";
        return Err(Refusal::new(ErrorCode::BadRequest, detail));
    }
    let mut tx = app.db.begin().await.map_err(database)?;
    if !db::datasets::grant(&mut tx, permit.org(), &name, request.role).await.map_err(database)? {
        return Err(not_found("dataset"));
    }
    audit::record(&mut tx, &permit, &name, json!({ "role": request.role })).await.map_err(database)?;
    let info = read(&mut tx, permit.org(), &name).await?;
    tx.commit().await.map_err(database)?;
    Ok(Json(info))
}

async fn read(conn: &mut PgConnection, org: OrgId, name: &Name) -> Reply<DatasetInfo> {
    let found = db::datasets::page(conn, org, Some(name), None, 1).await.map_err(database)?;
    found.into_iter().next().ok_or_else(|| not_found("dataset"))
}
