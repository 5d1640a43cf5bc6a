//! The command line of the chaos runs; see `docs/chaos.md`.

use std::{fs, path::PathBuf, process::ExitCode, time::Instant};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use futures::{StreamExt as _, stream};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use trace_chaos::{
    Options, Outcome, Workshop, run,
    service::{dispatcher, store, worker, worker::Launcher},
};
use trace_plane::telemetry::{self, Format};
use url::Url;

/// Breaks a platform as seeds say, and checks that nothing was lost and nothing came twice.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  trace-chaos --seeds 0..100 --tasks 2000\n  trace-chaos --seeds 17 --launcher process"
)]
struct Arguments {
    /// A range such as `0..100`, or one seed.
    #[arg(long, default_value = "0..100", value_parser = seeds)]
    seeds: std::ops::Range<u64>,
    /// Tasks in each run; at least 80.
    #[arg(long, default_value_t = 2_000)]
    tasks: usize,
    /// What runs the tasks' code. Absent: the sandbox for every tenth seed, nothing for the others.
    #[arg(long)]
    launcher: Option<Launcher>,
    /// Runs at the same time: much of a run is waiting.
    #[arg(long, default_value_t = 2)]
    at_once: usize,
    /// Where logs of runs that failed are kept.
    #[arg(long, default_value = "target/chaos")]
    keep: PathBuf,
    /// Which log lines the harness writes.
    #[arg(long, default_value = "warn,sqlx=error")]
    log: String,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// One process of a run.
    #[command(subcommand, hide = true)]
    Serve(Service),
}

#[derive(Debug, Subcommand)]
enum Service {
    Store { root: PathBuf, ready: PathBuf },
    Dispatcher { config: PathBuf, sessions: Url },
    Worker { config: PathBuf, launcher: Launcher },
}

fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is not a seed"));
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => number(text).map(|seed| seed..seed + 1),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Serve(service)) => {
            telemetry::init("info,s3s=off", Format::Text);
            serve(service).await?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            telemetry::init(&arguments.log, Format::Text);
            let mut terminated = signal(SignalKind::terminate())?;
            // Whatever ends the runs, their processes are ended and their disks unmounted.
            tokio::select! {
                done = chaos(arguments) => done,
                _ = terminated.recv() => anyhow::bail!("told to stop"),
                _ = tokio::signal::ctrl_c() => anyhow::bail!("told to stop"),
            }
        }
    }
}

async fn serve(service: Service) -> anyhow::Result<()> {
    match service {
        Service::Store { root, ready } => store::serve(root, &ready).await,
        Service::Dispatcher { config, sessions } => dispatcher::run(&config, sessions).await,
        Service::Worker { config, launcher } => worker::work(&config, launcher).await,
    }
}

/// The sandbox costs more than all the rest of a task: a tenth of the seeds has it.
const fn launcher_of(seed: u64) -> Launcher {
    if seed.is_multiple_of(10) { Launcher::Process } else { Launcher::Scripted }
}

/// Lost and twice, and the runs that were not as they must be.
#[derive(Debug, Default)]
struct Sum {
    runs: usize,
    tasks: usize,
    lost: usize,
    twice: usize,
    failed: Vec<u64>,
}

async fn chaos(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("trace-chaos-").tempdir()?;
    let workshop = Workshop::new(folder.path(), &std::env::current_exe()?)?;
    let mut sum = Sum::default();
    let one = async |seed: u64| {
        let launcher = arguments.launcher.unwrap_or(launcher_of(seed));
        let options = Options { seed, tasks: arguments.tasks, launcher };
        let began = Instant::now();
        let outcome = run(&workshop, options).await;
        (options, tell(&options, &outcome, began), outcome)
    };
    let mut runs = stream::iter(arguments.seeds.clone()).map(one).buffer_unordered(arguments.at_once.max(1));
    while let Some((options, verdict, outcome)) = runs.next().await {
        let Options { seed, tasks, launcher } = options;
        sum.runs += 1;
        sum.tasks += tasks;
        if let Ok(outcome) = &outcome {
            sum.lost += outcome.findings.lost.len();
            sum.twice += outcome.findings.twice.len();
        }
        if verdict == Verdict::Failed {
            sum.failed.push(seed);
            keep(&workshop, seed, &arguments.keep)?;
            println!("  repeat it: make chaos SEEDS={seed} TASKS={tasks} LAUNCHER={}", launcher.as_str());
        }
        fs::remove_dir_all(workshop.folder_of(seed)).context("a run's folder can't be removed")?;
    }
    let verdict = if sum.failed.is_empty() { "ok" } else { "failed" };
    let Sum { runs, tasks, lost, twice, failed } = sum;
    if failed.is_empty() {
        println!(r#"{{"chaos":"{verdict}","runs":{runs},"tasks":{tasks},"lost":{lost},"twice":{twice}}}"#);
        return Ok(ExitCode::SUCCESS);
    }
    let said = json!({ "chaos": verdict, "runs": runs, "tasks": tasks, "lost": lost, "twice": twice,
        "failed_seeds": failed, "repeat": format!("make chaos SEEDS={} TASKS={}", failed[0], arguments.tasks) });
    println!("{said}");
    Ok(ExitCode::FAILURE)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Failed,
}

/// One line a seed, and what is wrong below it.
fn tell(options: &Options, outcome: &anyhow::Result<Outcome>, began: Instant) -> Verdict {
    let Options { seed, tasks, launcher } = options;
    let took = began.elapsed().as_secs_f64();
    let start = format!("seed {seed} tasks {tasks} launcher {}", launcher.as_str());
    match outcome {
        Ok(outcome) => {
            let problems = &outcome.findings.problems;
            let verdict = if problems.is_empty() { "ok" } else { "FAILED" };
            let counts: Vec<String> =
                outcome.counts.iter().map(|(what, times)| format!("{what}={times}")).collect();
            println!(
                "{start} {verdict} worked {:.1}s recovered {:.1}s all {took:.1}s calls {} retried {} judged {} | {}",
                outcome.worked.as_secs_f64(),
                outcome.recovery.as_secs_f64(),
                outcome.calls.0,
                outcome.calls.1,
                outcome.judged,
                counts.join(" ")
            );
            for problem in problems.iter().take(20) {
                println!("  {problem}");
            }
            if problems.len() > 20 {
                println!("  and {} more", problems.len() - 20);
            }
            if problems.is_empty() { Verdict::Good } else { Verdict::Failed }
        }
        Err(error) => {
            println!("{start} FAILED after {took:.1}s: {error:#}");
            Verdict::Failed
        }
    }
}

/// Keeps logs and events; secrets, keys and disks are not kept.
fn keep(workshop: &Workshop, seed: u64, folder: &std::path::Path) -> anyhow::Result<()> {
    let (from, to) = (workshop.folder_of(seed), folder.join(format!("seed-{seed}")));
    if to.exists() {
        fs::remove_dir_all(&to)?;
    }
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(from.join("log"))?.flatten() {
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    if from.join("events.log").exists() {
        fs::copy(from.join("events.log"), to.join("events.log"))?;
    }
    println!("  its logs are in {}", to.display());
    Ok(())
}
