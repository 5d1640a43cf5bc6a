//! A dispatcher that goes away between two steps leaves nothing half done.

use trace_contracts::wire::worker::{CompleteVerdict, Fence};
use trace_dispatcher::{
    dag::spec::Source,
    db::leases::ShownFence,
    outputs::OutputLister,
    task::{
        claim::{Claim, claim},
        complete::{End, Ended, complete},
        cut::cut,
        start_run::{NewRun, start_run},
    },
};

use crate::support::{
    Platform,
    dags::{job, reading, spec},
    wire::{claiming, succeeded},
};

async fn worker_id(platform: &Platform) -> trace_contracts::WorkerId {
    let hash = trace_contracts::Sha256::of(platform.worker.expose().as_bytes());
    let id = sqlx::query_scalar("select worker_id from workers where token_sha256 = $1")
        .bind(&hash.as_bytes()[..])
        .fetch_one(&platform.db)
        .await
        .unwrap();
    trace_contracts::WorkerId::from_db(id)
}

#[tokio::test]
async fn before_a_run_is_committed_there_is_none() {
    let platform = Platform::start().await;
    let deployed = platform.deploy(spec("d", vec![job("a")])).await;
    let mut tx = platform.db.begin().await.unwrap();
    let new = NewRun {
        org: platform.org,
        dag: deployed.dag,
        version: deployed.version,
        spec: &deployed.spec,
        params: std::collections::BTreeMap::new(),
        triggered_by: platform.user,
        idempotency_key: None,
    };
    start_run(&mut tx, &platform.app.core, new).await.unwrap();
    drop(tx);
    for table in
        ["select count(*) from runs", "select count(*) from dataset_versions", "select count(*) from ready"]
    {
        assert_eq!(platform.count(table).await, 0, "{table}");
    }
    assert!(platform.claim(1).await.is_empty());
}

#[tokio::test]
async fn before_a_claim_is_committed_the_task_is_still_ready() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let worker = worker_id(&platform).await;
    let request = claiming(1);
    let mut tx = platform.db.begin().await.unwrap();
    let claims = [Claim { worker, claim: request.claim_id, max: 1, only: None }];
    let mut ids = platform.app.core.attempt_ids.reserve(&platform.db, 1).await.unwrap();
    assert_eq!(claim(&mut tx, &platform.app.config.limits, &mut ids, &claims).await.unwrap()[0].len(), 1);
    drop(ids);
    drop(tx);
    assert_eq!(platform.claim_as(&request).await.len(), 1, "the worker asks again, and gets it");
    platform.assert_consistent().await;
}

#[tokio::test]
async fn after_the_cut_and_before_the_commit_the_completion_can_come_again() {
    let platform = Platform::start().await;
    let after = reading(job("b"), "a", Source::WholeJob { job: 0 });
    let run = platform.run(spec("d", vec![job("a"), after])).await;
    let lease = platform.claim_one().await;
    let worker = worker_id(&platform).await;
    let shown = ShownFence {
        worker,
        fence: Fence { task: lease.launch.task, attempt: lease.attempt, lease_token: lease.lease_token },
    };
    let mut tx = platform.db.begin().await.unwrap();
    assert!(cut(&mut tx, &[shown]).await.unwrap()[0].is_some());
    tx.commit().await.unwrap();

    let prefix =
        format!("s3://trace/data/{}/{run}/{}/{}/out/", platform.org, lease.launch.task, lease.attempt);
    let outputs = platform.outputs.list(&prefix.parse().unwrap(), &"all".parse().unwrap()).await.unwrap();
    let mut tx = platform.db.begin().await.unwrap();
    let batch = [Ended { shown, end: End::Succeeded(run, outputs) }];
    let completed = complete(&mut tx, &platform.app.core, &batch).await.unwrap();
    assert_eq!(completed.verdicts, [CompleteVerdict::Recorded]);
    drop(tx);
    assert_eq!(platform.count("select count(*) from commits").await, 0);
    assert!(platform.claim(1).await.is_empty(), "nothing was planned");

    assert_eq!(platform.complete_one(succeeded(&lease)).await, CompleteVerdict::Recorded);
    assert_eq!(platform.work_off().await, 1);
    assert_eq!(platform.state_of(run).await, "succeeded");
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_worker_that_never_heard_the_answer_hears_it_again() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    let body = trace_contracts::wire::worker::CompleteRequest { completions: vec![succeeded(&lease)] };
    drop(platform.post("/internal/complete", &body).await);
    assert_eq!(platform.complete_one(succeeded(&lease)).await, CompleteVerdict::Recorded);
}
