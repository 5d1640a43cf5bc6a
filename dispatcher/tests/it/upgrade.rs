//! A database of an earlier schema, with tasks in flight: the present dispatcher takes it over, and the
//! workers that hold its leases go on.
//!
//! The fixture is a dump of a database at migration 1, made by `write_the_fixture`. It is never made
//! anew once that migration is released: from then on it is what users have.

use std::{path::PathBuf, process::Command};

use sqlx::{Connection as _, PgConnection};
use trace_contracts::{
    AttemptId, ClaimId, LeaseToken, RunId, Secret, TaskId,
    wire::worker::{
        ClaimRequest, CompleteVerdict, Completion, FailureReason, Fence, HeartbeatVerdict, Outcome,
    },
};
use trace_dispatcher::dag::spec::Source;

use crate::support::{
    Platform,
    dags::{job, partitioned, reading, retrying, spec},
    postgres::fresh_database,
    wire::{claiming, failed, succeeded},
};

const FIXTURE: &str = include_str!("../fixtures/schema-1.sql");

/// The token of the worker that holds the fixture's leases.
const WORKER: &str = "worker_of-an-earlier-version";

/// Brings the fixture's times to now: claims are kept for an hour, leases expire, delays end.
const TIME_STOOD_STILL: &str = "
    update public.leases set started_at = now(), expires_at = now() + interval '1 hour';
    update public.claims set claimed_at = now();
    update public.delayed set not_before = now() + interval '1 hour';
";

/// A platform of the present version on the fixture, as if it had been upgraded at once.
async fn upgraded() -> Platform {
    let url = fresh_database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(FIXTURE).execute(&mut connection).await.unwrap();
    sqlx::raw_sql(TIME_STOOD_STILL).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let mut platform = Platform::on_database(url).await;
    platform.worker = Secret::new(WORKER.to_owned());
    platform
}

async fn fences(platform: &Platform) -> Vec<Fence> {
    let rows: Vec<(i64, i64, uuid::Uuid)> =
        sqlx::query_as("select task_id, attempt_id, lease_token from leases order by attempt_id")
            .fetch_all(&platform.db)
            .await
            .unwrap();
    let fence = |(task, attempt, token)| Fence {
        task: TaskId::from_db(task),
        attempt: AttemptId::from_db(attempt),
        lease_token: LeaseToken::from_uuid(token),
    };
    rows.into_iter().map(fence).collect()
}

/// The run that was under way.
async fn running(platform: &Platform) -> RunId {
    let run = sqlx::query_scalar("select run_id from runs where state = 'running'");
    RunId::from_db(run.fetch_one(&platform.db).await.unwrap())
}

#[tokio::test]
async fn workers_go_on_with_leases_of_an_earlier_version() {
    let platform = upgraded().await;
    platform.assert_consistent().await;
    let run = running(&platform).await;
    let held = fences(&platform).await;
    assert_eq!(held.len(), 3);

    let verdicts = platform.heartbeat(held.clone()).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, HeartbeatVerdict::Extended { .. })));
    let ended = |fence: Fence, outcome| Completion { fence, outcome };
    let why = Outcome::Failed { reason: FailureReason::WorkerStopping, detail: "an upgrade".to_owned() };
    let completions =
        vec![ended(held[0], Outcome::Succeeded), ended(held[1], Outcome::Succeeded), ended(held[2], why)];
    let verdicts = platform.complete(completions.clone()).await;
    assert_eq!(verdicts, vec![CompleteVerdict::Recorded; 3]);
    assert_eq!(platform.complete(completions).await[0], CompleteVerdict::Recorded, "sent again");

    sqlx::query("update delayed set not_before = now()").execute(&platform.db).await.unwrap();
    while platform.state_of(run).await == "running" {
        let leases = platform.claim_as(&ClaimRequest { wait_ms: 10_000, ..claiming(50) }).await;
        assert!(!leases.is_empty(), "the run does not go on");
        platform.complete(leases.iter().map(succeeded).collect()).await;
    }
    assert_eq!(platform.state_of(run).await, "succeeded");
    platform.assert_consistent().await;
}

#[tokio::test]
async fn a_claim_of_an_earlier_version_is_answered_with_what_it_was_given() {
    let platform = upgraded().await;
    let held = fences(&platform).await;
    let claims: Vec<(uuid::Uuid, Vec<i64>)> = sqlx::query_as(
        "select claim_id, attempts from claims where attempts && array(select attempt_id from leases)",
    )
    .fetch_all(&platform.db)
    .await
    .unwrap();
    assert!(!claims.is_empty());
    for (claim, attempts) in claims {
        let again = ClaimRequest { claim_id: ClaimId::from_uuid(claim), ..claiming(50) };
        for lease in platform.claim_as(&again).await {
            assert!(attempts.contains(&lease.attempt.get()));
            assert!(held.iter().any(|fence| fence.lease_token == lease.lease_token));
        }
    }
}

#[tokio::test]
async fn dead_letters_of_an_earlier_version_are_still_there() {
    let platform = upgraded().await;
    let dead = "select count(*) from task_ends where state = 'dead'";
    assert_eq!(platform.count(dead).await, 1);
    assert_eq!(platform.count("select count(*) from commits").await, 4);
}

/// Writes the fixture: a run with a commit, two leases of one claim, one of another, a ready, a delayed
/// and waiting tasks; a run that has succeeded; one with a dead letter.
#[tokio::test]
#[ignore = "writes tests/fixtures/schema-1.sql anew, which is only right before migration 1 is released"]
async fn write_the_fixture() {
    let platform = Platform::start().await;
    platform
        .run(spec(
            "done",
            vec![partitioned(job("a"), 2), reading(job("b"), "a", Source::WholeJob { job: 0 })],
        ))
        .await;
    assert_eq!(platform.work_off().await, 3);
    platform.run(spec("broken", vec![retrying(job("a"), 0, 0)])).await;
    let lease = platform.claim_one().await;
    platform.complete(vec![failed(&lease, FailureReason::Exit)]).await;

    let jobs = vec![
        partitioned(job("a"), 4),
        reading(job("b"), "a", Source::WholeJob { job: 0 }),
        retrying(partitioned(job("c"), 2), 2, 3_600_000),
    ];
    platform.run(spec("flying", jobs)).await;
    let first = platform.claim(1).await;
    platform.complete(first.iter().map(succeeded).collect()).await;
    assert_eq!(platform.claim(2).await.len(), 2);
    let rest = platform.claim(3).await;
    let ready = platform.claim(1).await;
    assert!(ready.is_empty() && rest.len() == 3);
    // One fails and waits, one is given back and is ready, one stays leased.
    platform
        .complete(vec![
            failed(&rest[1], FailureReason::Exit),
            failed(&rest[0], FailureReason::WorkerStopping),
        ])
        .await;
    platform.assert_consistent().await;
    sqlx::query("update workers set token_sha256 = sha256($1) where kind = 'worker'")
        .bind(WORKER.as_bytes())
        .execute(&platform.db)
        .await
        .unwrap();

    let output = Command::new("pg_dump")
        .args(["--inserts", "--no-owner", "--no-privileges", "--schema=public"])
        .arg(format!("--dbname={}", platform.url))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let dump = String::from_utf8(output.stdout).unwrap();
    // Commands of psql, comments, and the schema that every database has.
    let kept = dump.lines().filter(|line| {
        !line.starts_with('\\')
            && !line.starts_with("--")
            && !line.is_empty()
            && !line.contains("SCHEMA public")
    });
    let mut text =
        String::from("-- A database at migration 1, with tasks in flight; see tests/it/upgrade.rs.\n");
    kept.for_each(|line| text.extend([line, "\n"]));
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schema-1.sql");
    std::fs::write(path, text).unwrap();
}
