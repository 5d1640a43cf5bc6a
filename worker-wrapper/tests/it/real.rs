//! The whole wrapper with the real sandbox of this machine: only the dispatcher is played.

use std::{collections::BTreeMap, time::Duration};

use tokio_util::sync::CancellationToken;
use trace_contracts::{
    AttemptId,
    wire::worker::{FailureReason, Outcome},
};

use crate::{
    dispatcher::{Dispatcher, Seen},
    harness::{bundle, config},
    sandbox::kit::alone,
};

/// Reads what it is told about itself, asks the dispatcher through the sandbox, and writes a file.
const WELL_BEHAVED: &str = r#"
import json, os, urllib.request
request = urllib.request.Request(
    os.environ["TRACE_DISPATCHER_URL"] + "/v1/task/context",
    headers={"Authorization": "Bearer " + os.environ["TRACE_TASK_CAPABILITY_TOKEN"]})
context = json.load(urllib.request.urlopen(request))
source = open(os.environ["TRACE_FILES_DIR"] + "/source").read()
print(os.environ["TRACE_ATTEMPT"], context["job"], len(source))
with open(os.environ["TRACE_OUTPUT_DIR"] + "/part-0.parquet", "w") as out:
    out.write(source * 2)
"#;

async fn run(main: &str, prepare: impl FnOnce(&mut Seen)) -> Dispatcher {
    let dispatcher = Dispatcher::start().await;
    dispatcher.seen().add_task(1, &bundle(&[("main.py", main)]));
    prepare(&mut dispatcher.seen());
    let work_dir = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let config = config(&dispatcher, work_dir.path().join("worker"));
    let running = tokio::spawn(trace_worker_wrapper::run(config, shutdown.clone()));
    dispatcher.outcome().await;
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap().unwrap();
    dispatcher
}

#[tokio::test]
async fn a_udf_reaches_the_dispatcher_and_its_output_reaches_the_store() {
    let _alone = alone().await;
    let dispatcher = run(WELL_BEHAVED, |seen| {
        let source = seen.add_blob(b"0123456789");
        seen.ready[0].files = BTreeMap::from([("source".parse().unwrap(), source)]);
    })
    .await;
    let seen = dispatcher.seen();
    assert_eq!(seen.completions[0].1, Outcome::Succeeded, "{:?}", seen.log(AttemptId::from_db(1)));
    assert_eq!(seen.log(AttemptId::from_db(1)), ["a1 delays 10"]);
    let (length, body) = &seen.objects["data/o1/r17/t1.1/a1/out/part-0.parquet"];
    assert_eq!((length.as_str(), &body[..]), ("20", b"01234567890123456789".as_slice()));
}

#[tokio::test]
async fn a_udf_that_does_not_end_is_killed_at_its_time() {
    let _alone = alone().await;
    let dispatcher = run("while True: pass", |seen| seen.ready[0].timeout_ms = 700).await;
    let Outcome::Failed { reason, detail } = dispatcher.seen().completions[0].1.clone() else {
        panic!("it succeeded")
    };
    assert_eq!(reason, FailureReason::Timeout);
    assert!(detail.contains("0.7 s") && detail.contains("`timeout`"), "{detail}");
}

#[tokio::test]
async fn a_lease_that_is_lost_ends_the_sandbox() {
    let _alone = alone().await;
    let dispatcher = Dispatcher::start().await;
    let main = "print('running', flush=True)\nwhile True: pass";
    dispatcher.seen().add_task(1, &bundle(&[("main.py", main)]));
    let work_dir = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let config = config(&dispatcher, work_dir.path().join("worker"));
    let running = tokio::spawn(trace_worker_wrapper::run(config, shutdown.clone()));
    dispatcher.until("a line", |seen| (!seen.logs.is_empty()).then_some(())).await;
    dispatcher.seen().stale.insert("t1.1".parse().unwrap());
    // The slot is free again only when nothing of the attempt runs: then another claim has room for
    // both slots.
    dispatcher
        .until("a claim for both slots", |seen| {
            (seen.claims.len() > 1 && seen.claims.last()?.max == 2).then_some(())
        })
        .await;
    assert!(dispatcher.seen().completions.is_empty());
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap().unwrap();
}
