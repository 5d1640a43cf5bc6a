//! `POST /v1/task/token`.

use std::time::Duration;

use axum::{Json, extract::State};
use chrono::Utc;
use trace_contracts::{
    Audience, ErrorCode,
    wire::task::{TokenReply, TokenRequest},
};
use trace_plane::{Body, Refusal, Reply};

use super::LiveTask;
use crate::{App, db, mint::Subject};

/// The same grants for another audience, or for the same one with a later end.
pub(super) async fn token(
    State(app): State<App>,
    task: LiveTask,
    Body(request): Body<TokenRequest>,
) -> Reply<Json<TokenReply>> {
    let grants = task.capability.grants();
    if request.audience == Audience::Egress && grants.egress.is_empty() {
        return Err(Refusal::new(
            ErrorCode::Forbidden,
            "this task may reach nothing outside: declare `egress` in the job, and have it allowed",
        ));
    }
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    let facts = app.core.facts.one(&mut conn, task.lease.run()).await?;
    let signer = app.minter.signer(&mut conn).await?;
    drop(conn);
    let subject = Subject {
        lease: &task.lease,
        org: task.capability.org(),
        grants,
        timeout: Duration::from_millis(facts.place(task.lease.task)?.spec.timeout_ms),
    };
    Ok(Json(signer.mint(subject, request.audience, Utc::now())?))
}
