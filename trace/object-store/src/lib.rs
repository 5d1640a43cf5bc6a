//! An S3 endpoint on local files, for one machine: `trace up` starts it in its own process.
//!
//! Requests are signed with SigV4. The root keys are for the platform's own services; an attempt gets
//! a *session*: keys with a token, limited by the same policy that STS would get, refused once they
//! expire or the attempt is over. Every session's request is decided by that policy, and what is
//! denied is told to a [`DenialSink`].
//!
//! | what | where |
//! |---|---|
//! | the form of a request, before its signature | `front` |
//! | whose request it is and what it may do | `authority`, [`policy`] |
//! | sessions | [`session`] |
//! | operations | `api` |
//! | files | `store` |

mod api;
mod authority;
mod caller;
mod denial;
mod front;
mod keys;
pub mod policy;
mod server;
pub mod session;
mod store;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use s3s::{
    config::{S3Config, StaticConfigProvider},
    service::S3ServiceBuilder,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use trace_contracts::AttemptId;
use url::Url;

pub use denial::{Denial, DenialSink};
pub use keys::RootCredentials;
pub use session::{MintRequest, SessionKeys};
pub use store::OpenError;

use api::Api;
use authority::Authority;
use session::Sessions;
use store::Store;

/// How long requests in flight may take once the store stops.
const DRAIN: Duration = Duration::from_secs(5);

/// XML that a request may carry: the parts of the largest upload fit well.
const MAX_XML_BYTES: usize = 4 * 1024 * 1024;

/// What the store is to be.
pub struct Config {
    /// The folder of the objects; made with mode 0700 where it is missing.
    pub root: PathBuf,
    /// Where to listen; loopback, port 0 for any.
    pub listen: SocketAddr,
    /// The one bucket.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Bounds.
    pub limits: Limits,
    /// Is told what is denied to sessions.
    pub denials: Arc<dyn DenialSink>,
}

/// Bounds of what callers may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest object, in bytes.
    pub object_bytes: u64,
    /// Connections at the same time; more wait to be accepted.
    pub connections: usize,
    /// Requests of one session at the same time.
    pub requests_of_a_session: usize,
    /// How long a request's headers may take, and how long a connection may be idle.
    pub header_timeout: Duration,
    /// How long a body may pause.
    pub body_pause: Duration,
    /// How long a body may take in all.
    pub body_total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            object_bytes: 5 * 1024 * 1024 * 1024,
            connections: 512,
            requests_of_a_session: 64,
            header_timeout: Duration::from_secs(30),
            body_pause: Duration::from_secs(30),
            body_total: Duration::from_secs(60 * 60),
        }
    }
}

/// Why the store does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its files.
    #[error("the object store: {0}")]
    Open(#[from] OpenError),
    /// Its bucket's name.
    #[error("`{0}` is not a bucket name: 3 to 63 lower-case letters, digits and hyphens")]
    Bucket(String),
    /// Its address.
    #[error("the object store can't listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What happened.
        source: std::io::Error,
    },
}

/// A store that runs. Dropping it stops it at once; [`shutdown`](Self::shutdown) lets requests end.
pub struct EmbeddedObjectStore {
    endpoint: Url,
    root: RootCredentials,
    issuer: SessionIssuer,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

/// Opens and ends sessions. Cheap to clone; for the part of the platform that mints credentials.
#[derive(Clone)]
pub struct SessionIssuer {
    sessions: Sessions,
    store: Arc<Store>,
}

impl SessionIssuer {
    /// Opens a session.
    ///
    /// # Errors
    /// When the policy or the duration is not valid, or the attempt is over.
    pub fn mint(&self, request: MintRequest) -> Result<SessionKeys, session::Error> {
        self.sessions.mint(request)
    }

    /// Ends the sessions of an attempt: its requests in flight break off, its uploads are dropped, and
    /// its keys are refused from now on.
    pub fn revoke(&self, attempt: AttemptId) {
        self.sessions.revoke(attempt);
        let store = Arc::clone(&self.store);
        // Removing the files of its parts blocks, and nothing waits for it.
        tokio::task::spawn_blocking(move || store.uploads.abort_of(attempt));
    }
}

impl EmbeddedObjectStore {
    /// Starts the store and listens.
    ///
    /// # Errors
    /// When the folder is in use or can't be used, or the address can't be listened on.
    pub async fn start(config: Config) -> Result<Self, Error> {
        check_bucket(&config.bucket)?;
        let store = Arc::new(Store::open(&config.root, config.limits.object_bytes)?);
        let failed = |source| Error::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let root = RootCredentials::random();
        let sessions = Sessions::new(Arc::new(chrono::Utc::now), config.limits.requests_of_a_session);
        let authority = Authority {
            root: root.clone(),
            sessions: sessions.clone(),
            denials: Arc::clone(&config.denials),
        };
        let front = front(&config, Arc::clone(&store), authority);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server::serve(listener, Arc::new(front), stop.clone()));
        let endpoint = endpoint(address);
        tracing::info!(%endpoint, root = %config.root.display(), "the object store is ready");
        Ok(Self { endpoint, root, issuer: SessionIssuer { sessions, store }, stop, serving })
    }

    /// Where it listens, such as `http://127.0.0.1:9000/`.
    #[must_use]
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// The keys of the platform's own services.
    #[must_use]
    pub fn root_credentials(&self) -> &RootCredentials {
        &self.root
    }

    /// What opens and ends sessions.
    #[must_use]
    pub fn sessions(&self) -> SessionIssuer {
        self.issuer.clone()
    }

    /// Opens a session; see [`SessionIssuer::mint`].
    ///
    /// # Errors
    /// When the policy or the duration is not valid, or the attempt is over.
    pub fn mint(&self, request: MintRequest) -> Result<SessionKeys, session::Error> {
        self.issuer.mint(request)
    }

    /// Ends the sessions of an attempt; see [`SessionIssuer::revoke`].
    pub fn revoke(&self, attempt: AttemptId) {
        self.issuer.revoke(attempt);
    }

    /// Stops listening and lets requests in flight end, for five seconds at most.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(DRAIN, &mut self.serving).await.is_err() {
            tracing::warn!("requests to the object store were still in flight when it stopped");
        }
    }
}

impl Drop for EmbeddedObjectStore {
    fn drop(&mut self) {
        self.stop.cancel();
        self.serving.abort();
    }
}

fn front(config: &Config, store: Arc<Store>, authority: Authority) -> server::Front {
    let region: Arc<str> = config.region.as_str().into();
    let bucket = config.bucket.as_str().into();
    let api = Api { store, bucket, region: Arc::clone(&region), started: SystemTime::now() };
    let mut settings = S3Config::default();
    settings.xml_max_body_size = MAX_XML_BYTES;
    let mut builder = S3ServiceBuilder::new(api);
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(settings))));
    builder.set_auth(authority.clone());
    builder.set_access(authority);
    server::Front { service: builder.build(), region, limits: config.limits.clone() }
}

/// The bucket must be one that locations can name.
fn check_bucket(unverified: &str) -> Result<(), Error> {
    let location = format!("s3://{unverified}/any/").parse::<trace_contracts::S3Prefix>();
    match location {
        Ok(location) if location.bucket() == unverified => Ok(()),
        _ => Err(Error::Bucket(unverified.to_owned())),
    }
}

/// The address of the listener as a URL.
fn endpoint(address: SocketAddr) -> Url {
    // Unwrap safety: an IP address and a port always make a URL.
    Url::parse(&format!("http://{address}/")).expect("an address is a URL")
}
