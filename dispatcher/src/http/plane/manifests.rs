//! `GET /internal/manifests/{sha256}`.

use axum::{
    extract::{Path, State},
    http::header,
    response::IntoResponse,
};
use trace_contracts::{ErrorCode, Sha256};
use trace_plane::{Refusal, Reply};

use super::Plane;
use crate::{App, db};

/// A manifest in its canonical form, which hashes to its name.
pub(super) async fn manifest(
    State(app): State<App>,
    _: Plane,
    Path(unverified_sha256): Path<String>,
) -> Reply<impl IntoResponse> {
    let sha256: Sha256 =
        unverified_sha256.parse().map_err(|error: trace_contracts::digest::InvalidSha256| {
            Refusal::new(ErrorCode::BadRequest, error.to_string())
        })?;
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    let json = db::manifests::by_hash(&mut conn, &sha256)
        .await?
        .ok_or_else(|| Refusal::new(ErrorCode::NotFound, format!("there is no manifest {sha256}")))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json))
}
