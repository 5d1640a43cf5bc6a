//! `POST /internal/identities/resolve`.

use axum::{Json, extract::State};
use trace_contracts::{
    ErrorCode, Problem,
    wire::plane::{IdentityResolution, ResolveIdentityRequest, ResolvedIdentity},
};
use trace_plane::{Body, Reply};

use super::Plane;
use crate::{App, db};

/// Which worker or plane a token is of; or why it is nobody's, which is no refusal of the plane that asks.
pub(super) async fn resolve(
    State(app): State<App>,
    _: Plane,
    Body(request): Body<ResolveIdentityRequest>,
) -> Reply<Json<IdentityResolution>> {
    let refused = |detail: &str| {
        Ok(Json(IdentityResolution::Refused { refused: Problem::new(ErrorCode::Forbidden, detail) }))
    };
    let Some(identity) = app.identities.of(request.token.expose()).await? else {
        return refused("this token is not that of a worker or plane of this platform");
    };
    let Some(slug) = &app.config.keys.platform_org else {
        return refused(
            "what services do is written for the platform's own org: the dispatcher's operator has to set `keys: { platform_org: … }` first",
        );
    };
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    let Some(org) = db::users::org_of_slug(&mut conn, slug).await? else {
        return refused(
            "the platform's own org, `keys: { platform_org: … }` of the dispatcher, does not exist",
        );
    };
    let (identity, name) = (identity.id, identity.name.to_string());
    Ok(Json(IdentityResolution::Known(ResolvedIdentity { identity, name, org })))
}
