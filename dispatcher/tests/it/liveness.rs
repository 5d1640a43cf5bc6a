//! What planes are told of attempts that are over.

use std::time::{Duration, Instant};

use trace_contracts::{AttemptId, wire::worker::FailureReason};
use trace_dispatcher::config::Limits;

use crate::support::{
    Platform,
    adapters::Told,
    dags::{job, partitioned, spec},
    wire::{failed, succeeded},
};

#[tokio::test]
async fn the_first_look_says_who_is_dead_and_waits_for_nobody() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    let never = AttemptId::from_db(999_999);
    assert_eq!(platform.dead_of(&[lease.attempt, never], 0).await, [never]);
    assert!(platform.dead_of(&[lease.attempt], 0).await.is_empty());
}

#[tokio::test]
async fn a_feed_answers_as_soon_as_an_attempt_ends() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![partitioned(job("a"), 2)])).await;
    let leases = platform.claim(2).await;
    let attempts = [leases[0].attempt, leases[1].attempt];
    let since = Instant::now();
    let (dead, _) = tokio::join!(
        platform.dead_of(&attempts, 20_000),
        platform.complete_one(failed(&leases[1], FailureReason::Exit)),
    );
    assert_eq!(dead, [leases[1].attempt]);
    assert!(since.elapsed() < Duration::from_secs(5), "took {:?}", since.elapsed());
}

#[tokio::test]
async fn a_lease_that_runs_out_ends_the_wait() {
    let platform = Platform::with_limits(Limits { lease_ms: 400, ..Limits::default() }).await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    assert_eq!(platform.dead_of(&[lease.attempt], 20_000).await, [lease.attempt]);
}

/// The authority goes before the outputs are listed, on every dispatcher, while the lease stands.
#[tokio::test]
async fn authority_is_cut_before_outputs_are_listed() {
    let platform = Platform::start().await;
    let other = platform.beside().await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    platform.outputs.tell(lease.attempt, Told::StoreIsAway);
    let body = trace_contracts::wire::worker::CompleteRequest { completions: vec![succeeded(&lease)] };
    let attempts = [lease.attempt];
    let elsewhere = other.dead_of(&attempts, 20_000);
    let (refused, elsewhere) = tokio::join!(platform.post("/internal/complete", &body), elsewhere);
    assert_eq!(refused.status(), 503);
    assert_eq!(platform.count("select count(*) from leases").await, 1, "the lease still stands");
    assert_eq!(platform.dead_of(&[lease.attempt], 0).await, [lease.attempt]);
    assert_eq!(elsewhere, [lease.attempt]);
    assert!(platform.sessions.revoked.lock().unwrap().contains(&lease.attempt));
    let context = platform.task(reqwest::Method::GET, "/v1/task/context", &lease.capability_token);
    assert_eq!(platform.status(context).await, 401);
}
