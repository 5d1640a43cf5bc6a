//! The proxy: who asks, for what, and on to a tunnel or a request.

mod answer;
mod body;
mod forward;
mod headers;
mod outside;
mod target;
mod tunnel;

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Instant};

use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trace_contracts::{Audience, Capability, Destination, ErrorCode};
use trace_plane::{Live, Liveness, Refusal, Reply, Verifier, listener::Arrival};

use self::{answer::Answer, outside::Kept};
use crate::{
    audit::{Action, Auditor, Facts, entry},
    budget::{Ledger, Usage},
    config::Limits,
    credentials,
    dial::wait_until,
    policy::{Rule, rule::Told},
    vetting::Vetter,
};

/// A caller that has not sent its next headers by then is disconnected.
const HEADERS_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);
/// Room for all headers of a request; a capability token is at most 16 KiB, and a third more as a password.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// What all connections share.
pub(crate) struct Core {
    pub(crate) capabilities: Verifier,
    pub(crate) liveness: Liveness,
    pub(crate) vetter: Arc<Vetter>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) auditor: Auditor,
    pub(crate) limits: Limits,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
}

/// One connection of a caller, and the connections outside that are kept for it.
struct Caller {
    core: Arc<Core>,
    kept: Kept,
    _slot: OwnedSemaphorePermit,
}

/// Who asks: a capability that was verified, of an attempt that lives.
struct Asker {
    capability: Arc<Capability>,
    live: Live,
    since: Instant,
}

/// One connection of a caller, until either side ends it or the gateway stops.
pub(crate) async fn converse(core: Arc<Core>, arrival: Arrival, slot: OwnedSemaphorePermit) {
    let stopping = core.stopping.clone();
    let greeted = tokio::select! {
        greeted = arrival.greet() => greeted,
        () = stopping.cancelled() => return,
    };
    let stream = match greeted {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "a TLS handshake failed"),
    };
    let caller = Arc::new(Caller { core, kept: Kept::default(), _slot: slot });
    let service = service_fn(move |request| {
        let caller = Arc::clone(&caller);
        async move { Ok::<_, Infallible>(handle(&caller, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    // How a connection ends is the caller's affair; what matters was audited.
    tokio::select! {
        _ = &mut connection => return,
        () = stopping.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(crate::service::DRAIN, connection).await;
}

async fn handle(caller: &Arc<Caller>, request: Request<Incoming>) -> Response<Answer> {
    let answered = if request.method() == Method::CONNECT {
        tunnel::open(caller, request).await
    } else if request.uri().scheme().is_some() {
        forward::forward(caller, request).await
    } else {
        own(&caller.core, &request)
    };
    answered.unwrap_or_else(|refusal| answer::refusal(&refusal))
}

/// The gateway's own routes, which nobody needs a token for.
fn own(core: &Core, request: &Request<Incoming>) -> Reply<Response<Answer>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => Ok(answer::status(StatusCode::OK)),
        (&Method::GET | &Method::HEAD, "/readyz") => {
            if core.stopping.is_cancelled() {
                return Err(Refusal::new(ErrorCode::Unavailable, "the egress gateway is stopping"));
            }
            core.auditor.check().map(|()| answer::status(StatusCode::OK))
        }
        _ => Err(Refusal::new(
            ErrorCode::NotFound,
            "this is a proxy: send CONNECT HOST:PORT, or a request with a whole http:// address",
        )),
    }
}

impl Core {
    /// Who asks. Nothing of the request was looked at before.
    async fn asker(&self, headers: &HeaderMap) -> Reply<Asker> {
        let since = Instant::now();
        let token = credentials::token(headers)?;
        let capability = self.capabilities.verify_capability(&token, Audience::Egress).await?;
        match self.liveness.admit(&capability).await {
            Ok(live) => {
                self.auditor.check()?;
                Ok(Asker { capability, live, since })
            }
            Err(refusal) => {
                if refusal.code() == ErrorCode::Revoked {
                    let facts = Facts { rule: Some(Rule::Revoked), ..Facts::default() };
                    self.auditor.decided(entry(&capability, Action::Connect, String::new(), facts)).await?;
                }
                Err(refusal)
            }
        }
    }

    /// Reads the destination and counts the request against its grant.
    async fn admit(&self, asker: &Asker, read: Result<Destination, Rule>) -> Reply<(Destination, Usage)> {
        let destination = match read {
            Ok(destination) => destination,
            // What it says instead may be a password.
            Err(rule) => return Err(self.deny(asker, String::new(), rule, Vec::new()).await),
        };
        match self.ledger.admit(&asker.capability, &destination, self.limits.per_attempt) {
            Ok(ticket) => Ok((destination, Usage::new(ticket))),
            Err(rule) => Err(self.deny(asker, destination.to_string(), rule, Vec::new()).await),
        }
    }

    /// Writes that something was refused, and says what the caller is told of it.
    async fn deny(&self, asker: &Asker, object: String, rule: Rule, addresses: Vec<IpAddr>) -> Refusal {
        let facts = Facts { rule: Some(rule), addresses, figures: None };
        let written = self.auditor.decided(entry(&asker.capability, Action::Connect, object, facts)).await;
        if rule.told() == Told::Unreachable {
            wait_until((asker.since + self.limits.reach()).into()).await;
        }
        written.err().unwrap_or_else(|| answer::denied(rule))
    }
}
