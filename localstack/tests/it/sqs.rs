//! Wake-ups by SQS: what a queue does on good days, and what people do to it.

use std::collections::HashSet;

use trace_contracts::{Runtime, TaskId, wire::queue::WakeUpMessage};
use trace_dispatcher::queue::{
    Source,
    sqs::{Config, Queues},
};
use trace_localstack::{Emulator, Hand, Options, Platform, Queue, after, job, until};

/// A platform whose wake-ups go to this queue, and are sent again after so many seconds.
async fn platform(emulator: &Emulator, queue: &Queue, resend_after_seconds: u64) -> Platform {
    Platform::start(options(emulator, queue, resend_after_seconds)).await.unwrap()
}

fn options(emulator: &Emulator, queue: &Queue, resend_after_seconds: u64) -> Options {
    let queues = Queues::only(Runtime::Process, queue.url.clone());
    let config = Config { aws: emulator.aws(), queues, resend_after_seconds };
    Options { wake_ups: Source::Sqs(Box::new(config)), ..Options::default() }
}

const SELDOM: u64 = 3600;

#[tokio::test(flavor = "multi_thread")]
async fn tasks_reach_workers_through_the_queue_and_nothing_is_left() {
    let emulator = Emulator::here();
    let queue = Queue::create(&emulator, 30).await.unwrap();
    let platform = platform(&emulator, &queue, SELDOM).await;
    let run = platform.run("d", vec![job("a", 25), after(job("b", 1), 0)]).await.unwrap();
    platform.all_sent().await.unwrap();
    assert_eq!(queue.messages().await.unwrap(), 3, "ten tasks a message");
    let mut named = HashSet::new();
    until("every task is named", async || {
        for message in queue.look().await? {
            // It carries task ids and nothing else.
            assert!(message.message_attributes().is_none_or(|all| all.is_empty()));
            named.extend(WakeUpMessage::parse(message.body().unwrap()).unwrap().tasks().to_vec());
        }
        Ok((named.len() == 25).then_some(()))
    })
    .await
    .unwrap();
    assert!(named.iter().all(|task| task.run() == run));
    let mut hand = Hand::new(&platform, &queue, emulator.aws());
    assert_eq!(hand.work_off(run, 8).await.unwrap(), ("succeeded".to_owned(), 26));
    platform.all_sent().await.unwrap();
    queue.empty().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_twice_or_late_starts_nothing_twice() {
    let emulator = Emulator::here();
    let queue = Queue::create(&emulator, 30).await.unwrap();
    let platform = platform(&emulator, &queue, SELDOM).await;
    let run = platform.run("d", vec![job("a", 4)]).await.unwrap();
    platform.all_sent().await.unwrap();
    let tasks: Vec<TaskId> = (0..4).map(|place| TaskId::in_run(run, place).unwrap()).collect();
    // Again, in another order, late, of tasks that are done by then, and of a run that there never was.
    for (numbers, delay) in [(vec![3, 2], 0), (vec![0, 0, 1], 0), (vec![1, 3], 1), (vec![0], 2)] {
        let some: Vec<TaskId> = numbers.iter().map(|n: &usize| tasks[*n]).collect();
        for message in WakeUpMessage::pack(&some) {
            queue.send(&message.to_body(), delay).await.unwrap();
        }
    }
    queue.send(r#"{"tasks":["t999999.0"]}"#, 0).await.unwrap();
    let mut hand = Hand::new(&platform, &queue, emulator.aws());
    assert_eq!(hand.work_off(run, 2).await.unwrap(), ("succeeded".to_owned(), 4));
    while queue.messages().await.unwrap() > 0 {
        assert!(hand.round(8).await.unwrap().is_empty(), "a task was started a second time");
    }
    assert_eq!(platform.count("select count(*) from commits").await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_wake_up_goes_to_the_dead_letters_and_stops_nothing() {
    let emulator = Emulator::here();
    let queue = Queue::create(&emulator, 30).await.unwrap();
    let platform = platform(&emulator, &queue, SELDOM).await;
    let long = format!("{{\"tasks\":[\"t1.0\"],\"x\":\"{}\"}}", "y".repeat(100_000));
    let garbage = [
        ("hello", "form"),
        ("{}", "form"),
        (r#"{"tasks":["t1.0"],"capability":"x"}"#, "form"),
        (r#"{"tasks":[]}"#, "count"),
        (r#"{"tasks":["t1.0' or 1=1"]}"#, "form"),
        (&long, "too_long"),
    ];
    for (body, _) in &garbage {
        queue.send(body, 0).await.unwrap();
    }
    let run = platform.run("d", vec![job("a", 3)]).await.unwrap();
    let mut hand = Hand::new(&platform, &queue, emulator.aws());
    assert_eq!(hand.work_off(run, 30).await.unwrap(), ("succeeded".to_owned(), 3));
    while queue.messages().await.unwrap() > 0 {
        hand.round(30).await.unwrap();
    }
    let dead = queue.dead(garbage.len()).await.unwrap();
    assert_eq!(dead.len(), garbage.len());
    for (body, reason) in garbage {
        let kept = &body[..body.len().min(4096)];
        let found = dead.iter().find(|message| message.body() == Some(kept)).expect(kept);
        let said = found.message_attributes().and_then(|all| all["trace_reason"].string_value());
        assert_eq!(said, Some(reason), "{kept}");
    }
}

/// Whoever has room gets the rest of a message at once: it would come again after ten minutes otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_more_tasks_than_room_goes_on_to_the_next_worker() {
    let emulator = Emulator::here();
    let queue = Queue::create(&emulator, 600).await.unwrap();
    let platform = platform(&emulator, &queue, SELDOM).await;
    let run = platform.run("d", vec![job("a", 10)]).await.unwrap();
    platform.all_sent().await.unwrap();
    assert_eq!(queue.messages().await.unwrap(), 1);
    let mut leases = Vec::new();
    for (room, granted) in [(3, 3), (5, 5), (5, 2)] {
        // Each round is another worker's.
        let mut hand = Hand::new(&platform, &queue, emulator.aws());
        let some = hand.round(room).await.unwrap();
        assert_eq!(some.len(), granted);
        leases.extend(some);
    }
    queue.empty().await.unwrap();
    Hand::new(&platform, &queue, emulator.aws()).complete(&leases).await.unwrap();
    assert_eq!(platform.state_of(run).await.unwrap(), "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_before_its_claim_leaves_the_message_to_others() {
    let emulator = Emulator::here();
    let queue = Queue::create(&emulator, 1).await.unwrap();
    let platform = platform(&emulator, &queue, SELDOM).await;
    let run = platform.run("d", vec![job("a", 2)]).await.unwrap();
    let mut dies = Hand::new(&platform, &queue, emulator.aws());
    assert_eq!(dies.receive(4).await.unwrap().messages.len(), 1);
    drop(dies);
    let mut hand = Hand::new(&platform, &queue, emulator.aws());
    assert_eq!(hand.work_off(run, 4).await.unwrap(), ("succeeded".to_owned(), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_and_made_anew_loses_nothing() {
    let emulator = Emulator::here();
    let queue = Queue::create(&emulator, 30).await.unwrap();
    let platform = platform(&emulator, &queue, 1).await;
    let before = platform.run("before", vec![job("a", 30)]).await.unwrap();
    platform.all_sent().await.unwrap();
    queue.delete().await.unwrap();
    let mut hand = Hand::new(&platform, &queue, emulator.aws());
    let refused = hand.receive(4).await.unwrap_err().to_string();
    assert!(refused.contains("SQS") && refused.contains("check the configured name"), "{refused}");
    // What becomes ready meanwhile stays in the outbox, and starting runs does not fail.
    let meanwhile = platform.run("meanwhile", vec![job("a", 30)]).await.unwrap();
    assert!(platform.count("select count(*) from outbox").await.unwrap() >= 30);
    queue.make_anew().await.unwrap();
    let mut attempts = 0;
    for run in [before, meanwhile] {
        let (state, some) = hand.work_off(run, 8).await.unwrap();
        assert_eq!(state, "succeeded");
        attempts += some;
    }
    assert_eq!(attempts, 60, "no task was started twice");
    platform.all_sent().await.unwrap();
    assert_eq!(platform.count("select count(*) from commits").await.unwrap(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_dispatchers_share_an_outbox() {
    let emulator = Emulator::here();
    let queue = Queue::create(&emulator, 30).await.unwrap();
    let platform = platform(&emulator, &queue, SELDOM).await;
    let other = platform.beside(options(&emulator, &queue, SELDOM)).await.unwrap();
    let runs = [platform.run("one", vec![job("a", 300)]).await, other.run("two", vec![job("a", 300)]).await];
    platform.all_sent().await.unwrap();
    let sent = queue.messages().await.unwrap();
    assert!((60..=120).contains(&sent), "600 tasks went out in {sent} messages");
    let mut hand = Hand::new(&platform, &queue, emulator.aws());
    let mut attempts = 0;
    for run in runs {
        let (state, some) = hand.work_off(run.unwrap(), 100).await.unwrap();
        assert_eq!(state, "succeeded");
        attempts += some;
    }
    assert_eq!(attempts, 600, "no task was started twice");
}
