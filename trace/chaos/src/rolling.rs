//! A rolling restart under load: one dispatcher after the other is asked to stop, and started again once
//! it has drained, while workers work and a user goes on asking.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trace_contracts::{
    RunId,
    wire::user::{RunInfo, RunState},
};

use crate::{
    check::{self, Expected, Findings},
    dag::{Dag, Luck},
    dice::Dice,
    plan::{DISPATCHERS, Target, WORKERS},
    platform::{Platform, Purpose},
    progress,
    run::deploy,
    service::worker::Launcher,
    workshop::Workshop,
};

/// A dispatcher drains within this time.
const DRAIN: Duration = Duration::from_secs(60);
/// Tasks of the runs that the user starts one after the other.
const TASKS: usize = 60;

/// What was seen.
#[derive(Debug)]
pub struct Rolled {
    /// The user's calls, all of which were answered.
    pub calls: u64,
    /// Tries more than calls.
    pub retries: u64,
    /// Runs that succeeded.
    pub runs: usize,
    /// Restarts while they ran.
    pub restarts: usize,
    /// What is wrong.
    pub findings: Findings,
}

/// Restarts every dispatcher `rounds` times under load.
///
/// # Errors
/// When a call of the user's fails for good, or a dispatcher does not stop or start.
pub async fn rolling_restart(workshop: &Workshop, rounds: usize) -> anyhow::Result<Rolled> {
    let platform = Platform::start(workshop, 0, Launcher::Scripted, Purpose::Serving).await?;
    let dag = Dag::new("rolling", TASKS, Luck::Good, &mut Dice::new(0, "rolling"));
    deploy(&platform, workshop, std::slice::from_ref(&dag)).await?;
    let (progress, _following) = progress::follow(platform.server.clone());
    let enough = CancellationToken::new();
    let load = load(&platform, &dag, &enough);
    let restart = async {
        let restarts = restart(&platform, rounds, progress).await?;
        enough.cancel();
        Ok::<_, anyhow::Error>(restarts)
    };
    let (runs, restarts) = tokio::try_join!(load, restart)?;
    let mut findings = Findings::default();
    for worker in (0..WORKERS).map(Target::Worker) {
        let end = platform.process(worker).stop(Signal::SIGTERM, DRAIN).await?;
        ensure!(end == "status 0", "{worker:?} ended with {end}");
    }
    let mut connection = platform.server.connect().await?;
    let expected: Vec<Expected<'_>> = runs.iter().map(|run| Expected { run: *run, dag: &dag }).collect();
    check::database(&mut connection, &expected, &mut findings).await?;
    check::objects(&mut connection, &platform.store, &mut findings).await?;
    check::no_attempt_lost(&mut connection, &mut findings).await?;
    let (calls, retries) = platform.client.counts();
    Ok(Rolled { calls, retries, runs: runs.len(), restarts, findings })
}

/// Starts a run, watches it to its end, and starts the next one.
async fn load(platform: &Platform, dag: &Dag, enough: &CancellationToken) -> anyhow::Result<Vec<RunId>> {
    let mut runs = Vec::new();
    while !enough.is_cancelled() {
        let key = format!("rolling-{}", runs.len());
        let path = format!("v1/dags/{}/runs", dag.name);
        let run: RunInfo = platform.client.post(&path, &json!({}), Some(&key)).await?;
        while platform.client.run(run.run).await?.state == RunState::Running {}
        runs.push(run.run);
    }
    Ok(runs)
}

/// Each restart waits until work has gone on, so that none falls into a pause.
async fn restart(
    platform: &Platform,
    rounds: usize,
    mut progress: watch::Receiver<u64>,
) -> anyhow::Result<usize> {
    let mut restarts = 0;
    for number in (0..rounds).flat_map(|_| 0..DISPATCHERS) {
        let next = *progress.borrow() + TASKS as u64 / 3;
        progress.wait_for(|ended| *ended >= next).await.context("nobody counts any more")?;
        let process = platform.process(Target::Dispatcher(number));
        let end = process.stop(Signal::SIGTERM, DRAIN).await?;
        ensure!(end == "status 0", "dispatcher {number} ended with {end}");
        process.again();
        platform.dispatcher_ready(number).await?;
        restarts += 1;
    }
    Ok(restarts)
}
