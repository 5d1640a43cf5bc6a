//! Between an adapter and LocalStack: passes on what comes, and does what it is told to for the next calls
//! of a kind.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use trace_aws::Aws;
use url::Url;

use crate::{Emulator, emulator::reached_at};

/// What becomes of one call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is answered with this status and error, and never arrives.
    Refused(u16, &'static str),
    /// It is answered with this body, and never arrives.
    Answered(String),
    /// The connection ends, and it never arrives.
    Cut,
    /// It takes effect, and the connection ends before the answer.
    AnswerLost,
    /// It arrives after so long.
    Slow(Duration),
}

/// A proxy. It stops when this is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

struct Shared {
    to: Url,
    http: reqwest::Client,
    script: Mutex<Script>,
}

#[derive(Default)]
struct Script {
    /// For the next calls whose target ends like this, in turn.
    next: Vec<(&'static str, VecDeque<Fault>)>,
    /// For every call, until it is lifted.
    always: Option<Fault>,
    /// Targets of the calls so far.
    seen: Vec<String>,
}

impl Proxy {
    /// Starts one in front of LocalStack.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(emulator: &Emulator) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let shared = Arc::new(Shared { to: emulator.endpoint().clone(), http, script: Mutex::default() });
        let address = listener.local_addr()?;
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _serving: AbortOnDropHandle::new(serving) })
    }

    /// LocalStack as it is reached through this.
    #[must_use]
    pub fn aws(&self) -> Aws {
        // Unwrap safety: an address is a URL's host.
        reached_at(&format!("http://{}/", self.address).parse().expect("an address"))
    }

    /// What becomes of the next calls of an operation, such as `SendMessageBatch`, in turn.
    pub fn next(&self, operation: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.script().next.push((operation, faults.into_iter().collect()));
    }

    /// From now on this becomes of every call; of none, with `None`.
    pub fn always(&self, fault: Option<Fault>) {
        self.script().always = fault;
    }

    /// How many calls of an operation there were.
    #[must_use]
    pub fn seen(&self, operation: &str) -> usize {
        self.script().seen.iter().filter(|target| is_of(target, operation)).count()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.script()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| shared.call(request));
            // An error is a connection that was cut, as it should be.
            let _cut = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// `AmazonSQS.SendMessage` is not `SendMessageBatch`.
fn is_of(target: &str, operation: &str) -> bool {
    target.rsplit('.').next() == Some(operation)
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, target: &str) -> Option<Fault> {
        let mut script = self.script();
        script.seen.push(target.to_owned());
        let next = script.next.iter_mut().filter(|(operation, _)| is_of(target, operation));
        let next = next.filter_map(|(_, faults)| faults.pop_front()).next();
        next.or_else(|| script.always.clone())
    }

    async fn call(&self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        match self.fault(target.unwrap_or_default()) {
            None => self.pass_on(request).await,
            Some(Fault::Cut) => Err(io::Error::other("cut")),
            Some(Fault::AnswerLost) => {
                self.pass_on(request).await?;
                Err(io::Error::other("the answer is lost"))
            }
            Some(Fault::Slow(pause)) => {
                let _waited = tokio::time::timeout(pause, std::future::pending::<()>()).await;
                self.pass_on(request).await
            }
            Some(Fault::Answered(body)) => Ok(answer(200, body)),
            Some(Fault::Refused(status, code)) => {
                let body = serde_json::json!({ "__type": code, "message": "said the proxy" });
                Ok(answer(status, body.to_string()))
            }
        }
    }

    async fn pass_on(&self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = self.to.join(path).map_err(io::Error::other)?;
        let mut call = self.http.request(parts.method, url).body(body);
        for (name, value) in &parts.headers {
            // It is the address that was signed.
            if name != http::header::CONTENT_LENGTH {
                call = call.header(name, value);
            }
        }
        let answer = call.send().await.map_err(io::Error::other)?;
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            if name != http::header::TRANSFER_ENCODING && name != http::header::CONTENT_LENGTH {
                response = response.header(name, value);
            }
        }
        let body = answer.bytes().await.map_err(io::Error::other)?;
        response.body(Full::new(body)).map_err(io::Error::other)
    }
}

fn answer(status: u16, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let json = http::HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
