//! Serving a router within limits.

use std::time::Duration;

use axum::{Router, extract::DefaultBodyLimit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use trace_contracts::{ErrorCode, wire::limit};

use crate::Refusal;

/// Answers to a path or method that no route takes, bounds on bodies, and an answer even where a
/// handler panics. Routes that stream larger bodies set their own limit.
pub fn bounded(router: Router) -> Router {
    router
        .fallback(|| async { Refusal::new(ErrorCode::NotFound, "there is no such route") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(ErrorCode::MethodNotAllowed, "this route takes another method")
        })
        .layer(DefaultBodyLimit::max(limit::JSON_BODY_BYTES))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            use axum::response::IntoResponse;
            tracing::error!("a handler panicked");
            Refusal::new(ErrorCode::Internal, "something went wrong here; the service's log has the details")
                .into_response()
        }))
}

/// How long requests in flight may take once the service stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until `shutdown`, then lets what is in flight end, for ten seconds at most.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let drained = shutdown.clone();
    let serving =
        axum::serve(listener, bounded(router)).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let deadline = async move {
        drained.cancelled().await;
        tokio::time::timeout(DRAIN, std::future::pending::<()>()).await
    };
    tokio::select! {
        result = serving => result,
        _ = deadline => Ok(()),
    }
}
