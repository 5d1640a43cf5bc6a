//! `POST /rpc/NAME`: what services of the platform ask of providers outside, whose keys the gateway alone holds.
//!
//! ```text
//! service (identity) ─► pool (granted) ─► call: one reading ─► methods ─► rates ─► audit
//!                    ─► pool: health ─► upstream: vetting ─► dial ─► TLS ─► key ─► answer: ids, no key
//! ```
//! On a listener of its own: what leads tasks to the gateway leads to another one, and a capability is no
//! credential here.

mod answer;
mod call;
pub mod config;
mod health;
mod key;
mod pool;
pub mod rate;
mod unique;
mod upstream;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{FromRequestParts, Path, State},
    http::request::Parts,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde_json::{json, value::RawValue};
use trace_contracts::{ErrorCode, Name, wire::plane::AuditEntry};
use trace_plane::{Body, Refusal, Reply, Trust, tls::TrustError};
use url::Url;

use self::{
    call::{Bad, Batch},
    config::Method,
    pool::{Answer, Pool, Tried},
};
use crate::{
    audit::{self, Auditor},
    services::{Service, Services},
    vetting::Vetter,
};

/// A request's body has at most this many bytes.
const MAX_BODY: usize = 256 * 1024;
/// Methods that a row of the audit log names.
const NAMED: usize = 20;

/// Why pools can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No provider, or no method.
    #[error("it needs one upstream and one method at least")]
    Empty,
    /// What may be repeated may not even be called.
    #[error("`{0}` is in `repeatable` and not in `methods`")]
    Repeatable(Method),
    /// A whole batch would never be let through.
    #[error("`rate` and `caller_rate` need a `burst` of {0} at least: as many calls as a batch may have")]
    Burst(u32),
    /// An address.
    #[error("the upstream {url}: {reason}")]
    Address {
        /// It, without anything secret.
        url: String,
        /// Why.
        reason: String,
    },
    /// A key.
    #[error(transparent)]
    Key(#[from] key::Error),
    /// Authorities.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// All pools, and who may use them.
pub(crate) struct Rpc {
    pools: BTreeMap<Name, Pool>,
    services: Arc<Services>,
    vetter: Arc<Vetter>,
    auditor: Auditor,
}

impl Rpc {
    /// Reads keys and authorities.
    ///
    /// # Errors
    /// With the pool that can't be used.
    pub(crate) fn new(
        config: config::Config,
        services: Arc<Services>,
        vetter: Arc<Vetter>,
        auditor: Auditor,
    ) -> Result<Self, (Option<Name>, Error)> {
        let trust = Trust::read(config.ca_file.as_deref()).map_err(|error| (None, error.into()))?;
        let now = Instant::now();
        let open = |(name, pool): (Name, config::Pool)| match Pool::new(pool, &trust, now) {
            Ok(pool) => Ok((name, pool)),
            Err(error) => Err((Some(name), error)),
        };
        let pools: Result<BTreeMap<_, _>, _> = config.pools.into_iter().map(open).collect();
        Ok(Self { pools: pools?, services, vetter, auditor })
    }

    /// Names of all pools.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.pools.keys()
    }

    /// The one route.
    pub(crate) fn router(self: Arc<Self>) -> Router {
        Router::new().route("/rpc/{pool}", post(call)).with_state(self)
    }
}

/// A service of the platform, proven by its identity. It is looked at before the body is read.
struct Caller(Arc<Service>);

impl FromRequestParts<Arc<Rpc>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, rpc: &Arc<Rpc>) -> Result<Self, Refusal> {
        rpc.services.prove(&parts.headers).await.map(Self)
    }
}

/// Why a request goes to no provider.
#[derive(Debug, PartialEq, Eq)]
enum Denied {
    /// There is no such pool for this service.
    Pool,
    /// The body.
    Body(Bad),
    /// A call of the batch.
    Method(Method),
    /// The rates; they let it through after this time.
    Rate(Duration),
    /// Too many at once.
    Room,
}

impl Denied {
    const fn rule(&self) -> &'static str {
        match self {
            Self::Pool => "pool_not_granted",
            Self::Body(_) => "malformed",
            Self::Method(_) => "method_not_listed",
            Self::Rate(_) => "rate",
            Self::Room => "at_once",
        }
    }

    fn refusal(&self) -> Refusal {
        match self {
            Self::Pool => Refusal::new(
                ErrorCode::Forbidden,
                "this service may use no pool of this name: the gateway's `services` says which it may",
            ),
            Self::Body(bad) => Refusal::new(ErrorCode::BadRequest, bad.to_string()),
            Self::Method(method) => Refusal::new(
                ErrorCode::Forbidden,
                format!(
                    "`{method}` is not among the `methods` of this pool; nothing of the request was sent"
                ),
            ),
            Self::Rate(wait) => {
                let seconds = u32::try_from(wait.as_secs().saturating_add(1)).unwrap_or(u32::MAX);
                let detail =
                    "this service, or all of them together, called this pool too often; try again later";
                Refusal::new(ErrorCode::TooManyRequests, detail).with_retry_after(seconds)
            }
            Self::Room => Refusal::new(
                ErrorCode::TooManyRequests,
                "this pool has as many requests under way as it takes; try again",
            ),
        }
    }
}

/// One request: decided on, written down, and passed on.
async fn call(
    State(rpc): State<Arc<Rpc>>,
    caller: Caller,
    Path(pool): Path<String>,
    Body(body): Body<Box<RawValue>, MAX_BODY>,
) -> Reply<Response> {
    let Caller(service) = caller;
    rpc.auditor.check()?;
    let asked = Asked { rpc: &rpc, service: &service, pool: &pool, since: Instant::now() };
    let (named, calls) = match asked.granted() {
        Some(named) => (named, Batch::parse(body.get(), named.limits().batch.get())),
        None => return Err(asked.deny(Denied::Pool, None).await),
    };
    let batch = match calls {
        Ok(batch) => batch,
        Err(bad) => return Err(asked.deny(Denied::Body(bad), None).await),
    };
    let _room = match asked.admit(named, &batch) {
        Ok(room) => room,
        Err(denied) => return Err(asked.deny(denied, Some(&batch)).await),
    };
    rpc.auditor.decided(asked.row("egress.rpc", None, Some(&batch), json!({}))).await?;
    let written = Bytes::from(batch.written());
    let mut ending = Ending::of(&asked, &batch, written.len());
    let outcome = named.ask(&batch, &written, &rpc.vetter).await;
    ending.is_known(&outcome.answer, outcome.tried, outcome.down);
    drop(ending);
    respond(outcome.answer)
}

/// What a request comes to, written when this is dropped: also where the caller has not waited for it.
struct Ending<'a> {
    asked: &'a Asked<'a>,
    batch: &'a Batch<'a>,
    up: usize,
    down: usize,
    tried: Vec<Tried>,
    ended: &'static str,
}

impl<'a> Ending<'a> {
    const fn of(asked: &'a Asked<'a>, batch: &'a Batch<'a>, up: usize) -> Self {
        Self { asked, batch, up, down: 0, tried: Vec::new(), ended: "abandoned" }
    }

    fn is_known(&mut self, answer: &Answer, tried: Vec<Tried>, down: usize) {
        self.ended = if answer.is_ok() { "answered" } else { "unanswered" };
        (self.tried, self.down) = (tried, down);
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let tried =
            |one: &Tried| json!({ "to": one.destination, "address": one.address, "ended": one.ended });
        let figures = json!({
            "tried": self.tried.iter().map(tried).collect::<Vec<_>>(),
            "bytes_up": self.up,
            "bytes_down": self.down,
            "ms": u64::try_from(self.asked.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            "outcome": self.ended,
        });
        let row = self.asked.row("egress.rpc_answer", None, Some(self.batch), figures);
        self.asked.rpc.auditor.came_to(row);
    }
}

/// A request of a service for a pool.
struct Asked<'a> {
    rpc: &'a Rpc,
    service: &'a Service,
    pool: &'a str,
    since: Instant,
}

impl<'a> Asked<'a> {
    /// The pool, if it is there and the service may use it: whoever may not is not told which.
    fn granted(&self) -> Option<&'a Pool> {
        let name: Name = self.pool.parse().ok()?;
        let rpc: &'a Rpc = self.rpc;
        self.service.may_call(&name).then(|| rpc.pools.get(&name)).flatten()
    }

    fn admit(&self, pool: &'a Pool, batch: &Batch<'_>) -> Result<tokio::sync::SemaphorePermit<'a>, Denied> {
        if let Some(method) = pool.unlisted(batch) {
            return Err(Denied::Method(method.clone()));
        }
        let room = pool.room().ok_or(Denied::Room)?;
        pool.count(self.service.id(), batch.calls().len(), self.since).map_err(Denied::Rate)?;
        Ok(room)
    }

    /// Writes that it was refused, and says what the caller is told.
    async fn deny(&self, denied: Denied, batch: Option<&Batch<'_>>) -> Refusal {
        let row = self.row("egress.rpc", Some(denied.rule()), batch, json!({}));
        let written = self.rpc.auditor.decided(row).await;
        written.err().unwrap_or_else(|| denied.refusal())
    }

    /// A row of the audit log. A pool's name that is none is not written: it could be anything.
    fn row(
        &self,
        action: &str,
        rule: Option<&'static str>,
        batch: Option<&Batch<'_>>,
        mut detail: serde_json::Value,
    ) -> AuditEntry {
        let calls = batch.map_or(&[][..], Batch::calls);
        let methods: BTreeSet<String> = calls.iter().map(|call| call.method.to_string()).collect();
        detail["rule"] = rule.into();
        detail["calls"] = calls.len().into();
        detail["methods"] = methods.into_iter().take(NAMED).collect::<Vec<_>>().into();
        let object = self.pool.parse::<Name>().map(|name| name.to_string()).unwrap_or_default();
        audit::of_service(self.service, action, object, rule, detail)
    }
}

fn respond(answer: Answer) -> Reply<Response> {
    match answer {
        Ok(None) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Some(answer)) => {
            let mut response = answer.into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        }
        Err(pool::Unanswered) => Err(Refusal::new(
            ErrorCode::Unavailable,
            "no provider of this pool has answered; the gateway's log and the audit log say why",
        )),
    }
}

/// An address without what may be secret in it.
fn bare(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default())
}
