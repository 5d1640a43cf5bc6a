//! What no emulator does: Lambda that is throttled, loses its answers, or says why a function failed.

use std::collections::VecDeque;

use axum::{
    Json,
    body::Body,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::launcher::{
    Exit,
    remote::scripted::{Call, Cloud, GO, LONG, Runner, Server, end, lock, order},
};

const INVOKE: &str = "/2015-03-31/functions/runner/invocations";

/// Lambda.
struct Script {
    /// What it answers first, one call after another.
    refusals: VecDeque<(u16, &'static str)>,
    /// What it answers then.
    answer: Answer,
}

#[derive(Clone, Copy)]
enum Answer {
    /// The function has ended well.
    Ended,
    /// It has failed, of this type and with this message.
    Failed(&'static str, &'static str),
    /// The connection breaks in the middle of the answer.
    Broken,
    /// Nothing, until the test lets it; then that it has ended.
    Slow,
}

#[async_trait]
impl Cloud for Script {
    async fn answer(server: &Server<Self>, call: &Call) -> Option<Response> {
        if call.name != INVOKE {
            return None;
        }
        if let Some((status, code)) = lock(&server.cloud).refusals.pop_front() {
            let status = StatusCode::from_u16(status).unwrap();
            let refusal = Json(json!({ "Type": "User", "message": "for a reason" }));
            return Some((status, [("x-amzn-errortype", code)], refusal).into_response());
        }
        let answer = lock(&server.cloud).answer;
        Some(match answer {
            Answer::Ended => "null".into_response(),
            Answer::Failed(kind, message) => {
                let error = json!({ "errorType": kind, "errorMessage": message });
                ([("x-amz-function-error", "Unhandled")], Json(error)).into_response()
            }
            Answer::Broken => {
                let broken = futures::stream::iter([Err::<&str, _>(std::io::Error::other("cut"))]);
                Body::from_stream(broken).into_response()
            }
            Answer::Slow => {
                server.called(GO).await;
                "null".into_response()
            }
        })
    }
}

async fn scene(answer: Answer, runner: Runner) -> (Arc<Server<Script>>, LambdaLauncher) {
    refusing(&[], answer, runner).await
}

async fn refusing(
    refusals: &[(u16, &'static str)],
    answer: Answer,
    runner: Runner,
) -> (Arc<Server<Script>>, LambdaLauncher) {
    let refusals = refusals.iter().copied().collect();
    let (server, address, dispatcher) = Server::start(Script { refusals, answer }, runner).await;
    let config: Config = serde_json::from_value(json!({
        "aws": {
            "region": "eu-west-1", "endpoint": address.as_str(),
            "keys": { "access_key_id": "a", "secret_access_key": "b" },
        },
        "functions": [{ "name": "runner", "memory_mib": 512 }], "platform": "dev",
    }))
    .unwrap();
    (server, LambdaLauncher::new(&config, dispatcher))
}

fn ended(how: Value) -> Runner {
    Runner::reported(vec![json!({ "event": "ended", "how": how })])
}

fn succeeded() -> Runner {
    ended(json!({ "how": "succeeded" }))
}

const fn redeemed() -> Runner {
    Runner::reported(Vec::new())
}

/// Launches, and lets the runner report once Lambda was asked so often.
async fn end_with(server: &Server<Script>, launcher: &LambdaLauncher, calls: usize, runner: Runner) -> Exit {
    let Launched { ended, .. } = launcher.launch(order()).await.unwrap();
    let ended = tokio::spawn(ended);
    server.called_often(INVOKE, calls).await;
    server.runner(runner);
    timeout(LONG, ended).await.unwrap().unwrap().unwrap().exit
}

async fn machine(launcher: &LambdaLauncher) -> String {
    match end(launcher).await {
        Err(Error::Machine(why)) => why,
        Err(other) => panic!("it is the machine's fault: {other}"),
        Ok(ended) => panic!("it is the machine's fault: {:?}", ended.exit),
    }
}

#[tokio::test]
async fn an_attempt_is_one_invocation_that_is_given_a_ticket_and_an_environment_of_its_own() {
    let (server, launcher) = scene(Answer::Slow, Runner::none()).await;
    let report = ended(json!({ "how": "status", "status": 3 }));
    assert_eq!(end_with(&server, &launcher, 1, report).await, Exit::Status(3), "the report comes first");
    let calls = server.calls(INVOKE);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].headers["x-amz-tenant-id"], "dev/a40");
    assert_eq!(calls[0].headers["x-amz-invocation-type"], "RequestResponse");
    let event = calls[0].body.as_object().unwrap();
    assert_eq!(event.keys().collect::<Vec<_>>(), ["ticket"]);
    assert!(event["ticket"].as_str().unwrap().parse::<LaunchTicket>().is_ok());
}

#[tokio::test]
async fn an_answer_that_was_lost_starts_no_second_runner() {
    for lost in [(502, "EC2UnexpectedException"), (500, "ServiceException")] {
        let (server, launcher) = refusing(&[lost], Answer::Ended, Runner::none()).await;
        assert_eq!(end_with(&server, &launcher, 1, succeeded()).await, Exit::Success);
        assert_eq!(server.calls(INVOKE).len(), 1, "{}", lost.1);
    }
    let (server, launcher) = scene(Answer::Broken, Runner::none()).await;
    assert_eq!(end_with(&server, &launcher, 1, succeeded()).await, Exit::Success);
    assert_eq!(server.calls(INVOKE).len(), 1);
}

#[tokio::test]
async fn throttling_is_waited_out_with_the_same_ticket() {
    let refusals = [
        (429, "TooManyRequestsException"),
        (409, "ResourceConflictException"),
        (502, "ENILimitReachedException"),
    ];
    let (server, launcher) = refusing(&refusals, Answer::Ended, Runner::none()).await;
    assert_eq!(end_with(&server, &launcher, 4, succeeded()).await, Exit::Success);
    let calls = server.calls(INVOKE);
    assert!(calls.len() == 4 && calls.iter().all(|call| call.body == calls[0].body), "{calls:?}");
}

#[tokio::test]
async fn what_lambda_refuses_is_not_tried_again_and_says_what_to_do() {
    for (status, code, advice) in [
        (400, "InvalidParameterValueException", "PER_TENANT"),
        (404, "ResourceNotFoundException", "`functions`"),
        (403, "AccessDeniedException", "role"),
        (502, "KMSDisabledException", "key"),
        (400, "SomethingNewException", "SomethingNew"),
    ] {
        let (server, launcher) = refusing(&[(status, code)], Answer::Ended, Runner::none()).await;
        let why = machine(&launcher).await;
        assert!(why.contains("Invoke") && why.contains(advice) && why.contains("for a reason"), "{why}");
        assert_eq!(server.calls(INVOKE).len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_function_that_failed_is_the_code_s_fault_only_once_code_may_have_run() {
    let timed_out =
        Answer::Failed("Sandbox.Timedout", "RequestId: 1 Error: Task timed out after 3.00 seconds");
    let before = async {
        let (_server, launcher) = scene(timed_out, Runner::none()).await;
        let why = machine(&launcher).await;
        assert!(why.contains("subnets") && why.contains("timed out after 3.00"), "{why}");
    };
    let after = async {
        let (_server, launcher) = scene(timed_out, redeemed()).await;
        let exit = end(&launcher).await.unwrap().exit;
        assert_eq!(exit, Exit::Timeout { after: Duration::from_secs(3) });
    };
    let strange = async {
        let (_server, launcher) = scene(Answer::Ended, Runner::none()).await;
        let why = machine(&launcher).await;
        assert!(why.contains("runner's image"), "{why}");
    };
    // Each waits for the last reports.
    tokio::join!(before, after, strange);
}

#[tokio::test]
async fn a_killed_attempt_has_ended_once_its_runner_has() {
    let (server, launcher) = scene(Answer::Slow, redeemed()).await;
    let Launched { kill, ended, .. } = launcher.launch(order()).await.unwrap();
    let ended = tokio::spawn(ended);
    server.called(INVOKE).await;
    kill();
    assert!(!ended.is_finished());
    server.note(GO);
    assert_eq!(timeout(LONG, ended).await.unwrap().unwrap().unwrap().exit, Exit::Killed);
}

#[tokio::test]
async fn an_attempt_that_is_killed_while_lambda_is_busy_is_never_invoked() {
    let refusals = [(429, "TooManyRequestsException"); 40];
    let (server, launcher) = refusing(&refusals, Answer::Ended, Runner::none()).await;
    let Launched { kill, ended, .. } = launcher.launch(order()).await.unwrap();
    server.called(INVOKE).await;
    kill();
    assert_eq!(timeout(LONG, ended).await.unwrap().unwrap().exit, Exit::Killed);
    assert!(!lock(&server.cloud).refusals.is_empty(), "it was refused each time");
}
