//! A receiver of deliveries: HTTPS, with a certificate of the tests' authority.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, Response},
    routing::any,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use trace_plane::{Door, tls::Tls};

use crate::authority::Authority;

/// One request as it came in.
#[derive(Debug, Clone)]
pub struct Received {
    /// Method and target, such as `POST /a?b`.
    pub line: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Certificates of one authority.
pub struct Certificates {
    authority: Authority,
    folder: TempDir,
}

/// A running receiver.
pub struct Receiver {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Certificates {
    pub fn new() -> Self {
        Self { authority: Authority::new(), folder: TempDir::new().unwrap() }
    }

    /// What a gateway that believes them is told.
    pub fn file(&self) -> PathBuf {
        self.authority.file(self.folder.path())
    }

    /// A receiver of this name that answers by the target it is asked for: `/200` with that status, `/forever`
    /// never, `/endless` with a body without end, `/headers` with more headers than anybody reads.
    pub async fn receiver(&self, name: &str, address: &str) -> Receiver {
        let folder = TempDir::new().unwrap();
        let files = self.authority.pair(name).write(folder.path());
        let door = Door::Tls(Tls::open(files).unwrap());
        let listener = door.bind(address.parse().unwrap()).await.unwrap();
        let (address, received) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let heard = Arc::clone(&received);
        let handler = move |request: Request| answer(request, Arc::clone(&heard));
        let router = Router::new().route("/{*path}", any(handler));
        let stop = CancellationToken::new();
        tokio::spawn(trace_plane::serve(listener, router, stop.clone()));
        Receiver { address, received, stop, _folder: folder }
    }
}

impl Receiver {
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A body without end.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from_static(&[b'x'; 4096])))))
    }
}

async fn answer(request: Request, heard: Arc<Mutex<Vec<Received>>>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let line = format!("{} {}", parts.method, parts.uri);
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    heard.lock().unwrap().push(Received { line, headers: parts.headers, body });
    let answer = Response::builder();
    match parts.uri.path() {
        "/forever" => std::future::pending().await,
        "/endless" => answer.body(Body::new(Endless)).unwrap(),
        "/headers" => answer.header("x-large", "x".repeat(64 * 1024)).body(Body::empty()).unwrap(),
        "/302" => answer.status(302).header("location", "/200").body(Body::empty()).unwrap(),
        "/429" => answer.status(429).header("retry-after", "120").body(Body::empty()).unwrap(),
        path => {
            let status: u16 = path.trim_start_matches('/').parse().unwrap_or(200);
            answer.status(status).body(Body::from("thanks, and a secret")).unwrap()
        }
    }
}
