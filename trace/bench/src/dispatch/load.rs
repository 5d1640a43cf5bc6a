//! Workers whose launcher does nothing: claim a batch, and complete it at once.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use trace_contracts::{
    ClaimId, Secret, TaskId,
    wire::worker::{
        ClaimReply, ClaimRequest, CompleteReply, CompleteRequest, CompleteVerdict, Completion, Fence, Outcome,
    },
};

/// How workers load the dispatcher.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Workers, each with one claim under way and its completions beside it.
    pub workers: usize,
    /// Tasks of one claim at most.
    pub batch: u32,
    /// Completions a second at most; as fast as they can when absent.
    pub rate: Option<f64>,
}

/// When each task was in a worker's hands.
pub type Claimed = HashMap<TaskId, DateTime<Utc>>;

/// Calls `/internal`.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    base: String,
    identity: Secret<String>,
}

impl Client {
    async fn call<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(self.identity.expose());
        let response = request.json(body).send().await?;
        let status = response.status();
        let text = response.bytes().await?;
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&text));
        serde_json::from_slice(&text).context("an answer that can't be read")
    }
}

/// Hands out moments, so that all workers together complete at a rate.
struct Pace {
    start: Instant,
    rate: Option<f64>,
    taken: AtomicU64,
}

impl Pace {
    async fn take(&self, tasks: usize) {
        let before = self.taken.fetch_add(tasks as u64, Ordering::Relaxed);
        if let Some(rate) = self.rate {
            #[allow(clippy::cast_precision_loss, reason = "a few million at most")]
            let due = self.start + Duration::from_secs_f64(before as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

/// Works `tasks` tasks off; answers when each was claimed. The workers have threads of their own, as they
/// would in processes of their own: who measures a dispatcher should not stand in its way.
pub async fn work_off(
    base: &str,
    identity: &Secret<String>,
    load: Load,
    tasks: u64,
) -> anyhow::Result<Claimed> {
    let (base, identity) = (base.to_owned(), identity.clone());
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(work(&base, &identity, load, tasks))
    })
    .await?
}

async fn work(base: &str, identity: &Secret<String>, load: Load, tasks: u64) -> anyhow::Result<Claimed> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let client = Client { http, base: base.to_owned(), identity: identity.clone() };
    let pace = Arc::new(Pace { start: Instant::now(), rate: load.rate, taken: AtomicU64::new(0) });
    let left = Arc::new(AtomicU64::new(tasks));
    let done = CancellationToken::new();
    let mut workers = JoinSet::new();
    for _ in 0..load.workers {
        // At a rate a worker has slots to spare, and what it has claimed is no reason not to claim.
        let (sender, receiver) = mpsc::channel(if load.rate.is_some() { 1024 } else { 1 });
        workers.spawn(claim(client.clone(), load.batch, sender, done.clone()));
        workers.spawn(complete(client.clone(), receiver, Arc::clone(&pace), Arc::clone(&left), done.clone()));
    }
    let mut claimed = Claimed::new();
    while let Some(part) = workers.join_next().await {
        claimed.extend(part??);
    }
    Ok(claimed)
}

async fn claim(
    client: Client,
    batch: u32,
    completions: mpsc::Sender<Vec<Fence>>,
    done: CancellationToken,
) -> anyhow::Result<Claimed> {
    let mut claimed = Claimed::new();
    while !done.is_cancelled() {
        let request = ClaimRequest {
            claim_id: ClaimId::random(),
            max: batch,
            tasks: None,
            wait_ms: 20_000,
            runtime: None,
        };
        let reply: ClaimReply = tokio::select! {
            () = done.cancelled() => break,
            reply = client.call("/internal/claim", &request) => reply?,
        };
        let now = Utc::now();
        let fence = |lease: &trace_contracts::wire::worker::Lease| Fence {
            task: lease.launch.task,
            attempt: lease.attempt,
            lease_token: lease.lease_token,
        };
        claimed.extend(reply.leases.iter().map(|lease| (lease.launch.task, now)));
        let fences: Vec<Fence> = reply.leases.iter().map(fence).collect();
        if !fences.is_empty() && completions.send(fences).await.is_err() {
            break;
        }
    }
    Ok(claimed)
}

/// Completes what was claimed: whole batches as they come at full speed, and at a rate each few tasks
/// by themselves, as slots do that end at different times.
async fn complete(
    client: Client,
    mut claimed: mpsc::Receiver<Vec<Fence>>,
    pace: Arc<Pace>,
    left: Arc<AtomicU64>,
    done: CancellationToken,
) -> anyhow::Result<Claimed> {
    let mut slots = JoinSet::new();
    while let Some(fences) = claimed.recv().await {
        let chunk = if pace.rate.is_some() { 4 } else { fences.len() };
        for fences in fences.chunks(chunk) {
            let end =
                end(client.clone(), fences.to_vec(), Arc::clone(&pace), Arc::clone(&left), done.clone());
            if pace.rate.is_some() {
                slots.spawn(end);
            } else {
                end.await?;
            }
        }
        while let Some(ended) = slots.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = slots.join_next().await {
        ended??;
    }
    Ok(Claimed::new())
}

async fn end(
    client: Client,
    fences: Vec<Fence>,
    pace: Arc<Pace>,
    left: Arc<AtomicU64>,
    done: CancellationToken,
) -> anyhow::Result<()> {
    pace.take(fences.len()).await;
    let tasks = fences.len() as u64;
    let completion = |fence| Completion { fence, outcome: Outcome::Succeeded };
    let request = CompleteRequest { completions: fences.into_iter().map(completion).collect() };
    let reply: CompleteReply = client.call("/internal/complete", &request).await?;
    ensure!(
        reply.verdicts.iter().all(|verdict| *verdict == CompleteVerdict::Recorded),
        "a completion was not recorded: {:?}",
        reply.verdicts
    );
    if left.fetch_sub(tasks, Ordering::AcqRel) == tasks {
        done.cancel();
    }
    Ok(())
}
