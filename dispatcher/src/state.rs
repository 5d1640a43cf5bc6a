//! What handlers share.

use std::{ops::Deref, sync::Arc};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use trace_plane::Verifier;

use crate::{
    Config, CredentialMinter,
    attendance::Attendance,
    blobs::StoredBlobs,
    bundles::{BlobSource, Examiner},
    credentials::issue::Issuer,
    http::worker::Batches,
    identity::Identities,
    keys::KeyRing,
    liveness::Liveness,
    mint::Minter,
    objects::Objects,
    outputs::OutputLister,
    queue::{Signals, WakeUps},
    task::Core,
    webhooks::seal::SealingKey,
};

/// What differs between one machine and a cloud.
#[derive(Clone)]
pub struct Adapters {
    /// Mints object store sessions.
    pub credentials: Arc<dyn CredentialMinter>,
    /// Lists what attempts left.
    pub outputs: Arc<dyn OutputLister>,
    /// Has the content that was uploaded.
    pub blobs: Arc<dyn BlobSource>,
    /// Tells workers of ready tasks.
    pub wake: Arc<dyn WakeUps>,
}

impl Adapters {
    /// Lists outputs in the configured object store, wakes workers as configured, and mints sessions
    /// with `credentials`.
    #[must_use]
    pub fn new(config: &Config, credentials: Arc<dyn CredentialMinter>) -> Self {
        let objects = Objects::new(&config.object_store);
        let blobs = Arc::new(StoredBlobs::new(objects.clone()));
        let lister = crate::outputs::S3Lister::new(objects, config.limits.output_objects);
        Self { credentials, outputs: Arc::new(lister), blobs, wake: config.wake_ups.adapter() }
    }
}

/// The state of all handlers; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of [`App`].
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// The state database.
    pub db: PgPool,
    /// What transitions need: the database, the wake-ups, the facts of runs, the limits.
    pub core: Core,
    /// The keys that sign capabilities.
    pub keys: KeyRing,
    /// Signs capability tokens.
    pub minter: Minter,
    /// Verifies capability tokens.
    pub capabilities: Verifier,
    /// Verifies users' tokens.
    pub users: Verifier,
    /// Workers and planes by their tokens.
    pub identities: Identities,
    /// Which workers ask for tasks.
    pub attendance: Attendance,
    /// The object store.
    pub objects: Objects,
    /// Examines bundles at their deploy.
    pub bundles: Examiner,
    /// Lists what attempts left.
    pub outputs: Arc<dyn OutputLister>,
    /// Mints object store sessions, and remembers them.
    pub credentials: Issuer,
    /// Seals what is secret of webhooks.
    pub seal: SealingKey,
    /// News from every dispatcher: ready tasks, ended attempts, new log lines.
    pub signals: Signals,
    /// Which attempts are over.
    pub liveness: Liveness,
    /// Group commits of the worker API.
    pub batches: Batches,
    /// Cancelled when the service stops; whoever waits gives up then.
    pub shutdown: CancellationToken,
}

impl App {
    /// Shares the parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
