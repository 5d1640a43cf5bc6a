//! A dispatcher, served, and clients of it.

use std::{collections::BTreeMap, sync::Arc};

use reqwest::{Method, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use trace_contracts::{
    ClaimId, ErrorCode, Name, Problem, Role, Secret, Sha256,
    wire::{
        user::{DeployReply, DeployRequest, RunInfo},
        worker::{Blob, ClaimReply, Lease},
    },
};
use trace_dispatcher::{
    Adapters, Addresses, App, Config, bootstrap,
    config::{Egress, Jwks, Keys, Limits, Listen, ObjectStore, StoreKeys, UserIssuer},
    credentials::{QueryServiceOnly, Source},
    identity::Kind,
    start,
    webhooks::Settings,
};

use super::{
    postgres,
    s3::FakeS3,
    users::{ISSUER, Issuer},
};

/// `iss` of capabilities.
pub const CAPABILITY_ISSUER: &str = "https://trace.example";

/// A dispatcher with its database, its object store and the orgs `main` and `rival`. It stops when
/// this is dropped.
pub struct TestApp {
    /// Its state.
    pub app: App,
    /// Where it listens.
    pub addresses: Addresses,
    /// Its object store.
    pub s3: FakeS3,
    /// Signs users' tokens.
    pub issuer: Issuer,
    http: reqwest::Client,
    worker: Secret<String>,
    plane: Secret<String>,
    _stop: DropGuard,
    _folder: TempDir,
}

impl TestApp {
    /// Starts one with a way out.
    pub async fn start() -> Self {
        Self::with(Egress::Gateway).await
    }

    /// Starts one with this way out, or none.
    pub async fn with(egress: Egress) -> Self {
        Self::configured(egress, Settings::default()).await
    }

    /// Starts one that sends deliveries in this way.
    pub async fn delivering(webhooks: Settings) -> Self {
        Self::configured(Egress::Gateway, webhooks).await
    }

    async fn configured(egress: Egress, webhooks: Settings) -> Self {
        let folder = tempfile::tempdir().expect("a folder is made");
        let issuer = Issuer::new(&folder.path().join("issuer"));
        let jwks = folder.path().join("users.json");
        std::fs::write(&jwks, issuer.jwks()).expect("keys are written");
        let (s3, endpoint) = FakeS3::start().await;
        let local = "127.0.0.1:0".parse().expect("an address");
        let config = Config {
            database_url: Secret::new(postgres::fresh_database().await),
            database_connections: 8,
            unverified_database: Default::default(),
            plain_http: Default::default(),
            transport: Default::default(),
            ready_file: None,
            listen: Listen { users: local, tasks: local, workers: local },
            key_dir: folder.path().join("keys"),
            capability_issuer: CAPABILITY_ISSUER.to_owned(),
            users: UserIssuer {
                issuer: ISSUER.to_owned(),
                audience: "trace".to_owned(),
                jwks: Jwks::File(jwks),
            },
            object_store: ObjectStore {
                endpoint: Some(endpoint),
                region: "us-east-1".to_owned(),
                bucket: "trace".to_owned(),
                keys: Some(StoreKeys {
                    access_key_id: "test".to_owned(),
                    secret_access_key: Secret::new("test".to_owned()),
                }),
            },
            keys: Keys { platform_org: Some("main".parse().expect("a name")), ..Keys::default() },
            credentials: Source::None,
            egress,
            webhooks,
            wake_ups: trace_dispatcher::queue::Source::Postgres,
            limits: Limits::default(),
        };
        let adapters = Adapters::new(&config, Arc::new(QueryServiceOnly));
        let stop = CancellationToken::new();
        let dispatcher = start(config, adapters, stop.clone()).await.expect("the dispatcher starts");
        let app = dispatcher.app().clone();
        for org in ["main", "rival"] {
            let slug: Name = org.parse().expect("a name");
            bootstrap::ensure_org(&app.db, &slug).await.expect("an org is made");
        }
        let worker =
            bootstrap::issue_identity(&app.db, "worker", Kind::Worker).await.expect("a worker is made");
        let plane = bootstrap::issue_identity(&app.db, "plane", Kind::Plane).await.expect("a plane is made");
        let listeners = dispatcher.bind().await.expect("ports are free");
        let addresses = listeners.addresses().expect("listeners have addresses");
        tokio::spawn(dispatcher.serve(listeners));
        let http = reqwest::Client::builder().no_proxy().build().expect("a client is built");
        Self { app, addresses, s3, issuer, http, worker, plane, _stop: stop.drop_guard(), _folder: folder }
    }

    /// A client with the token of a user of `main`, who is called by their role.
    pub fn user(&self, role: Role) -> Client {
        self.named(role.as_str(), "main", role)
    }

    /// A client with the token of any user.
    pub fn named(&self, user: &str, org: &str, role: Role) -> Client {
        self.with_token(Some(self.issuer.token(user, org, role)))
    }

    /// A client of the users' address with this token, or none.
    pub fn with_token(&self, token: Option<String>) -> Client {
        Client { http: self.http.clone(), base: format!("http://{}", self.addresses.users), token }
    }

    /// A client of the workers' address with the worker's identity.
    pub fn worker(&self) -> Client {
        self.internal(&self.worker)
    }

    /// A client of the same address with a plane's identity.
    pub fn plane(&self) -> Client {
        self.internal(&self.plane)
    }

    fn internal(&self, identity: &Secret<String>) -> Client {
        let token = Some(identity.expose().clone());
        Client { http: self.http.clone(), base: format!("http://{}", self.addresses.workers), token }
    }

    /// Claims everything that is ready.
    pub async fn claim(&self) -> Vec<Lease> {
        let body = json!({ "claim_id": ClaimId::random(), "max": 100, "wait_ms": 0 });
        let reply: ClaimReply =
            self.worker().post("/internal/claim", &body).await.json().await.expect("leases");
        reply.leases
    }

    /// Says of a lease that its task has succeeded, with one object, or has failed.
    pub async fn complete(&self, lease: &Lease, outcome: Value) {
        let launch = &lease.launch;
        let key = format!(
            "data/{}/{}/{}/{}/out/part-0.parquet",
            launch.org, launch.run, launch.task, lease.attempt
        );
        self.s3.put(&key, b"rows");
        let fence =
            json!({ "task": launch.task, "attempt": lease.attempt, "lease_token": lease.lease_token });
        let body = json!({ "completions": [{ "fence": fence, "outcome": outcome }] });
        let reply: Value =
            self.worker().post("/internal/complete", &body).await.json().await.expect("verdicts");
        assert_eq!(reply, json!({ "verdicts": [{ "verdict": "recorded" }] }));
    }

    /// A client of the tasks' address with this capability.
    pub fn task(&self, capability: &Secret<String>) -> Client {
        let base = format!("http://{}", self.addresses.tasks);
        Client { http: self.http.clone(), base, token: Some(capability.expose().clone()) }
    }

    /// Runs what is ready until nothing is.
    pub async fn run_everything(&self) {
        loop {
            let leases = self.claim().await;
            if leases.is_empty() {
                return;
            }
            for lease in leases {
                self.complete(&lease, json!({ "outcome": "succeeded" })).await;
            }
        }
    }
}

/// Sends requests with one token.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client of any address.
    pub fn at(http: &reqwest::Client, base: &str, token: &str) -> Self {
        Self { http: http.clone(), base: base.to_owned(), token: Some(token.to_owned()) }
    }

    /// A request to be filled in.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// A request as it is.
    pub async fn send(&self, method: Method, path: &str) -> Response {
        self.request(method, path).send().await.expect("the dispatcher answers")
    }

    /// `GET`, whose answer must be this.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let response = self.send(Method::GET, path).await;
        assert_eq!(response.status(), StatusCode::OK, "GET {path}");
        response.json().await.expect("the answer has the expected form")
    }

    /// `POST` of a JSON body.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Response {
        self.request(Method::POST, path).json(body).send().await.expect("the dispatcher answers")
    }

    /// Uploads content; answers what to call it in a deploy.
    pub async fn upload(&self, content: &[u8]) -> Blob {
        let blob = Blob { sha256: Sha256::of(content), size: content.len() as u64 };
        let path = format!("/v1/blobs/{}", blob.sha256);
        let response = self
            .request(Method::PUT, &path)
            .body(content.to_vec())
            .send()
            .await
            .expect("the dispatcher answers");
        assert!(response.status().is_success(), "PUT {path}: {}", response.status());
        blob
    }

    /// Deploys a file whose every path stands for this content: a file as it is, a folder as a bundle with
    /// it as `main.py`.
    pub async fn try_deploy(&self, yaml: &str, content: &[u8]) -> Response {
        let names = |path: &str| yaml.contains(&format!(": {path} }}"));
        let mut blobs = BTreeMap::new();
        if names("u") {
            blobs.insert("u".to_owned(), self.upload(&bundle("main.py", content)).await);
        }
        if names("data.csv") {
            blobs.insert("data.csv".to_owned(), self.upload(content).await);
        }
        self.post("/v1/dags", &DeployRequest { yaml: yaml.to_owned(), blobs }).await
    }

    /// Deploys, which must be possible.
    pub async fn deploy(&self, yaml: &str) -> DeployReply {
        let response = self.try_deploy(yaml, b"a bundle").await;
        let status = response.status();
        let body = response.text().await.expect("an answer");
        assert!(status.is_success(), "{status}: {body}");
        serde_json::from_str(&body).expect("a deploy's answer")
    }

    /// Triggers a run without parameters.
    pub async fn trigger(&self, dag: &str) -> RunInfo {
        let response = self.post(&format!("/v1/dags/{dag}/runs"), &json!({})).await;
        let status = response.status();
        let body = response.text().await.expect("an answer");
        assert_eq!(status, StatusCode::CREATED, "{body}");
        serde_json::from_str(&body).expect("a run")
    }
}

/// A bundle of one file.
pub fn bundle(name: &str, content: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("an archive in memory");
    std::io::Write::write_all(&mut zip, content).expect("an archive in memory");
    zip.finish().expect("an archive in memory").into_inner()
}

/// The problem that a request was refused with.
pub async fn problem(response: Response) -> Problem {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let status = response.status();
    let problem: Problem = response.json().await.expect("a problem");
    assert_eq!(status.as_u16(), problem.status);
    problem
}

/// The kind of problem that a request was refused with.
pub async fn code(response: Response) -> ErrorCode {
    problem(response).await.code
}
