//! `GET /internal/manifests/{version}/{sha256}`.

use axum::{
    extract::{Path, State},
    http::header,
    response::IntoResponse,
};
use trace_contracts::{DatasetVersionId, ErrorCode, Sha256};
use trace_plane::{Refusal, Reply};

use super::Plane;
use crate::{App, db};

/// A version's manifest or one of its partitions', in its canonical form, which hashes to its name.
pub(super) async fn manifest(
    State(app): State<App>,
    _: Plane,
    Path((unverified_version, unverified_sha256)): Path<(String, String)>,
) -> Reply<impl IntoResponse> {
    let version: DatasetVersionId = unverified_version.parse().map_err(bad_request)?;
    let sha256: Sha256 = unverified_sha256.parse().map_err(bad_request)?;
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    let json = db::manifests::of_version(&mut conn, version, &sha256)
        .await?
        .ok_or_else(|| Refusal::new(ErrorCode::NotFound, format!("{version} has no manifest {sha256}")))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json))
}

#[allow(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
fn bad_request(error: impl std::error::Error) -> Refusal {
    Refusal::new(ErrorCode::BadRequest, error.to_string())
}
