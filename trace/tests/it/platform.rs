//! A platform that answers as a test says, and remembers what it was asked.

use std::{
    net::SocketAddr,
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{Response, StatusCode, header::CONTENT_TYPE},
};
use serde_json::{Value, json};
use tokio::process::Command;

/// One request as it came in.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method, path and query, such as `GET /v1/runs?limit=20`.
    pub line: String,
    /// The header of this name.
    pub authorization: String,
    /// Empty when there is none.
    pub idempotency_key: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What to answer.
pub struct Answer(StatusCode, &'static str, Vec<u8>);

impl Answer {
    pub fn json(value: &Value) -> Self {
        Self(StatusCode::OK, "application/json", value.to_string().into_bytes())
    }

    pub fn bytes(kind: &'static str, body: &[u8]) -> Self {
        Self(StatusCode::OK, kind, body.to_vec())
    }

    pub fn status(status: u16) -> Self {
        Self(StatusCode::from_u16(status).unwrap(), "text/plain", Vec::new())
    }

    pub fn problem(status: u16, code: &str, detail: &str, errors: &Value) -> Self {
        let body =
            json!({"code": code, "status": status, "title": "A title", "detail": detail, "errors": errors});
        let status = StatusCode::from_u16(status).unwrap();
        Self(status, "application/problem+json", body.to_string().into_bytes())
    }
}

impl Answer {
    /// A problem whose body a test writes itself.
    pub fn problem_body(status: u16, body: &Value) -> Self {
        Self(StatusCode::from_u16(status).unwrap(), "application/problem+json", body.to_string().into_bytes())
    }
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

pub struct Platform {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Platform {
    pub async fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, record): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&asked));
        let router = Router::new().fallback(move |request: Request| {
            let (script, record) = (Arc::clone(&script), Arc::clone(&record));
            async move {
                let asked = read(request).await;
                record.lock().unwrap().push(asked.clone());
                let Answer(status, kind, body) = script(&asked);
                Response::builder().status(status).header(CONTENT_TYPE, kind).body(Body::from(body)).unwrap()
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn trace(&self, arguments: &[&str]) -> Ran {
        run(arguments, &[("TRACE_URL", &self.url()), ("TRACE_TOKEN", "a-token")], Path::new(".")).await
    }
}

async fn read(request: Request) -> Asked {
    let (parts, body) = request.into_parts();
    let header = |name: &str| {
        parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    Asked {
        line: format!("{} {}", parts.method, parts.uri),
        authorization: header("authorization"),
        idempotency_key: header("idempotency-key"),
        body: to_bytes(body, 64 << 20).await.unwrap().to_vec(),
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ran {
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// Standard output as the one JSON document that it must be.
    pub fn document(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// Runs the program with nothing in its environment but this.
pub async fn run(arguments: &[&str], environment: &[(&str, &str)], folder: &Path) -> Ran {
    let output = command(arguments, environment, folder).output().await.unwrap();
    let Output { status, stdout, stderr } = output;
    Ran { code: status.code().unwrap(), stdout, stderr: String::from_utf8(stderr).unwrap() }
}

pub fn command(arguments: &[&str], environment: &[(&str, &str)], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trace"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).current_dir(folder);
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    command
}

/// A run in this state, with so many tasks done.
pub fn run_info(state: &str, running: u64, succeeded: u64, dead: u64) -> Value {
    json!({
        "run": "r1", "dag": "flights", "version": "gv1", "state": state,
        "tasks": {"waiting": 0, "queued": 0, "running": running, "failed": 0, "succeeded": succeeded,
                  "dead": dead, "cancelled": 0, "skipped": 0},
        "created_at": "2026-01-01T00:00:00Z",
        "finished_at": if state == "running" { Value::Null } else { json!("2026-01-01T00:00:12Z") },
    })
}

/// A task in this state, tried once.
pub fn task_info(number: u32, state: &str) -> Value {
    json!({
        "task": format!("t1.{number}"), "run": "r1", "job": "delays", "partition": "2013-01", "state": state,
        "retry_at": null,
        "attempts": [{
            "attempt": format!("a{number}"), "worker": "w", "started_at": "2026-01-01T00:00:00Z",
            "ended_at": "2026-01-01T00:00:01Z", "outcome": if state == "dead" { "memory" } else { "succeeded" },
            "detail": null,
        }],
    })
}
