//! One provider: connections to addresses that were vetted, and one request on one of them.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Instant as Moment,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};
use trace_contracts::{Destination, Secret};
use trace_plane::{Trust, tls::Connector};

use super::{Error, bare, config, key::Key};
use crate::{dial::dial, policy::Rule, vetting::Vetter};

/// Connections that are kept, ready for a request.
const MAX_KEPT: usize = 8;
/// And for how long: then the name is looked up and judged again.
const KEPT_FOR: std::time::Duration = std::time::Duration::from_secs(30);
/// Who does not accept a connection by then, TLS included, leaves the rest of the time to another provider.
const CONNECTED_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);
/// Room for all headers of an answer.
const MAX_HEADER_BYTES: usize = 64 * 1024;

type Sender = SendRequest<Full<Bytes>>;

/// One provider.
pub(super) struct Upstream {
    destination: Destination,
    /// With the key in it, where it goes there. Never shown.
    target: Secret<String>,
    host: String,
    key: Option<Key>,
    connector: Option<Connector>,
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    sender: Sender,
    address: SocketAddr,
    since: Moment,
}

/// Why a provider gave no answer, and whether anything of the request may have reached it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// Nothing of it was sent.
    Unsent(Why),
    /// It was, or may have been.
    Sent(Why),
}

/// Why a provider gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Its name or address is refused, or nothing accepted a connection.
    Refused(Rule),
    /// It did not prove to be who its address says.
    Tls,
    /// The connection broke.
    Broken,
    /// Its time was up.
    TimeUp,
    /// Another status than 200.
    Status(StatusCode),
    /// The answer is longer than the pool takes, or encoded.
    Unusable,
}

impl Why {
    /// The name; stable.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Refused(rule) => rule.as_str(),
            Self::Tls => "tls",
            Self::Broken => "broken",
            Self::TimeUp => "time_up",
            Self::Status(_) => "status",
            Self::Unusable => "unusable",
        }
    }
}

impl Failed {
    /// Why.
    pub(super) const fn why(self) -> Why {
        match self {
            Self::Unsent(why) | Self::Sent(why) => why,
        }
    }
}

impl Upstream {
    /// Reads its key, and whom it has to prove to be.
    pub(super) fn new(config: &config::Upstream, trust: &Trust) -> Result<Self, Error> {
        let mut url = config.url.clone();
        let shown = bare(&url);
        let refused = |reason: &str| Error::Address { url: shown.clone(), reason: reason.to_owned() };
        let is_plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return Err(refused("it is neither `https://` nor `http://`")),
        };
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(refused("it has a user, a password or a fragment: keys go into `credential`"));
        }
        if is_plain && config.credential.is_some() {
            return Err(refused("a key would go out without TLS: use `https://`"));
        }
        let port = url.port_or_known_default().ok_or_else(|| refused("it has no port"))?;
        let host = url.host_str().ok_or_else(|| refused("it has no host"))?.to_owned();
        let destination: Destination =
            format!("{host}:{port}").parse().map_err(|error| refused(&format!("{error}")))?;
        let connector = trust.connector(&url)?;
        let host = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let key = config.credential.as_ref().map(|credential| Key::read(credential, &mut url)).transpose()?;
        let target =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        Ok(Self { destination, target: Secret::new(target), host, key, connector, kept: Mutex::default() })
    }

    /// Where it is, without anything secret.
    pub(super) const fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Its key.
    pub(super) fn key(&self) -> Option<&Secret<String>> {
        self.key.as_ref().map(Key::secret)
    }

    /// Sends one body and reads the answer, which has at most so many bytes.
    pub(super) async fn ask(
        &self,
        body: &Bytes,
        vetter: &Vetter,
        until: Instant,
        most: usize,
    ) -> Result<(Vec<u8>, SocketAddr), Failed> {
        let mut request = self.request(body.clone()).ok_or(Failed::Unsent(Why::Unusable))?;
        while let Some(mut kept) = self.take() {
            match timeout_at(until, kept.sender.try_send_request(request)).await {
                Err(_) => return Err(Failed::Sent(Why::TimeUp)),
                Ok(Ok(answer)) => return self.read(answer, kept, until, most).await,
                // A connection that the provider has closed meanwhile gives it back unsent.
                Ok(Err(mut error)) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Failed::Sent(Why::Broken)),
                },
            }
        }
        let mut new = self.connect(vetter, until).await.map_err(Failed::Unsent)?;
        match timeout_at(until, new.sender.send_request(request)).await {
            Err(_) => Err(Failed::Sent(Why::TimeUp)),
            Ok(Err(_)) => Err(Failed::Sent(Why::Broken)),
            Ok(Ok(answer)) => self.read(answer, new, until, most).await,
        }
    }

    fn request(&self, body: Bytes) -> Option<Request<Full<Bytes>>> {
        let request = Request::post(self.target.expose().as_str())
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json");
        let request = match &self.key {
            Some(key) => key.show(request),
            None => request,
        };
        request.body(Full::new(body)).ok()
    }

    /// Vets its name anew, and connects to what was vetted.
    async fn connect(&self, vetter: &Vetter, until: Instant) -> Result<Kept, Why> {
        let until = until.min(Instant::now() + CONNECTED_WITHIN);
        let vetted = vetter.vet(&self.destination).await.map_err(|denied| Why::Refused(denied.rule))?;
        let (stream, address) = dial(&vetted, until).await.map_err(Why::Refused)?;
        let sender = match &self.connector {
            None => handshake(stream, until).await?,
            Some(connector) => {
                let greeted = timeout_at(until, connector.connect(stream)).await.map_err(|_| Why::TimeUp)?;
                handshake(greeted.map_err(|_| Why::Tls)?, until).await?
            }
        };
        Ok(Kept { sender, address, since: Moment::now() })
    }

    async fn read(
        &self,
        answer: Response<Incoming>,
        connection: Kept,
        until: Instant,
        most: usize,
    ) -> Result<(Vec<u8>, SocketAddr), Failed> {
        let status = answer.status();
        if !matches!(status, StatusCode::OK | StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Err(Failed::Sent(Why::Status(status)));
        }
        if answer.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(Failed::Sent(Why::Unusable));
        }
        let body = Limited::new(answer.into_body(), most).collect();
        let body = timeout_at(until, body).await.map_err(|_| Failed::Sent(Why::TimeUp))?;
        let body = body.map_err(|_| Failed::Sent(Why::Unusable))?.to_bytes();
        let address = connection.address;
        self.keep(connection);
        Ok((body.into(), address))
    }

    fn take(&self) -> Option<Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| !one.sender.is_closed() && one.since.elapsed() < KEPT_FOR);
        let ready = kept.iter().position(|one| one.sender.is_ready())?;
        Some(kept.swap_remove(ready))
    }

    fn keep(&self, connection: Kept) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_KEPT {
            kept.push(connection);
        }
    }
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    until: Instant,
) -> Result<Sender, Why> {
    let shaking = http1::Builder::new().max_buf_size(MAX_HEADER_BYTES).handshake(TokioIo::new(stream));
    let shaken = timeout_at(until, shaking).await.map_err(|_| Why::TimeUp)?;
    let (sender, connection) = shaken.map_err(|_| Why::Broken)?;
    // It ends when the sender is dropped, or the provider closes it; how is told to whoever waits for an answer.
    tokio::spawn(connection);
    Ok(sender)
}
