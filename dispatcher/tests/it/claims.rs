//! Claiming: once, in batches, and again after a lost reply.

use std::time::{Duration, Instant};

use trace_contracts::{ClaimId, wire::worker::ClaimRequest};

use crate::support::{
    Platform,
    dags::{job, partitioned, spec},
    wire::{claiming, fence, succeeded},
};

#[tokio::test]
async fn a_claim_asked_again_answers_the_same_leases() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![partitioned(job("a"), 5)])).await;
    let request = claiming(3);
    let first = platform.claim_as(&request).await;
    let again = platform.claim_as(&request).await;
    assert_eq!(first.len(), 3);
    let fences = |leases: &[trace_contracts::wire::worker::Lease]| {
        let mut fences: Vec<_> = leases.iter().map(|lease| (lease.attempt, lease.lease_token)).collect();
        fences.sort_by_key(|fence| fence.0);
        fences
    };
    assert_eq!(fences(&first), fences(&again), "the same attempts under the same fences");
    assert_eq!(platform.count("select count(*) from leases").await, 3);
    assert_eq!(platform.claim(10).await.len(), 2, "another claim gets the rest");
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_claim_sent_twice_at_once_takes_one_set_of_leases() {
    let platform = Platform::start().await;
    let other = platform.beside().await;
    platform.run(spec("d", vec![partitioned(job("a"), 40)])).await;
    for _ in 0..10 {
        let request = claiming(2);
        let beside =
            other.internal(reqwest::Method::POST, "/internal/claim", &platform.worker).json(&request).send();
        let (first, second) = tokio::join!(platform.claim_as(&request), beside);
        let second: trace_contracts::wire::worker::ClaimReply = second.unwrap().json().await.unwrap();
        let attempts = |leases: &[trace_contracts::wire::worker::Lease]| {
            leases.iter().map(|lease| lease.attempt).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(attempts(&first), attempts(&second.leases));
    }
    assert_eq!(platform.count("select count(*) from leases").await, 20);
}

#[tokio::test]
async fn claims_that_share_a_commit_get_different_tasks() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![partitioned(job("a"), 60)])).await;
    let claims = futures::future::join_all((0..20).map(|_| platform.claim(3))).await;
    let mut tasks: Vec<_> = claims.iter().flatten().map(|lease| lease.launch.task).collect();
    assert!(claims.iter().all(|leases| leases.len() == 3), "there is enough for everybody");
    tasks.sort();
    tasks.dedup();
    assert_eq!(tasks.len(), 60);
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_claim_of_named_tasks_takes_no_others() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![partitioned(job("a"), 5)])).await;
    let seen = platform.claim(1).await.remove(0);
    let next = trace_contracts::TaskId::from_db(seen.launch.task.get() + 2);
    let request = ClaimRequest { tasks: Some(vec![next, seen.launch.task]), ..claiming(5) };
    let named = platform.claim_as(&request).await;
    assert_eq!(named.iter().map(|lease| lease.launch.task).collect::<Vec<_>>(), [next]);
    assert!(platform.claim_as(&ClaimRequest { tasks: Some(vec![]), ..claiming(5) }).await.is_empty());
}

#[tokio::test]
async fn another_workers_claim_id_answers_nothing_of_its() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![partitioned(job("a"), 2)])).await;
    let request = claiming(1);
    let mine = platform.claim_as(&request).await;
    let other = platform.beside().await;
    let theirs = other.claim_as(&request).await;
    assert_ne!(mine[0].attempt, theirs[0].attempt, "a fence goes to nobody but its holder");
}

#[tokio::test]
async fn a_waiting_claim_is_woken_by_the_next_task_and_not_by_a_timer() {
    let platform = Platform::start().await;
    let deployed = platform.deploy(spec("d", vec![job("a")])).await;
    let waiting = ClaimRequest { wait_ms: 20_000, ..claiming(1) };
    let since = Instant::now();
    let (leases, _) = tokio::join!(platform.claim_as(&waiting), platform.start_run(&deployed));
    assert_eq!(leases.len(), 1);
    assert!(since.elapsed() < Duration::from_secs(4), "took {:?}", since.elapsed());
}

#[tokio::test]
async fn an_empty_claim_ends_with_its_wait() {
    let platform = Platform::start().await;
    let request =
        ClaimRequest { claim_id: ClaimId::random(), max: 1, tasks: None, wait_ms: 50, runtime: None };
    assert!(platform.claim_as(&request).await.is_empty());
}

#[tokio::test]
async fn a_lease_says_what_to_launch() {
    let platform = Platform::start().await;
    let run = platform.run(spec("d", vec![partitioned(job("a"), 1)])).await;
    let lease = platform.claim_one().await;
    let launch = &lease.launch;
    assert_eq!((launch.run, launch.org, &*launch.dag, &*launch.job), (run, platform.org, "d", "a"));
    assert_eq!((&*launch.partition, launch.failures, launch.timeout_ms), ("p0", 0, 60_000));
    assert_eq!(lease.lease_ms, platform.app.config.limits.lease_ms);
    platform.complete_one(succeeded(&lease)).await;
    assert_eq!(platform.heartbeat(vec![fence(&lease)]).await.len(), 1);
}
