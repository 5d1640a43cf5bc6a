//! One run: start a platform, give it work, break it, let it recover, look at what is left.

use std::{
    collections::BTreeMap,
    fs,
    io::{Cursor, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::sync::watch;
use trace_contracts::{
    RunId,
    wire::{
        user::{DeployReply, DeployRequest, RunInfo, RunState},
        worker::Blob,
    },
};
use trace_model::judge::Clock;

use crate::{
    check::{self, Expected, Findings},
    dag::{Dag, Luck},
    dice::Dice,
    faults::conduct,
    plan::{DISPATCHERS, Plan, Target, WORKERS},
    platform::{Platform, Purpose},
    progress,
    service::worker::Launcher,
    wait::{pass, until},
    workshop::Workshop,
};

/// Without any task's end for so long, a run is stuck.
const STUCK: Duration = Duration::from_secs(260);
/// A service drains within this time.
const DRAIN: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Decides everything.
    pub seed: u64,
    /// Tasks in all.
    pub tasks: usize,
    /// What runs the tasks' code.
    pub launcher: Launcher,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Faults and fates by kind.
    pub counts: BTreeMap<&'static str, u64>,
    /// The user's calls, and how many tries more they took.
    pub calls: (u64, u64),
    /// From the start of the work to the end of its last task.
    pub worked: Duration,
    /// From the end of the last fault to the end of the last task.
    pub recovery: Duration,
    /// Transactions of the event log that the model has judged.
    pub judged: u64,
    /// What is wrong.
    pub findings: Findings,
}

/// The work of a seed: three DAGs, the first of which runs twice at the same time; tasks of the last
/// one can't succeed.
struct Work {
    dags: [Dag; 3],
}

impl Work {
    fn new(seed: u64, tasks: usize) -> Self {
        let dice = &mut Dice::new(seed, "dags");
        let quarter = tasks / 4;
        Self {
            dags: [
                Dag::new("steady", quarter, Luck::Good, dice),
                Dag::new("late", tasks - 3 * quarter, Luck::Good, dice),
                Dag::new("doomed", quarter, Luck::Bad, dice),
            ],
        }
    }

    /// Which DAG each run is of, and after how many ends, in a hundred of all, it is triggered.
    const RUNS: [(usize, u64); 4] = [(0, 0), (0, 0), (1, 15), (2, 30)];

    /// Tasks that will end by a commit or dead.
    fn ends(&self) -> u64 {
        let of = |(dag, _): &(usize, u64)| self.dags[*dag].runs() as u64;
        Self::RUNS.iter().map(of).sum()
    }
}

/// Runs a seed. What goes wrong with the platform is in the outcome.
///
/// # Errors
/// When the harness itself can't go on, or the platform is stuck.
pub async fn run(workshop: &Workshop, options: Options) -> anyhow::Result<Outcome> {
    let Options { seed, tasks, launcher } = options;
    let work = Work::new(seed, tasks);
    let plan = Plan::new(seed, work.ends());
    let platform = Arc::new(Platform::start(workshop, seed, launcher, Purpose::Breaking).await?);
    let (progress, _following) = progress::follow(platform.server.clone());
    deploy(&platform, workshop, &work.dags).await?;
    let started = Instant::now();
    platform.weather.begin(plan.rates);
    let breaking = async {
        conduct(&platform, &plan.faults, progress.clone()).await?;
        // Requests suffer until most of the work is done, then nothing does any more.
        let most = work.ends() * 4 / 5;
        progress.clone().wait_for(|ended| *ended >= most).await?;
        platform.weather.calm();
        Ok::<_, anyhow::Error>(Instant::now())
    };
    let working = async {
        let runs = trigger(&platform, &work, &progress).await?;
        for run in &runs {
            finish(&platform, *run).await?;
        }
        Ok::<_, anyhow::Error>((runs, Instant::now()))
    };
    let both = async { tokio::try_join!(breaking, working) };
    let (calm, (runs, ended)) = tokio::select! {
        both = both => both?,
        stuck = stuck(progress.clone()) => return Err(stuck.context(describe(&platform).await)),
    };
    let expected: Vec<Expected<'_>> = runs
        .iter()
        .zip(Work::RUNS)
        .map(|(run, (dag, _))| Expected { run: *run, dag: &work.dags[dag] })
        .collect();
    let mut findings = Findings::default();
    let judged = judge(&platform, &expected, plan.clock(), &mut findings).await?;
    Ok(Outcome {
        counts: platform.weather.counts(),
        calls: platform.client.counts(),
        worked: ended - started,
        recovery: ended.saturating_duration_since(calm),
        judged,
        findings,
    })
}

/// Uploads the UDF and deploys DAGs.
///
/// # Errors
/// When the user's client gives up.
pub(crate) async fn deploy(platform: &Platform, workshop: &Workshop, dags: &[Dag]) -> anyhow::Result<()> {
    let bundle = bundle(workshop)?;
    let sha256 = platform.client.upload(&bundle).await?;
    for dag in dags {
        let blob = Blob { sha256, size: bundle.len() as u64 };
        let request = DeployRequest { yaml: dag.yaml(), blobs: [("udf".to_owned(), blob)].into() };
        let _deployed: DeployReply = platform.client.post("v1/dags", &request, None).await?;
    }
    Ok(())
}

/// The UDF as a worker unpacks it.
fn bundle(workshop: &Workshop) -> anyhow::Result<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("main", zip::write::SimpleFileOptions::default().unix_permissions(0o755))?;
    zip.write_all(&fs::read(workshop.udf())?)?;
    Ok(zip.finish()?.into_inner())
}

async fn trigger(
    platform: &Platform,
    work: &Work,
    progress: &watch::Receiver<u64>,
) -> anyhow::Result<Vec<RunId>> {
    let mut runs = Vec::new();
    for (number, (dag, after)) in Work::RUNS.into_iter().enumerate() {
        let due = work.ends() * after / 100;
        progress.clone().wait_for(|ended| *ended >= due).await?;
        let path = format!("v1/dags/{}/runs", work.dags[dag].name);
        let key = format!("chaos-{number}");
        let run: RunInfo = platform.client.post(&path, &json!({}), Some(&key)).await?;
        runs.push(run.run);
    }
    Ok(runs)
}

/// Asks as a user does until the run is over.
async fn finish(platform: &Platform, run: RunId) -> anyhow::Result<()> {
    while platform.client.run(run).await?.state == RunState::Running {
        pass(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Ready when nothing has ended for too long.
async fn stuck(mut progress: watch::Receiver<u64>) -> anyhow::Error {
    loop {
        let seen = *progress.borrow_and_update();
        let moved = progress.wait_for(|ended| *ended != seen);
        if tokio::time::timeout(STUCK, moved).await.is_err() {
            return anyhow::anyhow!("after {seen} ends nothing ended for {STUCK:?}");
        }
    }
}

/// What the tables hold while a run is stuck.
async fn describe(platform: &Platform) -> String {
    let Ok(mut connection) = platform.server.connect().await else {
        return "PostgreSQL does not answer".to_owned();
    };
    let sql = "select format('%s ready, %s delayed (next in %s), %s leases (next ends in %s); runs: %s',
        (select count(*) from ready), (select count(*) from delayed), (select min(not_before) - now() from delayed),
        (select count(*) from leases), (select min(expires_at) - now() from leases),
        (select string_agg(format('%s %s: %s open of %s', run_id, state, tasks_open, tasks_total), ', ') from runs))";
    match sqlx::query_scalar::<_, String>(sql).fetch_one(&mut connection).await {
        Ok(said) => said,
        Err(error) => error.to_string(),
    }
}

/// Stops everything in order, and looks at everything. Answers how many transactions the model has
/// judged.
async fn judge(
    platform: &Platform,
    runs: &[Expected<'_>],
    clock: Clock,
    findings: &mut Findings,
) -> anyhow::Result<u64> {
    let mut connection = platform.server.connect().await?;
    until("no task is left over", Duration::from_secs(60), async || {
        let sql = "select (select count(*) from leases) + (select count(*) from ready)";
        let left: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.ok()?;
        (left == 0).then_some(())
    })
    .await
    .unwrap_or_else(|error| findings.wrong(error.to_string()));
    for worker in (0..WORKERS).map(Target::Worker) {
        stop(platform, worker, findings).await?;
    }
    let folders: Vec<_> = (0..WORKERS).map(|worker| platform.work_dir(worker)).collect();
    let pids: Vec<u32> =
        (0..WORKERS).flat_map(|worker| platform.process(Target::Worker(worker)).pids()).collect();
    check::left_by_workers(&folders, &pids, findings)?;
    check::database(&mut connection, runs, findings).await?;
    check::objects(&mut connection, &platform.store, findings).await?;
    for dispatcher in (0..DISPATCHERS).map(Target::Dispatcher) {
        stop(platform, dispatcher, findings).await?;
    }
    let keep = platform.folder.join("events.log");
    let judged = check::events(&mut connection, &keep, clock, findings).await?;
    drop(connection);
    stop(platform, Target::Store, findings).await?;
    // A fast shutdown: clients are sent away, everything is written.
    platform.process(Target::Postgres).stop(Signal::SIGINT, DRAIN).await?;
    let disks: Vec<_> = platform.disks.values().map(crate::disk::Disk::path).collect();
    check::left_behind(&platform.folder, &disks, findings)?;
    Ok(judged)
}

async fn stop(platform: &Platform, target: Target, findings: &mut Findings) -> anyhow::Result<()> {
    match platform.process(target).stop(Signal::SIGTERM, DRAIN).await {
        Ok(end) if end == "status 0" => {}
        Ok(end) => findings.wrong(format!("{target:?} ended with {end} when it was asked to stop")),
        Err(error) => findings.wrong(error.to_string()),
    }
    if platform.process(target).pid().is_some() {
        bail!("{target:?} can't be stopped");
    }
    Ok(())
}
