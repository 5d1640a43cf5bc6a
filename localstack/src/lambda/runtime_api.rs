//! The Runtime API of one environment. Like AWS's own emulator it tells whoever asks, while an invocation is being
//! served, of that same invocation again, and asks nobody who they are.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::Answer;

/// The Runtime API.
#[derive(Default)]
pub(super) struct RuntimeApi {
    state: Mutex<Serving>,
    news: watch::Sender<()>,
    given_up: CancellationToken,
}

#[derive(Default)]
struct Serving {
    serving: Option<Invocation>,
    asked: u32,
}

struct Invocation {
    id: String,
    tenant: Option<String>,
    event: String,
    deadline: SystemTime,
    answer: oneshot::Sender<Answer>,
}

impl RuntimeApi {
    fn state(&self) -> MutexGuard<'_, Serving> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens until what this answers is dropped.
    pub(super) async fn listen(self: Arc<Self>) -> anyhow::Result<(SocketAddr, AbortOnDropHandle<()>)> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(self);
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("the Runtime API does not listen any more: {error}");
            }
        });
        Ok((address, AbortOnDropHandle::new(serving)))
    }

    pub(super) fn asked(&self) -> u32 {
        self.state().asked
    }

    /// Lambda ends the environment.
    pub(super) fn give_up(&self) {
        self.given_up.cancel();
    }

    pub(super) async fn is_given_up(&self) {
        self.given_up.cancelled().await;
    }

    /// An invocation for whoever asks next.
    pub(super) fn deliver(
        &self,
        tenant: Option<String>,
        event: &Value,
        time: Duration,
    ) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let (id, event) = (uuid::Uuid::new_v4().to_string(), event.to_string());
        let deadline = SystemTime::now() + time;
        self.state().serving = Some(Invocation { id, tenant, event, deadline, answer });
        self.news.send_replace(());
        answered
    }

    /// The runner has ended, before it has answered if there is still an invocation.
    pub(super) fn exited(&self, status: Option<i32>) {
        let how = match status {
            Some(0) => "without providing a reason".to_owned(),
            Some(status) if status > 128 => "with error: signal: killed".to_owned(),
            Some(status) => format!("with error: exit status {status}"),
            None => "with error: signal: killed".to_owned(),
        };
        if let Some(Invocation { id, answer, .. }) = self.state().serving.take() {
            let message = format!("RequestId: {id} Error: Runtime exited {how}");
            let _nobody_waits = answer.send(Answer::Failed { kind: "Runtime.ExitError".to_owned(), message });
        }
    }

    fn answered(&self, id: &str, answer: Answer) -> Response {
        let mut state = self.state();
        let Some(served) = state.serving.take_if(|serving| serving.id == id) else {
            return (StatusCode::BAD_REQUEST, Json(json!({ "errorType": "InvalidRequestID" })))
                .into_response();
        };
        let _nobody_waits = served.answer.send(answer);
        (StatusCode::ACCEPTED, Json(json!({ "status": "OK" }))).into_response()
    }

    fn event(&self) -> Option<Response> {
        let state = self.state();
        let Invocation { id, tenant, event, deadline, .. } = state.serving.as_ref()?;
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().to_string();
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:runner";
        let mut answer = (
            [
                ("lambda-runtime-aws-request-id", id.as_str()),
                ("lambda-runtime-deadline-ms", deadline.as_str()),
                ("lambda-runtime-invoked-function-arn", arn),
                ("lambda-runtime-trace-id", "Root=1-0-0;Parent=0;Sampled=0"),
                ("content-type", "application/json"),
            ],
            event.clone(),
        )
            .into_response();
        if let Some(tenant) = tenant.as_ref().and_then(|tenant| tenant.parse().ok()) {
            answer.headers_mut().insert("lambda-runtime-aws-tenant-id", tenant);
        }
        Some(answer)
    }
}

async fn next(State(api): State<Arc<RuntimeApi>>) -> Response {
    api.state().asked += 1;
    let mut news = api.news.subscribe();
    loop {
        if let Some(event) = api.event() {
            return event;
        }
        if news.changed().await.is_err() {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    }
}

async fn response(State(api): State<Arc<RuntimeApi>>, Path(id): Path<String>) -> Response {
    api.answered(&id, Answer::Ended)
}

async fn error(State(api): State<Arc<RuntimeApi>>, Path(id): Path<String>, body: Bytes) -> Response {
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    api.answered(&id, Answer::Failed { kind: text("errorType"), message: text("errorMessage") })
}
