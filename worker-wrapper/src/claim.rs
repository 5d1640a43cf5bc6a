//! Claiming: one claim id until there is one answer.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trace_contracts::{
    ClaimId, Runtime,
    wire::{
        limit::{BATCH_ITEMS, WAIT_MS},
        worker::{ClaimReply, ClaimRequest, Lease},
    },
};

use crate::{
    backoff::Backoff,
    dispatcher::{Dispatcher, Error},
    wakeups::Hint,
};

/// How a claim ended.
#[derive(Debug)]
pub enum Claimed {
    /// The dispatcher answered; the list may be empty.
    Leases {
        /// What was granted.
        leases: Vec<Lease>,
        /// When it was asked for. The leases began at some time since.
        asked_at: Instant,
    },
    /// The wrapper is stopping. These were granted all the same and are to be given back.
    Stopping(Vec<Lease>),
}

/// Claims up to `room` tasks of a runtime. A reply that was lost, or a dispatcher that is away, is asked again
/// with the same claim id, so that nothing is granted twice and nothing granted is forgotten.
///
/// # Errors
/// When the dispatcher refuses the claim for good.
pub async fn claim(
    dispatcher: &Dispatcher,
    runtime: Runtime,
    hint: Hint,
    room: usize,
    stopping: &CancellationToken,
) -> Result<Claimed, Error> {
    let request = request(runtime, hint, room);
    let mut backoff = Backoff::default();
    loop {
        let asked_at = Instant::now();
        let answer = tokio::select! {
            answer = dispatcher.claim(&request) => answer,
            () = stopping.cancelled() => return Ok(Claimed::Stopping(settle(dispatcher, request).await)),
        };
        match answer {
            Ok(ClaimReply { leases }) => return Ok(Claimed::Leases { leases, asked_at }),
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, claim = ?request.claim_id, "a claim has no answer; asking again");
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = backoff.pause() => {}
            () = stopping.cancelled() => return Ok(Claimed::Stopping(settle(dispatcher, request).await)),
        }
    }
}

fn request(runtime: Runtime, hint: Hint, room: usize) -> ClaimRequest {
    let (tasks, wait) = match hint.without_repeats() {
        Hint::WhateverIsReady { wait } => (None, wait),
        Hint::Tasks(tasks) => (Some(tasks), Duration::ZERO),
    };
    ClaimRequest {
        claim_id: ClaimId::random(),
        max: u32::try_from(room.min(BATCH_ITEMS)).unwrap_or(u32::MAX),
        tasks,
        wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).min(WAIT_MS),
        // Left out where a dispatcher from before runtimes understands it too.
        runtime: Some(runtime).filter(|runtime| *runtime != Runtime::Process),
    }
}

/// Asks, in the middle of a claim, what it granted, without claiming more: the same claim, for no
/// task at all. Whatever stays unknown is brought back by the reaper once its lease has run out.
async fn settle(dispatcher: &Dispatcher, claim: ClaimRequest) -> Vec<Lease> {
    let nothing_new = ClaimRequest { tasks: Some(Vec::new()), wait_ms: 0, ..claim };
    match dispatcher.claim(&nothing_new).await {
        Ok(reply) => reply.leases,
        Err(error) => {
            tracing::info!(%error, "what the last claim granted is not known; its leases run out by themselves");
            Vec::new()
        }
    }
}
