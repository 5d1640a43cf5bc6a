//! The object store as a process, with a way for dispatchers to open and end sessions: what STS is to
//! S3.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use trace_contracts::{AttemptId, KeyId, OrgId, Secret, TaskId};
use trace_dispatcher::credentials::{CredentialMinter, Error, SessionKeys, SessionRequest};
use trace_object_store::{
    Config, Denial, DenialSink, EmbeddedObjectStore, Limits, MintRequest, RootCredentials, SessionIssuer,
};
use url::Url;

/// The bucket.
pub const BUCKET: &str = "trace";
/// The region that requests are signed for.
pub const REGION: &str = "us-east-1";
/// A session is opened or ended within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the store is, and its root keys: what it writes once it is ready.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Whereabouts {
    /// The S3 endpoint.
    pub endpoint: String,
    /// Where sessions are opened and ended.
    pub sessions: String,
    /// The root keys.
    pub access_key_id: String,
    /// The root keys.
    pub secret_access_key: Secret<String>,
}

#[derive(Serialize, Deserialize)]
struct Mint {
    org: OrgId,
    task: TaskId,
    attempt: AttemptId,
    kid: KeyId,
    policy: String,
    seconds: u64,
}

#[derive(Serialize, Deserialize)]
struct Minted {
    access_key_id: String,
    secret_access_key: Secret<String>,
    session_token: Secret<String>,
    expires_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct Revoke {
    attempt: AttemptId,
}

/// Serves the folder `root`, and writes to `ready` where.
///
/// # Errors
/// When it can't start.
pub async fn serve(root: PathBuf, ready: &Path) -> anyhow::Result<()> {
    let stop = super::until_terminated()?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let store = EmbeddedObjectStore::start(Config {
        root,
        listen: any,
        bucket: BUCKET.to_owned(),
        region: REGION.to_owned(),
        limits: Limits::default(),
        denials: Arc::new(Logged),
    })
    .await?;
    let router =
        Router::new().route("/mint", post(mint)).route("/revoke", post(revoke)).with_state(store.sessions());
    let listener = TcpListener::bind(any).await?;
    let RootCredentials { access_key_id, secret_access_key } = store.root_credentials().clone();
    let whereabouts = Whereabouts {
        endpoint: store.endpoint().to_string(),
        sessions: format!("http://{}/", listener.local_addr()?),
        access_key_id,
        secret_access_key,
    };
    let draft = ready.with_extension("draft");
    std::fs::write(&draft, serde_json::to_vec(&whereabouts)?)?;
    std::fs::rename(&draft, ready)?;
    trace_plane::serve(listener, router, stop).await?;
    store.shutdown().await;
    Ok(())
}

async fn mint(
    State(sessions): State<SessionIssuer>,
    Json(mint): Json<Mint>,
) -> Result<Json<Minted>, (StatusCode, String)> {
    let Mint { org, task, attempt, kid, policy, seconds } = mint;
    let request =
        MintRequest { org, task, attempt, kid, policy_json: policy, duration: Duration::from_secs(seconds) };
    let keys = sessions.mint(request).map_err(|error| (StatusCode::CONFLICT, error.to_string()))?;
    Ok(Json(Minted {
        access_key_id: keys.access_key_id,
        secret_access_key: keys.secret_access_key,
        session_token: keys.session_token,
        expires_at: keys.expires_at,
    }))
}

async fn revoke(State(sessions): State<SessionIssuer>, Json(revoke): Json<Revoke>) {
    sessions.revoke(revoke.attempt);
}

/// Refusals go to the log of the process; nothing here reads an audit log.
struct Logged;

#[async_trait]
impl DenialSink for Logged {
    async fn denied(&self, denial: Denial) {
        tracing::warn!(?denial, "denied");
    }
}

/// The dispatcher's side of it.
pub(super) struct RemoteSessions {
    at: Url,
    client: reqwest::Client,
}

impl RemoteSessions {
    pub(super) fn new(at: Url) -> Self {
        Self { at, client: trace_plane::client::http_client(PATIENCE) }
    }

    async fn post<B: Serialize + Sync>(&self, route: &str, body: &B) -> Result<reqwest::Response, Error> {
        let unavailable = |error: String| Error::Unavailable(error);
        let url = self.at.join(route).map_err(|error| unavailable(error.to_string()))?;
        let answer = self.client.post(url).json(body).send().await;
        let answer = answer.map_err(|error| unavailable(error.to_string()))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(unavailable(answer.text().await.unwrap_or_default()))
    }
}

#[async_trait]
impl CredentialMinter for RemoteSessions {
    async fn mint(&self, request: SessionRequest) -> Result<SessionKeys, Error> {
        let mint = Mint {
            org: request.org,
            task: request.task,
            attempt: request.attempt,
            kid: request.kid,
            policy: request.policy.document,
            seconds: request.duration.as_secs(),
        };
        let minted: Minted = self
            .post("mint", &mint)
            .await?
            .json()
            .await
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(SessionKeys {
            access_key_id: minted.access_key_id,
            secret_access_key: minted.secret_access_key,
            session_token: minted.session_token,
            expires_at: minted.expires_at,
        })
    }

    async fn revoke(&self, attempt: AttemptId) -> Result<(), Error> {
        self.post("revoke", &Revoke { attempt }).await.map(drop)
    }
}
