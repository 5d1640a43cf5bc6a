//! The gateway under test with everything around it, on loopback sockets.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get, routing::post};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;
use trace_contracts::{
    AttemptId, DeliveryId, EgressGrant, ErrorCode, OrgId, Problem, Secret, WorkerId,
    wire::{
        delivery::{
            DeliveryClaimReply, DeliveryClaimRequest, DeliveryOutcome, DeliveryReportReply,
            DeliveryReportRequest, OutgoingDelivery, ReportVerdict, SendOutcome,
        },
        plane::{
            AuditEntry, AuditRequest, IdentityResolution, LivenessReply, LivenessRequest,
            ResolveIdentityRequest, ResolvedIdentity,
        },
    },
};
use trace_egress_gateway::{
    Config,
    config::{Deliveries, Issuer, Limits},
};
use trace_plane::Listener;

use crate::tokens;

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(20);

/// What the dispatcher of the tests knows.
#[derive(Default)]
pub struct Dispatcher {
    pub dead: Mutex<HashSet<AttemptId>>,
    pub audited: Mutex<Vec<AuditEntry>>,
    pub audit_is_away: Mutex<bool>,
    audits_refused: Mutex<usize>,
    /// Deliveries that wait for a gateway's claim.
    due: Mutex<Vec<OutgoingDelivery>>,
    reported: Mutex<Vec<DeliveryOutcome>>,
    pub identities_are_away: Mutex<bool>,
    changed: Notify,
}

/// What only some tests have.
struct More {
    deliveries: Deliveries,
    rpc: Value,
    services: Value,
}

impl Default for More {
    fn default() -> Self {
        Self { deliveries: Deliveries::default(), rpc: json!({}), services: json!({}) }
    }
}

async fn loopback_listener() -> Listener {
    TcpListener::bind("127.0.0.1:0").await.unwrap().into()
}

/// Everything, running. Dropping it stops it.
pub struct Platform {
    pub dispatcher: Arc<Dispatcher>,
    pub address: SocketAddr,
    /// Where services of the platform ask providers.
    rpc: SocketAddr,
    pub shutdown: CancellationToken,
    _folder: TempDir,
}

/// Bounds for tests: short, so that what waits for them is quick.
pub fn limits() -> Limits {
    Limits { reach_ms: 700, hello_ms: 1_000, per_attempt: 4, ..Limits::default() }
}

/// Loopback is allowed but for one address, and so are names below `test`.
pub fn loopback() -> Value {
    json!({
        "deny": { "networks": ["127.0.0.13/32"], "hosts": ["denied.test"] },
        "allow_private": { "networks": ["127.0.0.0/8"], "hosts": ["*.test"] },
    })
}

pub fn grant(destination: &str) -> EgressGrant {
    EgressGrant { destination: destination.parse().unwrap(), max_bytes: 10 << 20, max_requests: 1_000 }
}

impl Platform {
    pub async fn start() -> Self {
        Self::with(limits(), loopback(), Vec::new()).await
    }

    pub async fn with(limits: Limits, policy: Value, dns_servers: Vec<SocketAddr>) -> Self {
        Self::delivering(limits, policy, dns_servers, Deliveries::default()).await
    }

    pub async fn delivering(
        limits: Limits,
        policy: Value,
        dns_servers: Vec<SocketAddr>,
        deliveries: Deliveries,
    ) -> Self {
        let more = More { deliveries, ..More::default() };
        Self::run(loopback_listener().await, limits, policy, dns_servers, more).await
    }

    pub async fn on(gateways: Listener, limits: Limits, policy: Value, dns_servers: Vec<SocketAddr>) -> Self {
        Self::run(gateways, limits, policy, dns_servers, More::default()).await
    }

    /// With these pools, and what services may do.
    pub async fn with_rpc(
        limits: Limits,
        policy: Value,
        dns_servers: Vec<SocketAddr>,
        rpc: Value,
        services: Value,
    ) -> Self {
        let more = More { rpc, services, ..More::default() };
        Self::run(loopback_listener().await, limits, policy, dns_servers, more).await
    }

    async fn run(
        gateways: Listener,
        limits: Limits,
        policy: Value,
        mut dns_servers: Vec<SocketAddr>,
        more: More,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("policy.json");
        std::fs::write(&file, policy.to_string()).unwrap();
        if dns_servers.is_empty() {
            // Nobody listens there.
            dns_servers.push("127.0.0.1:9".parse().unwrap());
        }
        let dispatcher = Arc::new(Dispatcher::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        let router = router(Arc::clone(&dispatcher));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = Config {
            dispatcher: base.parse().unwrap(),
            identity: Secret::new("plane".to_owned()),
            capabilities: Issuer {
                issuer: tokens::ISSUER.to_owned(),
                jwks: format!("{base}jwks").parse().unwrap(),
            },
            capability_root: None,
            ca_file: None,
            plain_http: Default::default(),
            policy: Some(file),
            dns_servers,
            services: serde_json::from_value(more.services).unwrap(),
            rpc: serde_json::from_value(more.rpc).unwrap(),
            deliveries: more.deliveries,
            limits,
        };
        let shutdown = CancellationToken::new();
        let gateway = trace_egress_gateway::start(config, shutdown.clone()).await.unwrap();
        let address = gateways.local_addr().unwrap();
        let asking = loopback_listener().await;
        let rpc = asking.local_addr().unwrap();
        tokio::spawn(trace_plane::serve(asking, gateway.rpc_router(), shutdown.clone()));
        tokio::spawn(async move { gateway.serve(gateways).await });
        Self { dispatcher, address, rpc, shutdown, _folder: folder }
    }

    /// A capability of an attempt with these grants.
    pub fn token(&self, attempt: i64, grants: &[EgressGrant]) -> String {
        tokens::capability(&tokens::claims(attempt, grants.to_vec()))
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Posts to the listener for services, with this token: the status, and the body of the answer.
    pub async fn post_rpc(&self, path: &str, token: Option<&str>, body: &str) -> (u16, String) {
        let shown = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: gateway\r\n{shown}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let stream = TcpStream::connect(self.rpc).await.unwrap();
        let answer = converse(stream, request.as_bytes()).await;
        let body = answer.split_once("\r\n\r\n").expect("a head").1.to_owned();
        (status(&answer), body)
    }

    /// Sends bytes on a connection of their own, and reads all that comes back until it is closed.
    pub async fn raw(&self, request: &[u8]) -> String {
        converse(self.connect().await, request).await
    }

    /// Asks for an address with this token: the status line's number, and all of the answer.
    pub async fn get(&self, token: &str, address: &str) -> (u16, String) {
        let request = format!(
            "GET {address} HTTP/1.1\r\nProxy-Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let answer = self.raw(request.as_bytes()).await;
        (status(&answer), answer)
    }

    /// Opens a tunnel: the status, and the connection as it is after the head of the answer.
    pub async fn open(&self, token: &str, destination: &str) -> (u16, TcpStream) {
        let mut stream = self.connect().await;
        let request =
            format!("CONNECT {destination} HTTP/1.1\r\nProxy-Authorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(SOON, stream.read_u8()).await.expect("an answer");
            head.push(byte.expect("a whole head"));
        }
        (status(&String::from_utf8_lossy(&head)), stream)
    }

    pub fn kill_attempt(&self, attempt: i64) {
        self.dispatcher.dead.lock().unwrap().insert(AttemptId::from_db(attempt));
        self.dispatcher.changed.notify_waiters();
    }

    pub fn audited(&self) -> Vec<AuditEntry> {
        self.dispatcher.audited.lock().unwrap().clone()
    }

    /// Waits until there is an audit row that `wanted` accepts.
    pub async fn audit_of(&self, wanted: impl Fn(&AuditEntry) -> bool) -> AuditEntry {
        loop {
            let changed = self.dispatcher.changed.notified();
            if let Some(entry) = self.audited().into_iter().find(&wanted) {
                return entry;
            }
            tokio::time::timeout(SOON, changed).await.expect("an audit row");
        }
    }

    /// Waits until audit rows were refused.
    pub async fn refused_audit(&self) {
        loop {
            let changed = self.dispatcher.changed.notified();
            if *self.dispatcher.audits_refused.lock().unwrap() > 0 {
                return;
            }
            tokio::time::timeout(SOON, changed).await.expect("a refusal");
        }
    }

    /// Lets a delivery be due.
    pub fn due(&self, delivery: OutgoingDelivery) {
        self.dispatcher.due.lock().unwrap().push(delivery);
        self.dispatcher.changed.notify_waiters();
    }

    /// Waits for what is reported of a delivery.
    pub async fn reported(&self, delivery: DeliveryId) -> SendOutcome {
        loop {
            let changed = self.dispatcher.changed.notified();
            let found =
                self.dispatcher.reported.lock().unwrap().iter().find(|one| one.delivery == delivery).copied();
            if let Some(one) = found {
                return one.outcome;
            }
            tokio::time::timeout(SOON, changed).await.expect("a report");
        }
    }

    /// What was reported, in order.
    pub fn reports(&self) -> Vec<DeliveryId> {
        self.dispatcher.reported.lock().unwrap().iter().map(|one| one.delivery).collect()
    }

    /// Waits for the row of a refusal by this rule.
    pub async fn denied_by(&self, rule: &str) -> AuditEntry {
        self.audit_of(|entry| entry.detail["rule"] == rule).await
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn converse(mut stream: TcpStream, request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    // A connection that was reset has answered all the same.
    let _ = tokio::time::timeout(SOON, reading).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Identities that the dispatcher of the tests knows, by their tokens.
pub struct Identity;

impl Identity {
    /// May call one pool.
    pub const INDEXER: &'static str = "plane_of-the-indexer";
    /// Is named in the gateway's configuration, with nothing.
    pub const IDLE: &'static str = "worker_idle";
    /// Is not named there.
    pub const UNNAMED: &'static str = "plane_unnamed";
    /// Was good once.
    pub const REVOKED: &'static str = "plane_revoked";

    fn name(token: &str) -> Option<(i64, &'static str)> {
        match token {
            Self::INDEXER => Some((1, "indexer")),
            Self::IDLE => Some((2, "idle")),
            Self::UNNAMED => Some((3, "unnamed")),
            _ => None,
        }
    }
}

pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// Reads until the other side closes; `None` when it does not.
pub async fn to_end(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match tokio::time::timeout(SOON, stream.read(&mut buffer)).await.ok()? {
            Ok(0) | Err(_) => return Some(bytes),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

fn router(dispatcher: Arc<Dispatcher>) -> Router {
    Router::new()
        .route("/jwks", get(|| async { Json(tokens::jwks()) }))
        .route("/internal/liveness", post(liveness))
        .route("/internal/audit", post(audit))
        .route("/internal/deliveries/claim", post(claim))
        .route("/internal/deliveries/report", post(report))
        .route("/internal/identities/resolve", post(identities))
        .with_state(dispatcher)
}

async fn liveness(
    State(dispatcher): State<Arc<Dispatcher>>,
    Json(request): Json<LivenessRequest>,
) -> Json<LivenessReply> {
    let dead = || -> Vec<AttemptId> {
        let dead = dispatcher.dead.lock().unwrap();
        request.attempts.iter().copied().filter(|attempt| dead.contains(attempt)).collect()
    };
    let waited = tokio::time::timeout(Duration::from_millis(request.wait_ms), async {
        loop {
            let changed = dispatcher.changed.notified();
            if !dead().is_empty() {
                return;
            }
            changed.await;
        }
    });
    let _nothing_new = waited.await;
    Json(LivenessReply { dead: dead(), ..LivenessReply::default() })
}

async fn claim(
    State(dispatcher): State<Arc<Dispatcher>>,
    Json(request): Json<DeliveryClaimRequest>,
) -> Json<DeliveryClaimReply> {
    let waited = tokio::time::timeout(Duration::from_millis(request.wait_ms), async {
        loop {
            let changed = dispatcher.changed.notified();
            let deliveries: Vec<_> = {
                let mut due = dispatcher.due.lock().unwrap();
                let taken = due.len().min(request.max as usize);
                due.drain(..taken).collect()
            };
            if !deliveries.is_empty() {
                return deliveries;
            }
            changed.await;
        }
    });
    Json(DeliveryClaimReply { deliveries: waited.await.unwrap_or_default() })
}

async fn report(
    State(dispatcher): State<Arc<Dispatcher>>,
    Json(request): Json<DeliveryReportRequest>,
) -> Json<DeliveryReportReply> {
    let verdicts = vec![ReportVerdict::Recorded; request.outcomes.len()];
    dispatcher.reported.lock().unwrap().extend(request.outcomes);
    dispatcher.changed.notify_waiters();
    Json(DeliveryReportReply { verdicts })
}

async fn identities(
    State(dispatcher): State<Arc<Dispatcher>>,
    Json(request): Json<ResolveIdentityRequest>,
) -> Result<Json<IdentityResolution>, StatusCode> {
    if *dispatcher.identities_are_away.lock().unwrap() {
        return Err(StatusCode::BAD_GATEWAY);
    }
    Ok(Json(match Identity::name(request.token.expose()) {
        Some((id, name)) => IdentityResolution::Known(ResolvedIdentity {
            identity: WorkerId::from_db(id),
            name: name.to_owned(),
            org: OrgId::from_db(1),
        }),
        None => IdentityResolution::Refused { refused: Problem::new(ErrorCode::Forbidden, "nobody's") },
    }))
}

async fn audit(State(dispatcher): State<Arc<Dispatcher>>, Json(request): Json<AuditRequest>) -> StatusCode {
    if *dispatcher.audit_is_away.lock().unwrap() {
        *dispatcher.audits_refused.lock().unwrap() += 1;
        dispatcher.changed.notify_waiters();
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    dispatcher.audited.lock().unwrap().extend(request.entries);
    dispatcher.changed.notify_waiters();
    StatusCode::OK
}
