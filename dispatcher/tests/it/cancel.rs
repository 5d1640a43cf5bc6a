//! Cancelling a run: at once, for everything of it, and for good.

use trace_contracts::wire::worker::{CompleteVerdict, FailureReason, HeartbeatVerdict};
use trace_dispatcher::{
    dag::spec::Source,
    task::{self, cancel::cancel_run},
};

use crate::support::{
    Platform,
    dags::{job, partitioned, reading, retrying, spec},
    wire::{failed, fence, succeeded},
};

async fn cancel(platform: &Platform, run: trace_contracts::RunId) -> Result<(), task::Error> {
    let mut tx = platform.db.begin().await.unwrap();
    cancel_run(&mut tx, &platform.app.core, platform.org, run).await?;
    tx.commit().await.unwrap();
    Ok(())
}

#[tokio::test]
async fn ready_and_leased_tasks_end_and_the_planes_hear_of_it() {
    let platform = Platform::start().await;
    let after = reading(job("b"), "a", Source::WholeJob { job: 0 });
    let run = platform.run(spec("d", vec![partitioned(job("a"), 4), after])).await;
    let leases = platform.claim(2).await;
    let attempts: Vec<_> = leases.iter().map(|lease| lease.attempt).collect();
    let (dead, ()) = tokio::join!(platform.dead_of(&attempts, 20_000), async {
        cancel(&platform, run).await.unwrap();
    });
    assert!(!dead.is_empty() && dead.iter().all(|attempt| attempts.contains(attempt)));
    assert_eq!(platform.heartbeat(vec![fence(&leases[0])]).await, [HeartbeatVerdict::Stale]);
    assert_eq!(platform.complete_one(succeeded(&leases[1])).await, CompleteVerdict::Stale);
    assert!(platform.claim(10).await.is_empty());
    assert_eq!(platform.count("select count(*) from task_ends where state = 'cancelled'").await, 4);
    assert_eq!(platform.count("select count(*) from attempts where outcome = 'cancelled'").await, 2);
    assert_eq!(platform.state_of(run).await, "cancelled");
    cancel(&platform, run).await.unwrap();
    platform.assert_consistent().await;
}

#[tokio::test]
async fn what_has_ended_is_not_cancelled_and_what_is_cancelled_is_not_retried() {
    let platform = Platform::start().await;
    let run = platform.run(spec("d", vec![job("a")])).await;
    platform.work_off().await;
    assert!(matches!(cancel(&platform, run).await, Err(task::Error::RunEnded(_))));

    let run = platform.run(spec("e", vec![retrying(job("a"), 0, 0), job("b")])).await;
    let leases = platform.claim(2).await;
    platform.complete_one(failed(&leases[0], FailureReason::Exit)).await;
    cancel(&platform, run).await.unwrap();
    let mut tx = platform.db.begin().await.unwrap();
    let task = leases[0].launch.task;
    let refused = task::retry::retry_task(&mut tx, &platform.app.core, platform.org, task).await;
    assert!(matches!(refused, Err(task::Error::RunEnded(_))), "{refused:?}");
}

/// A claim that is under way while its run is cancelled either gets nothing or loses its lease.
#[tokio::test]
async fn a_claim_that_races_a_cancellation_keeps_nothing() {
    let platform = Platform::start().await;
    for round in 0..10 {
        let run = platform.run(spec(&format!("d{round}"), vec![partitioned(job("a"), 30)])).await;
        let claims = futures::future::join_all((0..6).map(|_| platform.claim(5)));
        let (_, cancelled) = tokio::join!(claims, cancel(&platform, run));
        cancelled.unwrap();
        assert_eq!(platform.count("select count(*) from leases").await, 0);
        assert_eq!(platform.count("select count(*) from ready").await, 0);
        platform.assert_consistent().await;
    }
}
