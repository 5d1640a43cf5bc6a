//! The routes: one for users, one for tasks, on listeners of their own.

mod answer;
mod asker;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use trace_contracts::{Audience, ErrorCode, wire::task::QueryRequest};
use trace_plane::{Body, Liveness, Refusal, Reply, Verifier};

pub(crate) use self::answer::respond;
use self::asker::{TaskAsker, UserAsker};
use crate::asking::Asking;

/// What the handlers share.
pub(crate) struct Routes {
    /// Verifies capabilities; what it believes is for [`Audience::Query`].
    pub(crate) capabilities: Verifier,
    pub(crate) users: Verifier,
    pub(crate) liveness: Liveness,
    pub(crate) asking: Arc<Asking>,
}

/// The audience that this service is.
const AUDIENCE: Audience = Audience::Query;

/// `POST /v1/query`.
pub(crate) fn user_router(routes: Arc<Routes>) -> Router {
    Router::new().route("/v1/query", post(user_query)).with_state(routes)
}

/// `POST /v1/task/query`.
pub(crate) fn task_router(routes: Arc<Routes>) -> Router {
    Router::new().route("/v1/task/query", post(task_query)).with_state(routes)
}

/// `GET /healthz` (this process answers) and `GET /readyz` (it takes queries).
pub(crate) fn health_router(routes: Arc<Routes>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { StatusCode::OK }))
        .route("/readyz", get(ready))
        .with_state(routes)
}

async fn user_query(
    State(routes): State<Arc<Routes>>,
    UserAsker(asker): UserAsker,
    Body(request): Body<QueryRequest>,
) -> Reply<Response> {
    routes.asking.ask(asker, request).await.map(respond)
}

async fn task_query(
    State(routes): State<Arc<Routes>>,
    TaskAsker(asker): TaskAsker,
    Body(request): Body<QueryRequest>,
) -> Reply<Response> {
    routes.asking.ask(asker, request).await.map(respond)
}

async fn ready(State(routes): State<Arc<Routes>>) -> Reply<StatusCode> {
    if routes.asking.stopping.is_cancelled() {
        return Err(Refusal::new(ErrorCode::Unavailable, "the query service is stopping"));
    }
    Ok(StatusCode::OK)
}
