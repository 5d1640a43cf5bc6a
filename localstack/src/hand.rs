//! A worker by hand: the wrapper's own adapter for SQS, and calls as the wrapper makes them.

use anyhow::ensure;
use serde_json::json;
use trace_aws::Aws;
use trace_contracts::{
    ClaimId, RunId,
    wire::worker::{ClaimReply, ClaimRequest, Lease},
};
use trace_worker_wrapper::wakeups::{
    Answered, Hint, WakeUp, WakeUps as _,
    sqs::{Config, SqsWakeUps},
};

use crate::{LONG, Platform, Queue};

/// A worker.
pub struct Hand<'p> {
    platform: &'p Platform,
    wakeups: SqsWakeUps,
}

impl<'p> Hand<'p> {
    /// One that listens to this queue.
    #[must_use]
    pub fn new(platform: &'p Platform, queue: &Queue, aws: Aws) -> Self {
        let config = Config { aws, queue: queue.url.clone(), dead_letters: queue.dead_letters.clone() };
        Self { platform, wakeups: SqsWakeUps::new(&config) }
    }

    /// Waits for wake-ups as a wrapper with so much room does.
    ///
    /// # Errors
    /// When the queue can't be asked.
    pub async fn receive(&mut self, room: usize) -> Result<WakeUp, trace_worker_wrapper::wakeups::Error> {
        self.wakeups.receive(room).await
    }

    /// One round of a wrapper with so much room: a wake-up, a claim, and word to the queue.
    ///
    /// # Errors
    /// When the queue or the dispatcher fails.
    pub async fn round(&mut self, room: usize) -> anyhow::Result<Vec<Lease>> {
        let WakeUp { hint, messages } = self.receive(room).await?;
        let Hint::Tasks(tasks) = hint.without_repeats() else { anyhow::bail!("a queue names tasks") };
        let request = ClaimRequest {
            claim_id: ClaimId::random(),
            max: u32::try_from(room)?,
            tasks: Some(tasks),
            wait_ms: 0,
            runtime: None,
        };
        let url = format!("http://{}/internal/claim", self.platform.addresses.workers);
        let call = self.platform.http.post(url).bearer_auth(self.platform.worker.expose()).json(&request);
        let ClaimReply { leases } = call.send().await?.error_for_status()?.json().await?;
        let granted = leases.iter().map(|lease| lease.launch.task).collect();
        // A queue that can't be told delivers again, as for the wrapper.
        let _told = self.wakeups.acknowledge(Answered::of(messages, room, &granted)).await;
        Ok(leases)
    }

    /// Says that attempts have succeeded.
    ///
    /// # Errors
    /// When the dispatcher does not take it.
    pub async fn complete(&self, leases: &[Lease]) -> anyhow::Result<()> {
        let completion = |lease: &Lease| {
            let task = lease.launch.task;
            let fence = json!({ "task": task, "attempt": lease.attempt, "lease_token": lease.lease_token });
            json!({ "fence": fence, "outcome": { "outcome": "succeeded" } })
        };
        let body = json!({ "completions": leases.iter().map(completion).collect::<Vec<_>>() });
        let url = format!("http://{}/internal/complete", self.platform.addresses.workers);
        let call = self.platform.http.post(url).bearer_auth(self.platform.worker.expose()).json(&body);
        let reply: serde_json::Value = call.send().await?.error_for_status()?.json().await?;
        let verdicts = reply["verdicts"].as_array().map_or(&[][..], Vec::as_slice);
        ensure!(verdicts.iter().all(|verdict| verdict["verdict"] == "recorded"), "{reply}");
        Ok(())
    }

    /// Works until a run has ended, whatever the queue does meanwhile; answers how it ended, and how many
    /// attempts there were.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn work_off(&mut self, run: RunId, room: usize) -> anyhow::Result<(String, usize)> {
        let platform = self.platform;
        let mut attempts = 0;
        let work = async {
            loop {
                let state = platform.state_of(run).await?;
                if state != "running" {
                    return anyhow::Ok((state, attempts));
                }
                // A queue that is away is asked again, as a wrapper does.
                let Ok(leases) = self.round(room).await else { continue };
                if !leases.is_empty() {
                    attempts += leases.len();
                    self.complete(&leases).await?;
                }
            }
        };
        match tokio::time::timeout(LONG, work).await {
            Ok(ended) => ended,
            Err(_) => anyhow::bail!("the run goes on; {attempts} attempts were made"),
        }
    }
}
