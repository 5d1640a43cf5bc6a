//! `POST /internal/users/resolve`.

use axum::{Json, extract::State};
use trace_contracts::{
    ErrorCode,
    wire::plane::{ResolveUserRequest, UserResolution},
};
use trace_plane::{Body, Reply};

use super::Plane;
use crate::{App, http::user};

/// Who a user is now, and what they may read; or why they are refused, which is no refusal of the plane.
pub(super) async fn resolve(
    State(app): State<App>,
    _: Plane,
    Body(request): Body<ResolveUserRequest>,
) -> Reply<Json<UserResolution>> {
    use ErrorCode as E;
    match user::resolve_user(&app, request.token.expose()).await {
        Ok(user) => Ok(Json(UserResolution::Known(user))),
        Err(refusal) => match refusal.code() {
            E::Forbidden | E::Unauthenticated | E::TokenExpired | E::WrongAudience => {
                Ok(Json(UserResolution::Refused { refused: refusal.problem().clone() }))
            }
            _ => Err(refusal),
        },
    }
}
