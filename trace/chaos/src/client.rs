//! A user's client that retries as `docs/operations.md` says.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::wait::pass;
use anyhow::{Context as _, bail};
use rand::Rng as _;
use reqwest::{Method, StatusCode, header::RETRY_AFTER};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use trace_contracts::{Problem, RunId, Secret, Sha256, wire::header::IDEMPOTENCY_KEY, wire::user::RunInfo};

/// The first pause; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// One try takes no longer.
const TRY: Duration = Duration::from_secs(20);
/// All tries together take no longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Calls `/v1` as one user.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Secret<String>,
    calls: AtomicU64,
    retries: AtomicU64,
}

/// What one try came to.
enum Try {
    Answered(Vec<u8>),
    /// Ask again, after this time where the answer said so.
    Again(String, Option<Duration>),
}

impl Client {
    /// A client of the platform at `base`, such as `http://127.0.0.1:7000/`.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub fn new(base: String, token: Secret<String>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(TRY).build()?;
        Ok(Self { http, base, token, calls: AtomicU64::new(0), retries: AtomicU64::new(0) })
    }

    /// Calls so far, and how many tries more they took.
    pub fn counts(&self) -> (u64, u64) {
        (self.calls.load(Ordering::Relaxed), self.retries.load(Ordering::Relaxed))
    }

    /// Uploads content under its hash.
    ///
    /// # Errors
    /// When it is refused, or nobody answers for two minutes.
    pub async fn upload(&self, content: &[u8]) -> anyhow::Result<Sha256> {
        let sha256 = Sha256::of(content);
        self.call(Method::PUT, &format!("v1/blobs/{sha256}"), content.to_vec(), None).await?;
        Ok(sha256)
    }

    /// Posts JSON. With a key the platform does it once, however often it is asked.
    ///
    /// # Errors
    /// As [`upload`](Self::upload).
    pub async fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        key: Option<&str>,
    ) -> anyhow::Result<T> {
        let answer = self.call(Method::POST, path, serde_json::to_vec(body)?, key).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Where a run stands.
    ///
    /// # Errors
    /// As [`upload`](Self::upload).
    pub async fn run(&self, run: RunId) -> anyhow::Result<RunInfo> {
        let answer = self.call(Method::GET, &format!("v1/runs/{run}"), Vec::new(), None).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        key: Option<&str>,
    ) -> anyhow::Result<Vec<u8>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let until = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            let (why, asked) = match self.once(&method, path, &body, key).await? {
                Try::Answered(answer) => return Ok(answer),
                Try::Again(why, asked) => (why, asked),
            };
            if Instant::now() >= until {
                bail!("{method} {path} failed for {PATIENCE:?}; in the end: {why}");
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%method, path, why, "trying again");
            let jitter = rand::rng().random_range(0.5..1.0);
            pass(asked.unwrap_or_else(|| pause.mul_f64(jitter))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn once(&self, method: &Method, path: &str, body: &[u8], key: Option<&str>) -> anyhow::Result<Try> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method.clone(), url).bearer_auth(self.token.expose());
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body.to_vec());
        }
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        let answered = async {
            let answer = request.send().await?;
            let (status, after) = (answer.status(), answer.headers().get(RETRY_AFTER).cloned());
            Ok::<_, reqwest::Error>((status, after, answer.bytes().await?))
        };
        let (status, after, body) = match answered.await {
            Ok(answer) => answer,
            // Nobody knows whether it was done: asking again is safe.
            Err(error) => return Ok(Try::Again(format!("{error:?}"), None)),
        };
        if status.is_success() {
            return Ok(Try::Answered(body.to_vec()));
        }
        let why =
            serde_json::from_slice::<Problem>(&body).map_or_else(|_| String::new(), |problem| problem.detail);
        if !may_pass(status) {
            return Err(anyhow::anyhow!("{method} {path}: {status}: {why}")).context("refused for good");
        }
        let after = after.and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        Ok(Try::Again(format!("{status}: {why}"), after))
    }
}

/// Whether the same request may be answered otherwise later.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}
