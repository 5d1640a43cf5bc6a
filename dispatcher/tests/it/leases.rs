//! Leases: extended by heartbeats, taken back when they run out, by the database's clock.

use trace_contracts::wire::worker::{ClaimRequest, CompleteVerdict, HeartbeatVerdict};
use trace_dispatcher::config::Limits;

use crate::support::{
    Platform,
    dags::{job, partitioned, spec},
    wire::{claiming, fence, succeeded},
};

#[tokio::test]
async fn a_heartbeat_extends_and_a_bad_one_stops_no_other() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![partitioned(job("a"), 2)])).await;
    let leases = platform.claim(2).await;
    let mut wrong = fence(&leases[0]);
    wrong.lease_token = trace_contracts::LeaseToken::random();
    let verdicts = platform.heartbeat(vec![wrong, fence(&leases[1]), fence(&leases[0])]).await;
    assert_eq!(verdicts[0], HeartbeatVerdict::Stale);
    for (verdict, lease) in verdicts[1..].iter().zip([&leases[1], &leases[0]]) {
        let HeartbeatVerdict::Extended { expires_at } = verdict else { panic!("{verdict:?}") };
        assert!(*expires_at > lease.expires_at);
    }
}

#[tokio::test]
async fn a_lease_that_runs_out_comes_back_as_another_attempt() {
    let platform = Platform::with_limits(Limits { lease_ms: 300, ..Limits::default() }).await;
    platform.run(spec("d", vec![job("a")])).await;
    let lost = platform.claim_one().await;
    let waiting = ClaimRequest { wait_ms: 20_000, ..claiming(1) };
    let next = platform.claim_as(&waiting).await.remove(0);
    assert_eq!(next.launch.task, lost.launch.task);
    assert!(next.attempt > lost.attempt);
    assert_eq!(next.launch.failures, 0, "a lost worker is no failure of the task");
    assert_eq!(platform.complete_one(succeeded(&lost)).await, CompleteVerdict::Stale);
    let outcome: String = sqlx::query_scalar("select outcome from attempts where attempt_id = $1")
        .bind(lost.attempt.get())
        .fetch_one(&platform.db)
        .await
        .unwrap();
    assert_eq!(outcome, "lease_expired");
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_lease_that_is_extended_outlives_its_first_end() {
    let platform = Platform::with_limits(Limits { lease_ms: 600, ..Limits::default() }).await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    let mut beat = tokio::time::interval(std::time::Duration::from_millis(150));
    for _ in 0..8 {
        beat.tick().await;
        let verdict = platform.heartbeat(vec![fence(&lease)]).await.remove(0);
        assert!(matches!(verdict, HeartbeatVerdict::Extended { .. }), "{verdict:?}");
    }
    assert_eq!(platform.complete_one(succeeded(&lease)).await, CompleteVerdict::Recorded);
}
