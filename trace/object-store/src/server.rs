//! The listener: connections and bodies within limits, and the way from HTTP into `s3s`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, BodyDataStream, HttpBody},
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use s3s::{S3Error, s3_error, service::S3Service};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Limits, front};

/// A request's line and headers together.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

/// What answers requests.
pub(super) struct Front {
    pub service: S3Service,
    pub region: Arc<str>,
    pub limits: Limits,
}

/// Accepts connections until `shutdown`, then lets what is in flight end.
pub(super) async fn serve(listener: TcpListener, front: Arc<Front>, shutdown: CancellationToken) {
    let limits = front.limits.clone();
    let router = Router::new().fallback(answer).with_state(front);
    let connections = Arc::new(Semaphore::new(limits.connections));
    let open = TaskTracker::new();
    // A connection takes its place before it is accepted: past the limit, callers wait in the kernel.
    while let Some(place) = next_place(&connections, &shutdown).await {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, router.clone(), limits.header_timeout, shutdown.clone());
                open.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => tracing::warn!(%error, "the object store could not accept a connection"),
        }
    }
    open.close();
    open.wait().await;
}

async fn next_place(
    connections: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<tokio::sync::OwnedSemaphorePermit> {
    tokio::select! {
        () = shutdown.cancelled() => None,
        place = Arc::clone(connections).acquire_owned() => place.ok(),
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    header_timeout: Duration,
    shutdown: CancellationToken,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the object store broke off");
    }
}

/// Checks the form of a request, then hands it to `s3s` with a body that can't stall.
async fn answer(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Infallible> {
    let (mut parts, body) = request.into_parts();
    let token = match front::admit(&parts, &front.region) {
        Ok(token) => token,
        Err(refusal) => return Ok(refused(refusal)),
    };
    parts.extensions.insert(token);
    let body = match body.is_end_stream() {
        true => s3s::Body::empty(),
        false => s3s::Body::http_body_unsync(flowing(body, &front.limits)),
    };
    let answered = front.service.call(http::Request::from_parts(parts, body)).await;
    Ok(match answered {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            tracing::error!(?error, "the object store failed to answer");
            refused(s3_error!(InternalError, "the store failed; its log has the details"))
        }
    })
}

fn refused(refusal: S3Error) -> Response {
    match refusal.to_http_response() {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            tracing::error!(%error, "a refusal could not be written");
            let mut response = Response::new(Body::empty());
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// A body that breaks off when it pauses too long or takes too long in all.
fn flowing(body: Body, limits: &Limits) -> Body {
    let pause = limits.body_pause;
    let deadline = Instant::now() + limits.body_total;
    let flow = move |mut chunks: BodyDataStream| async move {
        let until = deadline.min(Instant::now() + pause);
        match tokio::time::timeout_at(until, chunks.next()).await {
            Ok(None) => None,
            Ok(Some(chunk)) => Some((chunk.map_err(std::io::Error::other), chunks)),
            Err(_) => {
                let slow = std::io::Error::new(std::io::ErrorKind::TimedOut, "the body stopped coming");
                Some((Err::<Bytes, _>(slow), chunks))
            }
        }
    };
    Body::from_stream(stream::unfold(body.into_data_stream(), flow))
}
