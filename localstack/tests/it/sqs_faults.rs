//! Wake-ups by SQS on bad days: throttled, broken, slow and cut off.

use std::time::Duration;

use serde_json::json;
use trace_contracts::Runtime;
use trace_dispatcher::queue::{
    Source,
    sqs::{Config, Queues},
};
use trace_localstack::{Emulator, Fault, Hand, Options, Platform, Proxy, Queue, after, job, until};

struct Stand {
    emulator: Emulator,
    queue: Queue,
    /// Between the dispatcher and SQS.
    sending: Proxy,
    /// Between workers and SQS.
    receiving: Proxy,
    platform: Platform,
}

async fn stand() -> Stand {
    let emulator = Emulator::here();
    let queue = Queue::create(&emulator, 2).await.unwrap();
    let (sending, receiving) =
        (Proxy::start(&emulator).await.unwrap(), Proxy::start(&emulator).await.unwrap());
    let queues = Queues::only(Runtime::Process, queue.url.clone());
    let config = Config { aws: sending.aws(), queues, resend_after_seconds: 3600 };
    let options = Options { wake_ups: Source::Sqs(Box::new(config)), ..Options::default() };
    let platform = Platform::start(options).await.unwrap();
    Stand { emulator, queue, sending, receiving, platform }
}

/// Each call of the dispatcher and of the worker meets every fault, and the run ends as if there were none.
#[tokio::test(flavor = "multi_thread")]
async fn throttling_errors_and_cut_connections_lose_no_task() {
    let stand = stand().await;
    let faults = || {
        [
            Fault::Refused(400, "ThrottlingException"),
            Fault::Refused(429, "RequestThrottled"),
            Fault::Refused(500, "InternalError"),
            Fault::Refused(503, "ServiceUnavailable"),
            Fault::Refused(400, "ExpiredTokenException"),
            Fault::Cut,
            Fault::AnswerLost,
            Fault::Slow(Duration::from_millis(1500)),
            Fault::Answered("this is no JSON".to_owned()),
        ]
    };
    stand.sending.next("SendMessageBatch", faults());
    for call in ["ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"] {
        stand.receiving.next(call, faults());
    }
    let run = stand.platform.run("d", vec![job("a", 120), after(job("b", 30), 0)]).await.unwrap();
    let mut hand = Hand::new(&stand.platform, &stand.queue, stand.receiving.aws());
    let (state, attempts) = hand.work_off(run, 7).await.unwrap();
    assert_eq!(state, "succeeded");
    // However often messages came, no task was started twice.
    assert_eq!(attempts, 150);
    assert_eq!(stand.platform.count("select count(*) from commits").await.unwrap(), 150);
    stand.platform.all_sent().await.unwrap();
    assert!(stand.sending.seen("SendMessageBatch") > 9);
}

/// SQS takes a batch in part: what it has not taken is sent again, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn what_sqs_has_not_taken_of_a_batch_is_sent_again() {
    let stand = stand().await;
    let refused =
        json!({ "Id": "0", "SenderFault": false, "Code": "InternalError", "Message": "said the proxy" });
    let answer = json!({ "Successful": [], "Failed": [refused] });
    stand.sending.next("SendMessageBatch", [Fault::Answered(answer.to_string())]);
    let run = stand.platform.run("d", vec![job("a", 10)]).await.unwrap();
    stand.platform.all_sent().await.unwrap();
    assert_eq!(stand.queue.messages().await.unwrap(), 1);
    let mut hand = Hand::new(&stand.platform, &stand.queue, stand.emulator.aws());
    assert_eq!(hand.work_off(run, 10).await.unwrap(), ("succeeded".to_owned(), 10));
}

/// SQS is away for the dispatcher: runs are started and completed all the same, and their wake-ups go out when
/// it is back.
#[tokio::test(flavor = "multi_thread")]
async fn while_sqs_is_away_wake_ups_wait_in_the_outbox() {
    let stand = stand().await;
    stand.sending.always(Some(Fault::Cut));
    let run = stand.platform.run("d", vec![job("a", 5)]).await.unwrap();
    let tried = async || Ok((stand.sending.seen("SendMessageBatch") >= 3).then_some(()));
    until("sending is tried again", tried).await.unwrap();
    let outbox = "select count(*) from outbox";
    assert_eq!(stand.platform.count(outbox).await.unwrap(), 5);
    assert_eq!(stand.queue.messages().await.unwrap(), 0);
    stand.sending.always(None);
    stand.platform.all_sent().await.unwrap();
    let mut hand = Hand::new(&stand.platform, &stand.queue, stand.emulator.aws());
    assert_eq!(hand.work_off(run, 10).await.unwrap(), ("succeeded".to_owned(), 5));
}

/// A worker says which service failed it, and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn errors_name_the_service_and_what_to_do() {
    let stand = stand().await;
    let mut hand = Hand::new(&stand.platform, &stand.queue, stand.receiving.aws());
    for (status, code, advice) in [
        (403, "AccessDeniedException", "add the action to its role"),
        (403, "ExpiredTokenException", "its keys have expired"),
        (400, "AWS.SimpleQueueService.NonExistentQueue", "check the configured name"),
        (400, "ThrottlingException", "tried again"),
    ] {
        stand.receiving.always(Some(Fault::Refused(status, code)));
        let said = hand.receive(1).await.unwrap_err().to_string();
        assert!(said.contains("SQS") && said.contains("ReceiveMessage") && said.contains(advice), "{said}");
    }
    stand.receiving.always(Some(Fault::Cut));
    let said = hand.receive(1).await.unwrap_err().to_string();
    assert!(said.contains("SQS") && said.contains("check its endpoint"), "{said}");
}
