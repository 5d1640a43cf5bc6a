//! The dispatcher's `/v1/task` routes, called on behalf of an attempt with the attempt's own token.

use std::{
    future::pending,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use tokio::time::timeout;
use trace_contracts::{
    Audience, S3Prefix, Secret,
    wire::task::{ContextReply, CredentialsReply, SessionCredentials, TokenReply, TokenRequest},
};
use trace_plane::Trust;
use url::Url;

use crate::{
    backoff::Backoff,
    dispatcher::{Error, Http},
};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A token is not renewed more often, even one that is about to end or that ends at the same time
/// however often it is renewed.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(5);

/// The task API; clones share connections.
#[derive(Debug, Clone)]
pub struct TaskApi {
    http: Http,
}

impl TaskApi {
    /// The dispatcher whose `/v1/task` routes lie at `base`.
    #[must_use]
    pub fn new(base: Url, trust: &Trust) -> Self {
        Self { http: Http::new(base, trust) }
    }

    async fn token(&self, current: &Secret<String>, audience: Audience) -> Result<TokenReply, Error> {
        let request = TokenRequest { audience };
        self.http.call("v1/task/token", current, &request, TIMEOUT).await
    }

    async fn credentials(&self, current: &Secret<String>) -> Result<CredentialsReply, Error> {
        self.http.call_without_body("v1/task/credentials", current, TIMEOUT).await
    }

    async fn context(&self, current: &Secret<String>) -> Result<ContextReply, Error> {
        self.http.get("v1/task/context", current, TIMEOUT).await
    }
}

/// The capability of one attempt, kept fresh for as long as the attempt runs: a token lasts minutes,
/// a task may take hours.
#[derive(Debug)]
pub struct Authority {
    api: TaskApi,
    token: Mutex<Token>,
}

#[derive(Debug, Clone)]
struct Token {
    value: Secret<String>,
    expires_at: Option<DateTime<Utc>>,
}

/// What a capability lets an attempt reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The platform alone.
    Platform,
    /// Destinations outside, too, through the egress gateway.
    Outside,
}

/// Where an attempt's outputs go, and the keys to write them with.
#[derive(Debug, Clone)]
pub struct OutputAccess {
    /// The attempt's output prefix.
    pub output: S3Prefix,
    /// The region to sign for.
    pub region: String,
    /// Keys that write there.
    pub session: SessionCredentials,
}

/// Why there is no access to the outputs' place.
#[derive(Debug, thiserror::Error)]
pub enum NoAccess {
    /// The dispatcher did not give it.
    #[error("asking for the output's credentials: {0}")]
    Api(#[from] Error),
    /// It gave keys that do not reach it.
    #[error("no session of the attempt may write to {0}")]
    NoSession(S3Prefix),
}

impl NoAccess {
    /// Whether asking again may go better.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Api(error) if error.is_passing())
    }
}

impl Authority {
    /// The authority that came with a lease.
    #[must_use]
    pub fn new(api: TaskApi, token: Secret<String>) -> Self {
        let expires_at = expiry(token.expose());
        Self { api, token: Mutex::new(Token { value: token, expires_at }) }
    }

    /// Renews the token whenever half of what was left of its time has passed. Never ends.
    pub async fn keep_fresh(&self) {
        let mut backoff = Backoff::default();
        loop {
            let Some(expires_at) = self.current().expires_at else { return pending().await };
            let _time_passed = timeout(until_renewal(expires_at, Utc::now()), pending::<()>()).await;
            match self.api.token(&self.current().value, Audience::Dispatcher).await {
                Ok(reply) => {
                    *self.token.lock().unwrap_or_else(PoisonError::into_inner) =
                        Token { value: reply.token, expires_at: Some(reply.expires_at) };
                    backoff = Backoff::default();
                }
                Err(error) => {
                    tracing::warn!(%error, "an attempt's token was not renewed");
                    backoff.pause().await;
                }
            }
        }
    }

    /// What the attempt's capability lets it reach.
    #[must_use]
    pub fn reach(&self) -> Reach {
        reach(self.current().value.expose())
    }

    /// A token for the egress gateway.
    ///
    /// # Errors
    /// When the dispatcher refuses, as for an attempt that may reach nothing outside, or is away.
    pub async fn exchange_for_egress(&self) -> Result<TokenReply, Error> {
        self.api.token(&self.current().value, Audience::Egress).await
    }

    /// Where the attempt's outputs go, and with which keys.
    ///
    /// # Errors
    /// See [`NoAccess`].
    pub async fn output_access(&self) -> Result<OutputAccess, NoAccess> {
        let token = self.current().value;
        let (context, credentials) =
            tokio::try_join!(self.api.context(&token), self.api.credentials(&token))?;
        let output = context.output;
        let session = credentials
            .sessions
            .into_iter()
            .find(|session| session.write.iter().any(|prefix| prefix.covers(&output)))
            .ok_or_else(|| NoAccess::NoSession(output.clone()))?;
        Ok(OutputAccess { output, region: credentials.region, session })
    }

    fn current(&self) -> Token {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Half of what is left of a token's time.
fn until_renewal(expires_at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    ((expires_at - now).to_std().unwrap_or_default() / 2).max(SHORTEST_RENEWAL)
}

/// When a token says that it ends. It came from the dispatcher itself, so that there is nothing to
/// prove here; a token that does not say is not renewed.
fn expiry(token: &str) -> Option<DateTime<Utc>> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims: Claims = claims(token)?;
    DateTime::from_timestamp(claims.exp, 0)
}

/// Whether a token says that anything outside may be reached. A token that does not say lets nobody out.
fn reach(token: &str) -> Reach {
    #[derive(Deserialize)]
    struct Claims {
        grants: Grants,
    }
    #[derive(Deserialize)]
    struct Grants {
        #[serde(default)]
        egress: Vec<IgnoredAny>,
    }
    match claims::<Claims>(token) {
        Some(claims) if !claims.grants.egress.is_empty() => Reach::Outside,
        _ => Reach::Platform,
    }
}

/// What a token says. It came from the dispatcher itself, so that there is nothing to prove here.
fn claims<C: DeserializeOwned>(token: &str) -> Option<C> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_token_is_read_from_it() {
        let payload = BASE64_URL_SAFE_NO_PAD.encode(r#"{"exp":1700000000,"sub":"t1"}"#);
        assert_eq!(expiry(&format!("e30.{payload}.sig")).unwrap().timestamp(), 1_700_000_000);
        for odd in ["", "opaque", "a.b.c", "e30.e30.sig"] {
            assert_eq!(expiry(odd), None);
        }
    }

    #[test]
    fn only_a_token_that_says_so_leads_out() {
        let token = |payload: &str| format!("e30.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(payload));
        let grant = r#"{"destination":"api.example.com:443","max_bytes":1,"max_requests":1}"#;
        let with = |egress: &str| token(&format!(r#"{{"exp":1,"grants":{{"inputs":{{}}{egress}}}}}"#));
        assert_eq!(reach(&with(&format!(r#","egress":[{grant}]"#))), Reach::Outside);
        for inside in [with(""), with(r#","egress":[]"#), token(r#"{"exp":1}"#), "opaque".to_owned()] {
            assert_eq!(reach(&inside), Reach::Platform, "{inside}");
        }
    }

    #[test]
    fn a_token_is_renewed_at_half_its_time_and_never_in_a_hurry() {
        let now = Utc::now();
        for (left, wait) in [(600, 300), (12, 6), (4, 5), (-60, 5)] {
            let expires_at = now + chrono::TimeDelta::seconds(left);
            assert_eq!(until_renewal(expires_at, now), Duration::from_secs(wait), "{left} s left");
        }
    }
}
