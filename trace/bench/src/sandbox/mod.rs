//! `sandbox`: from start to exit of a program that does nothing.
//!
//! Four ways, one after the other in every round, so that noise of the machine meets all alike: plain
//! fork and exec; bubblewrap with all namespaces, a `/proc`, a `/dev` and a writable folder; and the
//! sandbox of the worker-wrapper through its launcher, with everything that it has in production, made for
//! the program and prepared before it. Then a Python program that does nothing, in the two last ways.

mod no_op;
mod usage;

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

use self::usage::Usage;
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

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// From start to exit, in milliseconds.
    ms: Times,
    /// The median with a sandbox that waits, over bubblewrap's.
    ratio_to_bubblewrap: f64,
    /// The median of one that is made for the program, over bubblewrap's.
    cold_ratio_to_bubblewrap: f64,
    /// The median with a sandbox that waits, over that of fork and exec.
    ratio_to_fork_exec: f64,
    /// Processor time of this process and its children for one start, on average, in milliseconds.
    processor_ms: ProcessorTimes,
    rounds: usize,
    load_average: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Times {
    sandbox: Percentiles,
    sandbox_cold: Percentiles,
    /// Making a sandbox that waits.
    preparation: Percentiles,
    bubblewrap: Percentiles,
    fork_exec: Percentiles,
    python: Percentiles,
    python_cold: Percentiles,
    /// Until the interpreter waits.
    python_preparation: Percentiles,
}

#[derive(Debug, Serialize)]
struct ProcessorTimes {
    /// The preparation included: it was only done earlier.
    sandbox: f64,
    sandbox_cold: f64,
    python: f64,
    python_cold: f64,
}

/// One kind of program in the sandbox.
#[derive(Debug, Default)]
struct Confined {
    cold: Measured,
    preparation: Measured,
    prepared: Measured,
}

#[derive(Debug, Default)]
struct Measured {
    times: Samples,
    processor: Duration,
}

#[derive(Debug, Default)]
struct Round {
    native: Confined,
    python: Confined,
    bubblewrap: Samples,
    fork_exec: Samples,
}

/// A folder with the programs, and the addresses that a task of a platform can reach.
struct Scene {
    folder: TempDir,
    launcher: ProcessLauncher,
    _upstreams: [TcpListener; 3],
}

/// Measures.
pub async fn run(options: &Options) -> anyhow::Result<Figures> {
    let load_average = load_average();
    let scene = Scene::set().await?;
    let mut all = Round::default();
    for _ in 0..options.warm_up {
        scene.round(&mut Round::default()).await?;
    }
    for _ in 0..options.rounds {
        scene.round(&mut all).await?;
    }
    let percentiles =
        |samples: &Samples| samples.percentiles().context("nothing was measured: ask for rounds");
    let Round { native, python, bubblewrap, fork_exec } = &all;
    let ms = Times {
        sandbox: percentiles(&native.prepared.times)?,
        sandbox_cold: percentiles(&native.cold.times)?,
        preparation: percentiles(&native.preparation.times)?,
        bubblewrap: percentiles(bubblewrap)?,
        fork_exec: percentiles(fork_exec)?,
        python: percentiles(&python.prepared.times)?,
        python_cold: percentiles(&python.cold.times)?,
        python_preparation: percentiles(&python.preparation.times)?,
    };
    let average = |time: Duration| rounded(time.as_secs_f64() * 1000.0 / options.rounds as f64);
    // What a child has used is known when it has ended, so that the preparation alone can't be told.
    let with_preparation = |of: &Confined| average(of.preparation.processor + of.prepared.processor);
    Ok(Figures {
        ratio_to_bubblewrap: rounded(ms.sandbox.p50 / ms.bubblewrap.p50),
        cold_ratio_to_bubblewrap: rounded(ms.sandbox_cold.p50 / ms.bubblewrap.p50),
        ratio_to_fork_exec: rounded(ms.sandbox.p50 / ms.fork_exec.p50),
        ms,
        processor_ms: ProcessorTimes {
            sandbox: with_preparation(native),
            sandbox_cold: average(native.cold.processor),
            python: with_preparation(python),
            python_cold: average(python.cold.processor),
        },
        rounds: options.rounds,
        load_average,
    })
}

impl Scene {
    async fn set() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        no_op::write(&folder.path().join("main"))?;
        fs::write(folder.path().join("main.py"), "pass\n")?;
        let upstreams = [listener()?, listener()?, listener()?];
        let address = |n: usize| -> anyhow::Result<SocketAddr> { Ok(upstreams[n].local_addr()?) };
        let reachable = Upstreams {
            dispatcher: Some(address(0)?.into()),
            query: Some(address(1)?.into()),
            object_store: Some(address(2)?.into()),
            egress: None,
        };
        // It prepares nothing by itself: when is decided here, so that nothing else runs meanwhile.
        let config = SandboxConfig { spares: 0, ..SandboxConfig::default() };
        let sandbox = Sandbox::probe(config).await?;
        Ok(Self { folder, launcher: ProcessLauncher::new(sandbox, reachable), _upstreams: upstreams })
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("main")
    }

    async fn round(&self, round: &mut Round) -> anyhow::Result<()> {
        round.fork_exec.push(reference::run(reference::plain(&self.program()))?);
        round.bubblewrap.push(reference::run(reference::bubblewrap(&self.program()))?);
        for (program, measured) in
            [(Program::Native, &mut round.native), (Program::Python, &mut round.python)]
        {
            let order = order(self.folder.path(), program);
            measured.cold.add(self.start(order.clone())).await?;
            measured.preparation.add(self.prepare(order.clone())).await?;
            measured.prepared.add(self.start(order)).await?;
        }
        Ok(())
    }

    async fn prepare(&self, order: Order) -> anyhow::Result<()> {
        Ok(self.launcher.prepare(order).await?)
    }

    async fn start(&self, order: Order) -> anyhow::Result<()> {
        let ended = self.launcher.launch(order).await?.ended.await?;
        ensure!(ended.exit == Exit::Success, "the confined program {}", ended.exit.detail());
        Ok(())
    }
}

impl Measured {
    async fn add(&mut self, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        let (started, before) = (Instant::now(), Usage::now()?);
        work.await?;
        self.times.push(started.elapsed());
        self.processor += Usage::now()?.since(before);
        Ok(())
    }
}

fn listener() -> anyhow::Result<TcpListener> {
    Ok(TcpListener::bind("127.0.0.1:0")?)
}

/// What the wrapper asks of the launcher for a UDF with ordinary resources.
fn order(bundle: &Path, program: Program) -> Order {
    Order {
        lease: None,
        program,
        bundle: Some(bundle.to_owned()),
        files: Some(bundle.to_owned()),
        inputs: None,
        env: vec![("TRACE_TASK".to_owned(), "t1".to_owned())],
        resources: Resources { cpu_millis: 1000, memory_bytes: 512 << 20, disk_bytes: 256 << 20 },
        timeout: Duration::from_secs(60),
        egress: None,
    }
}
