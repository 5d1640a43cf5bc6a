//! Why a task or a run does not run, or failed: every cause on the real database.

use reqwest::Method;
use serde_json::json;
use trace_contracts::{
    Role, RunId, TaskId,
    wire::{
        user::TaskState,
        why::{Cause, RunWhy, TaskWhy},
        worker::FailureReason,
    },
};
use trace_dispatcher::{
    dag::spec::{Period, Source},
    why,
};

use crate::support::{
    Platform,
    app::TestApp,
    dags::{at_once, job, partitioned, rated, reading, retrying, spec},
    wire::{failed, succeeded},
};

async fn of(platform: &Platform, run: RunId, place: u32) -> TaskWhy {
    let mut conn = platform.db.acquire().await.unwrap();
    let task = TaskId::in_run(run, place).unwrap();
    why::of_task(&mut conn, &platform.app.core.facts, platform.org, task).await.unwrap().unwrap()
}

async fn of_run(platform: &Platform, run: RunId) -> RunWhy {
    let mut conn = platform.db.acquire().await.unwrap();
    why::of_run(&mut conn, &platform.app.core.facts, platform.org, run).await.unwrap().unwrap()
}

async fn change(platform: &Platform, sql: &'static str) {
    sqlx::query(sql).execute(&platform.db).await.unwrap();
}

/// `a` with two partitions, `b` reads the same ones, `c` reads all of `b`.
async fn chain(platform: &Platform) -> RunId {
    let own = reading(partitioned(job("b"), 2), "mine", Source::SamePartition { job: 0 });
    let all = reading(job("c"), "both", Source::WholeJob { job: 1 });
    platform.run(spec("d", vec![retrying(partitioned(job("a"), 2), 0, 0), own, all])).await
}

#[tokio::test]
async fn what_waits_is_followed_to_its_root() {
    let platform = Platform::start().await;
    let run = chain(&platform).await;
    let leases = platform.claim(2).await;
    let second = leases.iter().find(|lease| &*lease.launch.partition == "p1").unwrap();
    platform.complete_one(succeeded(second)).await;
    let last = of(&platform, run, 4).await;
    assert_eq!(last.state, TaskState::Waiting);
    let Cause::Input { input, job, missing, of: needed, root } = last.cause else { panic!("{last:?}") };
    assert_eq!((&*input, &*job, missing, needed), ("both", "b", 2, 2));
    // Of `b`'s two, one waits for `a`, which runs, and one is ready; the latter is further from running.
    assert_eq!(root.task, TaskId::in_run(run, 3).unwrap());
    let own = of(&platform, run, 2).await;
    let Cause::Input { root, .. } = own.cause else { panic!("{own:?}") };
    assert!(matches!(root.cause, Cause::Running { .. }), "{root:?}");
    assert!(own.sentence.contains("runs since"), "{}", own.sentence);
}

#[tokio::test]
async fn a_dead_task_explains_itself_and_what_was_skipped() {
    let platform = Platform::start().await;
    let run = chain(&platform).await;
    let leases = platform.claim(2).await;
    for lease in &leases {
        platform.complete_one(failed(lease, FailureReason::Exit)).await;
    }
    assert_eq!(platform.state_of(run).await, "failed");
    let dead = of(&platform, run, 0).await;
    let Cause::Dead { last: Some(last) } = &dead.cause else { panic!("{dead:?}") };
    assert_eq!((last.reason.as_str(), last.detail.as_deref()), ("exit", Some("it broke")));
    assert!(dead.sentence.contains(&format!("trace logs {}", dead.task)), "{}", dead.sentence);
    let skipped = of(&platform, run, 4).await;
    let Cause::Skipped { root: Some(root) } = &skipped.cause else { panic!("{skipped:?}") };
    assert_eq!(root.task, dead.task);
    let whole = of_run(&platform, run).await;
    assert_eq!(whole.causes.len(), 1);
    assert_eq!((whole.causes[0].tasks, whole.causes[0].behind), (2, 3));
    assert!(whole.sentence.starts_with(&format!("{run} failed: ")), "{}", whole.sentence);
}

#[tokio::test]
async fn limits_and_rates_say_who_is_before() {
    let platform = Platform::start().await;
    let run = platform.run(spec("d", vec![at_once(partitioned(job("a"), 4), 1)])).await;
    let third = of(&platform, run, 2).await;
    let Cause::LimitReached { limits, position, .. } = &third.cause else { panic!("{third:?}") };
    let limit = &limits[0];
    assert_eq!((limits.len(), limit.max, limit.in_use, limit.name.as_deref()), (1, 1, 1, Some("a")));
    assert_eq!(*position, 2);
    let run = platform.run(spec("e", vec![rated(partitioned(job("a"), 3), 1, Period::Hour)])).await;
    let second = of(&platform, run, 1).await;
    let Cause::RateReached { tasks, per, position, .. } = &second.cause else { panic!("{second:?}") };
    assert_eq!((*tasks, per.as_str(), *position), (1, "hour", 1));
}

#[tokio::test]
async fn a_retry_says_when_and_after_what() {
    let platform = Platform::start().await;
    let run = platform.run(spec("d", vec![retrying(job("a"), 3, 3_600_000)])).await;
    let lease = platform.claim_one().await;
    platform.complete_one(failed(&lease, FailureReason::Timeout)).await;
    let task = of(&platform, run, 0).await;
    let Cause::RetryAt { last: Some(last), .. } = &task.cause else { panic!("{task:?}") };
    assert_eq!((last.reason.as_str(), last.attempt), ("timeout", lease.attempt));
    assert_eq!(task.state, TaskState::Failed);
}

#[tokio::test]
async fn what_is_ready_and_not_claimed_tells_of_the_workers() {
    let platform = Platform::start().await;
    let run = platform.run(spec("d", vec![partitioned(job("a"), 3)])).await;
    change(&platform, "update ready set ready_at = now() + interval '1 minute'").await;
    assert!(matches!(of(&platform, run, 0).await.cause, Cause::Ready { .. }));
    change(&platform, "update ready set ready_at = now() - interval '1 minute'").await;
    assert!(matches!(of(&platform, run, 0).await.cause, Cause::NoWorker { last_claim: None, .. }));
    let lease = platform.claim(1).await.remove(0);
    let task = of(&platform, run, 2).await;
    assert!(matches!(task.cause, Cause::WorkersBusy { running: 1, .. }), "{task:?}");
    platform.complete_one(succeeded(&lease)).await;
    assert!(matches!(of(&platform, run, 0).await.cause, Cause::Succeeded { .. }));
    change(&platform, "update claims set claimed_at = now() - interval '10 minutes'").await;
    let task = of(&platform, run, 2).await;
    assert!(matches!(task.cause, Cause::WakeUpLate { .. }), "{task:?}");
    change(&platform, "update workers set last_claim_at = now() - interval '10 minutes'").await;
    let task = of(&platform, run, 2).await;
    assert!(matches!(task.cause, Cause::NoWorker { last_claim: Some(_), .. }), "{task:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_over_http_and_who_cancelled_is_known() {
    let test = TestApp::start().await;
    let (writer, operator) = (test.user(Role::Writer), test.user(Role::Operator));
    writer.deploy(crate::user_deploy::ONE_JOB).await;
    let run = writer.trigger("d").await.run;
    let lease = test.claim().await.remove(0);
    let running: TaskWhy = writer.get(&format!("/v1/tasks/{}/why", lease.launch.task)).await;
    assert!(matches!(running.cause, Cause::Running { attempt, .. } if attempt == lease.attempt));
    let cancelled = operator.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await;
    assert!(cancelled.status().is_success());
    let whole: RunWhy = writer.get(&format!("/v1/runs/{run}/why")).await;
    let me: serde_json::Value = operator.get("/v1/whoami").await;
    let Cause::Cancelled { by: Some(by), .. } = &whole.causes[0].example.cause else { panic!("{whole:?}") };
    assert_eq!(by.to_string(), me["user"]);
    // A task that was never planned has an id, too.
    let last: TaskWhy = writer.get(&format!("/v1/tasks/{}/why", TaskId::in_run(run, 2).unwrap())).await;
    assert!(matches!(last.cause, Cause::Cancelled { .. }), "{last:?}");
    let beyond =
        writer.send(Method::GET, &format!("/v1/tasks/{}/why", TaskId::in_run(run, 3).unwrap())).await;
    assert_eq!(beyond.status(), 404);
}
