//! A dispatcher without keys of its own: it is the machine's role, as ECS gives it to a task.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{interval, timeout};
use trace_contracts::{ClaimId, Role, wire::worker::ClaimReply};
use trace_plane::Trust;

use crate::support::{
    app::Client,
    fake_sts::{FakeSts, SIGNED_BY},
    postgres,
    program::{self, Lines, Serving, Setting},
    s3::FakeS3,
};

const AUTHORIZATION: &str = "of-this-container";
const LONG: Duration = Duration::from_secs(60);

/// What ECS runs beside a task: keys of its role.
#[derive(Clone)]
struct MachineRole(Arc<Mutex<(&'static str, DateTime<Utc>)>>);

impl MachineRole {
    async fn start(key: &'static str, lasts: TimeDelta) -> (Self, SocketAddr) {
        let role = Self(Arc::new(Mutex::new((key, Utc::now() + lasts))));
        let router = Router::new().route("/role", get(keys)).with_state(role.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (role, address)
    }

    fn rotate(&self, key: &'static str, lasts: TimeDelta) {
        *self.0.lock().unwrap() = (key, Utc::now() + lasts);
    }
}

async fn keys(State(role): State<MachineRole>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    if headers.get("authorization").is_none_or(|shown| shown != AUTHORIZATION) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let (key, ends) = *role.0.lock().unwrap();
    Ok(Json(json!({
        "AccessKeyId": key, "SecretAccessKey": "hush-role", "Token": format!("token-of-{key}"),
        "Expiration": ends.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })))
}

struct Case {
    setting: Setting,
    serving: Serving,
    s3: FakeS3,
    sts: FakeSts,
    http: reqwest::Client,
    worker: String,
}

impl Case {
    async fn start(role: &str) -> Self {
        let (setting, (s3, s3_at), (sts, sts_at)) =
            (Setting::new(), FakeS3::start().await, FakeSts::start().await);
        let more = format!(
            "credentials: {{ sts: {{ role_arn: 'arn:aws:iam::123456789012:role/task', endpoint: '{sts_at}' }} }}\n"
        );
        let database_url = postgres::fresh_database().await;
        let object_store = format!("endpoint: '{s3_at}'");
        let config =
            setting.write(&Lines { database_url: &database_url, object_store: &object_store, more: &more });
        let made = program::run(&[
            "init",
            "--config",
            config.to_str().unwrap(),
            "--org",
            "main",
            "--worker",
            "w1",
            "--print-tokens",
        ])
        .await;
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let worker = made["identities"][0]["done"]["made"].as_str().unwrap().to_owned();
        let variables = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", role),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", AUTHORIZATION),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        let mut serving = Serving::start(&config, &variables);
        let http = Trust::default().http_client(LONG);
        serving.until_ready(&http, &format!("http://127.0.0.1:{}", setting.users)).await;
        Self { setting, serving, s3, sts, http, worker }
    }

    fn user(&self) -> Client {
        let token = self.setting.issuer.token("alice", "main", Role::Admin);
        Client::at(&self.http, &format!("http://127.0.0.1:{}", self.setting.users), &token)
    }

    /// Starts a task, and has it ask for keys.
    async fn ask_for_keys(&self) {
        let yaml = "name: d\njobs: [{ name: a, udf: { language: python, path: u } }]\n";
        self.user().deploy(yaml).await;
        self.user().trigger("d").await;
        let workers =
            Client::at(&self.http, &format!("http://127.0.0.1:{}", self.setting.workers), &self.worker);
        let claim = json!({ "claim_id": ClaimId::random(), "max": 1, "wait_ms": 10_000 });
        let claimed: ClaimReply = workers.post("/internal/claim", &claim).await.json().await.unwrap();
        let capability = claimed.leases[0].capability_token.expose();
        let tasks = Client::at(&self.http, &format!("http://127.0.0.1:{}", self.setting.tasks), capability);
        let answer = tasks.send(Method::POST, "/v1/task/credentials").await;
        assert!(answer.status().is_success(), "{}: {}", answer.status(), self.serving.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_s_role_signs_and_its_new_keys_are_used_before_the_old_ones_end() {
    let (role, address) = MachineRole::start("ASIAFIRST", TimeDelta::seconds(15)).await;
    let case = Case::start(&format!("http://{address}/role")).await;
    let user = case.user();
    user.upload(b"first").await;
    assert_eq!(case.s3.take_signers(), ["ASIAFIRST"]);
    let first_ends = role.0.lock().unwrap().1;
    role.rotate("ASIASECOND", TimeDelta::hours(1));
    let rotated = async {
        let mut again = interval(Duration::from_millis(50));
        loop {
            // None of them may fail: `upload` asserts that.
            user.upload(Utc::now().to_rfc3339().as_bytes()).await;
            match case.s3.take_signers().as_slice() {
                [key] if key == "ASIASECOND" => return,
                [key] => assert!(key == "ASIAFIRST" && Utc::now() < first_ends, "{key}"),
                other => panic!("{other:?}"),
            }
            again.tick().await;
        }
    };
    timeout(LONG, rotated).await.expect("the new keys are used");

    case.ask_for_keys().await;
    let asked = case.sts.take();
    assert_eq!((asked.len(), asked[0][SIGNED_BY].as_str()), (1, "ASIASECOND"));
    assert!(!case.serving.log().contains("hush"), "{}", case.serving.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_and_without_a_role_the_log_says_what_to_do() {
    let nobody = trace_ports::reserve_address();
    let case = Case::start(&format!("http://{nobody}/role")).await;
    let sha256 = trace_contracts::Sha256::of(b"x");
    let put =
        case.user().request(Method::PUT, &format!("/v1/blobs/{sha256}")).body("x").send().await.unwrap();
    assert!(put.status().is_server_error(), "{}", put.status());
    let log = case.serving.log();
    assert!(log.contains("S3") && log.contains("Check the task's role or the configured keys"), "{log}");
}
