//! The wrapper itself, with code that succeeds at once and leaves nothing.

use std::{fs::File, net::SocketAddr, num::NonZeroUsize, sync::Arc};

use anyhow::Context as _;
use async_trait::async_trait;
use tempfile::TempDir;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};
use trace_aws::Aws;
use trace_worker_wrapper::{
    Config, Error as WrapperError,
    config::{Addressing, LauncherSettings, ObjectStore, SandboxSettings},
    launcher::{Ended, Error, Exit, Launched, Launcher, Order, OutputError, OutputFile, Outputs},
    run_with,
    wakeups::{Source, sqs},
};
use url::Url;

use crate::{Platform, Queue, REGION};

/// A wrapper that takes its wake-ups from a queue. It stops when this is dropped.
pub struct Wrapper {
    /// Where it says how it is.
    pub health: SocketAddr,
    _running: AbortOnDropHandle<Result<(), WrapperError>>,
    _stop: DropGuard,
    _folder: TempDir,
}

impl Wrapper {
    /// Starts one with so many slots.
    ///
    /// # Errors
    /// When there is no folder or no port.
    pub fn start(platform: &Platform, queue: &Queue, aws: Aws, slots: usize) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("trace-wrapper.").tempdir()?;
        let health = trace_ports::reserve_address();
        let at = |address: SocketAddr| -> anyhow::Result<Url> { Ok(format!("http://{address}/").parse()?) };
        let wake_ups =
            sqs::Config { aws, queue: queue.url.clone(), dead_letters: queue.dead_letters.clone() };
        let config = Config {
            dispatcher: at(platform.addresses.workers)?,
            task_api: at(platform.addresses.tasks)?,
            // Nothing asks for a query or an object here.
            query: at(platform.addresses.tasks)?,
            egress: None,
            object_store: ObjectStore {
                endpoint: at(platform.addresses.tasks)?,
                region: REGION.to_owned(),
                addressing: Addressing::Path,
            },
            identity: platform.worker.clone(),
            work_dir: folder.path().join("work"),
            slots: NonZeroUsize::new(slots).context("no slots")?,
            cache_bytes: 1 << 20,
            claim_wait_ms: 1_000,
            wake_ups: Source::Sqs(Box::new(wake_ups)),
            drain_ms: 1_000,
            secrets: Default::default(),
            health: Some(health),
            launcher: LauncherSettings::Process,
            transport: Default::default(),
            ready_file: None,
            ca_file: None,
            plain_http: Default::default(),
            sandbox: SandboxSettings::default(),
        };
        let stop = CancellationToken::new();
        let wakeups = config.wake_ups.adapter(config.claim_wait());
        let running = tokio::spawn(run_with(config, Arc::new(AtOnce), wakeups, stop.clone()));
        Ok(Self {
            health,
            _running: AbortOnDropHandle::new(running),
            _stop: stop.drop_guard(),
            _folder: folder,
        })
    }

    /// What `/readyz` answers; `None` before it listens.
    pub async fn readiness(&self, platform: &Platform) -> Option<u16> {
        let url = format!("http://{}/readyz", self.health);
        Some(platform.http.get(url).send().await.ok()?.status().as_u16())
    }
}

/// Starts nothing, and says that it went well.
struct AtOnce;

#[async_trait]
impl Launcher for AtOnce {
    async fn launch(&self, _order: Order) -> Result<Launched, Error> {
        let ended = Ended { exit: Exit::Success, outputs: Box::new(Nothing) };
        Ok(Launched {
            stdout: Box::new(tokio::io::empty()),
            stderr: Box::new(tokio::io::empty()),
            kill: Box::new(|| {}),
            ended: Box::pin(std::future::ready(Ok(ended))),
        })
    }
}

struct Nothing;

impl Outputs for Nothing {
    fn files(&self) -> Result<Vec<OutputFile>, OutputError> {
        Ok(Vec::new())
    }

    fn open(&self, _file: &OutputFile) -> Result<File, OutputError> {
        Err(OutputError::Unreadable("there are none".to_owned()))
    }
}
