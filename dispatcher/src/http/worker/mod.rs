//! `/internal`, for workers: claim, heartbeat, log, complete, fetch a blob, launch elsewhere.

mod batches;
mod blobs;
mod claim;
mod complete;
mod heartbeat;
mod launch;
mod logs;
mod routing;

use axum::{
    extract::FromRequestParts,
    http::{Method, request::Parts},
    routing::{get, post},
};
use trace_contracts::{ErrorCode, WorkerId, wire::limit};
use trace_plane::{Refusal, Reply};

use super::{Caller, Route};
use crate::{App, identity::Kind};

pub use batches::Batches;
pub(super) use claim::launch_spec;

/// The routes for workers.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/internal/claim", Caller::Worker, post(claim::claim)),
        Route::new(Method::POST, "/internal/heartbeat", Caller::Worker, post(heartbeat::heartbeat)),
        Route::new(Method::POST, "/internal/complete", Caller::Worker, post(complete::complete)),
        Route::new(Method::POST, "/internal/logs", Caller::Worker, post(logs::logs)),
        Route::new(Method::GET, "/internal/blobs/{sha256}", Caller::Worker, get(blobs::blob)),
        Route::new(Method::POST, "/internal/launch/ticket", Caller::Worker, post(launch::ticket)),
        Route::new(Method::POST, "/internal/launch/watch", Caller::Worker, post(launch::watch)),
        Route::new(Method::POST, "/internal/launch/over", Caller::Worker, post(launch::over)),
    ]
}

/// A worker, proven by its identity.
#[derive(Debug, Clone, Copy)]
pub struct Worker(pub WorkerId);

impl FromRequestParts<App> for Worker {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        app.identities.prove(&parts.headers, Kind::Worker).await.map(Self)
    }
}

/// Refuses batches that are too large.
fn bounded<T>(items: &[T]) -> Reply<()> {
    if items.len() <= limit::BATCH_ITEMS {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::BadRequest, format!("a batch has at most {} items", limit::BATCH_ITEMS)))
}
