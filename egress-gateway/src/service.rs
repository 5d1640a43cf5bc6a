//! Putting the parts together.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trace_contracts::Name;
use trace_plane::{
    KeySource, Listener, Liveness, PlaneClient, Trust, UnusableRoot, Verifier, outgoing,
    readiness::Readiness, tls::TrustError,
};

use crate::{
    audit::Auditor,
    config::{Config, Limits},
    deliver::Courier,
    policy::{File, Policy, file},
    proxy::{self, Core},
    resolve::{self, Resolver},
    rpc::{self, Rpc},
    services::Services,
    vetting::Vetter,
};

/// How long requests in flight may take once the gateway stops.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operator's file.
    #[error("`policy`, {path}, {reason}", path = .path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: file::Error,
    },
    /// An address that would be called without TLS.
    #[error(transparent)]
    Outgoing(#[from] outgoing::Refused),
    /// The authorities can't be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The authorities that receivers of deliveries are believed by can't be read.
    #[error("`deliveries`: {0}")]
    Receivers(#[source] TrustError),
    /// The root of trust can't be read.
    #[error(transparent)]
    Root(#[from] UnusableRoot),
    /// The resolver.
    #[error(transparent)]
    Resolver(#[from] resolve::Error),
    /// A pool.
    #[error("`rpc`, the pool `{name}`: {reason}")]
    Pool {
        /// Which.
        name: Name,
        /// Why it can't be used.
        reason: rpc::Error,
    },
    /// Something that all pools share.
    #[error("`rpc`: {0}")]
    Rpc(rpc::Error),
    /// A service may call what there is not.
    #[error("`services` name the pool `{0}`, and `rpc.pools` has none of this name")]
    NoPool(Name),
}

/// A running gateway.
pub struct Gateway {
    core: Arc<Core>,
    rpc: Arc<Rpc>,
    slots: Arc<Semaphore>,
}

/// Starts the gateway. Until `shutdown` it sends deliveries and takes requests; then tunnels are ended, requests in
/// flight are given ten seconds, and deliveries under way are sent to their end.
///
/// # Errors
/// When the operator's file, the root of trust or a provider's key can't be read, or the dispatcher would be called
/// without TLS.
pub async fn start(config: Config, shutdown: CancellationToken) -> Result<Gateway, Error> {
    config.check_addresses()?;
    let file = match &config.policy {
        Some(path) => File::read(path).map_err(|reason| Error::Policy { path: path.clone(), reason })?,
        None => File::default(),
    };
    let policy = Policy::new(file);
    policy.log();
    let trust = Trust::read(config.ca_file.as_deref())?;
    let (jwks, issuer) = (config.capabilities.jwks, config.capabilities.issuer);
    let keys = KeySource::of_capabilities(&trust, jwks, &issuer, config.capability_root.as_deref())?;
    let Limits { connections, .. } = config.limits;
    let receivers = Trust::read(config.deliveries.ca_file.as_deref()).map_err(Error::Receivers)?;
    let planes = PlaneClient::trusting(&trust, config.dispatcher, config.identity);
    let tasks = TaskTracker::new();
    let resolver = Resolver::new(&config.dns_servers, config.limits.reach())?;
    let vetter = Arc::new(Vetter { policy, resolver });
    let auditor = Auditor::start(planes.clone(), &tasks);
    let services = Arc::new(Services::new(planes.clone(), config.services));
    let rpc = Rpc::new(config.rpc, Arc::clone(&services), Arc::clone(&vetter), auditor.clone());
    let rpc = rpc.map_err(|(name, reason)| match name {
        Some(name) => Error::Pool { name, reason },
        None => Error::Rpc(reason),
    })?;
    if let Some(none) = services.granted_pools().find(|granted| !rpc.names().any(|name| name == *granted)) {
        return Err(Error::NoPool(none.clone()));
    }
    let core = Core {
        capabilities: Verifier::new(keys, &issuer),
        liveness: Liveness::with_bound(planes.clone(), config.limits.liveness_bound()),
        vetter,
        ledger: Arc::default(),
        auditor,
        limits: config.limits,
        tasks,
        stopping: shutdown,
    };
    let core = Arc::new(core);
    let courier = Courier {
        core: Arc::clone(&core),
        planes,
        tls: receivers.dialler()?,
        at_once: config.deliveries.at_once.max(1),
        answered_within: config.deliveries.answered_within(),
    };
    core.tasks.spawn(courier.run());
    Ok(Gateway { core, rpc: Arc::new(rpc), slots: Arc::new(Semaphore::new(connections)) })
}

impl Gateway {
    /// Takes tasks' requests (`CONNECT` and absolute-form), and answers `GET /healthz` and `GET /readyz`, until
    /// the shutdown.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(&self, listener: impl Into<Listener>) -> io::Result<()> {
        let listener = listener.into();
        let stopping = &self.core.stopping;
        loop {
            // The semaphore is never closed, so the only way not to get a slot is to stop.
            let slot = tokio::select! {
                slot = Arc::clone(&self.slots).acquire_owned() => slot,
                () = stopping.cancelled() => return Ok(()),
            };
            let Ok(slot) = slot else { return Ok(()) };
            let arrival = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(arrival) => arrival,
                    Err(error) if trace_plane::serve::is_transient(&error) => continue,
                    Err(error) => return Err(error),
                },
                () = stopping.cancelled() => return Ok(()),
            };
            self.core.tasks.spawn(proxy::converse(Arc::clone(&self.core), arrival, slot));
        }
    }

    /// The routes for services of the platform, which belong on a listener that no task is led to.
    pub fn rpc_router(&self) -> Router {
        Arc::clone(&self.rpc).router()
    }

    /// Whether requests are taken: not while they can't be audited, or the gateway stops.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        if self.core.stopping.is_cancelled() || self.core.auditor.check().is_err() {
            return Readiness::NotReady;
        }
        Readiness::Ready
    }

    /// Waits, after the shutdown, until every request has been audited.
    pub async fn stopped(self) {
        let tasks = self.core.tasks.clone();
        tasks.close();
        // The audit's writer ends when nobody is left who could hand it a row.
        drop(self);
        tasks.wait().await;
    }
}
