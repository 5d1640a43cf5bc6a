//! What a query service asks of the dispatcher, answered from memory. The hops are real; the
//! dispatcher's own work (the commit of the audit row) is not part of what this benchmark measures.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::Value;
use trace_contracts::{
    DatasetVersionId, Sha256,
    wire::plane::{AuditRequest, LivenessReply, LivenessRequest},
};

/// What it knows.
pub struct Dispatcher {
    /// The keys that verify capabilities.
    pub jwks: Value,
    /// Canonical manifests.
    pub manifests: HashMap<Sha256, String>,
}

/// Its routes for planes.
pub fn router(dispatcher: Dispatcher) -> Router {
    Router::new()
        .route("/jwks", get(jwks))
        .route("/internal/liveness", post(liveness))
        .route("/internal/manifests/{version}/{sha256}", get(manifest))
        .route("/internal/audit", post(audit))
        .with_state(Arc::new(dispatcher))
}

async fn jwks(State(dispatcher): State<Arc<Dispatcher>>) -> Json<Value> {
    Json(dispatcher.jwks.clone())
}

/// Nobody dies here. A feed waits as long as it asked to.
async fn liveness(Json(request): Json<LivenessRequest>) -> Json<LivenessReply> {
    let news = std::future::pending::<()>();
    let _none = tokio::time::timeout(Duration::from_millis(request.wait_ms), news).await;
    Json(LivenessReply::default())
}

async fn manifest(
    State(dispatcher): State<Arc<Dispatcher>>,
    Path((_, sha256)): Path<(DatasetVersionId, Sha256)>,
) -> Response {
    match dispatcher.manifests.get(&sha256) {
        Some(text) => text.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn audit(Json(_entries): Json<AuditRequest>) -> StatusCode {
    StatusCode::OK
}
