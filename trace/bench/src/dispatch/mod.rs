//! The hot path: plan, wake up, claim with a signed token, complete with a manifest, plan what
//! follows; over HTTP, with workers whose launcher does nothing.

pub mod costs;
pub mod dag;
pub mod dispatcher;
pub mod load;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use sqlx::PgPool;
use trace_contracts::{RunId, TaskId};

use self::{
    costs::{Costs, Counters, Durability},
    dag::pipeline,
    dispatcher::Dispatcher,
    load::{Claimed, Load, work_off},
};
use crate::{
    cluster::Cluster,
    report::load_average,
    statistics::{Percentiles, Samples, rounded},
};

#[derive(Debug, Args)]
pub struct Options {
    /// Tasks to work off at full speed
    #[arg(long, default_value_t = 60_000)]
    tasks: usize,
    /// Workers
    #[arg(long, default_value_t = 8)]
    workers: usize,
    /// Tasks of one claim at most
    #[arg(long, default_value_t = 100)]
    batch: u32,
    /// Tasks a second at which the way from ready to claimed is timed, beside half of what was reached
    #[arg(long, default_value_t = HALF_OF_THE_BAR)]
    rate: f64,
}

/// The bar for the rate is 6,000 tasks a second.
const HALF_OF_THE_BAR: f64 = 3_000.0;
/// Jobs of the DAG: a task's completion makes its partition of the next job ready.
const JOBS: usize = 5;
/// How long a paced load lasts.
const PACED: Duration = Duration::from_secs(10);
/// Tasks that are ready or running at any time during it, so that none waits for another.
const IN_FLIGHT: usize = 200;

#[derive(Debug, Serialize)]
pub struct Figures {
    tasks: u64,
    tasks_per_s: f64,
    /// At the rate of the options.
    paced: Paced,
    /// At half of `tasks_per_s`.
    half_load: Paced,
    #[serde(flatten)]
    costs: Costs,
    #[serde(flatten)]
    durability: Durability,
    workers: usize,
    batch: u32,
    load_average: Option<f64>,
}

/// Runs it.
pub async fn run(options: &Options) -> anyhow::Result<Figures> {
    let cluster = Cluster::start()?;
    let dispatcher = Dispatcher::start(&cluster.url()).await?;
    let load = Load { workers: options.workers, batch: options.batch, rate: None };
    // Connections, caches and statements warm up.
    full_load(&dispatcher, "warm_up", load, 2_000).await?;
    let full = full_load(&dispatcher, "full_load", load, options.tasks).await?;
    let at_rate = paced(&dispatcher, "paced", load, options.rate).await?;
    let half_load = paced(&dispatcher, "half_load", load, full.tasks_per_s / 2.0).await?;
    let figures = Figures {
        tasks: full.tasks,
        tasks_per_s: rounded(full.tasks_per_s),
        paced: at_rate,
        half_load,
        costs: full.costs,
        durability: Durability::read(dispatcher.db()).await?,
        workers: options.workers,
        batch: options.batch,
        load_average: load_average(),
    };
    dispatcher.stop().await?;
    Ok(figures)
}

/// What working one run off took.
pub struct Full {
    pub tasks: u64,
    pub tasks_per_s: f64,
    pub costs: Costs,
}

/// Starts a run and works it off as fast as it goes. The start of the run is part of it.
pub async fn full_load(
    dispatcher: &Dispatcher,
    name: &str,
    load: Load,
    tasks: usize,
) -> anyhow::Result<Full> {
    let spec = pipeline(name, JOBS, tasks.div_ceil(JOBS))?;
    let tasks = (spec.jobs.len() * spec.jobs[0].partitions.len()) as u64;
    let (dag, version) = dispatcher.deploy(&spec).await?;
    let before = Counters::read(dispatcher.db()).await?;
    let since = Instant::now();
    dispatcher.run(&spec, dag, version).await?;
    work_off(dispatcher.workers(), dispatcher.identity(), load, tasks).await?;
    let took = since.elapsed();
    let after = Counters::read(dispatcher.db()).await?;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let tasks_per_s = tasks as f64 / took.as_secs_f64();
    Ok(Full { tasks, tasks_per_s, costs: before.until(after, tasks) })
}

/// Latency at a rate.
#[derive(Debug, Serialize)]
struct Paced {
    /// What was asked for.
    wanted_tasks_per_s: f64,
    /// What came of it.
    tasks_per_s: f64,
    /// From the start of the transaction that made a task ready to its lease in a worker's hands.
    ready_to_claimed_ms: Option<Percentiles>,
    #[serde(flatten)]
    costs: Costs,
}

async fn paced(dispatcher: &Dispatcher, name: &str, load: Load, rate: f64) -> anyhow::Result<Paced> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of tasks")]
    let jobs = (rate * PACED.as_secs_f64()) as usize / IN_FLIGHT;
    let spec = pipeline(name, jobs.max(2), IN_FLIGHT)?;
    let tasks = (spec.jobs.len() * spec.jobs[0].partitions.len()) as u64;
    let (dag, version) = dispatcher.deploy(&spec).await?;
    let run = dispatcher.run(&spec, dag, version).await?;
    let before = Counters::read(dispatcher.db()).await?;
    let since = Instant::now();
    let load = Load { rate: Some(rate), ..load };
    let claimed = work_off(dispatcher.workers(), dispatcher.identity(), load, tasks).await?;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let tasks_per_s = tasks as f64 / since.elapsed().as_secs_f64();
    let costs = before.until(Counters::read(dispatcher.db()).await?, tasks);
    let latency = ready_to_claimed(dispatcher.db(), run, &claimed).await?.percentiles();
    Ok(Paced {
        wanted_tasks_per_s: rounded(rate),
        tasks_per_s: rounded(tasks_per_s),
        ready_to_claimed_ms: latency,
        costs,
    })
}

/// A task of a later job is ready when its partition of the job before is committed. The first
/// job's tasks are ready all at once and wait for the rate, so they are left out.
async fn ready_to_claimed(db: &PgPool, run: RunId, claimed: &Claimed) -> anyhow::Result<Samples> {
    let (first, last) = TaskId::span(run);
    let commits: Vec<(i64, DateTime<Utc>)> =
        sqlx::query_as("select task_id, committed_at from commits where task_id between $1 and $2")
            .bind(first)
            .bind(last)
            .fetch_all(db)
            .await?;
    let step = i64::try_from(IN_FLIGHT)?;
    let samples = commits.into_iter().filter_map(|(task, ready_at)| {
        let next = TaskId::new(task + step)?;
        (*claimed.get(&next)? - ready_at).to_std().ok()
    });
    Ok(samples.collect())
}
