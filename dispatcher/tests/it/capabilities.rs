//! What a task can do with its capability: exchange it, get keys, read its context, leave a
//! checkpoint.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trace_contracts::{
    Audience, Capability, ErrorCode, RowFilter,
    grant::FilterValue,
    keys::KeySet,
    wire::{
        limit,
        task::{ContextReply, CredentialsReply, TokenReply},
        worker::{FailureReason, Lease},
    },
};
use trace_dispatcher::dag::spec::Source;

use crate::support::{
    Platform,
    dags::{job, partitioned, reading, spec},
    platform::CAPABILITY_ISSUER,
    wire::{failed, ok, problem},
};

impl Platform {
    pub fn verify(&self, token: &str, audience: Audience) -> Capability {
        let keys = KeySet::from_jwks(&self.app.keys.jwks()).unwrap();
        Capability::verify(token, &keys, CAPABILITY_ISSUER, audience).unwrap()
    }

    /// The input grants of a lease's token, as JSON.
    pub async fn inputs_of(&self, lease: &Lease) -> Value {
        let capability = self.verify(lease.capability_token.expose(), Audience::Dispatcher);
        serde_json::to_value(&capability.grants().inputs).unwrap()
    }

    pub async fn credentials(&self, lease: &Lease) -> CredentialsReply {
        let request = self.task(Method::POST, "/v1/task/credentials", &lease.capability_token);
        ok(request.send().await.unwrap()).await
    }
}

#[tokio::test]
async fn a_token_is_exchanged_for_one_audience_at_a_time() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    let exchange = |audience: &str| {
        platform
            .task(Method::POST, "/v1/task/token", &lease.capability_token)
            .json(&json!({ "audience": audience }))
    };
    let reply: TokenReply = ok(exchange("trace:query").send().await.unwrap()).await;
    let query = platform.verify(reply.token.expose(), Audience::Query);
    let first = platform.verify(lease.capability_token.expose(), Audience::Dispatcher);
    assert_eq!(query.grants(), first.grants());
    assert_ne!(query.jti(), first.jti());
    let refreshed: TokenReply = ok(exchange("trace:dispatcher").send().await.unwrap()).await;
    platform.verify(refreshed.token.expose(), Audience::Dispatcher);
    let egress = problem(exchange("trace:egress").send().await.unwrap()).await;
    assert_eq!(egress.code, ErrorCode::Forbidden, "nothing outside was granted");
    let replayed = platform.task(Method::GET, "/v1/task/context", &reply.token);
    assert_eq!(problem(replayed.send().await.unwrap()).await.code, ErrorCode::WrongAudience);
}

#[tokio::test]
async fn the_context_says_what_the_task_is() {
    let platform = Platform::start().await;
    let run = platform.run(spec("d", vec![partitioned(job("a"), 1)])).await;
    let lease = platform.claim_one().await;
    let request = platform.task(Method::GET, "/v1/task/context", &lease.capability_token);
    let context: ContextReply = ok(request.send().await.unwrap()).await;
    assert_eq!((context.run, context.attempt, &*context.job), (run, lease.attempt, "a"));
    assert_eq!(context.params["greeting"], "hello");
    let prefix = format!("s3://trace/data/{}/{run}/{}/{}/", platform.org, context.task, context.attempt);
    assert_eq!(context.output.to_string(), format!("{prefix}out/"));
    assert_eq!(context.scratch.to_string(), format!("{prefix}scratch/"));
}

#[tokio::test]
async fn keys_reach_the_inputs_objects_and_never_a_filtered_inputs() {
    let platform = Platform::start().await;
    let open = reading(job("b"), "open", Source::WholeJob { job: 0 });
    let mut b = reading(open, "filtered", Source::WholeJob { job: 1 });
    b.inputs[1].row_filter =
        Some(RowFilter(BTreeMap::from([("station".to_owned(), FilterValue::Text("JFK".to_owned()))])));
    let mut b = reading(b, "narrow", Source::WholeJob { job: 2 });
    b.inputs[2].columns = Some(vec!["station".to_owned()]);
    platform.run(spec("d", vec![partitioned(job("a"), 2), job("f"), job("n"), b])).await;
    let upstream = platform.claim(4).await;
    platform.complete(upstream.iter().map(crate::support::wire::succeeded).collect()).await;
    let lease = platform.claim_one().await;
    let reply = platform.credentials(&lease).await;
    let session = &reply.sessions[0];
    assert_eq!(reply.sessions.len(), 1);
    let output_of = |job: &str| -> Vec<String> {
        let of_job = upstream.iter().filter(|lease| &*lease.launch.job == job);
        let token = |lease: &Lease| platform.verify(lease.capability_token.expose(), Audience::Dispatcher);
        of_job.map(|lease| token(lease).grants().output.to_string()).collect()
    };
    let hidden = [output_of("f"), output_of("n")].concat();
    let read: Vec<String> = session.read.iter().map(ToString::to_string).collect();
    for prefix in output_of("a") {
        assert!(read.contains(&prefix), "{read:?} should reach {prefix}");
    }
    for prefix in &hidden {
        assert!(!read.contains(prefix), "{read:?} must not reach {prefix}");
    }
    let documents = platform.sessions.minted.lock().unwrap()[&lease.attempt].concat();
    for prefix in &hidden {
        assert!(!documents.contains(prefix.trim_start_matches("s3://trace/")), "{documents}");
    }
    assert_eq!(platform.count("select count(*) from audit where action = 'credentials.mint'").await, 1);
}

#[tokio::test]
async fn keys_end_with_the_attempt() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    platform.credentials(&lease).await;
    let mut news = platform.app.liveness.news();
    platform.complete_one(failed(&lease, FailureReason::Exit)).await;
    news.recv().await.unwrap();
    assert!(platform.sessions.revoked.lock().unwrap().contains(&lease.attempt));
}

#[tokio::test]
async fn a_checkpoint_outlives_its_attempt() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let first = platform.claim_one().await;
    let get =
        |lease: &Lease| platform.task(Method::GET, "/v1/task/checkpoint", &lease.capability_token).send();
    let put = |lease: &Lease, body: Vec<u8>| {
        platform.task(Method::PUT, "/v1/task/checkpoint", &lease.capability_token).body(body).send()
    };
    assert_eq!(problem(get(&first).await.unwrap()).await.code, ErrorCode::NotFound);
    assert_eq!(put(&first, b"half".to_vec()).await.unwrap().status(), StatusCode::NO_CONTENT);
    let large = vec![0; limit::CHECKPOINT_BYTES];
    assert_eq!(put(&first, large).await.unwrap().status(), StatusCode::NO_CONTENT);
    let larger = put(&first, vec![0; limit::CHECKPOINT_BYTES + 1]).await.unwrap();
    assert_eq!(problem(larger).await.code, ErrorCode::PayloadTooLarge);
    put(&first, b"row 7".to_vec()).await.unwrap();
    platform.complete_one(failed(&first, FailureReason::Timeout)).await;
    let second = platform.claim_one().await;
    assert_eq!(get(&second).await.unwrap().bytes().await.unwrap(), "row 7");
    assert_eq!(put(&first, b"stale".to_vec()).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(get(&second).await.unwrap().bytes().await.unwrap(), "row 7");
}

#[tokio::test]
async fn grants_that_fit_no_token_end_the_task_with_a_reason() {
    let platform = Platform::with_limits(trace_dispatcher::config::Limits {
        max_losses: 1,
        ..trace_dispatcher::config::Limits::default()
    })
    .await;
    let mut b = reading(job("b"), "a", Source::WholeJob { job: 0 });
    b.inputs[0].columns = Some((0..2_000).map(|n| format!("column_number_{n}")).collect());
    let run = platform.run(spec("d", vec![job("a"), b])).await;
    platform.work_off().await;
    assert_eq!(platform.state_of(run).await, "failed");
    let why: String = sqlx::query_scalar("select detail from attempts where outcome = 'launch'")
        .fetch_one(&platform.db)
        .await
        .unwrap();
    assert!(why.contains("fewer inputs"), "{why}");
}
