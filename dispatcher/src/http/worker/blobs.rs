//! `GET /internal/blobs/{sha256}?org=`.

use aws_sdk_s3::error::{DisplayErrorContext, SdkError};
use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tokio_util::io::ReaderStream;
use trace_contracts::{ErrorCode, OrgId, Sha256};
use trace_plane::{Refusal, Reply};

use super::Worker;
use crate::{App, objects::Objects};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Owner {
    org: String,
}

/// Streams a bundle or file of an org. The worker checks its hash.
pub(super) async fn blob(
    State(app): State<App>,
    Worker(_): Worker,
    Path(unverified_sha256): Path<String>,
    Query(owner): Query<Owner>,
) -> Reply<Response> {
    let malformed = |error: String| Refusal::new(ErrorCode::BadRequest, error);
    let sha256: Sha256 = unverified_sha256.parse().map_err(|error| malformed(format!("{error}")))?;
    let org: OrgId = owner.org.parse().map_err(|error| malformed(format!("{error}")))?;
    let object = app
        .objects
        .client()
        .get_object()
        .bucket(app.objects.bucket())
        .key(Objects::blob_key(org, sha256))
        .send()
        .await
        .map_err(|error| match &error {
            SdkError::ServiceError(refused) if refused.err().is_no_such_key() => {
                Refusal::new(ErrorCode::NotFound, format!("the org {org} has no blob {sha256}"))
            }
            _ => {
                tracing::warn!(error = %DisplayErrorContext(&error), "a blob can't be read");
                Refusal::new(ErrorCode::Unavailable, "the object store can't be asked right now; try again")
            }
        })?;
    let length = object.content_length();
    let body = Body::from_stream(ReaderStream::new(object.body.into_async_read()));
    let mut response = ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response();
    if let Some(length) = length.and_then(|length| u64::try_from(length).ok()) {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    Ok(response)
}
