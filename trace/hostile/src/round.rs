//! One run of a DAG made of attacks, and how its tasks ended.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::interval;
use trace::client::{Client, Content, LogPosition};
use trace_contracts::{
    Sha256, TaskId,
    wire::{
        user::{DeployRequest, RunState, TaskInfo, TaskState, TriggerRequest},
        worker::Blob,
    },
};

use crate::{bundles, deploys, scene::Scene, vector::Seen};

/// All tasks of a run end within this time.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How the line begins in which an attack tells what it saw.
const TOLD: &str = "hostile ";

/// A task to run.
pub struct Job {
    /// As in the DAG file.
    pub name: String,
    /// What it reads, as in the DAG file.
    pub inputs: String,
    /// The bundle.
    pub bundle: Vec<u8>,
    /// As in the DAG file.
    pub resources: String,
    /// As in the DAG file.
    pub timeout: String,
    /// Whole lines of the DAG file besides.
    pub more: String,
}

/// How a task ended.
pub struct End {
    /// Whether it succeeded.
    pub succeeded: bool,
    /// `succeeded`, or the reason of its failure.
    pub outcome: String,
    /// Why, for people.
    pub detail: String,
    /// What it printed.
    pub log: Vec<String>,
}

/// A line of an attack.
#[derive(Deserialize)]
struct Told {
    vector: String,
    #[serde(flatten)]
    seen: Seen,
}

impl End {
    /// What the attacks in this task have told.
    pub fn told(&self) -> BTreeMap<String, Seen> {
        let lines = self.log.iter().filter_map(|line| line.strip_prefix(TOLD));
        let told = lines.filter_map(|line| serde_json::from_str::<Told>(line).ok());
        told.map(|told| (told.vector, told.seen)).collect()
    }

    /// What the platform says: an attack that is the whole of a task has succeeded if the task has.
    pub fn as_seen(&self) -> Seen {
        match self.succeeded {
            true => Seen::got("the task succeeded"),
            false => Seen::refused(format!("outcome {}", self.outcome), &self.detail),
        }
    }
}

/// The bundle of a task that tries these vectors.
pub fn attacking(scene: &Scene<'_>, vectors: &[&str], alone: bool) -> anyhow::Result<Vec<u8>> {
    order(scene, json!({ "vectors": vectors, "alone": alone, "seconds": 8 }), Value::Null)
}

/// The bundle of a task that tries these vectors one after the other, each for so many seconds.
pub fn reading(scene: &Scene<'_>, vectors: &[&str], seconds: u32) -> anyhow::Result<Vec<u8>> {
    knowing(scene, vectors, seconds, Value::Null)
}

/// The same, with targets besides.
pub fn knowing(scene: &Scene<'_>, vectors: &[&str], seconds: u32, targets: Value) -> anyhow::Result<Vec<u8>> {
    order(scene, json!({ "vectors": vectors, "alone": false, "seconds": seconds }), targets)
}

/// The bundle of a task that attacks nothing: `then` is a function of the UDF and its arguments.
pub fn then(scene: &Scene<'_>, then: &[&str]) -> anyhow::Result<Vec<u8>> {
    order(scene, json!({ "then": then }), Value::Null)
}

fn order(scene: &Scene<'_>, mut order: Value, more: Value) -> anyhow::Result<Vec<u8>> {
    let mut targets = scene.world.targets();
    scene.platform.add_targets(&mut targets)?;
    for (name, target) in more.as_object().into_iter().flatten() {
        targets[name] = target.clone();
    }
    order["planted"] = scene.planted.into();
    order["targets"] = targets;
    bundles::python(&order.to_string())
}

/// Deploys a DAG of these jobs as `main`, runs it, and tells how each job's task ended.
pub async fn run(scene: &Scene<'_>, name: &str, jobs: Vec<Job>) -> anyhow::Result<BTreeMap<String, End>> {
    let client = scene.platform.client("main")?;
    let mut blobs = BTreeMap::new();
    let mut yaml = format!("name: {name}\njobs:\n");
    let data = upload(&client, b"a declared file".to_vec()).await?;
    blobs.insert("data".to_owned(), data);
    for Job { name, inputs, bundle, resources, timeout, more } in jobs {
        yaml += &format!(
            "  - name: {name}\n    udf: {{ language: python, path: {name} }}\n    files: {{ data: data }}\n    \
             inputs: [{inputs}]\n    resources: {resources}\n    timeout: {timeout}\n    retries: {{ max: 0 }}\n{more}"
        );
        blobs.insert(name, upload(&client, bundle).await?);
    }
    let deployed = deploys::answered(client.deploy(&DeployRequest { yaml, blobs }).await, "deployed")?;
    ensure!(deployed.got, "deploying: {}: {}", deployed.how, deployed.detail);
    triggered(&client, name).await
}

/// Uploads content under its own hash.
pub async fn upload(client: &Client, content: Vec<u8>) -> anyhow::Result<Blob> {
    let blob = Blob { sha256: Sha256::of(&content), size: content.len() as u64 };
    client.put_blob(blob, &Content::Bytes(content.into()), |_| ()).await?;
    Ok(blob)
}

/// Runs a DAG that is deployed, and tells how each job's task ended.
pub async fn triggered(client: &Client, name: &str) -> anyhow::Result<BTreeMap<String, End>> {
    let run = client.trigger(&name.parse()?, &TriggerRequest::default()).await.context("triggering")?;
    let since = Instant::now();
    let mut looks = interval(LOOK);
    while client.run(run.run).await?.state == RunState::Running {
        looks.tick().await;
        if since.elapsed() > PATIENCE {
            bail!("the run {} of {name} has not ended within {PATIENCE:?}", run.run);
        }
    }
    let mut ends = BTreeMap::new();
    for task in client.tasks(run.run).await? {
        let job = task.job.to_string();
        ends.insert(job, end(client, task).await?);
    }
    Ok(ends)
}

async fn end(client: &Client, task: TaskInfo) -> anyhow::Result<End> {
    let last = task.attempts.last();
    Ok(End {
        succeeded: task.state == TaskState::Succeeded,
        outcome: last.and_then(|attempt| attempt.outcome.clone()).unwrap_or_else(|| "none".to_owned()),
        detail: last.and_then(|attempt| attempt.detail.clone()).unwrap_or_default(),
        log: log(client, task.task).await?,
    })
}

/// All lines of the latest attempt.
async fn log(client: &Client, task: TaskId) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut after = None;
    loop {
        let page = client.logs(task, LogPosition { attempt: None, after, wait_ms: 1_000 }).await?;
        after = page.lines.last().map(|line| line.seq).or(after);
        let is_empty = page.lines.is_empty();
        lines.extend(page.lines.into_iter().map(|line| line.text));
        if page.done || is_empty {
            return Ok(lines);
        }
    }
}
