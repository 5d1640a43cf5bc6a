//! A dispatcher and an object store that do what a test tells them, faults included.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use chrono::Utc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trace_contracts::{
    AttemptId, ClaimId, LeaseToken, OrgId, RunId, Secret, Sha256, TaskId,
    wire::{
        task::{ContextReply, CredentialsReply, SessionCredentials},
        worker::{
            Blob, ClaimReply, ClaimRequest, Code, CompleteReply, CompleteRequest, CompleteVerdict,
            HeartbeatReply, HeartbeatRequest, HeartbeatVerdict, Language, LaunchSpec, Lease, LogLine,
            LogRequest, Outcome, Resources,
        },
    },
};

/// The token of every attempt, which no log may show.
pub const CAPABILITY: &str = "capability-token-of-the-attempt";

/// Everything that was asked and stored, and the faults that are due.
#[derive(Default)]
pub struct Seen {
    /// Waiting for a claim.
    pub ready: Vec<LaunchSpec>,
    /// Every claim as it arrived.
    pub claims: Vec<ClaimRequest>,
    /// What each claim was granted.
    pub granted: HashMap<ClaimId, Vec<Lease>>,
    /// Heartbeats answered, or not.
    pub heartbeats: usize,
    /// How attempts ended, as often as it was said.
    pub completions: Vec<(AttemptId, Outcome)>,
    /// Logs by attempt and number.
    pub logs: BTreeMap<(AttemptId, u64), LogLine>,
    /// Content.
    pub blobs: HashMap<Sha256, Bytes>,
    /// Objects: by key, the length that the header told, and the body.
    pub objects: BTreeMap<String, (String, Bytes)>,
    /// Who is told that their lease is over.
    pub stale: HashSet<TaskId>,
    /// Claims to do and not to answer.
    pub claim_replies_to_lose: usize,
    /// Completions to record and not to answer.
    pub complete_replies_to_lose: usize,
    /// Batches of lines to take and not to answer.
    pub log_replies_to_lose: usize,
    /// Puts to refuse.
    pub puts_to_refuse: usize,
    /// Puts to refuse because the session's time is up.
    pub puts_to_find_expired: usize,
    /// How often keys for outputs were asked for.
    pub credentials: usize,
    /// No heartbeat is answered.
    pub heartbeats_fail: bool,
    /// Every claim is answered with what was granted before, too.
    pub repeats_grants: bool,
    attempts: i64,
}

impl Seen {
    /// Makes a task ready: Python code in this bundle.
    pub fn add_task(&mut self, task: i64, bundle: &[u8]) -> Blob {
        let blob = self.add_blob(bundle);
        self.ready.push(spec(task, blob));
        blob
    }

    /// Stores content.
    pub fn add_blob(&mut self, content: &[u8]) -> Blob {
        let blob = Blob { sha256: Sha256::of(content), size: content.len() as u64 };
        self.blobs.insert(blob.sha256, Bytes::copy_from_slice(content));
        blob
    }

    /// The lines of one attempt in order.
    pub fn log(&self, attempt: AttemptId) -> Vec<String> {
        let lines = self.logs.iter().filter(|((of, _), _)| *of == attempt);
        lines.map(|(_, line)| line.text.clone()).collect()
    }

    fn grant(&mut self, request: &ClaimRequest) -> Vec<Lease> {
        let wanted = |spec: &LaunchSpec| match &request.tasks {
            Some(tasks) => tasks.contains(&spec.task),
            None => true,
        };
        let mut granted = Vec::new();
        while granted.len() < request.max as usize
            && let Some(at) = self.ready.iter().position(wanted)
        {
            self.attempts += 1;
            granted.push(lease(AttemptId::from_db(self.attempts), self.ready.remove(at)));
        }
        granted
    }

    fn task_of(&self, attempt: AttemptId) -> Option<TaskId> {
        let leases = self.granted.values().flatten();
        leases.filter(|lease| lease.attempt == attempt).map(|lease| lease.launch.task).next()
    }
}

/// How long a lease holds.
pub const LEASE: Duration = Duration::from_millis(900);

fn lease(attempt: AttemptId, launch: LaunchSpec) -> Lease {
    Lease {
        attempt,
        lease_token: LeaseToken::random(),
        expires_at: Utc::now() + LEASE,
        lease_ms: LEASE.as_millis() as u64,
        launch,
        capability_token: Secret::new(CAPABILITY.to_owned()),
    }
}

/// What a task launches.
pub fn spec(task: i64, bundle: Blob) -> LaunchSpec {
    LaunchSpec {
        org: OrgId::from_db(1),
        run: RunId::from_db(17),
        task: TaskId::from_db((1 << 20) + task),
        dag: "flights".parse().unwrap(),
        job: "delays".parse().unwrap(),
        partition: "2013-01".parse().unwrap(),
        failures: 0,
        code: Code::Udf { language: Language::Python, bundle },
        files: BTreeMap::new(),
        resources: Resources { cpu_millis: 1000, memory_bytes: 256 << 20, disk_bytes: 64 << 20 },
        timeout_ms: 60_000,
    }
}

/// The running fake; stops when dropped.
pub struct Dispatcher {
    pub address: SocketAddr,
    state: Fake,
    stop: CancellationToken,
}

#[derive(Clone)]
struct Fake {
    seen: Arc<Mutex<Seen>>,
    changed: watch::Sender<()>,
}

impl Fake {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.changed.send_replace(());
        self.seen.lock().unwrap()
    }
}

impl Dispatcher {
    pub async fn start() -> Self {
        let state = Fake { seen: Arc::default(), changed: watch::Sender::new(()) };
        let router = Router::new()
            .route("/internal/claim", post(claim))
            .route("/internal/heartbeat", post(heartbeat))
            .route("/internal/complete", post(complete))
            .route("/internal/logs", post(logs))
            .route("/internal/blobs/{sha256}", get(blob))
            .route("/v1/task/context", get(context))
            .route("/v1/task/credentials", post(credentials))
            .route("/trace/{*key}", put(put_object))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(state.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        tokio::spawn(serving.into_future());
        Self { address, state, stop }
    }

    /// What was seen so far; also the way to tell it what to do.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.state.seen()
    }

    /// Waits until what was seen satisfies `condition`, and answers what it answers.
    pub async fn until<T>(&self, what: &str, condition: impl Fn(&Seen) -> Option<T>) -> T {
        let mut changed = self.state.changed.subscribe();
        let satisfied = async {
            loop {
                changed.borrow_and_update();
                if let Some(answer) = condition(&self.state.seen.lock().unwrap()) {
                    return answer;
                }
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), satisfied)
            .await
            .unwrap_or_else(|_| panic!("never seen: {what}"))
    }

    /// Waits for the first word about how a task's attempt ended.
    pub async fn outcome(&self) -> Outcome {
        self.until("a completion", |seen| seen.completions.first().map(|(_, outcome)| outcome.clone())).await
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

type Answer<T> = Result<Json<T>, StatusCode>;

/// Counts a fault down: whether it is due now.
fn due(faults: &mut usize) -> bool {
    let is_due = *faults > 0;
    *faults = faults.saturating_sub(1);
    is_due
}

async fn claim(State(fake): State<Fake>, Json(request): Json<ClaimRequest>) -> Answer<ClaimReply> {
    let mut changed = fake.changed.subscribe();
    fake.seen().claims.push(request.clone());
    let granted = async {
        loop {
            changed.borrow_and_update();
            let leases = grant(&fake, &request);
            if !leases.is_empty() {
                return leases;
            }
            changed.changed().await.unwrap();
        }
    };
    let leases =
        tokio::time::timeout(Duration::from_millis(request.wait_ms), granted).await.unwrap_or_default();
    let mut seen = fake.seen.lock().unwrap();
    if due(&mut seen.claim_replies_to_lose) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    Ok(Json(ClaimReply { leases }))
}

fn grant(fake: &Fake, request: &ClaimRequest) -> Vec<Lease> {
    let mut seen = fake.seen.lock().unwrap();
    if let Some(leases) = seen.granted.get(&request.claim_id) {
        return leases.clone();
    }
    let mut leases = seen.grant(request);
    if leases.is_empty() && seen.repeats_grants {
        leases = seen.granted.values().flatten().cloned().collect();
    } else if !leases.is_empty() {
        seen.granted.insert(request.claim_id, leases.clone());
        drop(seen);
        fake.changed.send_replace(());
    }
    leases
}

async fn heartbeat(
    State(fake): State<Fake>,
    Json(request): Json<HeartbeatRequest>,
) -> Answer<HeartbeatReply> {
    let mut seen = fake.seen();
    seen.heartbeats += 1;
    if seen.heartbeats_fail {
        return Err(StatusCode::BAD_GATEWAY);
    }
    let verdict = |attempt| match seen.task_of(attempt) {
        Some(task) if !seen.stale.contains(&task) => {
            HeartbeatVerdict::Extended { expires_at: Utc::now() + LEASE }
        }
        _ => HeartbeatVerdict::Stale,
    };
    let verdicts = request.leases.iter().map(|fence| verdict(fence.attempt)).collect();
    Ok(Json(HeartbeatReply { verdicts }))
}

async fn complete(State(fake): State<Fake>, Json(request): Json<CompleteRequest>) -> Answer<CompleteReply> {
    let mut seen = fake.seen();
    let verdicts = request.completions.iter().map(|_| CompleteVerdict::Recorded).collect();
    let ended = request.completions.into_iter().map(|one| (one.fence.attempt, one.outcome));
    seen.completions.extend(ended);
    if due(&mut seen.complete_replies_to_lose) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    Ok(Json(CompleteReply { verdicts }))
}

async fn logs(State(fake): State<Fake>, Json(request): Json<LogRequest>) -> StatusCode {
    let mut seen = fake.seen();
    for (seq, line) in (request.first_seq..).zip(request.lines) {
        seen.logs.entry((request.fence.attempt, seq)).or_insert(line);
    }
    if due(&mut seen.log_replies_to_lose) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
}

async fn blob(State(fake): State<Fake>, Path(sha256): Path<Sha256>) -> Result<Bytes, StatusCode> {
    fake.seen().blobs.get(&sha256).cloned().ok_or(StatusCode::NOT_FOUND)
}

fn output() -> trace_contracts::S3Prefix {
    "s3://trace/data/o1/r17/t1.1/a1/out/".parse().unwrap()
}

async fn context(headers: HeaderMap) -> Answer<ContextReply> {
    check_capability(&headers)?;
    Ok(Json(ContextReply {
        task: TaskId::from_db((1 << 20) + 1),
        attempt: AttemptId::from_db(1),
        run: RunId::from_db(17),
        dag: "flights".parse().unwrap(),
        job: "delays".parse().unwrap(),
        partition: "2013-01".parse().unwrap(),
        params: BTreeMap::new(),
        inputs: Vec::new(),
        output: output(),
        scratch: "s3://trace/data/o1/r17/t1.1/a1/scratch/".parse().unwrap(),
        failures: 0,
    }))
}

async fn credentials(State(fake): State<Fake>, headers: HeaderMap) -> Answer<CredentialsReply> {
    check_capability(&headers)?;
    fake.seen().credentials += 1;
    let session = SessionCredentials {
        access_key_id: "ASIAOFTHEATTEMPT".to_owned(),
        secret_access_key: Secret::new("secret".to_owned()),
        session_token: Secret::new("session-of-the-attempt".to_owned()),
        expires_at: Utc::now() + chrono::TimeDelta::minutes(15),
        read: Vec::new(),
        write: vec![output()],
    };
    Ok(Json(CredentialsReply {
        region: "us-east-1".to_owned(),
        sessions: vec![session],
        folders_by_address: 0,
    }))
}

fn check_capability(headers: &HeaderMap) -> Result<(), StatusCode> {
    let shown = headers.get("authorization").and_then(|value| value.to_str().ok());
    if shown == Some(&format!("Bearer {CAPABILITY}")) { Ok(()) } else { Err(StatusCode::UNAUTHORIZED) }
}

async fn put_object(
    State(fake): State<Fake>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut seen = fake.seen();
    if due(&mut seen.puts_to_refuse) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if due(&mut seen.puts_to_find_expired) {
        let error = "<Error><Code>ExpiredToken</Code><Message>its time is up</Message></Error>";
        return (StatusCode::BAD_REQUEST, error).into_response();
    }
    if header("x-amz-security-token") != "session-of-the-attempt" {
        return StatusCode::FORBIDDEN.into_response();
    }
    seen.objects.insert(key, (header("content-length").to_owned(), body));
    StatusCode::OK.into_response()
}
