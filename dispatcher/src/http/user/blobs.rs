//! `/v1/blobs`: bundles and files, before the deploy that names them.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use trace_contracts::{Sha256, wire::worker::Blob};
use trace_plane::Reply;

use super::{
    extract::Id,
    problem::{database, not_found},
};
use crate::{
    App, audit, blobs, db,
    permissions::{Permit, action},
};

/// `PUT /v1/blobs/{sha256}`: 201 for new content, 200 for content that was there.
pub(super) async fn upload(
    permit: Permit<action::Upload>,
    State(app): State<App>,
    Id(claimed): Id<Sha256>,
    body: Body,
) -> Reply<(StatusCode, Json<Blob>)> {
    let spooled = blobs::receive(body.into_data_stream(), claimed).await?;
    blobs::store(&app.objects, permit.org(), &spooled).await?;
    let blob = spooled.blob();
    let mut tx = app.db.begin().await.map_err(database)?;
    let new = db::blobs::insert(&mut tx, permit.org(), blob).await.map_err(database)?;
    if new {
        let object = blob.sha256.to_string();
        audit::record(&mut tx, &permit, &object, json!({ "size": blob.size })).await.map_err(database)?;
    }
    tx.commit().await.map_err(database)?;
    Ok((if new { StatusCode::CREATED } else { StatusCode::OK }, Json(blob)))
}

/// `HEAD /v1/blobs/{sha256}`: whether it is there, and its size.
pub(super) async fn look(
    permit: Permit<action::Upload>,
    State(app): State<App>,
    Id(sha256): Id<Sha256>,
) -> Reply<Response> {
    let mut conn = app.db.acquire().await.map_err(database)?;
    let size = db::blobs::size(&mut conn, permit.org(), sha256).await.map_err(database)?;
    let size = size.ok_or_else(|| not_found("blob"))?;
    Ok((StatusCode::OK, [(header::CONTENT_LENGTH, size.to_string())]).into_response())
}
