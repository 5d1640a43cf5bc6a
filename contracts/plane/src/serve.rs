//! Serving a router within limits of size, count and time.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::DefaultBodyLimit, response::IntoResponse};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use trace_contracts::{ErrorCode, wire::limit};

use crate::{Listener, Refusal, Stream};

/// A client that has not sent its headers by then is disconnected.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// Room for all headers of a request; a capability token is at most 16 KiB.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Connections at once; further ones wait in the listener's queue.
const MAX_CONNECTIONS: usize = 4_096;
/// How long requests in flight may take once the service stops.
const DRAIN: Duration = Duration::from_secs(10);

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
            tracing::error!("a handler panicked");
            Refusal::new(ErrorCode::Internal, "something went wrong here; the service's log has the details")
                .into_response()
        }))
}

/// Serves until `shutdown`, then lets what is in flight end, for ten seconds at most.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: impl Into<Listener>,
    router: Router,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let listener = listener.into();
    let service = TowerToHyperService::new(bounded(router));
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed, so the only way not to get a slot is to stop.
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = shutdown.cancelled() => break,
        };
        let arrival = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(arrival) => arrival,
                Err(error) if is_transient(&error) => continue,
                Err(error) => return Err(error),
            },
            () = shutdown.cancelled() => break,
        };
        let (service, shutdown) = (service.clone(), shutdown.clone());
        connections.spawn(async move {
            let _slot = slot;
            let greeted = tokio::select! {
                greeted = arrival.greet() => greeted,
                () = shutdown.cancelled() => return,
            };
            match greeted {
                Ok(stream) => converse(stream, service, shutdown).await,
                Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
            }
        });
        while connections.try_join_next().is_some() {}
    }
    // Nobody is let in who would never be answered: a load balancer asks another instance at once.
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Requests and answers, until either side ends the connection or the service stops.
async fn converse(stream: Stream, service: TowerToHyperService<Router>, shutdown: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // How a connection ends is the client's affair; what matters was logged by the handlers.
    tokio::select! {
        _ = &mut connection => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = timeout(DRAIN, connection).await;
}

/// Errors of `accept` that concern one connection, or that pass.
#[must_use]
pub fn is_transient(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    tracing::warn!(%error, "a connection could not be accepted");
    !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotConnected)
}
