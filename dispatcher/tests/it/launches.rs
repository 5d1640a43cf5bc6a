//! Launch tickets: one runner, once; and what it reports on its way to the worker.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use trace_contracts::{
    Audience, ErrorCode, LaunchNonce, LaunchTicket, Secret,
    wire::{
        launch::{
            Event, OverReply, Printed, RedeemReply, RedeemRequest, ReportRequest, RunnerExit, Stage,
            WatchReply, WatchRequest,
        },
        limit,
        worker::{HeartbeatVerdict, Lease, LogStream},
    },
};
use trace_dispatcher::config::Limits;

use crate::support::{
    Platform,
    dags::{job, spec},
    wire::{fence, ok, problem, succeeded},
};

async fn leased(platform: &Platform) -> Lease {
    platform.run(spec(&format!("d{}", uuid::Uuid::new_v4().simple()), vec![job("a")])).await;
    platform.claim_one().await
}

fn bearer(ticket: &LaunchTicket) -> Secret<String> {
    Secret::new(ticket.expose().to_owned())
}

async fn redeem(platform: &Platform, ticket: &LaunchTicket, nonce: &LaunchNonce) -> Response {
    let request = platform.task(Method::POST, "/v1/task/launch", &bearer(ticket));
    request.json(&RedeemRequest { nonce: nonce.clone() }).send().await.unwrap()
}

async fn report(
    platform: &Platform,
    ticket: &LaunchTicket,
    nonce: &LaunchNonce,
    first_seq: u64,
    events: Vec<Event>,
) -> Response {
    let request = platform.task(Method::POST, "/v1/task/launch/report", &bearer(ticket));
    request.json(&ReportRequest { nonce: nonce.clone(), first_seq, events }).send().await.unwrap()
}

async fn watch(platform: &Platform, lease: &Lease, stage: Stage, taken: u64, wait_ms: u64) -> WatchReply {
    let request = WatchRequest { fence: fence(lease), stage, taken, wait_ms };
    ok(platform.post("/internal/launch/watch", &request).await).await
}

fn printed(text: &[u8]) -> Event {
    Event::Printed { stream: LogStream::Stdout, bytes: Printed::split(text).0 }
}

fn ended() -> Event {
    Event::Ended { how: RunnerExit::Status { status: 3 } }
}

async fn audited(platform: &Platform) -> Vec<(String, String)> {
    sqlx::query_as(
        "select verdict, detail->>'why' from audit where action = 'launch.redeem' order by audit_id",
    )
    .fetch_all(&platform.db)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_ticket_is_exchanged_for_the_order_and_again_after_a_lost_reply() {
    let platform = Platform::start().await;
    let lease = leased(&platform).await;
    let ticket = platform.ticket(&lease).await.ticket;
    let nonce = LaunchNonce::random();
    let first: RedeemReply = ok(redeem(&platform, &ticket, &nonce).await).await;
    assert_eq!((first.attempt, &first.launch), (lease.attempt, &lease.launch));
    let own = platform.verify(lease.capability_token.expose(), Audience::Dispatcher);
    let given = platform.verify(first.capability_token.expose(), Audience::Dispatcher);
    assert_eq!((given.attempt(), given.grants()), (own.attempt(), own.grants()));

    // A ticket that was redeemed in time is the runner's for as long as the attempt lives.
    sqlx::query("update launches set expires_at = now()").execute(&platform.db).await.unwrap();
    let again: RedeemReply = ok(redeem(&platform, &ticket, &nonce).await).await;
    assert_eq!((again.attempt, again.launch), (first.attempt, first.launch));
    let stored: String =
        sqlx::query_scalar("select l::text from launches l").fetch_one(&platform.db).await.unwrap();
    assert!(
        !stored.contains(&ticket.expose()[4..]) && !stored.contains(&nonce.expose()[4..]),
        "hashes alone are kept"
    );
    assert_eq!(audited(&platform).await.len(), 2);
    platform.complete_one(succeeded(&lease)).await;
    assert_eq!(problem(redeem(&platform, &ticket, &nonce).await).await.code, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn a_second_redeemer_ends_the_attempt_and_is_in_the_audit_log() {
    let platform = Platform::start().await;
    let lease = leased(&platform).await;
    let ticket = platform.ticket(&lease).await.ticket;
    let (thief, runner) = (LaunchNonce::random(), LaunchNonce::random());
    let stolen: RedeemReply = ok(redeem(&platform, &ticket, &thief).await).await;
    assert_eq!(problem(redeem(&platform, &ticket, &runner).await).await.code, ErrorCode::Unauthenticated);

    assert_eq!(platform.heartbeat(vec![fence(&lease)]).await, [HeartbeatVerdict::Stale]);
    let use_it = platform.task(Method::GET, "/v1/task/context", &stolen.capability_token);
    assert_eq!(problem(use_it.send().await.unwrap()).await.code, ErrorCode::Revoked);
    for nonce in [&thief, &runner] {
        assert_eq!(
            report(&platform, &ticket, nonce, 0, vec![ended()]).await.status(),
            StatusCode::UNAUTHORIZED
        );
    }
    let outcome: String = sqlx::query_scalar("select outcome from attempts where attempt_id = $1")
        .bind(lease.attempt.get())
        .fetch_one(&platform.db)
        .await
        .unwrap();
    assert_eq!(outcome, "ticket_stolen");
    let said: Vec<String> = audited(&platform).await.into_iter().map(|(verdict, _)| verdict).collect();
    assert_eq!(said, ["allow", "deny"]);
    let next = platform.claim_one().await;
    assert_eq!((next.launch.task, next.launch.failures), (lease.launch.task, 0), "it uses up no retry");
    platform.assert_consistent().await;
}

#[tokio::test]
async fn tickets_that_are_worth_nothing_are_refused_in_the_same_words() {
    let platform = Platform::with_limits(Limits { launch_ticket_seconds: 3600, ..Limits::default() }).await;
    let lease = leased(&platform).await;
    let superseded = platform.ticket(&lease).await.ticket;
    let current = platform.ticket(&lease).await.ticket;
    let late_lease = leased(&platform).await;
    let late = platform.ticket(&late_lease).await.ticket;
    sqlx::query("update launches set expires_at = now() where attempt_id = $1")
        .bind(late_lease.attempt.get())
        .execute(&platform.db)
        .await
        .unwrap();
    let over_lease = leased(&platform).await;
    let over = platform.ticket(&over_lease).await.ticket;
    platform.complete_one(succeeded(&over_lease)).await;
    let mut answers = Vec::new();
    for ticket in [&superseded, &late, &over, &LaunchTicket::random()] {
        answers.push(redeem(&platform, ticket, &LaunchNonce::random()).await.text().await.unwrap());
        answers
            .push(report(&platform, ticket, &LaunchNonce::random(), 0, vec![]).await.text().await.unwrap());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(audited(&platform).await.is_empty(), "nothing was redeemed");
    assert!(redeem(&platform, &current, &LaunchNonce::random()).await.status().is_success());
    let another = platform.post("/internal/launch/ticket", &json!({ "fence": fence(&lease) })).await;
    assert_eq!(
        problem(another).await.code,
        ErrorCode::Conflict,
        "a ticket that was redeemed is not replaced"
    );
}

#[tokio::test]
async fn reports_arrive_once_in_order_and_are_dropped_once_taken() {
    let platform = Platform::start().await;
    let lease = leased(&platform).await;
    let ticket = platform.ticket(&lease).await.ticket;
    assert_eq!(watch(&platform, &lease, Stage::Ticketed, 0, 0).await.stage, Stage::Ticketed);
    let nonce = LaunchNonce::random();
    let stranger = report(&platform, &ticket, &nonce, 0, vec![ended()]).await;
    assert_eq!(
        stranger.status(),
        StatusCode::UNAUTHORIZED,
        "a ticket that nobody has redeemed has no runner"
    );
    redeem(&platform, &ticket, &nonce).await.error_for_status().unwrap();
    assert_eq!(watch(&platform, &lease, Stage::Ticketed, 0, 30_000).await.stage, Stage::Redeemed);

    let send = async |first, events| report(&platform, &ticket, &nonce, first, events).await.status();
    assert_eq!(send(1, vec![printed(b"two")]).await, StatusCode::NO_CONTENT);
    assert!(watch(&platform, &lease, Stage::Redeemed, 0, 0).await.events.is_empty(), "the first is missing");
    assert_eq!(send(0, vec![printed(b"one"), printed(b"sent again")]).await, StatusCode::NO_CONTENT);
    assert_eq!(send(2, vec![ended()]).await, StatusCode::NO_CONTENT);
    let all = watch(&platform, &lease, Stage::Redeemed, 0, 30_000).await.events;
    assert_eq!(all, [printed(b"one"), printed(b"two"), ended()]);
    assert_eq!(
        watch(&platform, &lease, Stage::Redeemed, 0, 0).await.events,
        all,
        "asked again after a lost reply"
    );
    assert_eq!(watch(&platform, &lease, Stage::Redeemed, 2, 0).await.events, [ended()]);
    assert_eq!(platform.count("select count(*) from launch_events").await, 1);
    let other = report(&platform, &ticket, &LaunchNonce::random(), 3, vec![ended()]).await;
    assert_eq!(other.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(platform.heartbeat(vec![fence(&lease)]).await.len(), 1, "it has not ended the attempt");
}

#[tokio::test]
async fn a_report_wakes_the_worker_that_waits() {
    let platform = Platform::start().await;
    let lease = leased(&platform).await;
    let ticket = platform.ticket(&lease).await.ticket;
    let nonce = LaunchNonce::random();
    redeem(&platform, &ticket, &nonce).await.error_for_status().unwrap();
    let waiting = watch(&platform, &lease, Stage::Redeemed, 0, 30_000);
    let telling = async { report(&platform, &ticket, &nonce, 0, vec![printed(b"hello")]).await };
    let (reply, told) = tokio::join!(waiting, telling);
    assert!(told.status().is_success());
    assert_eq!(reply.events, [printed(b"hello")]);
}

#[tokio::test]
async fn what_a_runner_reports_is_bounded() {
    let platform = Platform::start().await;
    let lease = leased(&platform).await;
    let ticket = platform.ticket(&lease).await.ticket;
    let nonce = LaunchNonce::random();
    redeem(&platform, &ticket, &nonce).await.error_for_status().unwrap();
    let full = vec![printed(&[b'x'; limit::PRINTED_BYTES]); limit::REPORT_EVENTS];
    let too_many = vec![ended(); limit::REPORT_EVENTS + 1];
    assert_eq!(
        problem(report(&platform, &ticket, &nonce, 0, too_many).await).await.code,
        ErrorCode::BadRequest
    );
    let mut seq = 0;
    let refused = loop {
        let response = report(&platform, &ticket, &nonce, seq, full.clone()).await;
        if !response.status().is_success() {
            break problem(response).await.code;
        }
        seq += full.len() as u64;
    };
    assert_eq!(refused, ErrorCode::LimitExceeded);
    let kept = "select sum(octet_length(event))::bigint from launch_events";
    assert!(platform.count(kept).await <= limit::REPORTED_BYTES_PER_ATTEMPT as i64);
    let again = report(&platform, &ticket, &nonce, 0, full).await;
    assert!(again.status().is_success(), "what is there already costs nothing");
}

#[tokio::test]
async fn launches_go_with_their_attempts_and_workers_learn_which_are_over() {
    let platform = Platform::start().await;
    let (first, second) = (leased(&platform).await, leased(&platform).await);
    let ticket = platform.ticket(&first).await.ticket;
    let nonce = LaunchNonce::random();
    redeem(&platform, &ticket, &nonce).await.error_for_status().unwrap();
    report(&platform, &ticket, &nonce, 0, vec![ended()]).await.error_for_status().unwrap();
    platform.complete_one(succeeded(&first)).await;
    let asked = json!({ "attempts": [first.attempt, second.attempt] });
    let reply: OverReply = ok(platform.post("/internal/launch/over", &asked).await).await;
    assert_eq!(reply.over, [first.attempt]);
    platform.ticket(&second).await;
    let left = "select count(*) from launches full join launch_events using (attempt_id)";
    assert_eq!(platform.count(left).await, 1, "the next ticket has cleared the first attempt away");
}

/// Runners that show the same ticket at once, through two dispatchers: each number is a nonce.
async fn race(dispatchers: [&Platform; 2], runners: Vec<(usize, usize)>) {
    let first = dispatchers[0];
    let lease = leased(first).await;
    let ticket = first.ticket(&lease).await.ticket;
    let nonces: Vec<LaunchNonce> = (0..3).map(|_| LaunchNonce::random()).collect();
    let all = runners.iter().map(|(nonce, whom)| redeem(dispatchers[*whom], &ticket, &nonces[*nonce]));
    let answers = futures::future::join_all(all).await;
    let served: std::collections::BTreeSet<usize> = runners
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| answer.status().is_success())
        .map(|((nonce, _), _)| *nonce)
        .collect();
    let shown: std::collections::BTreeSet<usize> = runners.iter().map(|(nonce, _)| *nonce).collect();
    assert_eq!(served.len(), 1, "one redeemer alone was served, of {runners:?}");
    let lives = first.heartbeat(vec![fence(&lease)]).await[0] != HeartbeatVerdict::Stale;
    assert_eq!(lives, shown.len() == 1, "{runners:?}");
    if !lives {
        for answer in answers.into_iter().filter(|answer| answer.status().is_success()) {
            let given: RedeemReply = ok(answer).await;
            let use_it = first.task(Method::GET, "/v1/task/context", &given.capability_token);
            assert_eq!(use_it.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        }
        assert_eq!(first.claim_one().await.launch.task, lease.launch.task);
    }
    first.assert_consistent().await;
    // Nothing is left for the next round.
    for attempt in first.claim(10).await {
        first.complete_one(succeeded(&attempt)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_redeemers_at_once_one_is_served_and_a_second_one_ends_the_attempt() {
    let first = Platform::start().await;
    let mut second = first.beside().await;
    second.worker = first.worker.clone();
    let runners = prop::collection::vec((0..3_usize, 0..2_usize), 1..6);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        let mut runner = TestRunner::new(Config { cases: 40, max_shrink_iters: 40, ..Config::default() });
        runner
            .run(&runners, |runners| {
                runtime.block_on(race([&first, &second], runners));
                Ok(())
            })
            .unwrap();
    });
}
