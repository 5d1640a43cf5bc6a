//! `GET` and `PUT /v1/task/checkpoint`.

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{StatusCode, header},
    response::IntoResponse,
};
use trace_contracts::{ErrorCode, wire::limit};
use trace_plane::{Refusal, Reply};

use super::{LiveTask, over};
use crate::{App, db, db::checkpoints::Written};

/// What an attempt at this task left last.
pub(super) async fn read(State(app): State<App>, task: LiveTask) -> Reply<impl IntoResponse> {
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    let body = db::checkpoints::read(&mut conn, task.lease.task)
        .await?
        .ok_or_else(|| Refusal::new(ErrorCode::NotFound, "no attempt at this task has left a checkpoint"))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], body))
}

/// Leaves a checkpoint for the next attempt.
pub(super) async fn write(
    State(app): State<App>,
    task: LiveTask,
    body: Result<Bytes, BytesRejection>,
) -> Reply<StatusCode> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(
            ErrorCode::PayloadTooLarge,
            format!("a checkpoint has at most {} bytes", limit::CHECKPOINT_BYTES),
        ),
        _ => Refusal::new(ErrorCode::BadRequest, "the body could not be read to its end"),
    })?;
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    match db::checkpoints::write(&mut conn, task.lease.attempt, &body).await? {
        Written::Yes => Ok(StatusCode::NO_CONTENT),
        Written::Stale => Err(over()),
    }
}
