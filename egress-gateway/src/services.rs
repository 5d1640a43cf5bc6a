//! Services of the platform itself: who they are is the dispatcher's to say, what they may reach the operator's.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::HeaderMap;
use serde::Deserialize;
use trace_contracts::{ErrorCode, Name, OrgId, Secret, Sha256, WorkerId};
use trace_plane::{PlaneClient, Refusal, Reply, bearer};

/// The dispatcher is asked again after this time, so that a revoked identity is worth nothing then.
const FRESH_FOR: Duration = Duration::from_secs(5);
/// Identities remembered at most; past that the memory starts anew.
const REMEMBERED: usize = 1_000;
/// An identity's token is never longer. A capability is.
const MAX_TOKEN_BYTES: usize = 128;
/// How identities begin. Nothing else is shown to the dispatcher as one.
const PREFIXES: [&str; 2] = ["plane_", "worker_"];

/// What one service may do at the gateway. Nothing, unless it is said.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Pools that it may call.
    pub rpc: BTreeSet<Name>,
}

/// The services that may use the gateway.
pub(crate) struct Services {
    planes: PlaneClient,
    /// By the names of identities, as `dispatcher init` gave them.
    rules: BTreeMap<String, Arc<Rules>>,
    known: Mutex<HashMap<Sha256, (Arc<Service>, Instant)>>,
}

/// One of them, proven by its identity no longer than [`FRESH_FOR`] ago.
#[derive(Debug)]
pub(crate) struct Service {
    id: WorkerId,
    name: String,
    org: OrgId,
    rules: Arc<Rules>,
}

impl Services {
    pub(crate) fn new(planes: PlaneClient, rules: BTreeMap<String, Rules>) -> Self {
        let rules = rules.into_iter().map(|(name, rules)| (name, Arc::new(rules))).collect();
        Self { planes, rules, known: Mutex::default() }
    }

    /// Names of pools that are granted to somebody.
    pub(crate) fn granted_pools(&self) -> impl Iterator<Item = &Name> {
        self.rules.values().flat_map(|rules| &rules.rpc)
    }

    /// Who sends these headers.
    ///
    /// # Errors
    /// `unauthenticated` without an identity's token; `forbidden` where the dispatcher does not know it, or the
    /// operator grants it nothing; `unavailable` while the dispatcher can't be asked.
    pub(crate) async fn prove(&self, headers: &HeaderMap) -> Reply<Arc<Service>> {
        let token = bearer(headers)?;
        if token.len() > MAX_TOKEN_BYTES || !PREFIXES.iter().any(|prefix| token.starts_with(prefix)) {
            let detail = "send the token of a worker or plane of this platform; a task's capability is none";
            return Err(Refusal::new(ErrorCode::Unauthenticated, detail));
        }
        let hash = Sha256::of(token.as_bytes());
        let asked_at = Instant::now();
        if let Some((service, since)) = self.known().get(&hash)
            && since.elapsed() < FRESH_FOR
        {
            return Ok(Arc::clone(service));
        }
        self.known().remove(&hash);
        let identity = self.planes.resolve_identity(&Secret::new(token.to_owned())).await?;
        let Some(rules) = self.rules.get(&identity.name) else {
            let detail =
                format!("`{}` may do nothing here: the gateway's `services` does not name it", identity.name);
            return Err(Refusal::new(ErrorCode::Forbidden, detail));
        };
        let service = Arc::new(Service {
            id: identity.identity,
            name: identity.name,
            org: identity.org,
            rules: Arc::clone(rules),
        });
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(hash, (Arc::clone(&service), asked_at));
        Ok(service)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Sha256, (Arc<Service>, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Its number.
    pub(crate) const fn id(&self) -> WorkerId {
        self.id
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The platform's own org, whose auditors see what it does.
    pub(crate) const fn org(&self) -> OrgId {
        self.org
    }

    /// Whether the operator lets it call this pool.
    pub(crate) fn may_call(&self, pool: &Name) -> bool {
        self.rules.rpc.contains(pool)
    }
}
