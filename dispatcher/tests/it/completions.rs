//! Completing: once, in batches with a bad item, concurrently, and what it makes of datasets.

use futures::future::join_all;
use trace_contracts::{
    Manifest,
    wire::worker::{CompleteRequest, CompleteVerdict, FailureReason},
};
use trace_dispatcher::dag::spec::Source;

use crate::support::{
    Platform,
    adapters::Told,
    dags::{job, partitioned, reading, spec},
    wire::{failed, succeeded},
};

#[tokio::test]
async fn the_same_completion_again_is_recorded_once() {
    let platform = Platform::start().await;
    let run = platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    for _ in 0..3 {
        assert_eq!(platform.complete_one(succeeded(&lease)).await, CompleteVerdict::Recorded);
    }
    let twice = platform.complete(vec![succeeded(&lease), succeeded(&lease)]).await;
    assert_eq!(twice, [CompleteVerdict::Recorded, CompleteVerdict::Recorded]);
    assert_eq!(platform.complete_one(failed(&lease, FailureReason::Exit)).await, CompleteVerdict::Stale);
    assert_eq!(platform.count("select count(*) from commits").await, 1);
    assert_eq!(platform.state_of(run).await, "succeeded");
    platform.assert_consistent().await;
}

#[tokio::test]
async fn one_attempt_twice_in_one_batch_is_recorded_once() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    let batch = vec![succeeded(&lease), succeeded(&lease), failed(&lease, FailureReason::Exit)];
    let verdicts = platform.complete(batch).await;
    assert_eq!(verdicts, [CompleteVerdict::Recorded, CompleteVerdict::Recorded, CompleteVerdict::Stale]);
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_batch_with_bad_items_records_the_good_ones() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![partitioned(job("a"), 4)])).await;
    let leases = platform.claim(4).await;
    platform.outputs.tell(leases[1].attempt, Told::Unacceptable("it left a link"));
    platform.complete_one(failed(&leases[2], FailureReason::Disk)).await;
    let verdicts = platform.complete(leases.iter().map(succeeded).collect()).await;
    assert_eq!(
        verdicts,
        [
            CompleteVerdict::Recorded,
            CompleteVerdict::Refused { detail: "it left a link".to_owned() },
            CompleteVerdict::Stale,
            CompleteVerdict::Recorded,
        ]
    );
    let again = platform.complete_one(succeeded(&leases[1])).await;
    assert_eq!(again, CompleteVerdict::Refused { detail: "it left a link".to_owned() }, "as before");
    assert_eq!(platform.count("select count(*) from attempts where outcome = 'output'").await, 1);
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_store_that_is_away_delays_its_own_items_alone() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![partitioned(job("a"), 2)])).await;
    let leases = platform.claim(2).await;
    platform.outputs.tell(leases[0].attempt, Told::StoreIsAway);
    let request = CompleteRequest { completions: leases.iter().map(succeeded).collect() };
    assert_eq!(platform.post("/internal/complete", &request).await.status(), 503);
    assert_eq!(platform.count("select count(*) from commits").await, 1);
    platform.outputs.forget(leases[0].attempt);
    let verdicts = platform.complete(request.completions).await;
    assert_eq!(verdicts, [CompleteVerdict::Recorded, CompleteVerdict::Recorded]);
    platform.assert_consistent().await;
}

/// The race that would lose a task: two upstream jobs end at the same moment, and each transaction
/// sees the other's as missing.
#[tokio::test]
async fn two_upstream_tasks_that_end_at_once_lose_no_downstream_task() {
    let platform = Platform::start().await;
    let other = platform.beside().await;
    let fan_in = |name: &str| {
        let both = reading(job("c"), "a", Source::WholeJob { job: 0 });
        spec(name, vec![job("a"), job("b"), reading(both, "b", Source::WholeJob { job: 1 })])
    };
    for round in 0..12 {
        let run = platform.run(fan_in(&format!("d{round}"))).await;
        let leases = platform.claim(2).await;
        let here = platform.complete(vec![succeeded(&leases[0])]);
        let request = CompleteRequest { completions: vec![succeeded(&leases[1])] };
        let there = other
            .internal(reqwest::Method::POST, "/internal/complete", &platform.worker)
            .json(&request)
            .send();
        let (_, there) = tokio::join!(here, there);
        assert!(there.unwrap().status().is_success());
        let last = platform.claim_one().await;
        assert_eq!((&*last.launch.job, last.launch.run), ("c", run));
        platform.complete_one(succeeded(&last)).await;
        assert_eq!(platform.state_of(run).await, "succeeded");
    }
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_version_becomes_current_once_with_its_last_partition() {
    let platform = Platform::start().await;
    let mut spec = spec("d", vec![partitioned(job("a"), 3)]);
    spec.publish.insert("flights".parse().unwrap(), 0);
    let deployed = platform.deploy(spec).await;
    platform.start_run(&deployed).await;
    let leases = platform.claim(3).await;
    let current = "select count(current_version) from datasets where name = 'flights'";
    for lease in &leases[..2] {
        platform.complete_one(succeeded(lease)).await;
        assert_eq!(platform.count(current).await, 0, "partitions are missing");
    }
    platform.complete_one(succeeded(&leases[2])).await;
    assert_eq!(platform.count(current).await, 1);
    assert_eq!(platform.count("select count(*) from cut_overs").await, 1);
    let (json, objects, bytes): (String, i64, i64) =
        sqlx::query_as("select manifest, objects, bytes from dataset_versions")
            .fetch_one(&platform.db)
            .await
            .unwrap();
    let manifest: Manifest = serde_json::from_str(&json).unwrap();
    let partitions: Vec<&str> = manifest.objects.iter().map(|object| &*object.partition).collect();
    assert_eq!(partitions.len(), 3);
    assert_eq!((objects, bytes), (3, 300));
    assert_eq!(manifest.to_canonical_json(), json, "stored as it is named");
    platform.assert_consistent().await;
}

#[tokio::test]
async fn an_older_run_that_ends_later_does_not_take_a_newer_ones_place() {
    let platform = Platform::start().await;
    let mut spec = spec("d", vec![job("a")]);
    spec.publish.insert("flights".parse().unwrap(), 0);
    let deployed = platform.deploy(spec).await;
    platform.start_run(&deployed).await;
    let old = platform.claim_one().await;
    let newer = platform.start_run(&deployed).await;
    let new = platform.claim_one().await;
    platform.complete_one(succeeded(&new)).await;
    platform.complete_one(succeeded(&old)).await;
    let current: i64 = sqlx::query_scalar("select current_version >> 20 from datasets")
        .fetch_one(&platform.db)
        .await
        .unwrap();
    assert_eq!(current, newer.get());
}

#[tokio::test]
async fn a_job_without_outputs_commits_an_empty_manifest() {
    let platform = Platform::start().await;
    let run = platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    platform.outputs.tell(lease.attempt, Told::Nothing);
    assert_eq!(platform.complete_one(succeeded(&lease)).await, CompleteVerdict::Recorded);
    let json: String =
        sqlx::query_scalar("select manifest from commits").fetch_one(&platform.db).await.unwrap();
    assert_eq!(json, r#"{"bucket":"trace","objects":[]}"#);
    assert_eq!(platform.state_of(run).await, "succeeded");
}

#[tokio::test]
async fn many_workers_at_once_work_off_a_wide_dag() {
    let platform = Platform::start().await;
    let wide = reading(partitioned(job("b"), 60), "a", Source::SamePartition { job: 0 });
    let all = reading(job("c"), "b", Source::WholeJob { job: 1 });
    let run = platform.run(spec("d", vec![partitioned(job("a"), 60), wide, all])).await;
    while platform.state_of(run).await == "running" {
        join_all((0..8).map(|_| async {
            let leases = platform.claim(7).await;
            let each = leases.iter().map(|lease| platform.complete_one(succeeded(lease)));
            assert!(join_all(each).await.iter().all(|verdict| *verdict == CompleteVerdict::Recorded));
        }))
        .await;
    }
    assert_eq!(platform.state_of(run).await, "succeeded");
    assert_eq!(platform.count("select count(*) from commits").await, 121);
    platform.assert_consistent().await;
}
