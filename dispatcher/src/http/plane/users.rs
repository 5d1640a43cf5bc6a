//! `POST /internal/users/resolve`.

use axum::{Json, extract::State};
use trace_contracts::wire::plane::{ResolveUserReply, ResolveUserRequest};
use trace_plane::{Body, Reply};

use super::Plane;
use crate::{App, http::user};

/// Who a user is now, and what they may read.
pub(super) async fn resolve(
    State(app): State<App>,
    _: Plane,
    Body(request): Body<ResolveUserRequest>,
) -> Reply<Json<ResolveUserReply>> {
    user::resolve_user(&app, request.token.expose()).await.map(Json)
}
