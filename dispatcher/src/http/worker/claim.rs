//! `POST /internal/claim`.

use std::time::Duration;

use axum::{Json, extract::State};
use chrono::Utc;
use tokio::time::Instant;
use trace_contracts::{
    Audience,
    wire::{
        limit,
        worker::{ClaimReply, ClaimRequest, FailureReason, Fence, LaunchSpec, Lease},
    },
};
use trace_plane::{Body, Reply};

use super::{Worker, batches::Taken, bounded, routing};
use crate::{
    App, db,
    db::leases::{LeaseRow, ShownFence},
    facts::Place,
    grants::{self, Granted},
    mint::{Signer, Subject},
    task::{
        claim::Claim,
        complete::{End, Ended},
        fail::Failure,
    },
};

/// Takes up to `max` ready tasks, waiting until there is one.
pub(super) async fn claim(
    State(app): State<App>,
    Worker(worker): Worker,
    Body(request): Body<ClaimRequest>,
) -> Reply<Json<ClaimReply>> {
    bounded(request.tasks.as_deref().unwrap_or_default())?;
    let only = routing::admit(&app, request.runtime, request.tasks).await?;
    app.attendance.asks(&app.db, worker).await;
    // A lease whose token can't be signed would only run out.
    app.keys.check()?;
    let most = u32::try_from(limit::BATCH_ITEMS).unwrap_or(u32::MAX);
    let claim = Claim { worker, claim: request.claim_id, max: request.max.min(most), only };
    let taken = wait(&app, claim, Duration::from_millis(request.wait_ms.min(limit::WAIT_MS))).await?;
    let leases = match taken {
        Some(Taken { leases: rows, signer }) => leases(&app, rows, &signer).await?,
        None => Vec::new(),
    };
    Ok(Json(ClaimReply { leases }))
}

async fn wait(app: &App, claim: Claim, wait: Duration) -> Reply<Option<Taken>> {
    let deadline = Instant::now() + wait;
    // Subscribed before looking, so that a task that gets ready in between is not missed.
    let mut ready = app.signals.ready();
    loop {
        ready.mark_unchanged();
        let taken = app.batches.claim(claim.clone()).await?;
        if taken.is_some() || claim.max == 0 || Instant::now() >= deadline {
            return Ok(taken);
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return Ok(None),
            heard = tokio::time::timeout_at(deadline, ready.changed()) => {
                // Nothing was heard: the next claim begins with a look, so this one needs no last one.
                if heard.is_err() {
                    return Ok(None);
                }
            }
        }
    }
}

/// Rows as they go out: with what to launch and a token. A lease that can't be told of is given
/// back as failed, so that its task does not wait for it to run out.
async fn leases(app: &App, rows: Vec<LeaseRow>, signer: &Signer) -> Reply<Vec<Lease>> {
    let (bucket, way_out) = (&app.config.object_store.bucket, app.config.egress);
    let granted = grants::of_leases(&app.db, &app.core.facts, bucket, way_out, rows).await?;
    let mut leases = Vec::with_capacity(granted.len());
    let mut failed = Vec::new();
    for one in granted {
        let launch = launch_spec(&one)?;
        let subject = Subject {
            lease: &one.lease,
            org: launch.org,
            grants: &one.grants,
            timeout: Duration::from_millis(launch.timeout_ms),
        };
        match signer.mint(subject, Audience::Dispatcher, Utc::now()) {
            Ok(reply) => leases.push(Lease {
                attempt: one.lease.attempt,
                lease_token: one.lease.lease_token,
                expires_at: one.lease.expires_at,
                lease_ms: app.config.limits.lease_ms,
                launch,
                capability_token: reply.token,
            }),
            Err(error) => failed.push(not_launched(&one.lease, &error.to_string())),
        }
    }
    if !failed.is_empty() {
        app.batches.complete(failed).await?;
    }
    Ok(leases)
}

/// What to launch for a lease.
///
/// # Errors
/// When the DAG does not list its task.
pub fn launch_spec(granted: &Granted) -> Result<LaunchSpec, db::Error> {
    let Granted { lease, facts, .. } = granted;
    let Place { spec: job, partition, .. } = facts.place(lease.task)?;
    Ok(LaunchSpec {
        org: facts.org,
        run: lease.run(),
        task: lease.task,
        dag: facts.spec.name.clone(),
        job: job.name.clone(),
        partition: partition.clone(),
        failures: lease.failures,
        code: job.code.clone(),
        files: job.files.clone(),
        resources: job.resources,
        timeout_ms: job.timeout_ms,
    })
}

fn not_launched(lease: &LeaseRow, why: &str) -> Ended {
    let fence = Fence { task: lease.task, attempt: lease.attempt, lease_token: lease.lease_token };
    let failure = Failure { reason: FailureReason::Launch, detail: format!("no token for the task: {why}") };
    Ended { shown: ShownFence { worker: lease.worker, fence }, end: End::Failed(lease.run(), failure) }
}
