//! `/v1/dags`: deploy and look.

use axum::{Json, extract::State, http::StatusCode};
use trace_contracts::{
    ErrorCode, Name,
    wire::{
        limit::DEPLOY_BODY_BYTES,
        user::{DagInfo, DeployReply, DeployRequest},
    },
};
use trace_plane::{Body, Refusal, Reply};

use super::{
    extract::{Id, Page, Params},
    problem::{database, not_found},
};
use crate::{
    App, db,
    deploy::{self, Candidate},
    permissions::{Permit, action},
};

/// `POST /v1/dags`: 201 for a new version, 200 for one that was there.
pub(super) async fn deploy(
    permit: Permit<action::Deploy>,
    State(app): State<App>,
    Body(request): Body<DeployRequest, DEPLOY_BODY_BYTES>,
) -> Reply<(StatusCode, Json<DeployReply>)> {
    let candidate = read(request).await?;
    let mut tx = app.db.begin().await.map_err(database)?;
    let reply = deploy::deploy(&mut tx, &permit, &candidate).await?;
    tx.commit().await.map_err(database)?;
    let status = if reply.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(reply)))
}

/// Reading a file is work for a processor, so it does not hold up those who wait for the network.
async fn read(request: DeployRequest) -> Reply<Candidate> {
    let read = tokio::task::spawn_blocking(move || Candidate::read(request.yaml, &request.blobs)).await;
    let crashed = |_| Refusal::new(ErrorCode::Internal, "the file could not be read; nothing was stored");
    Ok(read.map_err(crashed)??)
}

/// `GET /v1/dags`.
pub(super) async fn list(
    permit: Permit<action::View>,
    State(app): State<App>,
    Params(page): Params<Page<Name>>,
) -> Reply<Json<Vec<DagInfo>>> {
    let limit = page.limit()?;
    let mut conn = app.db.acquire().await.map_err(database)?;
    let dags = db::dags::page(&mut conn, permit.org(), None, page.after.as_deref(), limit).await;
    dags.map(Json).map_err(database)
}

/// `GET /v1/dags/{name}`.
pub(super) async fn one(
    permit: Permit<action::View>,
    State(app): State<App>,
    Id(name): Id<Name>,
) -> Reply<Json<DagInfo>> {
    let mut conn = app.db.acquire().await.map_err(database)?;
    let found = db::dags::page(&mut conn, permit.org(), Some(&name), None, 1).await.map_err(database)?;
    found.into_iter().next().map(Json).ok_or_else(|| not_found("DAG"))
}
