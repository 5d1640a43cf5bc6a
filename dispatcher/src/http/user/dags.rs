//! `/v1/dags`: deploy and look.

use std::collections::{BTreeSet, HashSet};

use axum::{Json, extract::State, http::StatusCode};
use trace_contracts::{
    ErrorCode, FieldError, Name, OrgId, Sha256,
    wire::{
        limit::DEPLOY_BODY_BYTES,
        user::{DagInfo, DeployReply, DeployRequest},
        worker::Blob,
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
    runtimes::Offered,
};

/// `POST /v1/dags`: 201 for a new version, 200 for one that was there.
pub(super) async fn deploy(
    permit: Permit<action::Deploy>,
    State(app): State<App>,
    Body(request): Body<DeployRequest, DEPLOY_BODY_BYTES>,
) -> Reply<(StatusCode, Json<DeployReply>)> {
    let candidate = read(request, app.config.wake_ups.offered()).await?;
    let examined = examine(&app, permit.org(), &candidate).await?;
    let mut tx = app.db.begin().await.map_err(database)?;
    let reply = deploy::deploy(&mut tx, &permit, &candidate, examined, app.config.egress).await?;
    tx.commit().await.map_err(database)?;
    let status = if reply.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(reply)))
}

/// Reading a file is work for a processor, so it does not hold up those who wait for the network.
async fn read(request: DeployRequest, offered: Offered) -> Reply<Candidate> {
    let read = move || Candidate::read(request.yaml, &request.blobs, &offered);
    let read = tokio::task::spawn_blocking(read).await;
    let crashed = |_| Refusal::new(ErrorCode::Internal, "the file could not be read; nothing was stored");
    Ok(read.map_err(crashed)??)
}

/// What is wrong with the bundles that are there. Content of other orgs is not looked at: that it is missing
/// is said by the deploy itself.
async fn examine(app: &App, org: OrgId, candidate: &Candidate) -> Reply<Vec<FieldError>> {
    let hashes: BTreeSet<Sha256> = candidate.blobs().iter().map(|used| used.blob.sha256).collect();
    let hashes: Vec<Sha256> = hashes.into_iter().collect();
    let uploaded = {
        let mut conn = app.db.acquire().await.map_err(database)?;
        db::blobs::uploaded(&mut conn, org, &hashes).await.map_err(database)?
    };
    let uploaded: HashSet<Blob> = uploaded.into_iter().collect();
    let there = candidate.blobs().iter().filter(|used| uploaded.contains(&used.blob));
    Ok(app.bundles.examine(org, there).await?)
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
