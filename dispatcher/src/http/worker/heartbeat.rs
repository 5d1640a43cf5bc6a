//! `POST /internal/heartbeat`.

use axum::{Json, extract::State};
use trace_contracts::wire::worker::{HeartbeatReply, HeartbeatRequest};
use trace_plane::{Body, Reply};

use super::{Worker, bounded};
use crate::{App, db::leases::ShownFence};

/// Extends leases; a verdict for each.
pub(super) async fn heartbeat(
    State(app): State<App>,
    Worker(worker): Worker,
    Body(request): Body<HeartbeatRequest>,
) -> Reply<Json<HeartbeatReply>> {
    bounded(&request.leases)?;
    let shown = request.leases.into_iter().map(|fence| ShownFence { worker, fence }).collect();
    Ok(Json(HeartbeatReply { verdicts: app.batches.heartbeat(shown).await? }))
}
