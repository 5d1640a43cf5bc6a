//! Replies that are lost, leases that are lost, and the end of the wrapper itself.

use std::time::{Duration, Instant};

use trace_contracts::{
    AttemptId, TaskId,
    wire::worker::{FailureReason, Outcome},
};

use crate::{
    dispatcher::LEASE,
    fake_launcher::{Ending, Script},
    harness::{Harness, python, ready},
};

fn hanging() -> Script {
    Script { ending: Ending::Never, ..Script::default() }
}

async fn until_killed(harness: &Harness, count: usize) {
    let mut kills = harness.launcher.kills.subscribe();
    tokio::time::timeout(Duration::from_secs(20), kills.wait_for(|kills| *kills == count))
        .await
        .unwrap_or_else(|_| panic!("{count} were never killed"))
        .unwrap();
}

#[tokio::test]
async fn a_claim_without_an_answer_is_asked_again_under_its_own_id() {
    let harness = Harness::start(Script::default(), |seen| {
        seen.add_task(1, &python());
        seen.claim_replies_to_lose = 2;
    })
    .await;
    assert_eq!(harness.dispatcher.outcome().await, Outcome::Succeeded);
    let launched = harness.launcher.launched();
    let dispatcher = harness.stop().await;
    let seen = dispatcher.seen();
    assert_eq!(seen.claims[0].claim_id, seen.claims[2].claim_id);
    assert_ne!(seen.claims[0].claim_id, seen.claims[3].claim_id);
    assert_eq!((launched, seen.completions.len()), (1, 1));
}

#[tokio::test]
async fn a_stale_lease_kills_the_code_and_completes_nothing() {
    let harness = Harness::start(hanging(), ready(1)).await;
    harness.launcher.until_running(1).await;
    harness.dispatcher.seen().stale.insert(TaskId::from_db((1 << 20) + 1));
    until_killed(&harness, 1).await;
    harness.launcher.until_running(0).await;
    assert!(harness.stop().await.seen().completions.is_empty());
}

#[tokio::test]
async fn a_lease_that_can_not_be_extended_ends_by_the_clock_of_this_machine() {
    let harness = Harness::start(hanging(), |seen| {
        seen.add_task(1, &python());
        seen.heartbeats_fail = true;
    })
    .await;
    harness.launcher.until_running(1).await;
    let began = Instant::now();
    until_killed(&harness, 1).await;
    assert!(began.elapsed() < LEASE + LEASE / 2, "killed after {:?}", began.elapsed());
    let dispatcher = harness.stop().await;
    assert!(dispatcher.seen().heartbeats > 1, "it was tried more than once");
    assert!(dispatcher.seen().completions.is_empty());
}

#[tokio::test]
async fn leases_are_extended_for_as_long_as_the_code_runs() {
    let harness = Harness::start(hanging(), ready(2)).await;
    harness.launcher.until_running(2).await;
    // Longer than a lease by far: seven times a third of it.
    harness.dispatcher.until("heartbeats", |seen| (seen.heartbeats >= 7).then_some(())).await;
    assert_eq!(*harness.launcher.kills.borrow(), 0);
    harness.stop().await;
}

#[tokio::test]
async fn a_completion_without_an_answer_is_sent_again_as_it_was() {
    let harness = Harness::start(Script::default(), |seen| {
        seen.add_task(1, &python());
        seen.complete_replies_to_lose = 2;
    })
    .await;
    let dispatcher = &harness.dispatcher;
    dispatcher.until("three completions", |seen| (seen.completions.len() == 3).then_some(())).await;
    let dispatcher = harness.stop().await;
    let expected = vec![(AttemptId::from_db(1), Outcome::Succeeded); 3];
    assert_eq!(dispatcher.seen().completions, expected);
}

#[tokio::test]
async fn lines_and_outputs_arrive_although_replies_are_lost() {
    let script = Script {
        stdout: "one\ntwo\n",
        outputs: vec![("part-0.parquet", vec![1, 2, 3])],
        ..Script::default()
    };
    let harness = Harness::start(script, |seen| {
        seen.add_task(1, &python());
        seen.log_replies_to_lose = 1;
        seen.puts_to_refuse = 2;
    })
    .await;
    assert_eq!(harness.dispatcher.outcome().await, Outcome::Succeeded);
    let dispatcher = harness.stop().await;
    assert_eq!(dispatcher.seen().log(AttemptId::from_db(1)), ["one", "two"]);
    assert_eq!(dispatcher.seen().objects.len(), 1);
}

#[tokio::test]
async fn outputs_arrive_although_the_session_expires_meanwhile() {
    let script = Script {
        outputs: vec![("part-0.parquet", vec![1]), ("part-1.parquet", vec![2])],
        ..Script::default()
    };
    let harness = Harness::start(script, |seen| {
        seen.add_task(1, &python());
        seen.puts_to_find_expired = 1;
    })
    .await;
    assert_eq!(harness.dispatcher.outcome().await, Outcome::Succeeded);
    let dispatcher = harness.stop().await;
    let seen = dispatcher.seen();
    assert_eq!((seen.objects.len(), seen.credentials), (2, 2), "new keys were asked for, once");
}

#[tokio::test]
async fn draining_waits_a_while_and_then_gives_the_rest_back() {
    let harness = Harness::start(hanging(), ready(2)).await;
    harness.launcher.until_running(2).await;
    let began = Instant::now();
    let kills = harness.launcher.kills.subscribe();
    let dispatcher = harness.stop().await;
    assert!(began.elapsed() >= Duration::from_millis(300), "running attempts had their time");
    assert_eq!(*kills.borrow(), 2);
    let seen = dispatcher.seen();
    assert_eq!(seen.completions.len(), 2);
    for (_, outcome) in &seen.completions {
        assert!(
            matches!(outcome, Outcome::Failed { reason: FailureReason::WorkerStopping, .. }),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn an_idle_wrapper_stops_at_once_and_settles_its_last_claim() {
    let harness = Harness::start(Script::default(), |_| {}).await;
    harness.dispatcher.until("a claim", |seen| (!seen.claims.is_empty()).then_some(())).await;
    let dispatcher = harness.stop().await;
    let seen = dispatcher.seen();
    let last = seen.claims.last().unwrap();
    let same = seen.claims.iter().filter(|claim| claim.claim_id == last.claim_id).count();
    assert_eq!((same, last.tasks.as_deref()), (2, Some([].as_slice())));
}
