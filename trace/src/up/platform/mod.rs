//! The parts of a platform, wired for one machine, started in the order in which they need each
//! other, and stopped in the other one.

mod wiring;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use trace_contracts::Secret;
use trace_dispatcher::{Adapters, Dispatcher, bootstrap, identity::Kind};
use trace_egress_gateway::Gateway;
use trace_plane::PlaneClient;
use trace_query_service::Service;
use trace_worker_wrapper::{
    launcher::ProcessLauncher,
    sandbox::{self, Sandbox, Upstreams},
    wakeups::LongPoll,
};

use super::{
    Options,
    adapters::{AuditedDenials, EmbeddedSessions},
    data_dir::{self, DataDir},
    issuer::LocalIssuer,
    listeners::Listeners,
};
use crate::{
    embedded::{
        object_store::{self, EmbeddedObjectStore},
        postgres::{self, EmbeddedPostgres},
    },
    tools::Tools,
};

/// Which part did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder in the data folder.
    #[error(transparent)]
    DataDir(#[from] data_dir::Error),
    /// This machine can't confine tasks.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// PostgreSQL ended while it was needed.
    #[error("PostgreSQL ended ({0}); its log is in the folder `postgres` of the data folder")]
    PostgresEnded(String),
    /// The object store.
    #[error(transparent)]
    ObjectStore(#[from] object_store::Error),
    /// The dispatcher.
    #[error("the dispatcher does not start: {0}")]
    Dispatcher(#[from] trace_dispatcher::Error),
    /// The dispatcher's first entries.
    #[error("the state database can't be filled: {0}")]
    Bootstrap(#[from] trace_dispatcher::db::Error),
    /// The query service.
    #[error("the query service does not start: {0}")]
    QueryService(#[from] trace_query_service::Error),
    /// The egress gateway.
    #[error("the egress gateway does not start: {0}")]
    Egress(#[from] trace_egress_gateway::Error),
    /// The worker.
    #[error("the worker stopped: {0}")]
    Worker(#[from] trace_worker_wrapper::Error),
    /// An address is taken, or not of this machine.
    #[error("{address} can't be listened on: {source}. Choose another one with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A listener failed.
    #[error("a listener failed: {0}")]
    Serve(io::Error),
    /// A part of the platform panicked.
    #[error("a part of the platform ended unexpectedly; its log says why")]
    Lost,
}

/// Everything that runs.
pub(super) struct Platform {
    address: SocketAddr,
    /// Cancelled first: the worker drains while everything else still answers.
    worker_stopping: CancellationToken,
    worker: JoinSet<Result<(), trace_worker_wrapper::Error>>,
    /// Cancelled next: what the gateway still has to write goes to the audit log through the dispatcher.
    gateway_stopping: CancellationToken,
    gateway: JoinSet<io::Result<()>>,
    services_stopping: CancellationToken,
    listeners: JoinSet<io::Result<()>>,
    query_service: Service,
    dispatcher: Dispatcher,
    object_store: EmbeddedObjectStore,
    postgres: EmbeddedPostgres,
}

/// What the parts below the services are.
struct Ground {
    postgres: EmbeddedPostgres,
    object_store: EmbeddedObjectStore,
    denials: Arc<AuditedDenials>,
}

impl Platform {
    /// Starts everything. The sandbox is tried first: without it, nothing is started.
    ///
    /// # Errors
    /// Names the part that does not start.
    pub async fn start(
        options: &Options,
        data: &DataDir,
        issuer: &LocalIssuer,
        tools: Tools,
    ) -> Result<Self, Error> {
        let sandbox = Sandbox::probe(wiring::sandbox(tools)).await?;
        let listeners = Listeners::bind(options.listen)
            .await
            .map_err(|(address, source)| Error::Listen { address, source })?;
        let ground = Ground::start(data).await?;
        let services_stopping = CancellationToken::new();
        let dispatcher = start_dispatcher(options, data, &ground, &listeners, &services_stopping).await?;
        let identities = Identities::issue(options, &dispatcher).await?;
        let audit = PlaneClient::new(listeners.workers.url(""), identities.object_store.clone());
        ground.denials.write_with(audit);
        let query = wiring::query_service(options, &ground, &listeners, identities.query);
        let query_service = trace_query_service::start(query, services_stopping.clone()).await?;

        let gateway = wiring::egress_gateway(options, &listeners, identities.egress);
        let gateway_stopping = CancellationToken::new();
        let gateway = trace_egress_gateway::start(gateway, gateway_stopping.clone()).await?;
        let services = Services { dispatcher, query_service, gateway };

        let worker = wiring::worker(options, data, &ground, &listeners, identities.worker)?;
        let launcher = ProcessLauncher::new(
            sandbox,
            Upstreams {
                dispatcher: Some(listeners.tasks.address.into()),
                query: Some(listeners.queries.address.into()),
                object_store: Some(ground.object_store_address()?.into()),
                egress: Some(listeners.egress.address.into()),
            },
        );
        let address = listeners.users.address;
        let Serving { listeners, gateway, dispatcher, query_service } =
            serve(listeners, services, issuer, &services_stopping);
        let worker_stopping = CancellationToken::new();
        let mut workers = JoinSet::new();
        let wakeups = Box::new(LongPoll::new(worker.claim_wait()));
        workers.spawn(trace_worker_wrapper::run_with(
            worker,
            Arc::new(launcher),
            wakeups,
            worker_stopping.clone(),
        ));
        Ok(Self {
            address,
            worker_stopping,
            worker: workers,
            gateway_stopping,
            gateway,
            services_stopping,
            listeners,
            query_service,
            dispatcher,
            object_store: ground.object_store,
            postgres: ground.postgres,
        })
    }

    /// Where users reach it.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until a part ends by itself, which none should.
    pub async fn failed(&mut self) -> Error {
        tokio::select! {
            Some(ended) = self.worker.join_next() => match ended {
                Ok(Err(error)) => error.into(),
                _ => Error::Lost,
            },
            Some(ended) = self.listeners.join_next() => stopped(ended),
            Some(ended) = self.gateway.join_next() => stopped(ended),
            status = self.postgres.ended() => Error::PostgresEnded(status),
        }
    }

    /// Stops the worker first, which lets running tasks end; then the services, and what they stand on.
    ///
    /// # Errors
    /// When a part does not stop as it should; the others are stopped all the same.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.worker_stopping.cancel();
        let mut outcome = Ok(());
        while let Some(ended) = self.worker.join_next().await {
            outcome = outcome.and(ended.map_or(Err(Error::Lost), |ended| Ok(ended?)));
        }
        self.gateway_stopping.cancel();
        while let Some(ended) = self.gateway.join_next().await {
            outcome = outcome.and(ended.map_or(Err(Error::Lost), |ended| ended.map_err(Error::Serve)));
        }
        self.services_stopping.cancel();
        while let Some(ended) = self.listeners.join_next().await {
            outcome = outcome.and(ended.map_or(Err(Error::Lost), |ended| ended.map_err(Error::Serve)));
        }
        self.query_service.stopped().await;
        self.dispatcher.stopped().await;
        self.object_store.shutdown().await;
        self.postgres.stop().await;
        outcome
    }
}

impl Ground {
    async fn start(data: &DataDir) -> Result<Self, Error> {
        let postgres = EmbeddedPostgres::start(data.path()).await?;
        let denials = Arc::new(AuditedDenials::default());
        let config = object_store::Config {
            root: data.folder("objects")?,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            bucket: wiring::BUCKET.to_owned(),
            region: wiring::REGION.to_owned(),
            limits: object_store::Limits::default(),
            denials: Arc::clone(&denials) as Arc<dyn object_store::DenialSink>,
        };
        let object_store = EmbeddedObjectStore::start(config).await?;
        Ok(Self { postgres, object_store, denials })
    }

    /// Where the forwarders of the sandboxes find the object store.
    fn object_store_address(&self) -> Result<SocketAddr, Error> {
        let addresses = self.object_store.endpoint().socket_addrs(|| None).map_err(Error::Serve)?;
        addresses.first().copied().ok_or(Error::Lost)
    }
}

/// What the parts show the dispatcher; new at every start.
struct Identities {
    worker: Secret<String>,
    query: Secret<String>,
    object_store: Secret<String>,
    egress: Secret<String>,
}

impl Identities {
    async fn issue(options: &Options, dispatcher: &Dispatcher) -> Result<Self, Error> {
        let db = &dispatcher.app().db;
        for org in &options.orgs {
            bootstrap::ensure_org(db, org).await?;
        }
        Ok(Self {
            worker: bootstrap::issue_identity(db, "up_worker", Kind::Worker).await?,
            query: bootstrap::issue_identity(db, "up_query_service", Kind::Plane).await?,
            object_store: bootstrap::issue_identity(db, "up_object_store", Kind::Plane).await?,
            egress: bootstrap::issue_identity(db, "up_egress_gateway", Kind::Plane).await?,
        })
    }
}

async fn start_dispatcher(
    options: &Options,
    data: &DataDir,
    ground: &Ground,
    listeners: &Listeners,
    stopping: &CancellationToken,
) -> Result<Dispatcher, Error> {
    let config = wiring::dispatcher(options, data, ground, listeners)?;
    let sessions = EmbeddedSessions(ground.object_store.sessions());
    let adapters = Adapters::new(&config, Arc::new(sessions));
    Ok(trace_dispatcher::start(config, adapters, stopping.clone()).await?)
}

/// Why a listener that ended by itself did.
fn stopped(ended: Result<io::Result<()>, JoinError>) -> Error {
    match ended {
        Ok(Err(error)) => Error::Serve(error),
        _ => Error::Lost,
    }
}

/// The services, started.
struct Services {
    dispatcher: Dispatcher,
    query_service: Service,
    gateway: Gateway,
}

/// The same, once they answer.
struct Serving {
    listeners: JoinSet<io::Result<()>>,
    gateway: JoinSet<io::Result<()>>,
    dispatcher: Dispatcher,
    query_service: Service,
}

/// Users see the dispatcher's routes, the query service's and the issuer's keys behind one address.
fn serve(
    listeners: Listeners,
    services: Services,
    issuer: &LocalIssuer,
    stopping: &CancellationToken,
) -> Serving {
    let Services { dispatcher, query_service, gateway } = services;
    let mut tasks = JoinSet::new();
    let users = dispatcher.user_router().merge(query_service.user_router.clone()).merge(issuer.router());
    listeners.users.serve(&mut tasks, users, stopping);
    listeners.tasks.serve(&mut tasks, dispatcher.task_router(), stopping);
    listeners.workers.serve(&mut tasks, dispatcher.worker_router(), stopping);
    listeners.queries.serve(&mut tasks, query_service.task_router.clone(), stopping);
    let (mut proxy, listener) = (JoinSet::new(), listeners.egress.into_listener());
    proxy.spawn(async move {
        let served = gateway.serve(listener).await;
        gateway.stopped().await;
        served
    });
    Serving { listeners: tasks, gateway: proxy, dispatcher, query_service }
}
