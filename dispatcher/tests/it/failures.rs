//! What becomes of tasks that fail: retries, backoff, the dead-letter list, and the way back.

use std::collections::BTreeSet;

use trace_contracts::{
    TaskId,
    wire::worker::{CompleteVerdict, FailureReason},
};
use trace_dispatcher::{
    config::Limits,
    dag::spec::Source,
    task::{self, retry::retry_task},
};

use crate::support::{
    Platform,
    dags::{job, partitioned, reading, retrying, spec},
    wire::{claiming, failed, succeeded},
};

async fn retry(platform: &Platform, task: TaskId) -> Result<(), task::Error> {
    let mut tx = platform.db.begin().await.unwrap();
    retry_task(&mut tx, &platform.app.core, platform.org, task).await?;
    tx.commit().await.unwrap();
    Ok(())
}

#[tokio::test]
async fn retries_are_used_up_and_the_run_fails_once_nothing_can_run() {
    let platform = Platform::start().await;
    let after = reading(job("c"), "b", Source::WholeJob { job: 1 });
    let run = platform.run(spec("d", vec![retrying(job("a"), 2, 0), job("b"), after])).await;
    for failures in 0..3 {
        let request = claiming(10);
        let lease =
            platform.claim_as(&request).await.into_iter().find(|lease| &*lease.launch.job == "a").unwrap();
        assert_eq!(lease.launch.failures, failures);
        platform.complete_one(failed(&lease, FailureReason::Exit)).await;
    }
    assert_eq!(platform.count("select count(*) from task_ends where state = 'dead'").await, 1);
    assert_eq!(platform.state_of(run).await, "running", "`b` still runs");
    // `b` was leased by the claims above; take its lease from the table and let it run out.
    sqlx::query("update leases set expires_at = now()").execute(&platform.db).await.unwrap();
    platform.app.signals.tell_later();
    let waiting = trace_contracts::wire::worker::ClaimRequest { wait_ms: 10_000, ..claiming(1) };
    let lease = platform.claim_as(&waiting).await.remove(0);
    platform.complete_one(succeeded(&lease)).await;
    let last = platform.claim_one().await;
    platform.complete_one(succeeded(&last)).await;
    assert_eq!(platform.state_of(run).await, "failed");
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_failure_backs_off_with_jitter() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![retrying(partitioned(job("a"), 6), 3, 60_000)])).await;
    let leases = platform.claim(6).await;
    platform.complete(leases.iter().map(|lease| failed(lease, FailureReason::Exit)).collect()).await;
    assert!(platform.claim(1).await.is_empty(), "not due yet");
    let delays: Vec<f64> = sqlx::query_scalar(
        "select extract(epoch from r.not_before - a.ended_at)::double precision
        from delayed r join attempts a using (task_id)",
    )
    .fetch_all(&platform.db)
    .await
    .unwrap();
    assert!(delays.iter().all(|delay| (47.9..72.1).contains(delay)), "{delays:?}");
    let distinct: BTreeSet<u64> = delays.iter().map(|delay| delay.to_bits()).collect();
    assert!(distinct.len() > 1, "tasks that failed together do not come back together");
}

#[tokio::test]
async fn a_delayed_task_wakes_who_waits_once_it_is_due() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![retrying(job("a"), 3, 500)])).await;
    let lease = platform.claim_one().await;
    platform.complete_one(failed(&lease, FailureReason::Exit)).await;
    let waiting = trace_contracts::wire::worker::ClaimRequest { wait_ms: 20_000, ..claiming(1) };
    let back = platform.claim_as(&waiting).await;
    assert_eq!((back[0].launch.task, back[0].launch.failures), (lease.launch.task, 1));
}

#[tokio::test]
async fn lost_workers_use_up_no_retries_until_there_are_too_many() {
    let platform = Platform::with_limits(Limits { max_losses: 3, ..Limits::default() }).await;
    let run = platform.run(spec("d", vec![retrying(job("a"), 0, 0)])).await;
    for loss in 0..3 {
        sqlx::query("update delayed set not_before = now()").execute(&platform.db).await.unwrap();
        platform.app.signals.tell_later();
        let waiting = trace_contracts::wire::worker::ClaimRequest { wait_ms: 20_000, ..claiming(1) };
        let lease = platform.claim_as(&waiting).await.remove(0);
        assert_eq!(lease.launch.failures, 0);
        let reason = if loss == 1 { FailureReason::WorkerStopping } else { FailureReason::Launch };
        assert_eq!(platform.complete_one(failed(&lease, reason)).await, CompleteVerdict::Recorded);
    }
    assert_eq!(platform.state_of(run).await, "failed");
    let why: String = sqlx::query_scalar("select detail from attempts order by attempt_id desc limit 1")
        .fetch_one(&platform.db)
        .await
        .unwrap();
    assert!(why.contains("too many lost workers"), "{why}");
}

#[tokio::test]
async fn a_dead_task_can_be_retried_by_hand_and_its_run_goes_on() {
    let platform = Platform::start().await;
    let after = reading(job("b"), "a", Source::WholeJob { job: 0 });
    let run = platform.run(spec("d", vec![retrying(job("a"), 0, 0), after])).await;
    let lease = platform.claim_one().await;
    platform.complete_one(failed(&lease, FailureReason::Signal)).await;
    assert_eq!(platform.state_of(run).await, "failed");
    retry(&platform, lease.launch.task).await.unwrap();
    assert_eq!(platform.state_of(run).await, "running");
    assert!(matches!(retry(&platform, lease.launch.task).await, Err(task::Error::NotDead)));
    assert_eq!(platform.work_off().await, 2);
    assert_eq!(platform.state_of(run).await, "succeeded");
    platform.assert_consistent().await;
}

#[tokio::test]
async fn another_orgs_task_can_not_be_retried() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![retrying(job("a"), 0, 0)])).await;
    let lease = platform.claim_one().await;
    platform.complete_one(failed(&lease, FailureReason::Signal)).await;
    let rival =
        trace_dispatcher::bootstrap::ensure_org(&platform.db, &"rival".parse().unwrap()).await.unwrap();
    let mut tx = platform.db.begin().await.unwrap();
    let refused = retry_task(&mut tx, &platform.app.core, rival, lease.launch.task).await;
    assert!(matches!(refused, Err(task::Error::NotFound("task"))));
}
