//! Workers and planes: who may call `/internal`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::HeaderMap;
use sqlx::PgPool;
use trace_contracts::{ErrorCode, Sha256, WorkerId};
use trace_controls::{Protection, stands};
use trace_plane::{Refusal, Reply, bearer};

use crate::db;

/// What an identity is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Runs tasks.
    Worker,
    /// Enforces capabilities: the query service, the object store, the egress gateway.
    Plane,
}

impl Kind {
    /// The name used in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Plane => "plane",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Worker, Self::Plane].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// An identity is looked up again after this time, and at once when news of a revocation come.
const FRESH_FOR: Duration = Duration::from_secs(5);
/// Identities remembered at most; past that the memory starts anew.
const REMEMBERED: usize = 1000;

/// Looks identities up by the hash of their token; cheap to clone.
#[derive(Debug, Clone)]
pub struct Identities {
    db: PgPool,
    known: Arc<Mutex<HashMap<Sha256, Known>>>,
}

/// A worker or plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its number.
    pub id: WorkerId,
    /// The name that it was given.
    pub name: Arc<str>,
    /// What it is for.
    pub kind: Kind,
}

#[derive(Debug, Clone)]
struct Known {
    identity: Identity,
    since: Instant,
}

impl Identities {
    /// Looks into this database.
    #[must_use]
    pub fn new(db: PgPool) -> Self {
        Self { db, known: Arc::default() }
    }

    /// Who sends these headers, if it is of this kind.
    ///
    /// # Errors
    /// `unauthenticated` without a token; `forbidden` when the token is nobody's, revoked, or of
    /// another kind.
    pub async fn prove(&self, headers: &HeaderMap, kind: Kind) -> Reply<WorkerId> {
        let found = self.of(bearer(headers)?).await;
        match found.map_err(|error| Refusal::from(crate::task::Error::from(error)))? {
            Some(identity) if identity.kind == kind => Ok(identity.id),
            _ if !stands(Protection::ServiceIdentity) => Ok(WorkerId::from_db(1)),
            _ => Err(Refusal::new(
                ErrorCode::Forbidden,
                format!("this token is not that of a {} of this platform", kind.as_str()),
            )),
        }
    }

    /// Whose token this is; nobody's, too, where it was revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of(&self, unverified_token: &str) -> Result<Option<Identity>, db::Error> {
        let hash = Sha256::of(unverified_token.as_bytes());
        match self.recall(&hash) {
            Some(identity) => Ok(Some(identity)),
            None => self.look_up(&hash).await,
        }
    }

    /// Forgets whom it has looked up: one of them may have been revoked.
    pub fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn recall(&self, hash: &Sha256) -> Option<Identity> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|known| known.since.elapsed() < FRESH_FOR).map(|known| known.identity.clone())
    }

    async fn look_up(&self, hash: &Sha256) -> Result<Option<Identity>, db::Error> {
        let found = db::identities::of_token(&mut *self.db.acquire().await?, hash).await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &found {
            Some(identity) => {
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                known.insert(*hash, Known { identity: identity.clone(), since: Instant::now() });
            }
            None => drop(known.remove(hash)),
        }
        Ok(found)
    }
}
