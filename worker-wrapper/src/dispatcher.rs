//! The dispatcher's `/internal` routes for workers.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use trace_contracts::{
    AttemptId, OrgId, Problem, Secret, Sha256,
    wire::launch::{OverReply, OverRequest, TicketReply, TicketRequest, WatchReply, WatchRequest},
    wire::worker::{
        ClaimReply, ClaimRequest, CompleteReply, CompleteRequest, Fence, HeartbeatReply, HeartbeatRequest,
        LogRequest,
    },
};
use trace_plane::{Trust, client::read_capped};
use url::Url;

/// The dispatcher answers within this time, beyond what a request asks it to wait.
const TIMEOUT: Duration = Duration::from_secs(10);
/// One blob arrives within this time.
const BLOB_TIMEOUT: Duration = Duration::from_secs(300);
/// A claim's answer: 500 leases with a token each.
const MAX_REPLY_BYTES: usize = 32 * 1024 * 1024;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no answer: whether the call took effect is not known.
    #[error("the service at {url} can't be reached: {source}")]
    Unreachable {
        /// What was called.
        url: String,
        /// Why there is no answer.
        source: reqwest::Error,
    },
    /// It answered with a refusal.
    #[error("{url} refused with {status}: {detail}")]
    Refused {
        /// What was called.
        url: String,
        /// The answer.
        status: StatusCode,
        /// What it says.
        detail: String,
    },
    /// It answered with something that is no answer to the call.
    #[error("{url} answered what is not understood here: {detail}")]
    Unreadable {
        /// What was called.
        url: String,
        /// What is wrong with the answer.
        detail: String,
    },
    /// The address and the route make no URL.
    #[error("the configured address is no base for `{0}`")]
    Address(String),
}

impl Error {
    /// Whether the same call may well succeed later: nobody answered, or the answer says so.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unreadable { .. } => true,
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *status == StatusCode::REQUEST_TIMEOUT
            }
            Self::Address(_) => false,
        }
    }

    /// The status of a refusal.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Calls one service with one bearer token; shared by the routes for workers and those for tasks.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    base: Url,
    client: reqwest::Client,
}

impl Http {
    pub(crate) fn new(base: Url, trust: &Trust) -> Self {
        Self { base, client: trust.http_client(TIMEOUT) }
    }

    /// Posts JSON and reads the answer as JSON.
    pub(crate) async fn call<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        route: &str,
        token: &Secret<String>,
        body: &B,
        timeout: Duration,
    ) -> Result<T, Error> {
        let request = self.request(Method::POST, route, token, timeout)?.json(body);
        self.read(route, self.body(route, request).await?)
    }

    /// Posts nothing and reads the answer as JSON.
    pub(crate) async fn call_without_body<T: DeserializeOwned>(
        &self,
        route: &str,
        token: &Secret<String>,
        timeout: Duration,
    ) -> Result<T, Error> {
        let request = self.request(Method::POST, route, token, timeout)?;
        self.read(route, self.body(route, request).await?)
    }

    /// Gets JSON.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        route: &str,
        token: &Secret<String>,
        timeout: Duration,
    ) -> Result<T, Error> {
        let request = self.request(Method::GET, route, token, timeout)?;
        self.read(route, self.body(route, request).await?)
    }

    /// The bounded body of a success.
    async fn body(&self, route: &str, request: RequestBuilder) -> Result<Vec<u8>, Error> {
        let url = self.url(route)?;
        let response = checked(request, &url).await?;
        read_capped(response, MAX_REPLY_BYTES)
            .await
            .map_err(|source| Error::Unreachable { url: url.to_string(), source })?
            .ok_or_else(|| Error::Unreadable { url: url.to_string(), detail: "it is too long".to_owned() })
    }

    fn read<T: DeserializeOwned>(&self, route: &str, reply: Vec<u8>) -> Result<T, Error> {
        let unreadable = |error: serde_json::Error| match self.url(route) {
            Ok(url) => Error::Unreadable { url: url.to_string(), detail: error.to_string() },
            Err(address) => address,
        };
        serde_json::from_slice(&reply).map_err(unreadable)
    }

    fn url(&self, route: &str) -> Result<Url, Error> {
        self.base.join(route).map_err(|_| Error::Address(route.to_owned()))
    }

    fn request(
        &self,
        method: Method,
        route: &str,
        token: &Secret<String>,
        timeout: Duration,
    ) -> Result<RequestBuilder, Error> {
        Ok(self.client.request(method, self.url(route)?).bearer_auth(token.expose()).timeout(timeout))
    }
}

/// The dispatcher, as this worker may call it; clones share connections.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    http: Http,
    identity: Secret<String>,
}

impl Dispatcher {
    /// The dispatcher whose `/internal` routes lie at `base`.
    #[must_use]
    pub fn new(base: Url, identity: Secret<String>, trust: &Trust) -> Self {
        Self { http: Http::new(base, trust), identity }
    }

    /// Asks for leases. The same claim id again answers the same leases.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn claim(&self, request: &ClaimRequest) -> Result<ClaimReply, Error> {
        let timeout = TIMEOUT + Duration::from_millis(request.wait_ms);
        self.http.call("internal/claim", &self.identity, request, timeout).await
    }

    /// Extends leases, within `timeout`. Answers one verdict a lease.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn heartbeat(
        &self,
        request: &HeartbeatRequest,
        timeout: Duration,
    ) -> Result<HeartbeatReply, Error> {
        let reply: HeartbeatReply =
            self.http.call("internal/heartbeat", &self.identity, request, timeout).await?;
        self.one_each(request.leases.len(), reply.verdicts.len())?;
        Ok(reply)
    }

    /// Records how attempts ended. Answers one verdict a completion.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn complete(&self, request: &CompleteRequest) -> Result<CompleteReply, Error> {
        // The dispatcher lists the outputs of every completion before it answers.
        let timeout = 3 * TIMEOUT;
        let reply: CompleteReply =
            self.http.call("internal/complete", &self.identity, request, timeout).await?;
        self.one_each(request.completions.len(), reply.verdicts.len())?;
        Ok(reply)
    }

    /// Sends lines of a log.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn logs(&self, request: &LogRequest) -> Result<(), Error> {
        let http = &self.http;
        let call = http.request(Method::POST, "internal/logs", &self.identity, TIMEOUT)?.json(request);
        http.body("internal/logs", call).await.map(drop)
    }

    /// A ticket for the runner of an attempt.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ticket(&self, fence: Fence) -> Result<TicketReply, Error> {
        let request = TicketRequest { fence };
        self.http.call("internal/launch/ticket", &self.identity, &request, TIMEOUT).await
    }

    /// What the runner of an attempt has reported, as soon as there is something.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn watch(&self, request: &WatchRequest) -> Result<WatchReply, Error> {
        let timeout = TIMEOUT + Duration::from_millis(request.wait_ms);
        self.http.call("internal/launch/watch", &self.identity, request, timeout).await
    }

    /// Those of these attempts that are over.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn over(&self, attempts: Vec<AttemptId>) -> Result<Vec<AttemptId>, Error> {
        let request = OverRequest { attempts };
        let reply: OverReply =
            self.http.call("internal/launch/over", &self.identity, &request, TIMEOUT).await?;
        Ok(reply.over)
    }

    /// A blob of an org, as a stream that is to be checked while it is read.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn blob(&self, org: OrgId, sha256: Sha256) -> Result<Response, Error> {
        let route = format!("internal/blobs/{sha256}?org={org}");
        let request = self.http.request(Method::GET, &route, &self.identity, BLOB_TIMEOUT)?;
        checked(request, &self.http.url(&route)?).await
    }

    fn one_each(&self, asked: usize, answered: usize) -> Result<(), Error> {
        if asked == answered {
            return Ok(());
        }
        let detail = format!("{answered} verdicts for {asked} items");
        Err(Error::Unreadable { url: self.http.base.to_string(), detail })
    }
}

async fn checked(request: RequestBuilder, url: &Url) -> Result<Response, Error> {
    let unreachable = |source| Error::Unreachable { url: url.to_string(), source };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = read_capped(response, 64 * 1024).await.map_err(unreachable)?.unwrap_or_default();
    let detail = serde_json::from_slice::<Problem>(&body)
        .map_or_else(|_| "the answer is no problem document".to_owned(), |problem| problem.detail);
    Err(Error::Refused { url: url.to_string(), status, detail })
}
