//! Large DAGs, wide runs, a long history, and a long time.

mod deploy;
mod history;
mod soak;

use std::time::Instant;

use clap::Args;
use serde::Serialize;

use crate::{
    cluster::Cluster,
    dispatch::{dag::pipeline, dispatcher::Dispatcher, full_load, load::Load},
    report::load_average,
    statistics::{median, milliseconds, rounded},
};

#[derive(Debug, Args)]
pub struct Options {
    /// Jobs of the large DAG
    #[arg(long, default_value_t = 10_000)]
    jobs: usize,
    /// Tasks of the wide run
    #[arg(long, default_value_t = 100_000)]
    wide: usize,
    /// Finished tasks in history
    #[arg(long, default_value_t = 10_000_000)]
    history: u64,
    /// How long to soak, in seconds
    #[arg(long, default_value_t = 600)]
    soak_seconds: u64,
}

#[derive(Debug, Serialize)]
pub struct Figures {
    jobs: usize,
    deploy_ms: f64,
    wide_tasks: usize,
    planned_tasks_per_s: f64,
    history_tasks: u64,
    empty_tasks_per_s: f64,
    history_tasks_per_s: f64,
    history_ratio: f64,
    soak: soak::Figures,
    load_average: Option<f64>,
}

/// Tasks of one measurement of the dispatch, and how many are taken for a median.
const DISPATCH: (usize, usize) = (20_000, 5);

/// Runs it.
pub async fn run(options: &Options) -> anyhow::Result<Figures> {
    let cluster = Cluster::start()?;
    let dispatcher = Dispatcher::start(&cluster.url()).await?;
    let deploy_ms = milliseconds(deploy::large(&dispatcher, options.jobs).await?);
    let planned_tasks_per_s = plan(&dispatcher, options.wide).await?;
    // The same measurement before and after: with nothing in history, and with all of it.
    let empty = dispatch(&dispatcher, "empty").await?;
    history::insert(dispatcher.db(), options.history).await?;
    let full = dispatch(&dispatcher, "history").await?;
    let soak = soak::run(&dispatcher, options.soak_seconds).await?;
    dispatcher.stop().await?;
    Ok(Figures {
        jobs: options.jobs,
        deploy_ms,
        wide_tasks: options.wide,
        planned_tasks_per_s,
        history_tasks: options.history,
        empty_tasks_per_s: rounded(empty),
        history_tasks_per_s: rounded(full),
        history_ratio: rounded(full / empty),
        soak,
        load_average: load_average(),
    })
}

/// Starts a run of one wide job; its tasks are cancelled away afterwards.
async fn plan(dispatcher: &Dispatcher, tasks: usize) -> anyhow::Result<f64> {
    let spec = pipeline("wide", 1, tasks)?;
    let (dag, version) = dispatcher.deploy(&spec).await?;
    let mut rates = Vec::new();
    for _ in 0..3 {
        let since = Instant::now();
        let run = dispatcher.run(&spec, dag, version).await?;
        #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
        rates.push(tasks as f64 / since.elapsed().as_secs_f64());
        dispatcher.cancel(run).await?;
    }
    Ok(rounded(median(rates)))
}

async fn dispatch(dispatcher: &Dispatcher, name: &str) -> anyhow::Result<f64> {
    let load = Load { workers: 8, batch: 100, rate: None };
    let mut rates = Vec::new();
    for round in 0..DISPATCH.1 {
        let full = full_load(dispatcher, &format!("{name}_{round}"), load, DISPATCH.0).await?;
        rates.push(full.tasks_per_s);
    }
    Ok(median(rates))
}
