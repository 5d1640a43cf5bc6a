//! The service under test with everything around it, on loopback sockets.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use reqwest::Url;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::sync::CancellationToken;
use trace_contracts::{
    AttemptId, DatasetId, DatasetVersionId, Grants, InputGrant, Manifest, Name, OrgId, Problem, Role, Secret,
    Sha256, UserId,
    grant::Budgets,
    wire::plane::{
        AuditEntry, AuditRequest, LivenessReply, LivenessRequest, ReadableDataset, ResolveUserReply,
        UserResolution,
    },
};
use trace_query_service::{
    Config, Service,
    config::{EngineCommand, Engines, Issuer, Limits, Store, StoreKeys},
};

use crate::{objects::Objects, tokens};

/// What the dispatcher of the tests knows.
#[derive(Default)]
pub struct Dispatcher {
    pub manifests: Mutex<HashMap<Sha256, String>>,
    pub dead: Mutex<HashSet<AttemptId>>,
    pub audited: Mutex<Vec<AuditEntry>>,
    pub published: Mutex<Vec<ReadableDataset>>,
    /// What is said of every user, where they are refused.
    pub refused: Mutex<Option<Problem>>,
    pub audit_is_away: Mutex<bool>,
    changed: Notify,
}

/// Everything, running. Dropping it stops it.
pub struct Platform {
    pub dispatcher: Arc<Dispatcher>,
    pub objects: Objects,
    pub users: Url,
    pub tasks: Url,
    /// The path that this platform's engines were started by, and no others.
    pub engine: PathBuf,
    pub shutdown: CancellationToken,
    pub http: reqwest::Client,
    _folder: TempDir,
}

/// Bounds for tests: small, so that reaching one is quick.
pub fn limits() -> Limits {
    Limits {
        result_rows: 1_000,
        result_bytes: 100_000,
        deadline_ms: 20_000,
        waiting: 2,
        per_org: 8,
        objects: 50,
        liveness_bound_ms: 10_000,
    }
}

pub fn flights() -> RecordBatch {
    let origin = StringArray::from_iter_values((0..12).map(|n| if n % 2 == 0 { "JFK" } else { "EWR" }));
    RecordBatch::try_from_iter(vec![
        ("flight", Arc::new(Int64Array::from_iter_values(0..12)) as ArrayRef),
        ("origin", Arc::new(origin)),
        ("delay", Arc::new(Float64Array::from_iter_values((0..12).map(|n| f64::from(n) / 2.0)))),
    ])
    .unwrap()
}

async fn listen(router: Router) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// The program that this test run built, under a name of its own.
pub fn engine_program(folder: &TempDir) -> PathBuf {
    let program = folder.path().join("engine-under-test");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_query-service"), &program).unwrap();
    program
}

impl Platform {
    pub async fn start() -> Self {
        Self::with(limits(), Engines { count: 1, ..Engines::default() }).await
    }

    pub async fn with(limits: Limits, engines: Engines) -> Self {
        let folder = TempDir::new().unwrap();
        let engine = engine_program(&folder);
        let (dispatcher, objects) = (Arc::new(Dispatcher::default()), Objects::default());
        let dispatcher_url = listen(dispatcher_router(Arc::clone(&dispatcher))).await;
        let store_url = listen(objects.router()).await;
        let command = EngineCommand { program: engine.clone(), args: vec!["engine".into()] };
        let engines = Engines { command: Some(command), ..engines };
        let shutdown = CancellationToken::new();
        let config = config(&dispatcher_url, store_url, engines, limits);
        let service = trace_query_service::start(config, shutdown.clone()).await.unwrap();
        let Service { user_router, task_router, health_router, .. } = &service;
        let users = serve(user_router.clone(), &shutdown).await;
        let tasks = serve(task_router.clone().merge(health_router.clone()), &shutdown).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { dispatcher, objects, users, tasks, engine, shutdown, http, _folder: folder }
    }

    /// Stores a dataset of one object for each batch and gives back a grant of it.
    pub fn dataset(&self, name: &str, batches: &[RecordBatch]) -> InputGrant {
        let key = |part: usize| format!("data/o1/r1/t1/a1/out/{name}-{part}.parquet");
        let objects =
            batches.iter().enumerate().map(|(part, batch)| self.objects.put(&key(part), batch)).collect();
        self.grant(&Objects::manifest(objects))
    }

    pub fn grant(&self, manifest: &Manifest) -> InputGrant {
        let text = manifest.to_canonical_json();
        let sha256 = Manifest::digest(&text);
        self.dispatcher.manifests.lock().unwrap().insert(sha256, text);
        InputGrant {
            dataset: DatasetId::from_db(3),
            version: DatasetVersionId::from_db((1 << 20) + 4),
            manifest: sha256,
            partition: None,
            columns: None,
            row_filter: None,
        }
    }

    /// A capability of attempt `attempt` that grants these inputs.
    pub fn token(&self, attempt: i64, inputs: &[(&str, &InputGrant)]) -> String {
        tokens::capability(&tokens::claims(attempt, grants(inputs, Budgets::default())))
    }

    /// A capability over one table of flights.
    pub fn flights_token(&self, attempt: i64) -> String {
        self.token(attempt, &[("flights", &self.dataset("flights", &[flights()]))])
    }

    /// The same for another org.
    pub fn flights_token_of(&self, org: i64, attempt: i64) -> String {
        let flights = self.dataset("flights", &[flights()]);
        let mut claims = tokens::claims(attempt, grants(&[("flights", &flights)], Budgets::default()));
        claims.org = OrgId::from_db(org);
        tokens::capability(&claims)
    }

    pub async fn post(&self, url: &Url, path: &str, token: &str, body: &Value) -> (StatusCode, Bytes) {
        let request = self.http.post(url.join(path).unwrap()).bearer_auth(token).json(body);
        let response = request.send().await.unwrap();
        (response.status(), response.bytes().await.unwrap())
    }

    /// Asks as a task: the rows, or the problem.
    pub async fn ask(&self, token: &str, sql: &str) -> Result<Value, Value> {
        let (status, body) = self.post(&self.tasks, "v1/task/query", token, &json!({ "sql": sql })).await;
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        if status.is_success() { Ok(body["rows"].take()) } else { Err(body) }
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
            tokio::time::timeout(Duration::from_secs(20), changed).await.expect("an audit row");
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub fn grants(inputs: &[(&str, &InputGrant)], budgets: Budgets) -> Grants {
    Grants {
        inputs: inputs
            .iter()
            .map(|(name, grant)| (name.parse().unwrap(), (*grant).clone()))
            .collect::<BTreeMap<Name, _>>(),
        output: "s3://trace/data/o1/r1/t7/a1/out/".parse().unwrap(),
        scratch: "s3://trace/data/o1/r1/t7/a1/scratch/".parse().unwrap(),
        egress: Vec::new(),
        budgets,
    }
}

async fn serve(router: Router, shutdown: &CancellationToken) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(trace_plane::serve(listener, router, shutdown.clone()));
    url
}

fn config(dispatcher: &Url, store: Url, engines: Engines, limits: Limits) -> Config {
    let issuer = Issuer {
        issuer: tokens::ISSUER.to_owned(),
        jwks: dispatcher.join("jwks").unwrap(),
        audience: "trace".to_owned(),
    };
    Config {
        dispatcher: dispatcher.clone(),
        identity: Secret::new("plane".to_owned()),
        capabilities: issuer.clone(),
        capability_root: None,
        ca_file: None,
        plain_http: Default::default(),
        users: issuer,
        store: Store {
            endpoint: Some(store),
            region: "us-east-1".to_owned(),
            keys: Some(StoreKeys {
                access_key_id: "reader".to_owned(),
                secret_access_key: Secret::new("hush".to_owned()),
                session_token: None,
            }),
        },
        engines,
        limits,
    }
}

fn dispatcher_router(dispatcher: Arc<Dispatcher>) -> Router {
    Router::new()
        .route("/jwks", get(|| async { Json(tokens::jwks()) }))
        .route("/internal/liveness", post(liveness))
        .route("/internal/manifests/{version}/{sha256}", get(manifest))
        .route("/internal/audit", post(audit))
        .route("/internal/users/resolve", post(resolve))
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
    let changed = dispatcher.changed.notified();
    if dead().is_empty() {
        let _nothing_new = tokio::time::timeout(Duration::from_millis(request.wait_ms), changed).await;
    }
    Json(LivenessReply { dead: dead(), ..LivenessReply::default() })
}

async fn manifest(
    State(dispatcher): State<Arc<Dispatcher>>,
    Path((_version, sha256)): Path<(String, String)>,
) -> Response {
    let manifests = dispatcher.manifests.lock().unwrap();
    match manifests.get(&sha256.parse().unwrap()) {
        Some(text) => text.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn audit(State(dispatcher): State<Arc<Dispatcher>>, Json(request): Json<AuditRequest>) -> StatusCode {
    if *dispatcher.audit_is_away.lock().unwrap() {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    dispatcher.audited.lock().unwrap().extend(request.entries);
    dispatcher.changed.notify_waiters();
    StatusCode::OK
}

async fn resolve(State(dispatcher): State<Arc<Dispatcher>>) -> Json<UserResolution> {
    if let Some(refused) = dispatcher.refused.lock().unwrap().clone() {
        return Json(UserResolution::Refused { refused });
    }
    let datasets = dispatcher.published.lock().unwrap().clone();
    let (user, org, role) = (UserId::from_db(5), OrgId::from_db(1), Role::Reader);
    Json(UserResolution::Known(ResolveUserReply { user, org, role, datasets }))
}
