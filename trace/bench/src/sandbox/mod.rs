//! `sandbox`: from start to exit of a program that does nothing.
//!
//! Three ways, one after the other in every round, so that noise of the machine meets all alike: plain
//! fork and exec; bubblewrap with all namespaces, a `/proc`, a `/dev` and a writable folder; and the
//! sandbox of the worker-wrapper through its launcher, with everything that it has in production.

mod no_op;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Serialize;
use tempfile::TempDir;
use trace_contracts::wire::worker::Resources;
use trace_worker_wrapper::{
    launcher::{Exit, Launcher as _, Order, ProcessLauncher, Program},
    sandbox::{Sandbox, SandboxConfig, Upstreams},
};

use crate::{
    reference,
    report::load_average,
    statistics::{Percentiles, Samples, rounded},
};

/// What to measure.
#[derive(Debug, Args)]
pub struct Options {
    /// Starts of each kind that are measured
    #[arg(long, default_value_t = 500)]
    rounds: usize,
    /// Starts of each kind before those
    #[arg(long, default_value_t = 20)]
    warm_up: usize,
}

/// In milliseconds.
#[derive(Debug, Serialize)]
pub struct Figures {
    ms: Times,
    /// The sandbox's median over bubblewrap's.
    ratio_to_bubblewrap: f64,
    /// The sandbox's median over that of fork and exec.
    ratio_to_fork_exec: f64,
    rounds: usize,
    load_average: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Times {
    sandbox: Percentiles,
    bubblewrap: Percentiles,
    fork_exec: Percentiles,
}

#[derive(Debug, Default)]
struct Measured {
    sandbox: Samples,
    bubblewrap: Samples,
    fork_exec: Samples,
}

/// A folder with the program, and the addresses that a task of a platform can reach.
struct Scene {
    folder: TempDir,
    launcher: ProcessLauncher,
    _upstreams: [TcpListener; 3],
}

/// Measures.
pub async fn run(options: &Options) -> anyhow::Result<Figures> {
    let load_average = load_average();
    let scene = Scene::set().await?;
    let mut measured = Measured::default();
    for _ in 0..options.warm_up {
        scene.round(&mut Measured::default()).await?;
    }
    for _ in 0..options.rounds {
        scene.round(&mut measured).await?;
    }
    let percentiles =
        |samples: &Samples| samples.percentiles().context("nothing was measured: ask for rounds");
    let ms = Times {
        sandbox: percentiles(&measured.sandbox)?,
        bubblewrap: percentiles(&measured.bubblewrap)?,
        fork_exec: percentiles(&measured.fork_exec)?,
    };
    Ok(Figures {
        ratio_to_bubblewrap: rounded(ms.sandbox.p50 / ms.bubblewrap.p50),
        ratio_to_fork_exec: rounded(ms.sandbox.p50 / ms.fork_exec.p50),
        ms,
        rounds: options.rounds,
        load_average,
    })
}

impl Scene {
    async fn set() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        no_op::write(&folder.path().join("main"))?;
        let upstreams = [listener()?, listener()?, listener()?];
        let address = |n: usize| -> anyhow::Result<SocketAddr> { Ok(upstreams[n].local_addr()?) };
        let reachable = Upstreams {
            dispatcher: Some(address(0)?),
            query: Some(address(1)?),
            object_store: Some(address(2)?),
        };
        let sandbox = Sandbox::probe(SandboxConfig::default()).await?;
        Ok(Self { folder, launcher: ProcessLauncher::new(sandbox, reachable), _upstreams: upstreams })
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("main")
    }

    async fn round(&self, measured: &mut Measured) -> anyhow::Result<()> {
        measured.fork_exec.push(reference::run(reference::plain(&self.program()))?);
        measured.bubblewrap.push(reference::run(reference::bubblewrap(&self.program()))?);
        measured.sandbox.push(self.confined().await?);
        Ok(())
    }

    async fn confined(&self) -> anyhow::Result<Duration> {
        let order = order(self.folder.path());
        let started = Instant::now();
        let ended = self.launcher.launch(order).await?.ended.await?;
        let time = started.elapsed();
        ensure!(ended.exit == Exit::Success, "the confined program {}", ended.exit.detail());
        Ok(time)
    }
}

fn listener() -> anyhow::Result<TcpListener> {
    Ok(TcpListener::bind("127.0.0.1:0")?)
}

/// What the wrapper asks of the launcher for a native UDF with ordinary resources.
fn order(bundle: &Path) -> Order {
    Order {
        program: Program::Native,
        bundle: Some(bundle.to_owned()),
        files: Some(bundle.to_owned()),
        inputs: None,
        env: vec![("TRACE_TASK".to_owned(), "t1".to_owned())],
        resources: Resources { cpu_millis: 1000, memory_bytes: 512 << 20, disk_bytes: 256 << 20 },
        timeout: Duration::from_secs(60),
    }
}
