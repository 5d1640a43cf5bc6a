//! The whole way of a wake-up: dispatcher, outbox, SQS, wrapper, claim.

use trace_contracts::Runtime;
use trace_dispatcher::queue::{
    Source,
    sqs::{Config, Queues},
};
use trace_localstack::{Emulator, Fault, Options, Platform, Proxy, Queue, Wrapper, after, job, until};

#[tokio::test(flavor = "multi_thread")]
async fn wrappers_work_off_runs_and_say_when_their_queue_is_away() {
    let emulator = Emulator::here();
    let queue = Queue::create(&emulator, 30).await.unwrap();
    let queues = Queues::only(Runtime::Process, queue.url.clone());
    let config = Config { aws: emulator.aws(), queues, resend_after_seconds: 3600 };
    let options = Options { wake_ups: Source::Sqs(Box::new(config)), ..Options::default() };
    let platform = Platform::start(options).await.unwrap();
    let proxy = Proxy::start(&emulator).await.unwrap();
    let one = Wrapper::start(&platform, &queue, proxy.aws(), 3).unwrap();
    let other = Wrapper::start(&platform, &queue, emulator.aws(), 2).unwrap();
    let run =
        platform.run("d", vec![job("a", 45), after(job("b", 12), 0), after(job("c", 1), 1)]).await.unwrap();
    until("the run has ended", async || Ok((platform.state_of(run).await? != "running").then_some(())))
        .await
        .unwrap();
    assert_eq!(platform.state_of(run).await.unwrap(), "succeeded");
    assert_eq!(
        platform.count("select count(*) from attempts").await.unwrap(),
        0,
        "each task had one attempt"
    );
    queue.empty().await.unwrap();

    // From here on every message is the first one's.
    drop(other);
    let readiness = async |status: u16| {
        let what = format!("/readyz answers {status}");
        until(&what, async || Ok((one.readiness(&platform).await == Some(status)).then_some(())))
            .await
            .unwrap();
    };
    readiness(200).await;
    proxy.always(Some(Fault::Refused(403, "AccessDeniedException")));
    // The poll that is under way ends first.
    queue.send("{}", 0).await.unwrap();
    readiness(503).await;
    proxy.always(None);
    queue.send("{}", 0).await.unwrap();
    readiness(200).await;
}
