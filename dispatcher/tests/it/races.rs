//! What happens at once to one attempt, through two dispatchers: one ending wins, the others are told
//! so, and whatever the order, nothing is left half done.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use reqwest::{Method, StatusCode};
use trace_contracts::{
    RunId,
    wire::worker::{CompleteVerdict, FailureReason, HeartbeatVerdict, Lease, LogLine, LogRequest, LogStream},
};
use trace_dispatcher::task::{self, cancel::cancel_run};

use crate::support::{
    Platform,
    dags::{job, retrying, spec},
    wire::{failed, fence, succeeded},
};

/// One thing that somebody does with an attempt, or to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Heartbeat,
    Succeed,
    Fail,
    Log,
    Token,
    Credentials,
    Checkpoint,
    Cancel,
    Expire,
}

/// What its caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    Refused,
}

const ACTS: [Act; 9] = [
    Act::Heartbeat,
    Act::Succeed,
    Act::Fail,
    Act::Log,
    Act::Token,
    Act::Credentials,
    Act::Checkpoint,
    Act::Cancel,
    Act::Expire,
];

/// Which of two dispatchers is asked.
#[derive(Debug, Clone, Copy)]
enum Whom {
    First,
    Second,
}

fn acts() -> impl Strategy<Value = Vec<(Act, Whom)>> {
    let whom = prop_oneof![Just(Whom::First), Just(Whom::Second)];
    prop::collection::vec((prop::sample::select(&ACTS[..]), whom), 2..8)
}

fn told(done: bool) -> Told {
    if done { Told::Done } else { Told::Refused }
}

async fn act(platform: &Platform, lease: &Lease, run: RunId, act: Act) -> Told {
    let recorded = |verdict| match verdict {
        CompleteVerdict::Recorded => Told::Done,
        CompleteVerdict::Stale => Told::Refused,
        CompleteVerdict::Refused { detail } => panic!("{detail}"),
    };
    match act {
        Act::Heartbeat => told(platform.heartbeat(vec![fence(lease)]).await[0] != HeartbeatVerdict::Stale),
        Act::Succeed => recorded(platform.complete_one(succeeded(lease)).await),
        Act::Fail => recorded(platform.complete_one(failed(lease, FailureReason::Exit)).await),
        Act::Log => {
            let line = LogLine { at: chrono::Utc::now(), stream: LogStream::Stdout, text: "x".to_owned() };
            let body = LogRequest { fence: fence(lease), first_seq: 0, lines: vec![line] };
            told(platform.post("/internal/logs", &body).await.status().is_success())
        }
        Act::Token => by_capability(platform, lease, Method::POST, "/v1/task/token").await,
        Act::Credentials => by_capability(platform, lease, Method::POST, "/v1/task/credentials").await,
        Act::Checkpoint => by_capability(platform, lease, Method::PUT, "/v1/task/checkpoint").await,
        Act::Cancel => {
            let mut tx = platform.db.begin().await.unwrap();
            match cancel_run(&mut tx, &platform.app.core, platform.org, run).await {
                Ok(_) => {
                    tx.commit().await.unwrap();
                    Told::Done
                }
                Err(task::Error::RunEnded(_)) => Told::Refused,
                Err(other) => panic!("{other}"),
            }
        }
        Act::Expire => {
            let gone = sqlx::query("update leases set expires_at = now() where attempt_id = $1")
                .bind(lease.attempt.get())
                .execute(&platform.db)
                .await
                .unwrap();
            platform.app.signals.tell_later();
            told(gone.rows_affected() == 1)
        }
    }
}

async fn by_capability(platform: &Platform, lease: &Lease, method: Method, path: &str) -> Told {
    let request = platform.task(method, path, &lease.capability_token).body(r#"{"audience":"trace:query"}"#);
    match request.header("content-type", "application/json").send().await.unwrap().status() {
        status if status.is_success() => Told::Done,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Told::Refused,
        other => panic!("{path}: {other}"),
    }
}

async fn count(platform: &Platform, sql: &'static str, id: i64) -> i64 {
    sqlx::query_scalar(sql).bind(id).fetch_one(&platform.db).await.unwrap()
}

async fn race(first: &Platform, second: &Platform, acts: Vec<(Act, Whom)>) {
    let name = format!("d{}", uuid::Uuid::new_v4().simple());
    let run = first.run(spec(&name, vec![retrying(job("a"), 0, 0)])).await;
    let lease = first.claim_one().await;
    let all = acts.iter().map(|(what, whom)| {
        let platform = match whom {
            Whom::First => first,
            Whom::Second => second,
        };
        act(platform, &lease, run, *what)
    });
    let answers = futures::future::join_all(all).await;
    let done = |what| acts.iter().zip(&answers).any(|((act, _), told)| *act == what && *told == Told::Done);
    let context = || format!("{acts:?} {answers:?}");

    // However it ended, it ended once and in one way, and those who were told so were told the truth.
    let commits =
        count(first, "select count(*) from commits where attempt_id = $1", lease.attempt.get()).await;
    assert_eq!(done(Act::Succeed), commits == 1, "{}", context());
    assert!(!(done(Act::Succeed) && done(Act::Fail)), "{}", context());
    assert!(!(done(Act::Succeed) && done(Act::Cancel)), "{}", context());
    first.assert_consistent().await;

    // Whoever was first: afterwards the attempt is ended for good, and has no authority left.
    act(first, &lease, run, Act::Fail).await;
    act(first, &lease, run, Act::Cancel).await;
    for platform in [first, second] {
        for what in [Act::Heartbeat, Act::Log, Act::Token, Act::Credentials, Act::Checkpoint] {
            assert_eq!(act(platform, &lease, run, what).await, Told::Refused, "{what:?} after {}", context());
        }
    }
    let endings = "select (select count(*) from commits where attempt_id = $1)
        + (select count(*) from attempts where attempt_id = $1)";
    assert_eq!(count(first, endings, lease.attempt.get()).await, 1, "{}", context());
    first.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_all_that_happens_at_once_to_an_attempt_one_ending_wins() {
    let first = Platform::start().await;
    let mut second = first.beside().await;
    // The same worker, who may ask either dispatcher.
    second.worker = first.worker.clone();
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        let mut runner = TestRunner::new(Config { cases: 60, max_shrink_iters: 60, ..Config::default() });
        runner
            .run(&acts(), |acts| {
                let (first, second) = (&first, &second);
                runtime.block_on(race(first, second, acts));
                Ok(())
            })
            .unwrap();
    });
}
