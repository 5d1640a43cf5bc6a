//! What an attempt does, from its claim to its completion.

use bytes::Bytes;
use trace_contracts::{
    AttemptId, Sha256,
    wire::worker::{Blob, FailureReason, Outcome},
};
use trace_worker_wrapper::launcher::{Exit, Program};

use crate::{
    dispatcher::{CAPABILITY, spec},
    fake_launcher::{Ending, Script},
    harness::{Harness, bundle, python, ready},
};

#[tokio::test]
async fn a_task_is_claimed_run_uploaded_and_completed() {
    let script = Script {
        stdout: "hello\nmy token is capability-token-of-the-attempt\n",
        outputs: vec![("part-0.parquet", vec![7; 100_000]), ("sub/part-1.parquet", Vec::new())],
        ..Script::default()
    };
    let bundle = bundle(&[("main.py", "pass"), ("helpers.py", "A = 1")]);
    let harness = Harness::start(script, |seen| {
        let blob = seen.add_task(1, &bundle);
        seen.ready[0].files.insert("source".parse().unwrap(), blob);
    })
    .await;
    assert_eq!(harness.dispatcher.outcome().await, Outcome::Succeeded);

    let mut names = harness.launcher.bundles.lock().unwrap()[0].clone();
    names.sort();
    assert_eq!(names, ["helpers.py", "main.py"]);
    let order = harness.launcher.orders.lock().unwrap()[0].clone();
    assert_eq!(order.program, Program::Python);
    let variable = |name: &str| order.env.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
    assert_eq!(variable("TRACE_TASK_CAPABILITY_TOKEN"), Some(CAPABILITY));
    assert_eq!(variable("TRACE_ATTEMPT"), Some("a1"));
    assert_eq!(variable("TRACE_PARTITION"), Some("2013-01"));

    let dispatcher = harness.stop().await;
    let seen = dispatcher.seen();
    assert_eq!(seen.log(AttemptId::from_db(1)), ["hello", "my token is [masked]"]);
    let objects: Vec<_> =
        seen.objects.iter().map(|(key, (length, body))| (&**key, &**length, body.len())).collect();
    assert_eq!(
        objects,
        [
            ("data/o1/r17/t1.1/a1/out/part-0.parquet", "100000", 100_000),
            ("data/o1/r17/t1.1/a1/out/sub/part-1.parquet", "0", 0),
        ]
    );
}

#[tokio::test]
async fn a_failure_carries_the_last_words() {
    let script = Script {
        stderr: "Traceback (most recent call last):\nValueError: no rows for capability-token-of-the-attempt\n\n",
        outputs: vec![("half.parquet", vec![1])],
        ending: Ending::As(Exit::Status(1)),
        ..Script::default()
    };
    let harness = Harness::start(script, ready(1)).await;
    let detail = "exited with status 1: ValueError: no rows for [masked]".to_owned();
    let expected = Outcome::Failed { reason: FailureReason::Exit, detail: detail.clone() };
    assert_eq!(harness.dispatcher.outcome().await, expected);
    let dispatcher = harness.stop().await;
    let seen = dispatcher.seen();
    assert_eq!(seen.log(AttemptId::from_db(1)).last(), Some(&format!("failed (exit): {detail}")));
    assert!(seen.objects.is_empty(), "outputs of a failed attempt are not uploaded");
}

#[tokio::test]
async fn a_bundle_that_is_not_what_it_should_be_is_the_tasks_failure() {
    let evil = bundle(&[("main.py", "pass"), ("../escape.py", "evil")]);
    let harness = Harness::start(Script::default(), |seen| {
        let missing = Blob { sha256: Sha256::of(b"never uploaded"), size: 5 };
        let lying = seen.add_task(1, &python());
        seen.blobs.insert(lying.sha256, Bytes::from_static(b"something else of another size"));
        seen.ready.push(spec(2, missing));
        seen.add_task(3, &evil);
    })
    .await;
    let outcomes = harness
        .dispatcher
        .until("three completions", |seen| (seen.completions.len() == 3).then(|| seen.completions.clone()))
        .await;
    for (attempt, outcome) in &outcomes {
        let Outcome::Failed { reason, .. } = outcome else { panic!("{attempt} succeeded") };
        assert_eq!(*reason, FailureReason::Bundle, "{outcome:?}");
    }
    assert_eq!(harness.launcher.launched(), 0);
    harness.stop().await;
}

#[tokio::test]
async fn a_sandbox_that_does_not_start_is_a_lost_worker_and_shows_nothing_of_it() {
    let script = Script { ending: Ending::NotStarted, ..Script::default() };
    let harness = Harness::start(script, ready(1)).await;
    let Outcome::Failed { reason, detail } = harness.dispatcher.outcome().await else {
        panic!("it succeeded")
    };
    assert_eq!(reason, FailureReason::Launch);
    assert!(!detail.contains("/sys"), "{detail}");
    harness.stop().await;
}

#[tokio::test]
async fn a_name_that_is_no_key_fails_the_task_before_anything_is_uploaded() {
    let script =
        Script { outputs: vec![("good.parquet", vec![1]), ("bad\\name", vec![2])], ..Script::default() };
    let harness = Harness::start(script, ready(1)).await;
    let Outcome::Failed { reason, detail } = harness.dispatcher.outcome().await else {
        panic!("it succeeded")
    };
    assert_eq!(reason, FailureReason::Output);
    assert!(detail.contains("bad\\name"), "{detail}");
    assert!(harness.stop().await.seen().objects.is_empty());
}

#[tokio::test]
async fn no_more_attempts_run_than_there_are_slots() {
    let script = Script { ending: Ending::Never, ..Script::default() };
    let harness = Harness::start(script, ready(5)).await;
    harness.launcher.until_running(2).await;
    harness.dispatcher.until("heartbeats", |seen| (seen.heartbeats >= 2).then_some(())).await;
    assert_eq!(harness.launcher.launched(), 2);
    let dispatcher = harness.stop().await;
    let seen = dispatcher.seen();
    assert_eq!(seen.claims[0].max, 2);
    assert_eq!(seen.ready.len(), 3, "the others were left to other workers");
}
