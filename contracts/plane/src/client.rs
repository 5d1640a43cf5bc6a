//! What a plane asks of the dispatcher.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::{Method, Url};
use serde::{Serialize, de::DeserializeOwned};
use trace_contracts::{
    DatasetVersionId, ErrorCode, Manifest, Problem, Secret, Sha256,
    wire::{
        delivery::{DeliveryClaimReply, DeliveryClaimRequest, DeliveryReportReply, DeliveryReportRequest},
        plane::{
            AuditEntry, AuditRequest, IdentityResolution, LivenessReply, LivenessRequest,
            ResolveIdentityRequest, ResolveUserReply, ResolveUserRequest, ResolvedIdentity, UserResolution,
        },
    },
};

use crate::{Refusal, Reply, Trust};

/// The dispatcher answers within this time, beyond what a request asks it to wait.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A manifest is never longer.
const MAX_MANIFEST_BYTES: usize = 64 * 1024 * 1024;
/// Any other answer is never longer.
const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;
/// Manifests remembered at most; they never change.
const REMEMBERED_MANIFESTS: usize = 1_000;

/// Calls the dispatcher's routes for planes; cheap to clone.
#[derive(Clone)]
pub struct PlaneClient {
    base: Url,
    identity: Secret<String>,
    http: reqwest::Client,
    manifests: Arc<Mutex<HashMap<Sha256, Arc<Manifest>>>>,
}

/// A client that follows no redirect, honours no proxy variable, and never waits for ever.
#[must_use]
pub fn http_client(timeout: Duration) -> reqwest::Client {
    Trust::default().http_client(timeout)
}

/// The whole body, or `None` when it is longer than `max` bytes.
///
/// # Errors
/// When the connection fails.
pub async fn read_capped(
    mut response: reqwest::Response,
    max: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > max {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

impl PlaneClient {
    /// A client of the dispatcher whose `/internal` routes lie at `base`.
    #[must_use]
    pub fn new(base: Url, identity: Secret<String>) -> Self {
        Self::trusting(&Trust::default(), base, identity)
    }

    /// The same, where the dispatcher's certificate is of an authority that the system does not know.
    #[must_use]
    pub fn trusting(trust: &Trust, base: Url, identity: Secret<String>) -> Self {
        Self { base, identity, http: trust.http_client(TIMEOUT), manifests: Arc::default() }
    }

    /// Which of these attempts are over.
    ///
    /// # Errors
    /// `unavailable` when the dispatcher can't be asked; whatever it answers otherwise.
    pub async fn liveness(&self, request: &LivenessRequest) -> Reply<LivenessReply> {
        let timeout = TIMEOUT + Duration::from_millis(request.wait_ms);
        let body = serde_json::to_vec(request).map_err(|error| Refusal::internal(&error))?;
        self.call(Method::POST, "internal/liveness", Some(body), timeout, MAX_REPLY_BYTES)
            .await
            .and_then(|b| read(&b))
    }

    /// The manifest of a version, or of one of its partitions, that has this hash; checked against it.
    ///
    /// # Errors
    /// `not_found` when there is none; `unavailable` when the dispatcher can't be asked or its
    /// answer is not the manifest that was asked for.
    pub async fn manifest(&self, version: DatasetVersionId, sha256: Sha256) -> Reply<Arc<Manifest>> {
        if let Some(manifest) = self.manifests().get(&sha256) {
            return Ok(Arc::clone(manifest));
        }
        let path = format!("internal/manifests/{version}/{sha256}");
        let bytes = self.call(Method::GET, &path, None, TIMEOUT, MAX_MANIFEST_BYTES).await?;
        if Sha256::of(&bytes) != sha256 {
            return Err(Refusal::new(
                ErrorCode::Unavailable,
                "a manifest does not have the hash it was asked for by",
            ));
        }
        let manifest: Arc<Manifest> = Arc::new(read(&bytes)?);
        let mut remembered = self.manifests();
        if remembered.len() >= REMEMBERED_MANIFESTS {
            remembered.clear();
        }
        remembered.insert(sha256, Arc::clone(&manifest));
        Ok(manifest)
    }

    /// Writes to the audit log. What can't be written must not be done.
    ///
    /// # Errors
    /// `unavailable` when the dispatcher can't be reached.
    pub async fn audit(&self, entries: Vec<AuditEntry>) -> Reply<()> {
        let body =
            serde_json::to_vec(&AuditRequest { entries }).map_err(|error| Refusal::internal(&error))?;
        self.call(Method::POST, "internal/audit", Some(body), TIMEOUT, MAX_REPLY_BYTES).await.map(drop)
    }

    /// Takes deliveries that are due, waiting until there is one.
    ///
    /// # Errors
    /// `unavailable` when the dispatcher can't be asked; whatever it answers otherwise.
    pub async fn claim_deliveries(&self, request: &DeliveryClaimRequest) -> Reply<DeliveryClaimReply> {
        let timeout = TIMEOUT + Duration::from_millis(request.wait_ms);
        let body = serde_json::to_vec(request).map_err(|error| Refusal::internal(&error))?;
        self.call(Method::POST, "internal/deliveries/claim", Some(body), timeout, MAX_REPLY_BYTES)
            .await
            .and_then(|b| read(&b))
    }

    /// Says what came of deliveries.
    ///
    /// # Errors
    /// `unavailable` when the dispatcher can't be asked: then it gives them out again once their claim ends.
    pub async fn report_deliveries(&self, request: &DeliveryReportRequest) -> Reply<DeliveryReportReply> {
        self.post("internal/deliveries/report", request).await
    }

    /// Who this user is now, and what they may read.
    ///
    /// # Errors
    /// What the dispatcher says of the user or their token, such as `forbidden` where they are suspended;
    /// `unavailable` when it can't be asked.
    pub async fn resolve_user(&self, unverified_token: &Secret<String>) -> Reply<ResolveUserReply> {
        let request = ResolveUserRequest { token: unverified_token.clone() };
        match self.post("internal/users/resolve", &request).await? {
            UserResolution::Known(user) => Ok(user),
            UserResolution::Refused { refused } => Err(refused.into()),
        }
    }

    /// Which worker or plane this is the token of.
    ///
    /// # Errors
    /// `forbidden` where it is nobody's or was revoked; `unavailable` when the dispatcher can't be asked.
    pub async fn resolve_identity(&self, unverified_token: &Secret<String>) -> Reply<ResolvedIdentity> {
        let request = ResolveIdentityRequest { token: unverified_token.clone() };
        match self.post("internal/identities/resolve", &request).await? {
            IdentityResolution::Known(identity) => Ok(identity),
            IdentityResolution::Refused { refused } => Err(refused.into()),
        }
    }

    async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Reply<T> {
        let body = serde_json::to_vec(body).map_err(|error| Refusal::internal(&error))?;
        let bytes = self.call(Method::POST, path, Some(body), TIMEOUT, MAX_REPLY_BYTES).await?;
        read(&bytes)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        timeout: Duration,
        max_bytes: usize,
    ) -> Reply<Vec<u8>> {
        let url = self.base.join(path).map_err(|error| Refusal::internal(&error))?;
        let mut request = self.http.request(method, url).bearer_auth(self.identity.expose()).timeout(timeout);
        if let Some(body) = body {
            request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| away(&error))?;
        let status = response.status();
        let bytes =
            read_capped(response, max_bytes).await.map_err(|error| away(&error))?.ok_or_else(|| {
                Refusal::new(
                    ErrorCode::Unavailable,
                    "the dispatcher's answer is longer than this plane takes",
                )
            })?;
        if status.is_success() { Ok(bytes) } else { Err(refused(status, &bytes)) }
    }

    fn manifests(&self) -> std::sync::MutexGuard<'_, HashMap<Sha256, Arc<Manifest>>> {
        self.manifests.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Reply<T> {
    serde_json::from_slice(bytes).map_err(|error| Refusal::internal(&error))
}

fn away(error: &reqwest::Error) -> Refusal {
    tracing::warn!(error = error as &dyn std::error::Error, "the dispatcher can't be asked");
    Refusal::new(ErrorCode::Unavailable, "the dispatcher can't be asked right now; try again")
}

fn refused(status: http::StatusCode, body: &[u8]) -> Refusal {
    match serde_json::from_slice::<Problem>(body) {
        // Our own identity was refused, which is no fault of the caller's.
        Ok(problem) if problem.code == ErrorCode::Forbidden => {
            tracing::error!(detail = problem.detail, "the dispatcher refuses this plane's identity");
            Refusal::new(ErrorCode::Unavailable, "this plane may not ask the dispatcher; see its log")
        }
        Ok(problem) => problem.into(),
        Err(_) => {
            Refusal::new(ErrorCode::Unavailable, format!("the dispatcher answered {status}; try again"))
        }
    }
}
