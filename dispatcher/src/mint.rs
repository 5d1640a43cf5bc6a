//! Signs capability tokens. Nothing else in the platform can.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{
    Audience, Grants, OrgId, Secret,
    token::{CAPABILITY_TYPE, CapabilityClaims, MAX_TOKEN_BYTES},
    wire::task::TokenReply,
};
use uuid::Uuid;

use crate::{
    config::Limits,
    db::leases::LeaseRow,
    keys::{self, KeyRing, SigningKey},
};

/// Signs tokens for leases; cheap to clone.
#[derive(Debug, Clone)]
pub struct Minter {
    ring: KeyRing,
    terms: Terms,
}

/// A minter with the key that signs now. For one request: the next one may sign with another key.
#[derive(Debug, Clone)]
pub struct Signer {
    key: Arc<SigningKey>,
    terms: Terms,
}

#[derive(Debug, Clone)]
struct Terms {
    issuer: Arc<str>,
    lifetime: Duration,
    grace: Duration,
}

/// Why no token was signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The grants do not fit.
    #[error(
        "the grants of this task make a token of {0} bytes, more than {MAX_TOKEN_BYTES}: give the job fewer inputs or shorter column lists"
    )]
    TooLong(usize),
    /// The task's time is up.
    #[error("the task's time is up")]
    TimeUp,
    /// Signing failed.
    #[error("the token could not be signed")]
    Sign(#[from] keys::SignError),
}

/// Whose token, and for how long its task may run in all.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The lease that the token lives by.
    pub lease: &'a LeaseRow,
    /// The org.
    pub org: OrgId,
    /// What the attempt may do.
    pub grants: &'a Grants,
    /// Wall-clock time of the attempt.
    pub timeout: Duration,
}

impl Minter {
    /// A minter that signs with the keys of `ring` in the name of `issuer`.
    #[must_use]
    pub fn new(ring: KeyRing, issuer: &str, limits: &Limits) -> Self {
        Self { ring, terms: Terms::new(issuer, limits) }
    }

    /// A signer with the key that signs now. Ask after the lease is there: the lease of a token that a key
    /// has signed is then always older than the moment when the key stopped.
    ///
    /// # Errors
    /// When the key is not here, or the database fails.
    pub async fn signer(&self, conn: &mut PgConnection) -> Result<Signer, keys::Error> {
        Ok(Signer { key: self.ring.signing(conn).await?, terms: self.terms.clone() })
    }
}

impl Terms {
    fn new(issuer: &str, limits: &Limits) -> Self {
        Self {
            issuer: issuer.into(),
            lifetime: Duration::from_secs(limits.token_seconds),
            grace: Duration::from_secs(limits.token_grace_seconds),
        }
    }
}

impl Signer {
    /// A signer with this very key.
    #[must_use]
    pub fn with(key: Arc<SigningKey>, issuer: &str, limits: &Limits) -> Self {
        Self { key, terms: Terms::new(issuer, limits) }
    }

    /// A token for one audience. It ends with the configured lifetime, and at the latest a moment
    /// after the attempt's time is up.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn mint(
        &self,
        subject: Subject<'_>,
        audience: Audience,
        now: DateTime<Utc>,
    ) -> Result<TokenReply, Error> {
        let lease = subject.lease;
        let expires_at =
            (now + self.terms.lifetime).min(lease.started_at + subject.timeout + self.terms.grace);
        if expires_at <= now {
            return Err(Error::TimeUp);
        }
        let claims = CapabilityClaims {
            iss: self.terms.issuer.to_string(),
            aud: audience,
            sub: lease.task,
            attempt: lease.attempt,
            org: subject.org,
            jti: Uuid::new_v4(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: expires_at.timestamp(),
            grants: subject.grants.clone(),
        };
        let token = self.key.token(CAPABILITY_TYPE, &claims)?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Error::TooLong(token.len()));
        }
        Ok(TokenReply { token: Secret::new(token), expires_at })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use trace_contracts::{AttemptId, Capability, EgressGrant, LeaseToken, RunId, TaskId, WorkerId, token};

    use super::*;

    fn lease(started_at: DateTime<Utc>) -> LeaseRow {
        LeaseRow {
            attempt: AttemptId::from_db(40),
            lease_token: LeaseToken::random(),
            task: TaskId::in_run(RunId::from_db(17), 12).unwrap(),
            worker: WorkerId::from_db(1),
            failures: 0,
            losses: 0,
            started_at,
            expires_at: started_at,
        }
    }

    fn grants() -> Grants {
        Grants {
            inputs: BTreeMap::new(),
            output: "s3://trace/data/o1/r17/t12/a40/out/".parse().unwrap(),
            scratch: "s3://trace/data/o1/r17/t12/a40/scratch/".parse().unwrap(),
            egress: Vec::new(),
            budgets: trace_contracts::grant::Budgets::default(),
        }
    }

    fn minter() -> (tempfile::TempDir, Arc<SigningKey>, Signer) {
        let dir = tempfile::tempdir().unwrap();
        let key = Arc::new(SigningKey::open(&dir.path().join("keys")).unwrap());
        let minter = Signer::with(Arc::clone(&key), "https://d", &Limits::default());
        (dir, key, minter)
    }

    #[test]
    fn tokens_verify_for_their_audience_alone() {
        let (_dir, key, minter) = minter();
        let (lease, grants, now) = (lease(Utc::now()), grants(), Utc::now());
        let subject = Subject {
            lease: &lease,
            org: OrgId::from_db(1),
            grants: &grants,
            timeout: Duration::from_secs(60),
        };
        let reply = minter.mint(subject, Audience::Query, now).unwrap();
        let keys = key.key_set().unwrap();
        let verify = |audience| Capability::verify(reply.token.expose(), &keys, "https://d", audience);
        let capability = verify(Audience::Query).unwrap();
        assert_eq!((capability.attempt(), capability.task()), (lease.attempt, lease.task));
        assert_eq!(capability.grants(), &grants);
        assert_eq!(verify(Audience::Dispatcher).unwrap_err(), token::Error::Audience);
    }

    #[test]
    fn a_token_ends_soon_after_the_attempts_time() {
        let (_dir, _key, minter) = minter();
        let now = Utc::now();
        let (grants, old) = (grants(), lease(now - Duration::from_secs(50)));
        let subject = Subject {
            lease: &old,
            org: OrgId::from_db(1),
            grants: &grants,
            timeout: Duration::from_secs(60),
        };
        let reply = minter.mint(subject, Audience::Query, now).unwrap();
        assert_eq!(reply.expires_at, now + Duration::from_secs(40));
        let late = now + Duration::from_secs(41);
        assert!(matches!(minter.mint(subject, Audience::Query, late), Err(Error::TimeUp)));
        let day = Subject { timeout: Duration::from_secs(86_400), ..subject };
        let reply = minter.mint(day, Audience::Query, now).unwrap();
        assert_eq!(reply.expires_at, now + Duration::from_secs(600));
    }

    #[test]
    fn grants_that_do_not_fit_are_said_so() {
        let (_dir, _key, minter) = minter();
        let mut grants = grants();
        let destination = "example.org:443".parse().unwrap();
        grants.egress = vec![EgressGrant { destination, max_bytes: 1, max_requests: 1 }; 1000];
        let lease = lease(Utc::now());
        let subject = Subject {
            lease: &lease,
            org: OrgId::from_db(1),
            grants: &grants,
            timeout: Duration::from_secs(60),
        };
        assert!(matches!(minter.mint(subject, Audience::Query, Utc::now()), Err(Error::TooLong(_))));
    }
}
