//! The loop: wait for a wake-up, claim, start attempts; on the way out, drain.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::{AbortOnDropHandle, TaskTracker},
};
use trace_contracts::wire::{limit::BATCH_ITEMS, worker::Lease};
use trace_plane::{Trust, listener, outgoing, readiness, tls::TrustError};

use crate::{
    attempt::{self, GatewayHere, Platform},
    backoff::Backoff,
    cache::Cache,
    claim::{Claimed, claim},
    completions::Completions,
    config::{Config, LauncherSettings},
    dispatcher::{self, Dispatcher},
    health::{Doing, Health},
    launcher::{EcsLauncher, LambdaLauncher, Launcher, ProcessLauncher, Staging},
    leases::Leases,
    secrets,
    slots::{Room, Slots},
    task_api::TaskApi,
    wakeups::{self, Answered, WakeUp, WakeUps},
    workspace::{self, Workspace},
};

/// Once attempts were told to end, they are killed, cleared away and completed within this time.
const LAST_COMPLETIONS: Duration = Duration::from_secs(20);

/// Why a wrapper does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Tasks can't be confined here.
    #[error(transparent)]
    Sandbox(#[from] crate::sandbox::Error),
    /// There is no folder to work in.
    #[error(transparent)]
    Workspace(#[from] workspace::Error),
    /// An address can't be resolved.
    #[error("the address {address} can't be resolved: {detail}")]
    Address {
        /// As configured.
        address: String,
        /// Why.
        detail: String,
    },
    /// The health listener can't be opened.
    #[error("the health listener: {0}")]
    Health(#[from] listener::Error),
    /// Others could read or change the secrets.
    #[error("`secrets.folder`: {0}")]
    Secrets(#[from] secrets::NotPrivate),
    /// An address that would be called without TLS.
    #[error(transparent)]
    Outgoing(#[from] outgoing::Refused),
    /// The authorities can't be used, or an address can't have a certificate.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Why a round of the loop came to nothing.
#[derive(Debug, thiserror::Error)]
enum Round {
    #[error(transparent)]
    WakeUps(#[from] wakeups::Error),
    #[error("the dispatcher refuses this worker's claims: {0}")]
    Claim(#[from] dispatcher::Error),
}

/// Runs a wrapper with the configured launcher until `shutdown`, then drains: no more claims, running
/// attempts may end within the configured time, and are killed and given back after it.
///
/// # Errors
/// When it can't start; a dispatcher that is away is waited for. Where the kernel lacks what the
/// sandbox needs, nothing is ever run.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    config.check_addresses()?;
    let launcher = launcher(&config).await?;
    let wakeups = config.wake_ups.adapter(config.claim_wait());
    run_with(config, launcher, wakeups, shutdown).await
}

async fn launcher(config: &Config) -> Result<Arc<dyn Launcher>, Error> {
    let dispatcher = || Ok::<_, Error>(dispatcher(config, &Trust::read(config.ca_file.as_deref())?));
    Ok(match &config.launcher {
        LauncherSettings::Process => Arc::new(ProcessLauncher::start(config).await?),
        LauncherSettings::Ecs(ecs) => Arc::new(EcsLauncher::start(ecs, dispatcher()?)),
        LauncherSettings::Lambda(lambda) => Arc::new(LambdaLauncher::new(lambda, dispatcher()?)),
    })
}

/// The same with another launcher, or another source of wake-ups.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    config: Config,
    launcher: Arc<dyn Launcher>,
    wakeups: Box<dyn WakeUps>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let workspace = Workspace::take(&config.work_dir)?;
    let trust = Trust::read(config.ca_file.as_deref())?;
    let dispatcher = dispatcher(&config, &trust);
    let (completions, sending) = Completions::new(dispatcher.clone());
    let health = Health::default();
    let _health = serve_health(&config, &health).await?;
    let gateway = gateway(&config, &*launcher);
    let ready_file = ReadyFile::keep(&config, &health);
    let worker = Worker {
        slots: Slots::new(config.slots),
        leases: Arc::default(),
        attempts: TaskTracker::new(),
        health,
        platform: Arc::new(Platform {
            task_api: TaskApi::new(config.task_api.clone(), &trust),
            cache: Cache::new(workspace.cache.clone(), config.cache_bytes),
            launcher,
            completions,
            attempts: workspace.attempts.clone(),
            region: config.object_store.region.clone(),
            store: Platform::store(&config.object_store),
            gateway,
            secrets: config.secrets.open()?,
            give_up: CancellationToken::new(),
            dispatcher: dispatcher.clone(),
        }),
    };
    let leases = Arc::clone(&worker.leases);
    let _keeping = AbortOnDropHandle::new(tokio::spawn(async move { leases.keep(&dispatcher).await }));
    let _sending = AbortOnDropHandle::new(tokio::spawn(sending.run()));
    worker.claim_until(wakeups, &shutdown).await;
    worker.drain(config.drain()).await;
    ready_file.remove().await;
    Ok(())
}

fn dispatcher(config: &Config, trust: &Trust) -> Dispatcher {
    Dispatcher::new(config.dispatcher.clone(), config.identity.clone(), trust)
}

/// Whether code that is started here can be offered a way out. A runner in a container offers none yet.
fn gateway(config: &Config, launcher: &dyn Launcher) -> GatewayHere {
    match (&config.egress, launcher.staging()) {
        (Some(_), Staging::Here) => GatewayHere::Yes,
        (None, _) | (_, Staging::Elsewhere) => GatewayHere::No,
    }
}

/// The `ready_file`, where one is configured. It goes with this, however the wrapper ends.
struct ReadyFile {
    stop: DropGuard,
    keeping: Option<JoinHandle<()>>,
}

impl ReadyFile {
    fn keep(config: &Config, health: &Health) -> Self {
        let stop = CancellationToken::new();
        let keeping = config.ready_file.clone().map(|file| {
            let (health, stop) = (health.clone(), stop.clone());
            tokio::spawn(readiness::keep(file, move || std::future::ready(health.readiness()), stop))
        });
        Self { stop: stop.drop_guard(), keeping }
    }

    async fn remove(self) {
        drop(self.stop);
        if let Some(keeping) = self.keeping {
            // It ends with what it waits for; all that it could say is that it panicked.
            let _ = keeping.await;
        }
    }
}

struct Worker {
    platform: Arc<Platform>,
    slots: Slots,
    leases: Arc<Leases>,
    attempts: TaskTracker,
    health: Health,
}

impl Worker {
    async fn claim_until(&self, mut wakeups: Box<dyn WakeUps>, shutdown: &CancellationToken) {
        let mut backoff = Backoff::default();
        while !shutdown.is_cancelled() {
            match self.round(&mut *wakeups, shutdown).await {
                Ok(()) => backoff = Backoff::default(),
                Err(error) => {
                    self.health.set(Doing::Starting);
                    tracing::error!(%error, "no work could be claimed; trying again");
                    tokio::select! {
                        () = backoff.pause() => {}
                        () = shutdown.cancelled() => {}
                    }
                }
            }
        }
    }

    /// One wake-up, one claim, and the attempts that come of it.
    async fn round(&self, wakeups: &mut dyn WakeUps, shutdown: &CancellationToken) -> Result<(), Round> {
        let woken = async {
            let room = self.slots.room().await;
            let woken = wakeups.receive(room.places()).await;
            (room, woken)
        };
        let (room, woken) = tokio::select! {
            woken = woken => woken,
            () = shutdown.cancelled() => return Ok(()),
        };
        let WakeUp { hint, messages } = woken?;
        let asked_for = room.places().min(BATCH_ITEMS);
        let (dispatcher, runtime) = (&self.platform.dispatcher, self.platform.launcher.runtime());
        let answered = match claim(dispatcher, runtime, hint, asked_for, shutdown).await? {
            Claimed::Leases { leases, asked_at } => {
                self.health.set(Doing::Claiming);
                let granted = leases.iter().map(|lease| lease.launch.task).collect();
                self.start(leases, asked_at, room);
                Answered::of(messages, asked_for, &granted)
            }
            Claimed::Stopping(leases) => {
                self.give_back(leases);
                return Ok(());
            }
        };
        if let Err(error) = wakeups.acknowledge(answered).await {
            tracing::warn!(%error, "a wake-up will come again");
        }
        Ok(())
    }

    fn start(&self, leases: Vec<Lease>, asked_at: Instant, mut room: Room) {
        for lease in leases {
            let Some(held) = self.leases.hold(&lease, asked_at) else {
                tracing::info!(attempt = %lease.attempt, "granted again; it runs already");
                continue;
            };
            let platform = Arc::clone(&self.platform);
            match room.take() {
                Some(slot) => self.attempts.spawn(async move {
                    attempt::run(&platform, lease, held).await;
                    drop(slot);
                }),
                // More than was asked for: it has no place here.
                None => self.attempts.spawn(async move { attempt::give_back(&platform, &held).await }),
            };
        }
    }

    fn give_back(&self, leases: Vec<Lease>) {
        for lease in leases {
            if let Some(held) = self.leases.hold(&lease, Instant::now()) {
                let platform = Arc::clone(&self.platform);
                self.attempts.spawn(async move { attempt::give_back(&platform, &held).await });
            }
        }
    }

    async fn drain(self, patience: Duration) {
        self.health.set(Doing::Draining);
        self.attempts.close();
        tracing::info!(running = self.attempts.len(), ?patience, "draining");
        if timeout(patience, self.attempts.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(running = self.attempts.len(), "giving back what still runs");
        self.platform.give_up.cancel();
        if timeout(LAST_COMPLETIONS, self.attempts.wait()).await.is_err() {
            tracing::error!(
                running = self.attempts.len(),
                "not given back; their leases run out by themselves"
            );
        }
    }
}

async fn serve_health(
    config: &Config,
    health: &Health,
) -> Result<Option<AbortOnDropHandle<io::Result<()>>>, Error> {
    let Some(address) = config.health else { return Ok(None) };
    let listener = config.transport.open()?.bind(address).await?;
    let serving = trace_plane::serve(listener, health.router(), CancellationToken::new());
    Ok(Some(AbortOnDropHandle::new(tokio::spawn(serving))))
}
