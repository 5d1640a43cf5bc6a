//! `POST /internal/liveness`.

use std::time::Duration;

use axum::{Json, extract::State};
use trace_contracts::{
    ErrorCode,
    wire::{
        limit,
        plane::{LivenessReply, LivenessRequest},
    },
};
use trace_plane::{Body, Refusal, Reply};

use super::Plane;
use crate::{App, liveness::Asked};

/// What of this has lost its authority; waits until something has.
pub(super) async fn liveness(
    State(app): State<App>,
    _: Plane,
    Body(request): Body<LivenessRequest>,
) -> Reply<Json<LivenessReply>> {
    let most = limit::LIVENESS_ATTEMPTS;
    if [request.attempts.len(), request.keys.len(), request.users.len()].iter().any(|count| *count > most) {
        return Err(Refusal::new(
            ErrorCode::BadRequest,
            format!("ask about at most {most} attempts, keys and users"),
        ));
    }
    let asked = Asked {
        attempts: request.attempts.into_iter().collect(),
        keys: request.keys.iter().map(ToString::to_string).collect(),
        users: request.users.iter().map(|user| user.get()).collect(),
    };
    let wait = Duration::from_millis(request.wait_ms.min(limit::WAIT_MS));
    let over = tokio::select! {
        // Nobody is said to live by a dispatcher that stops: the plane asks another one.
        () = app.shutdown.cancelled() => {
            return Err(Refusal::new(ErrorCode::Unavailable, "this dispatcher is stopping; ask again"));
        }
        over = app.liveness.over(&app.db, &asked, wait) => over?,
    };
    Ok(Json(over))
}
