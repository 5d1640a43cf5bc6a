//! `chain`: Python UDFs that do nothing, one after the other.
//!
//! Each job reads the one before it, so that nothing can run at the same time: what is measured is how
//! long the platform takes from the commit of one task to the commit of the next, everything included.
//! Times are those that the database gave the attempts.

mod dag;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde::Serialize;
use trace_contracts::wire::user::{RunInfo, TaskInfo, TaskState};

use crate::{
    platform::Platform,
    reference,
    report::load_average,
    statistics::{Percentiles, Samples, rounded},
};

/// What to measure.
#[derive(Debug, Args)]
pub struct Options {
    /// Tasks, one after the other
    #[arg(long, default_value_t = 40)]
    hops: usize,
    /// Runs that are measured; the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Runs before those
    #[arg(long, default_value_t = 1)]
    warm_up: usize,
}

/// In milliseconds.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// From trigger to end, by task, in the median run.
    ms_per_hop: f64,
    hops: usize,
    runs: usize,
    /// From the commit of the task before to the claim of this one.
    ready_to_claimed_ms: Percentiles,
    /// From the claim to the commit.
    claimed_to_committed_ms: Percentiles,
    /// One start of the interpreter with an empty program, between the runs.
    python_ms: Percentiles,
    /// The same in bubblewrap.
    bubblewrap_python_ms: Percentiles,
    load_average: Option<f64>,
}

/// One run.
struct Run {
    per_hop: f64,
    waits: Vec<Duration>,
    attempts: Vec<Duration>,
}

/// Measures.
pub fn run(options: &Options) -> anyhow::Result<Figures> {
    ensure!(options.hops > 0 && options.runs > 0, "at least one hop and one run");
    let load_average = load_average();
    let platform = Platform::start()?;
    dag::write(platform.folder(), options.hops)?;
    let _deployed: serde_json::Value = platform.json(&["deploy", "chain.yaml"])?;
    for _ in 0..options.warm_up {
        measure(&platform, options.hops)?;
    }
    let interpreter = reference::interpreter()?;
    let (mut runs, mut python, mut bubblewrap) = (Vec::new(), Samples::default(), Samples::default());
    for _ in 0..options.runs {
        runs.push(measure(&platform, options.hops)?);
        for _ in 0..STARTS {
            python.push(reference::run(reference::python(&interpreter))?);
            bubblewrap.push(reference::run(reference::bubblewrapped_python(&interpreter))?);
        }
    }
    runs.sort_by(|a, b| a.per_hop.total_cmp(&b.per_hop));
    let all = |pick: fn(&Run) -> &[Duration]| {
        let samples: Samples = runs.iter().flat_map(pick).copied().collect();
        samples.percentiles().context("no attempt has both times")
    };
    Ok(Figures {
        ms_per_hop: rounded(runs[runs.len() / 2].per_hop),
        hops: options.hops,
        runs: options.runs,
        ready_to_claimed_ms: all(|run| &run.waits)?,
        claimed_to_committed_ms: all(|run| &run.attempts)?,
        python_ms: python.percentiles().context("no interpreter was started")?,
        bubblewrap_python_ms: bubblewrap.percentiles().context("no interpreter was started")?,
        load_average,
    })
}

/// Starts of each reference after each run.
const STARTS: usize = 10;

fn measure(platform: &Platform, hops: usize) -> anyhow::Result<Run> {
    let run: RunInfo = platform.json(&["trigger", dag::NAME, "--wait"])?;
    let mut tasks: Vec<TaskInfo> = platform.json(&["tasks", &run.run.to_string()])?;
    ensure!(tasks.len() == hops, "{} tasks instead of {hops}", tasks.len());
    let finished = run.finished_at.context("the run has not ended")?;
    let per_hop = milliseconds(finished - run.created_at) / f64::from(u32::try_from(hops)?);
    // By their jobs' names, which are numbered: the order in which they ran.
    tasks.sort_by(|a, b| a.job.cmp(&b.job));
    let (mut waits, mut attempts) = (Vec::new(), Vec::new());
    let mut before = run.created_at;
    for task in &tasks {
        let (started, ended) = only_attempt(task)?;
        waits.push(duration(started - before));
        attempts.push(duration(ended - started));
        before = ended;
    }
    Ok(Run { per_hop, waits, attempts })
}

/// When a task's one attempt was claimed and committed. A task that was tried twice would measure
/// something else.
fn only_attempt(task: &TaskInfo) -> anyhow::Result<(DateTime<Utc>, DateTime<Utc>)> {
    let [attempt] = &task.attempts[..] else {
        anyhow::bail!("{} had {} attempts: {:?}", task.job, task.attempts.len(), task.attempts)
    };
    ensure!(task.state == TaskState::Succeeded, "{} is {:?}", task.job, task.state);
    Ok((attempt.started_at, attempt.ended_at.context("it has no end")?))
}

fn milliseconds(time: TimeDelta) -> f64 {
    duration(time).as_secs_f64() * 1000.0
}

/// Times of different transactions may be a little out of order.
fn duration(time: TimeDelta) -> Duration {
    time.to_std().unwrap_or_default()
}
