//! The service: started, served, stopped.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use sqlx::{Connection as _, PgPool, postgres::PgPoolOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trace_contracts::keys::KeySet;
use trace_plane::{
    Door, KeySource, Listener, Verifier, listener,
    readiness::{self, Readiness},
};

use crate::{
    Adapters, App, Config,
    attempt_ids::AttemptIds,
    attendance::Attendance,
    background,
    bundles::Examiner,
    config::{self, Jwks},
    credentials::issue::Issuer,
    db,
    facts::FactCache,
    http,
    http::worker::Batches,
    identity::Identities,
    keys::{self, KeyRing},
    liveness::Liveness,
    mint::Minter,
    objects::Objects,
    queue::Signals,
    state::Parts,
    task::Core,
    webhooks::{self, seal::SealingKey},
};

/// Why the dispatcher did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database's address is not one, or the database can't be reached.
    #[error("the state database can't be used; check `database_url` and that PostgreSQL runs")]
    Database(#[source] sqlx::Error),
    /// The database's address leaves open who it is, or is none.
    #[error(transparent)]
    DatabaseAddress(#[from] config::Unverifiable),
    /// The database speaks no TLS, or its certificate is not believed.
    #[error(
        "the state database did not prove who it is; check `sslmode` and `sslrootcert` in `database_url`, and that its certificate is for the host that is named there"
    )]
    DatabaseIdentity(#[source] sqlx::Error),
    /// The schema can't be brought up to date.
    #[error("the state database's schema can't be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The signing key can't be used.
    #[error(transparent)]
    Key(#[from] keys::Error),
    /// The issuer's keys can't be read.
    #[error("the users' key set `{path}` can't be read")]
    UserKeysFile {
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A key set is not one.
    #[error(transparent)]
    KeySet(#[from] trace_contracts::keys::Error),
    /// The sealing key of webhooks can't be used.
    #[error(transparent)]
    Seal(#[from] webhooks::Error),
    /// A listener can't be opened.
    #[error(transparent)]
    Listener(#[from] listener::Error),
    /// An address can't be served.
    #[error("`{address}` can't be served")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// A dispatcher that works in the background and can be served.
pub struct Dispatcher {
    app: App,
    background: Vec<JoinHandle<()>>,
}

/// Where a served dispatcher listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// `/v1`, for users.
    pub users: SocketAddr,
    /// `/v1/task`, for tasks.
    pub tasks: SocketAddr,
    /// `/internal`, for workers and planes.
    pub workers: SocketAddr,
}

/// A transaction that does nothing holds its locks no longer than this: a dispatcher that is
/// stopped in the middle of one must not stop the others.
const IDLE_IN_TRANSACTION: &str = "10s";
/// A connection that has rested for longer is tried before it is used.
const RESTED: Duration = Duration::from_secs(1);
/// Connections of the group commits: one for each kind. Few that are always in use answer faster than many
/// in turns, each with caches of its own, and nobody else's requests keep them waiting.
const HOT_CONNECTIONS: u32 = 4;
/// No statement takes longer.
const STATEMENT: &str = "60s";

/// Brings the schema up to date, opens the key and starts the background work. Nothing listens yet.
///
/// # Errors
/// See [`Error`].
pub async fn start(
    config: Config,
    adapters: Adapters,
    shutdown: CancellationToken,
) -> Result<Dispatcher, Error> {
    let db = open_database(&config).await?;
    let hot = connect(&config, HOT_CONNECTIONS).await?;
    let keys = KeyRing::open(
        &db,
        &config.key_dir,
        &config.keys,
        config.key_overlap_seconds(),
        &config.capability_issuer,
    )
    .await?;
    let seal = sealing_key(&config, &db).await?;
    let core = Core {
        db: db.clone(),
        wake: adapters.wake,
        facts: Arc::new(FactCache::default()),
        limits: config.limits,
        attempt_ids: AttemptIds::default(),
    };
    let minter = Minter::new(keys.clone(), &config.capability_issuer, &config.limits);
    let (liveness, signals) = (Liveness::default(), Signals::default());
    let app = App::new(Parts {
        capabilities: Verifier::new(keys.source(), &config.capability_issuer),
        users: Verifier::new(user_keys(&config.users.jwks)?, &config.users.issuer)
            .with_user_audience(&config.users.audience),
        identities: Identities::new(db.clone()),
        attendance: Attendance::default(),
        objects: Objects::new(&config.object_store),
        bundles: Examiner::new(adapters.blobs),
        outputs: adapters.outputs,
        credentials: Issuer::new(
            adapters.credentials,
            Duration::from_secs(config.limits.session_seconds),
            Arc::new(chrono::Utc::now),
        ),
        signals: signals.clone(),
        batches: Batches::start(&Core { db: hot, ..core.clone() }, &minter, &liveness, &signals),
        minter,
        seal,
        liveness,
        shutdown,
        config,
        core,
        keys,
        db,
    });
    Ok(Dispatcher { background: background::start(&app), app })
}

/// The key that seals webhooks. One that did not seal those that there are is told of: nothing is sent to them by
/// this dispatcher, and everything else goes on.
async fn sealing_key(config: &Config, db: &PgPool) -> Result<SealingKey, Error> {
    let seal = SealingKey::open(&config.webhooks, &config.key_dir)?;
    let mut conn = db.acquire().await.map_err(Error::Database)?;
    let sealed = db::webhooks::sealed_otherwise(&mut conn, seal.fingerprint()).await;
    if sealed.map_err(webhooks::Error::from)? == db::webhooks::SealedBy::Another {
        tracing::error!(
            "webhooks in the database are sealed with another key, and nothing is sent to them from here: bring its \
             file back, or set `webhooks.sealing_key`"
        );
    }
    Ok(seal)
}

/// Connects to the state database and brings its schema up to date.
///
/// # Errors
/// See [`Error`].
pub async fn open_database(config: &Config) -> Result<PgPool, Error> {
    let db = connect(config, config.database_connections).await?;
    sqlx::migrate!().run(&db).await?;
    Ok(db)
}

async fn connect(config: &Config, most: u32) -> Result<PgPool, Error> {
    let options = config::database_options(&config.database_url, config.unverified_database)?
        .application_name("trace-dispatcher")
        .options([
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION),
            ("statement_timeout", STATEMENT),
        ]);
    PgPoolOptions::new()
        .max_connections(most)
        // Each connection is tried as it comes back; one that has not rested long is good.
        .test_before_acquire(false)
        .before_acquire(|conn, rested| {
            Box::pin(async move {
                if rested.idle_for > RESTED {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options)
        .await
        .map_err(explain)
}

/// A certificate that is not believed is an error of reading from the connection.
fn explain(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Tls(_) => Error::DatabaseIdentity(error),
        sqlx::Error::Io(ref cause) if cause.kind() == io::ErrorKind::InvalidData => {
            Error::DatabaseIdentity(error)
        }
        other => Error::Database(other),
    }
}

fn user_keys(jwks: &Jwks) -> Result<KeySource, Error> {
    match jwks {
        Jwks::Url(url) => Ok(KeySource::jwks_url(url.clone())),
        Jwks::File(path) => {
            let json = std::fs::read_to_string(path)
                .map_err(|source| Error::UserKeysFile { path: path.clone(), source })?;
            Ok(KeySource::fixed(KeySet::from_jwks(&json)?))
        }
    }
}

impl Dispatcher {
    /// The shared state, for those that start the platform in one process.
    #[must_use]
    pub const fn app(&self) -> &App {
        &self.app
    }

    /// `/v1`, for users.
    pub fn user_router(&self) -> Router {
        http::router(http::user::routes().into_iter().chain(http::public::routes()), self.app.clone())
    }

    /// `/v1/task`, for tasks.
    pub fn task_router(&self) -> Router {
        http::router(http::task::routes(), self.app.clone())
    }

    /// `/internal`, for workers and planes.
    pub fn worker_router(&self) -> Router {
        let routes = http::worker::routes().into_iter().chain(http::plane::routes());
        http::router(routes, self.app.clone())
    }

    /// Waits for the background work to end, which it does after `shutdown`, and closes the
    /// database's connections.
    pub async fn stopped(self) {
        for work in self.background {
            if let Err(error) = work.await {
                tracing::error!(error = &error as &dyn std::error::Error, "background work panicked");
            }
        }
        self.app.db.close().await;
    }

    /// Binds the three listeners.
    ///
    /// # Errors
    /// When an address can't be bound, or would be open to others without TLS.
    pub async fn bind(&self) -> Result<Listeners, Error> {
        let listen = self.app.config.listen;
        let door: Door = self.app.config.transport.open()?;
        Ok(Listeners {
            users: door.bind(listen.users).await?,
            tasks: door.bind(listen.tasks).await?,
            workers: door.bind(listen.workers).await?,
        })
    }

    /// Serves the three listeners until `shutdown`, then drains them and stops.
    ///
    /// # Errors
    /// When a listener fails.
    pub async fn serve(self, listeners: Listeners) -> Result<(), Error> {
        let addresses = listeners.addresses()?;
        let shutdown = self.app.shutdown.clone();
        let readiness = self.app.config.ready_file.clone().map(|file| {
            let (app, stop) = (self.app.clone(), shutdown.clone());
            tokio::spawn(readiness::keep(file, move || readiness_of(app.clone()), stop))
        });
        let run = |listener, router, address| {
            let serving = trace_plane::serve(listener, router, shutdown.clone());
            async move { serving.await.map_err(|source| Error::Listen { address, source }) }
        };
        let served = tokio::try_join!(
            run(listeners.users, self.user_router(), addresses.users),
            run(listeners.tasks, self.task_router(), addresses.tasks),
            run(listeners.workers, self.worker_router(), addresses.workers),
        );
        shutdown.cancel();
        if let Some(readiness) = readiness {
            // It ends with the shutdown; all that it could say is that it panicked.
            let _ = readiness.await;
        }
        self.stopped().await;
        served.map(drop)
    }
}

async fn readiness_of(app: App) -> Readiness {
    match http::public::answers(&app).await {
        Ok(()) => Readiness::Ready,
        Err(_) => Readiness::NotReady,
    }
}

/// The three bound listeners.
#[derive(Debug)]
pub struct Listeners {
    users: Listener,
    tasks: Listener,
    workers: Listener,
}

impl Listeners {
    /// Where they listen; the ports are known now even where the configuration says 0.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn addresses(&self) -> Result<Addresses, Error> {
        Ok(Addresses {
            users: address(&self.users)?,
            tasks: address(&self.tasks)?,
            workers: address(&self.workers)?,
        })
    }
}

fn address(listener: &Listener) -> Result<SocketAddr, Error> {
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    listener.local_addr().map_err(|source| Error::Listen { address: unknown, source })
}

/// Starts, binds and serves until `shutdown`.
///
/// # Errors
/// See [`Error`].
pub async fn serve(config: Config, adapters: Adapters, shutdown: CancellationToken) -> Result<(), Error> {
    let dispatcher = start(config, adapters, shutdown).await?;
    let listeners = dispatcher.bind().await?;
    tracing::info!(addresses = ?listeners.addresses()?, "the dispatcher is ready");
    dispatcher.serve(listeners).await
}
