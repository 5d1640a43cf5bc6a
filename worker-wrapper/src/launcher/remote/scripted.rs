//! What tests of launchers stand on: the dispatcher and the cloud are one server, which answers as the test says and
//! remembers what it was asked.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Uri},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};
use trace_contracts::{
    AttemptId, LaunchTicket, LeaseToken, Secret, TaskId,
    wire::worker::{Fence, Resources},
};
use trace_plane::Trust;
use trace_surface::Program;
use url::Url;

use crate::{
    dispatcher::Dispatcher,
    launcher::{Ended, Error, Launcher, Order},
};

/// Longer than anything takes.
pub const LONG: Duration = Duration::from_secs(30);
/// A test lets something go on by noting this.
pub const GO: &str = "/go";

/// The cloud of a test.
#[async_trait]
pub trait Cloud: Sized + Send + Sync + 'static {
    /// What it answers, if the call is one of its own.
    async fn answer(server: &Server<Self>, call: &Call) -> Option<Response>;
}

/// What was asked.
#[derive(Debug, Clone)]
pub struct Call {
    /// The last part of AWS's target, or the path.
    pub name: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, if it is JSON.
    pub body: Value,
}

/// The dispatcher, and the cloud.
pub struct Server<C> {
    /// The cloud.
    pub cloud: Mutex<C>,
    runner: Mutex<Runner>,
    asked: Mutex<Vec<Call>>,
    news: watch::Sender<()>,
}

/// What the dispatcher knows of the runner.
#[derive(Debug, Clone)]
pub struct Runner {
    /// Whether the ticket was redeemed.
    pub is_redeemed: bool,
    /// What was reported.
    pub events: Vec<Value>,
}

impl Runner {
    /// None has come.
    pub const fn none() -> Self {
        Self { is_redeemed: false, events: Vec::new() }
    }

    /// One that has reported this.
    pub const fn reported(events: Vec<Value>) -> Self {
        Self { is_redeemed: true, events }
    }
}

/// Locks, whatever became of other threads.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<C: Cloud> Server<C> {
    /// Listens; answers where, and a worker's way to the dispatcher there.
    pub async fn start(cloud: C, runner: Runner) -> (Arc<Self>, Url, Dispatcher) {
        let server = Arc::new(Self {
            cloud: Mutex::new(cloud),
            runner: Mutex::new(runner),
            asked: Mutex::default(),
            news: watch::Sender::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let worker = Secret::new("worker".to_owned());
        let dispatcher = Dispatcher::new(address.clone(), worker, &Trust::default());
        (server, address, dispatcher)
    }

    /// Every call of that name.
    pub fn calls(&self, name: &str) -> Vec<Call> {
        lock(&self.asked).iter().filter(|call| call.name == name).cloned().collect()
    }

    /// Waits for the first call of that name.
    pub async fn called(&self, name: &str) {
        self.called_often(name, 1).await;
    }

    /// Waits until there are so many calls of that name.
    pub async fn called_often(&self, name: &str, times: usize) {
        let mut news = self.news.subscribe();
        let waiting = async {
            while self.calls(name).len() < times {
                news.changed().await.unwrap();
            }
        };
        timeout(LONG, waiting).await.unwrap();
    }

    /// As if it had been called.
    pub fn note(&self, name: &str) {
        let (headers, body) = (HeaderMap::new(), Value::Null);
        lock(&self.asked).push(Call { name: name.to_owned(), headers, body });
        self.news.send_replace(());
    }

    /// What is known of the runner from now on.
    pub fn runner(&self, runner: Runner) {
        *lock(&self.runner) = runner;
        self.note("the runner");
    }

    /// Like the dispatcher's, it keeps events until the caller says that it has taken them.
    async fn watched(&self, request: &Value) -> Value {
        let taken = usize::try_from(request["taken"].as_u64().unwrap_or_default()).unwrap_or_default();
        let mut news = self.news.subscribe();
        loop {
            let (stage, events) = {
                let runner = lock(&self.runner);
                let stage = if runner.is_redeemed { "redeemed" } else { "ticketed" };
                (stage, runner.events.get(taken..).unwrap_or_default().to_vec())
            };
            if stage != request["stage"] || !events.is_empty() {
                return json!({ "stage": stage, "events": events });
            }
            news.changed().await.unwrap();
        }
    }
}

async fn answer<C: Cloud>(
    State(server): State<Arc<Server<C>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()?.split('.').nth(1));
    let name = target.unwrap_or(uri.path()).to_owned();
    let call = Call { name, headers, body: serde_json::from_slice(&body).unwrap_or_default() };
    lock(&server.asked).push(call.clone());
    server.news.send_replace(());
    if let Some(answer) = C::answer(&server, &call).await {
        return answer;
    }
    Json(match call.name.as_str() {
        "/internal/launch/ticket" => json!({
            "ticket": LaunchTicket::random(), "expires_at": "2030-01-01T00:00:00Z", "valid_ms": 60_000,
        }),
        "/internal/launch/watch" => server.watched(&call.body).await,
        _ => json!({}),
    })
    .into_response()
}

/// A small job, leased.
pub fn order() -> Order {
    let fence = Fence {
        task: TaskId::from_db(1 << 20),
        attempt: AttemptId::from_db(40),
        lease_token: LeaseToken::random(),
    };
    Order {
        lease: Some(fence),
        program: Program::Python,
        bundle: None,
        files: None,
        inputs: None,
        env: Vec::new(),
        resources: Resources { cpu_millis: 250, memory_bytes: 256 << 20, disk_bytes: 1 << 20 },
        timeout: Duration::from_secs(60),
        egress: None,
    }
}

/// Launches it, and waits for its end.
pub async fn end(launcher: &impl Launcher) -> Result<Ended, Error> {
    timeout(LONG, launcher.launch(order()).await?.ended).await.unwrap()
}
