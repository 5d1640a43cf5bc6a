//! `POST /internal/liveness`.

use std::{collections::HashSet, time::Duration};

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
use crate::App;

/// Which of these attempts are over; waits until one is.
pub(super) async fn liveness(
    State(app): State<App>,
    _: Plane,
    Body(request): Body<LivenessRequest>,
) -> Reply<Json<LivenessReply>> {
    if request.attempts.len() > limit::LIVENESS_ATTEMPTS {
        let most = limit::LIVENESS_ATTEMPTS;
        return Err(Refusal::new(ErrorCode::BadRequest, format!("ask about at most {most} attempts")));
    }
    let attempts: HashSet<_> = request.attempts.into_iter().collect();
    let wait = Duration::from_millis(request.wait_ms.min(limit::WAIT_MS));
    let dead = tokio::select! {
        // Nobody is said to live by a dispatcher that stops: the plane asks another one.
        () = app.shutdown.cancelled() => {
            return Err(Refusal::new(ErrorCode::Unavailable, "this dispatcher is stopping; ask again"));
        }
        dead = app.liveness.dead(&app.db, &attempts, wait) => dead?,
    };
    Ok(Json(LivenessReply { dead }))
}
