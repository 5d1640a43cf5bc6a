//! The wrapper itself, with the launcher that it is told to use.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};
use trace_object_store::EmbeddedObjectStore;
use trace_worker_wrapper::{
    Config, Error,
    config::{Addressing, LauncherSettings, ObjectStore, SandboxSettings},
    run, secrets,
    wakeups::Source,
};
use url::Url;

use crate::{Platform, REGION};

/// A wrapper that runs what is ready. It stops when this is dropped.
pub struct Worker {
    _running: AbortOnDropHandle<Result<(), Error>>,
    _stop: DropGuard,
    _folder: TempDir,
}

/// What a test gives its worker.
#[derive(Default)]
pub struct Given {
    /// What runs attempts.
    pub launcher: LauncherSettings,
    /// Where secrets are kept.
    pub secrets: secrets::Source,
    /// Programs that tasks see, by name.
    pub tools: BTreeMap<String, PathBuf>,
}

impl Worker {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no folder.
    pub fn start(
        platform: &Platform,
        store: &EmbeddedObjectStore,
        launcher: LauncherSettings,
    ) -> anyhow::Result<Self> {
        Self::with(platform, store, Given { launcher, ..Given::default() })
    }

    /// Starts one that differs in more than its launcher.
    ///
    /// # Errors
    /// When there is no folder.
    pub fn with(platform: &Platform, store: &EmbeddedObjectStore, given: Given) -> anyhow::Result<Self> {
        let Given { launcher, secrets, tools } = given;
        let folder = tempfile::Builder::new().prefix("trace-worker.").tempdir()?;
        let at = |address: SocketAddr| -> anyhow::Result<Url> { Ok(format!("http://{address}/").parse()?) };
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../udf-sdk/python").canonicalize()?;
        let config = Config {
            dispatcher: at(platform.addresses.workers)?,
            task_api: at(platform.addresses.tasks)?,
            // Nothing asks for a query here.
            query: at(platform.addresses.tasks)?,
            object_store: ObjectStore {
                endpoint: store.endpoint().clone(),
                region: REGION.to_owned(),
                addressing: Addressing::Path,
            },
            identity: platform.worker.clone(),
            work_dir: folder.path().join("work"),
            slots: NonZeroUsize::new(8).context("no slots")?,
            cache_bytes: 1 << 20,
            claim_wait_ms: 1_000,
            wake_ups: Source::Dispatcher,
            drain_ms: 1_000,
            secrets,
            health: None,
            transport: Default::default(),
            ready_file: None,
            ca_file: None,
            plain_http: Default::default(),
            egress: None,
            launcher,
            sandbox: SandboxSettings { sdk: Some(sdk), tools, ..SandboxSettings::default() },
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(config, stop.clone()));
        Ok(Self { _running: AbortOnDropHandle::new(running), _stop: stop.drop_guard(), _folder: folder })
    }
}
