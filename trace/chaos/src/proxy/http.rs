//! A load balancer for two dispatchers that loses, delays and repeats what passes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
};
use tokio_util::task::AbortOnDropHandle;

use super::Scissors;
use crate::{
    dice::Dice,
    wait::pass,
    weather::{RequestFate, Weather},
};

/// No call to a dispatcher takes longer.
const LONGEST: Duration = Duration::from_secs(90);

/// A listener in front of two dispatchers; it stops when dropped.
#[derive(Debug)]
pub struct HttpProxy {
    address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

struct Balancer {
    backends: [SocketAddr; 2],
    client: reqwest::Client,
    weather: Arc<Weather>,
    choice: Mutex<Dice>,
}

/// Why there is no answer: the connection is cut.
#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("lost on purpose")
    }
}

impl std::error::Error for Lost {}

/// A request in one piece.
#[derive(Clone)]
struct Whole {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl HttpProxy {
    /// Listens on loopback, and passes on to whichever of the two answers.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(
        backends: [SocketAddr; 2],
        weather: Arc<Weather>,
        choice: Dice,
        scissors: Scissors,
    ) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(2))
            .timeout(LONGEST)
            .build()?;
        let balancer = Arc::new(Balancer { backends, client, weather, choice: Mutex::new(choice) });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (balancer, cut) = (Arc::clone(&balancer), scissors.next());
                tokio::spawn(async move {
                    tokio::select! {
                        () = converse(stream, balancer) => {}
                        () = cut => {}
                    }
                });
            }
        }));
        Ok(Self { address, _serving: serving })
    }

    /// Where callers find it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

async fn converse(stream: TcpStream, balancer: Arc<Balancer>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let balancer = Arc::clone(&balancer);
        async move { balancer.answer(request).await }
    });
    // A service that fails ends the connection without an answer, which is what a lost one looks like.
    let _cut = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Balancer {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Lost> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Lost)?.to_bytes();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let whole = Whole { method: parts.method, path, headers: passed_on(&parts.headers), body };
        let first = usize::from(self.choice.lock().await.per_mille(500));
        match self.weather.request() {
            RequestFate::Passes => self.pass(&whole, first).await,
            RequestFate::Cut => Err(Lost),
            RequestFate::ReplyLost => {
                let _lost = self.pass(&whole, first).await;
                Err(Lost)
            }
            RequestFate::Late(by) => {
                pass(by).await;
                self.pass(&whole, first).await
            }
            RequestFate::ReplyLate(by) => {
                let answer = self.pass(&whole, first).await;
                pass(by).await;
                answer
            }
            RequestFate::Twice => {
                let (_unheard, answer) = tokio::join!(self.pass(&whole, first), self.pass(&whole, 1 - first));
                answer
            }
        }
    }

    /// To the first choice; to the other one when nobody listens there, as load balancers do.
    async fn pass(&self, whole: &Whole, first: usize) -> Result<Response<Full<Bytes>>, Lost> {
        for backend in [self.backends[first], self.backends[1 - first]] {
            let url = format!("http://{backend}{}", whole.path);
            let request = self.client.request(whole.method.clone(), url).headers(whole.headers.clone());
            match request.body(whole.body.clone()).send().await {
                Ok(answer) => return read(answer).await,
                Err(error) if error.is_connect() => {}
                Err(_) => return Err(Lost),
            }
        }
        let mut nobody = Response::new(Full::default());
        *nobody.status_mut() = StatusCode::BAD_GATEWAY;
        Ok(nobody)
    }
}

async fn read(answer: reqwest::Response) -> Result<Response<Full<Bytes>>, Lost> {
    let (status, headers) = (answer.status(), passed_on(answer.headers()));
    let body = answer.bytes().await.map_err(|_| Lost)?;
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// All headers but those of the connection itself.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for own in [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        headers.remove(own);
    }
    headers
}
