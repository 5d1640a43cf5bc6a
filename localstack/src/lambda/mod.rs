//! Lambda as an attempt meets it, which no emulator here runs: the Invoke API towards the launcher, and for each tenant
//! an environment whose Runtime API the runner speaks to. Written after the protocol that AWS documents, and after
//! what its own emulator of the Runtime API does.

mod environment;
mod runtime_api;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;
use trace_worker_wrapper::launcher::lambda::Config;

use self::environment::Environment;
use crate::{REGION, container::Image};

/// Whether a function's environments are each one tenant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenancy {
    /// As Lambda does it for a function that was created so.
    PerTenant,
    /// As for any other function; unlike Lambda, an invocation that names a tenant is taken all the same.
    None,
}

/// How an invocation was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// By the runner, that all is well.
    Ended,
    /// By the runner or by Lambda, with a type and a message.
    Failed {
        /// Such as `Runtime.ExitError`.
        kind: String,
        /// For people.
        message: String,
    },
}

/// One invocation.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Whose.
    pub tenant: String,
    /// Its event.
    pub event: serde_json::Value,
    /// How it was answered, once it was.
    pub answer: Option<Answer>,
}

/// Lambda. Its environments end when this is dropped.
pub struct Lambda {
    shared: Arc<Shared>,
    address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

struct Shared {
    image: Image,
    reachable: [SocketAddr; 3],
    tenancy: Tenancy,
    timeout: Duration,
    environments: tokio::sync::Mutex<HashMap<String, Environment>>,
    seen: Mutex<Vec<Seen>>,
}

/// What the function's role would be good for, where code must not find it.
pub(crate) const ROLE_KEY: &str = "role-secret-access-key";
const TENANT: &str = "x-amz-tenant-id";

impl Lambda {
    /// One function, whose invocations may take so long.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(
        image: Image,
        reachable: [SocketAddr; 3],
        tenancy: Tenancy,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let (environments, seen) = Default::default();
        let shared = Arc::new(Shared { image, reachable, tenancy, timeout, environments, seen });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("Lambda does not listen any more: {error}");
            }
        });
        Ok(Self { shared, address, _serving: AbortOnDropHandle::new(serving) })
    }

    /// What a worker is told of it.
    ///
    /// # Errors
    /// When that is no configuration.
    pub fn config(&self) -> anyhow::Result<Config> {
        Ok(serde_json::from_value(json!({
            "aws": {
                "region": REGION, "endpoint": format!("http://{}/", self.address),
                "keys": { "access_key_id": "test", "secret_access_key": "test" },
            },
            "functions": [{ "name": "runner", "memory_mib": 2048 }],
        }))?)
    }

    /// Every invocation so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen().clone()
    }

    /// Invokes the function as anybody who may.
    ///
    /// # Errors
    /// When no environment starts.
    pub async fn invoke(&self, tenant: &str, event: serde_json::Value) -> anyhow::Result<Answer> {
        self.shared.invoke(tenant, event).await
    }

    /// How often the runner of a tenant's environment has asked for an invocation, and whether it still runs.
    pub async fn runner(&self, tenant: &str) -> Option<(u32, bool)> {
        let environments = self.shared.environments.lock().await;
        environments.get(tenant).map(|environment| (environment.asked(), environment.is_running()))
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn invoke(&self, tenant: &str, event: serde_json::Value) -> anyhow::Result<Answer> {
        let number = {
            let mut seen = self.seen();
            seen.push(Seen { tenant: tenant.to_owned(), event: event.clone(), answer: None });
            seen.len() - 1
        };
        // One attempt at a time is started here; it runs while others are.
        let answering = {
            let mut environments = self.environments.lock().await;
            if !environments.contains_key(tenant) {
                environments.insert(tenant.to_owned(), Environment::new()?);
            }
            let environment =
                environments.get_mut(tenant).ok_or_else(|| anyhow::anyhow!("it was just made"))?;
            environment.wake(&self.image, &self.reachable).await?;
            let told = (self.tenancy == Tenancy::PerTenant).then(|| tenant.to_owned());
            environment.deliver(told, &event, self.timeout)
        };
        let answer = answering.await;
        self.seen()[number].answer = Some(answer.clone());
        Ok(answer)
    }
}

async fn invoke(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let refused = |code: &'static str, status: StatusCode, message: &str| {
        (status, [("x-amzn-errortype", code)], Json(json!({ "message": message }))).into_response()
    };
    let Some(tenant) = headers.get(TENANT).and_then(|tenant| tenant.to_str().ok()) else {
        return refused("InvalidParameterValueException", StatusCode::BAD_REQUEST, "no tenant id");
    };
    let event = serde_json::from_slice(&body).unwrap_or_default();
    // As in Lambda, an invocation goes on when nobody waits for its answer any more.
    let tenant = tenant.to_owned();
    let invoked = tokio::spawn(async move { shared.invoke(&tenant, event).await }).await;
    match invoked.unwrap_or_else(|error| Err(error.into())) {
        Ok(Answer::Ended) => "null".into_response(),
        Ok(Answer::Failed { kind, message }) => {
            let error = json!({ "errorType": kind, "errorMessage": message });
            ([("x-amz-function-error", "Unhandled")], Json(error)).into_response()
        }
        Err(error) => refused("ServiceException", StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}")),
    }
}
