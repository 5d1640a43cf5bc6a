//! `/internal`, for planes: is an attempt alive, what does a manifest say, who is this user or service, and
//! the audit log.

mod audit;
mod deliveries;
mod identities;
mod liveness;
mod manifests;
mod users;

use axum::{
    extract::FromRequestParts,
    http::{Method, request::Parts},
    routing::{get, post},
};
use trace_plane::Refusal;

use super::{Caller, Route};
use crate::{App, identity::Kind};

/// The routes for planes.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/internal/liveness", Caller::Plane, post(liveness::liveness)),
        Route::new(Method::POST, "/internal/users/resolve", Caller::Plane, post(users::resolve)),
        Route::new(Method::POST, "/internal/deliveries/claim", Caller::Plane, post(deliveries::claim)),
        Route::new(Method::POST, "/internal/deliveries/report", Caller::Plane, post(deliveries::report)),
        Route::new(Method::POST, "/internal/identities/resolve", Caller::Plane, post(identities::resolve)),
        Route::new(Method::POST, "/internal/audit", Caller::Plane, post(audit::audit)),
        Route::new(
            Method::GET,
            "/internal/manifests/{version}/{sha256}",
            Caller::Plane,
            get(manifests::manifest),
        ),
    ]
}

/// A plane, proven by its identity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane;

impl FromRequestParts<App> for Plane {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        app.identities.prove(&parts.headers, Kind::Plane).await.map(|_| Self)
    }
}
