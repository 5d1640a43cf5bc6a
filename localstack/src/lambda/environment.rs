//! One environment: a folder for `/tmp` that outlives processes, a Runtime API, and the runner while it runs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{Answer, ROLE_KEY, runtime_api::RuntimeApi};
use crate::container::{Container, Image, Writable};

/// An environment of one tenant.
pub(super) struct Environment {
    temporary: TempDir,
    api: Arc<RuntimeApi>,
    running: Option<AbortOnDropHandle<()>>,
}

impl Environment {
    pub(super) fn new() -> anyhow::Result<Self> {
        let temporary = tempfile::Builder::new().prefix("trace-lambda.").tempdir()?;
        Ok(Self { temporary, api: Arc::default(), running: None })
    }

    /// How often an invocation was asked for.
    pub(super) fn asked(&self) -> u32 {
        self.api.asked()
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.is_finished())
    }

    /// Starts the runner where none runs; as in Lambda, what an earlier one has left in `/tmp` is there.
    pub(super) async fn wake(&mut self, image: &Image, reachable: &[SocketAddr; 3]) -> anyhow::Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let (address, serving) = Arc::clone(&self.api).listen().await?;
        let variables = variables(address, reachable);
        let all: Vec<SocketAddr> = reachable.iter().copied().chain([address]).collect();
        let started = image.start(Writable::Temporary(self.temporary.path()), &variables, &all).await;
        let mut container = started.context("an environment does not start")?;
        let api = Arc::clone(&self.api);
        self.running = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let _serving = serving;
            let status = tokio::select! {
                status = container.ended() => status.ok().flatten(),
                () = api.is_given_up() => return end(&mut container).await,
            };
            api.exited(status);
        })));
        Ok(())
    }

    /// Hands an invocation to the runner; answers as Lambda does.
    pub(super) fn deliver(
        &self,
        tenant: Option<String>,
        event: &serde_json::Value,
        time: Duration,
    ) -> impl Future<Output = Answer> + use<> {
        let answer = self.api.deliver(tenant, event, time);
        let api = Arc::clone(&self.api);
        async move {
            match timeout(time, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_gone)) => {
                    Answer::Failed { kind: "Runtime.Unknown".to_owned(), message: "the test ends".to_owned() }
                }
                Err(_elapsed) => {
                    api.give_up();
                    let message =
                        format!("RequestId: 1 Error: Task timed out after {:.2} seconds", time.as_secs_f64());
                    Answer::Failed { kind: "Sandbox.Timedout".to_owned(), message }
                }
            }
        }
    }
}

async fn end(container: &mut Container) {
    container.terminate();
    let _status = container.ended().await;
}

/// What Lambda starts a runtime with, and the function's own.
fn variables(api: SocketAddr, reachable: &[SocketAddr; 3]) -> Vec<(String, String)> {
    let of_lambda = [
        ("AWS_LAMBDA_RUNTIME_API", api.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", "runner".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "2048".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_ACCESS_KEY_ID", "role-access-key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", ROLE_KEY.to_owned()),
        ("AWS_SESSION_TOKEN", "role-session-token".to_owned()),
        ("LAMBDA_TASK_ROOT", "/var/task".to_owned()),
    ];
    let named = ["TRACE_TASK_API", "TRACE_QUERY", "TRACE_OBJECT_STORE"].into_iter().zip(reachable);
    let of_function = named.map(|(name, at)| (name, format!("http://{at}/")));
    of_lambda.into_iter().chain(of_function).map(|(name, value)| (name.to_owned(), value)).collect()
}
