//! Putting the parts together.

use std::{io, sync::Arc};

use axum::Router;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trace_plane::{
    KeySource, Liveness, PlaneClient, Trust, UnusableRoot, Verifier, outgoing, readiness::Readiness,
    tls::TrustError,
};
use url::Url;

use crate::{
    asking::Asking,
    catalog::Resolver,
    config::{Config, EngineCommand, Engines, Limits},
    engine::{process, protocol::Setup, spawner::Spawner},
    http::{self, Routes},
    org_limit::OrgLimits,
    pool::{Pool, Size},
    presign::Presigner,
};

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The thread that starts engines, or the path of this program.
    #[error("engines can't be started: {0}")]
    Spawner(#[from] io::Error),
    /// The first engines did not come up.
    #[error(transparent)]
    Engine(Box<dyn std::error::Error + Send + Sync>),
    /// An address that would be called without TLS.
    #[error(transparent)]
    Outgoing(#[from] outgoing::Refused),
    /// The authorities can't be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The root of trust can't be read.
    #[error(transparent)]
    Root(#[from] UnusableRoot),
}

/// A running service: its routes, and what runs behind them.
pub struct Service {
    /// `POST /v1/query`, for the users' listener.
    pub user_router: Router,
    /// `POST /v1/task/query`, for the tasks' listener.
    pub task_router: Router,
    /// `GET /healthz` and `GET /readyz`; merge it into a router that has none of its own.
    pub health_router: Router,
    tasks: TaskTracker,
    pool: Pool,
    stopping: CancellationToken,
}

/// Starts the engines and makes the routes. Until `shutdown` queries are answered; then those that
/// run are ended and the engines killed.
///
/// # Errors
/// When no engine can be started, or a service would be called without TLS.
pub async fn start(config: Config, shutdown: CancellationToken) -> Result<Service, Error> {
    config.check_addresses()?;
    let trust = Trust::read(config.ca_file.as_deref())?;
    let ports = vec![config.store.endpoint.as_ref().and_then(Url::port_or_known_default).unwrap_or(443)];
    let pool = pool(&config.engines, &config.limits, ports, shutdown.clone()).await?;
    let planes = PlaneClient::trusting(&trust, config.dispatcher, config.identity);
    let tasks = TaskTracker::new();
    let resolver = Resolver {
        planes: planes.clone(),
        presigner: Presigner::new(&config.store).await,
        max_objects: config.limits.objects,
    };
    let asking = Asking {
        planes: planes.clone(),
        resolver,
        pool: pool.clone(),
        orgs: OrgLimits::new(config.limits.per_org),
        limits: config.limits,
        tasks: tasks.clone(),
        stopping: shutdown.clone(),
    };
    let (jwks, issuer) = (config.capabilities.jwks, &config.capabilities.issuer);
    let keys = KeySource::of_capabilities(&trust, jwks, issuer, config.capability_root.as_deref())?;
    let capabilities = Verifier::new(keys, issuer);
    let user_keys = KeySource::jwks_url_trusting(&trust, config.users.jwks, None);
    let users = Verifier::new(user_keys, &config.users.issuer);
    let routes = Arc::new(Routes {
        capabilities,
        users: users.with_user_audience(&config.users.audience),
        liveness: Liveness::with_bound(planes, config.limits.liveness_bound()),
        asking: Arc::new(asking),
    });
    Ok(Service {
        user_router: http::user_router(Arc::clone(&routes)),
        task_router: http::task_router(Arc::clone(&routes)),
        health_router: http::health_router(routes),
        tasks,
        pool,
        stopping: shutdown,
    })
}

/// A pool of engines that may connect to `ports`.
pub(crate) async fn pool(
    engines: &Engines,
    limits: &Limits,
    ports: Vec<u16>,
    stopping: CancellationToken,
) -> Result<Pool, Error> {
    let command = match &engines.command {
        Some(command) => command.clone(),
        None => EngineCommand::this_program()?,
    };
    let setup = Setup { memory_bytes: engines.memory_bytes, threads: engines.threads.max(1), ports };
    let size = Size {
        engines: engines.count.max(1),
        waiting: limits.waiting,
        queries_per_engine: engines.queries.max(1),
    };
    let pool = Pool::start(Spawner::new(command)?, setup, size, stopping).await;
    pool.map_err(|error: process::Error| Error::Engine(Box::new(error)))
}

impl Service {
    /// Whether it takes queries.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        if self.stopping.is_cancelled() { Readiness::NotReady } else { Readiness::Ready }
    }

    /// Waits, after the shutdown, until every query has been audited and every engine let go.
    pub async fn stopped(self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.pool.stopped().await;
    }
}
