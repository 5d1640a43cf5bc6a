//! The refusal matrix: every route, against every wrong caller.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use trace_contracts::{Audience, ErrorCode, Problem, grant::Budgets};

use crate::{
    platform::{Platform, grants},
    tokens,
};

/// Every route that takes a token, with the kind that it takes.
const ROUTES: [(Kind, &str); 2] = [(Kind::User, "/v1/query"), (Kind::Task, "/v1/task/query")];
/// Every route that takes none.
const PUBLIC: [&str; 2] = ["/healthz", "/readyz"];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    User,
    Task,
}

fn good(kind: Kind, platform: &Platform) -> String {
    match kind {
        Kind::User => tokens::user(&tokens::user_claims()),
        Kind::Task => platform.token(1, &[]),
    }
}

/// Wrong tokens with the code that answers each.
fn wrong(kind: Kind, platform: &Platform) -> Vec<(&'static str, String, &'static str)> {
    let mut cases = vec![
        ("empty", String::new(), "unauthenticated"),
        ("no JWT", "abc".to_owned(), "unauthenticated"),
        ("too long", "a".repeat(20_000), "unauthenticated"),
    ];
    match kind {
        Kind::User => {
            let claims = tokens::user_claims;
            let with = |change: &dyn Fn(&mut _)| {
                let mut claims = claims();
                change(&mut claims);
                tokens::user(&claims)
            };
            cases.extend([
                ("a task's token", good(Kind::Task, platform), "unauthenticated"),
                ("expired", with(&|c| c.exp -= 400), "token_expired"),
                ("not yet", with(&|c| c.nbf = Some(c.exp)), "unauthenticated"),
                ("other audience", with(&|c| c.aud = "other".into()), "wrong_audience"),
                ("other issuer", with(&|c| c.iss = "other".into()), "unauthenticated"),
            ]);
        }
        Kind::Task => {
            let claims = || tokens::claims(1, grants(&[], Budgets::default()));
            let with = |change: &dyn Fn(&mut _)| {
                let mut claims = claims();
                change(&mut claims);
                tokens::capability(&claims)
            };
            cases.extend([
                ("a user's token", good(Kind::User, platform), "unauthenticated"),
                ("expired", with(&|c| c.exp -= 400), "token_expired"),
                ("not yet", with(&|c| c.nbf = c.exp), "unauthenticated"),
                ("for the dispatcher", with(&|c| c.aud = Audience::Dispatcher), "wrong_audience"),
                ("for the gateway", with(&|c| c.aud = Audience::Egress), "wrong_audience"),
                ("other issuer", with(&|c| c.iss = "other".into()), "unauthenticated"),
                ("signed by another", tokens::forged(&claims()), "unauthenticated"),
                ("of a dead attempt", platform.token(66, &[]), "revoked"),
            ]);
        }
    }
    cases
}

#[tokio::test]
async fn every_route_refuses_every_wrong_caller() {
    let platform = Platform::start().await;
    platform.kill_attempt(66);
    for (kind, path) in ROUTES {
        let url = if kind == Kind::User { &platform.users } else { &platform.tasks };
        let body = json!({"sql": "SELECT 1"});
        let (status, _) = platform.post(url, path, &good(kind, &platform), &body).await;
        assert_eq!(status, StatusCode::OK, "{path} takes a good token");
        for (case, token, code) in wrong(kind, &platform) {
            let (status, answer) = platform.post(url, path, &token, &body).await;
            let problem: Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!(problem["code"], code, "{path}, {case}: {problem}");
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}, {case}");
        }
        let bare = platform.http.post(url.join(path).unwrap()).json(&body).send().await.unwrap();
        assert_eq!(bare.status(), StatusCode::UNAUTHORIZED, "{path} without a token");
    }
}

#[tokio::test]
async fn a_dead_attempt_is_audited() {
    let platform = Platform::start().await;
    platform.kill_attempt(66);
    let problem = platform.ask(&platform.flights_token(66), "SELECT 1").await.unwrap_err();
    assert_eq!(problem["code"], "revoked");
    let audited = serde_json::to_value(platform.audited()).unwrap();
    assert_eq!(audited[0]["verdict"], "deny");
    assert_eq!(audited[0]["actor"]["attempt"], "a66");
}

/// Whose account is suspended is told that they may not, and not that something is broken.
#[tokio::test]
async fn a_user_who_may_not_is_told_so() {
    let platform = Platform::start().await;
    let refused = Problem::new(ErrorCode::Forbidden, "your account is suspended");
    *platform.dispatcher.refused.lock().unwrap() = Some(refused);
    let token = tokens::user(&tokens::user_claims());
    let (status, answer) =
        platform.post(&platform.users, "v1/query", &token, &json!({"sql": "SELECT 1"})).await;
    let problem: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");
    assert_eq!(
        (&problem["code"], &problem["detail"]),
        (&json!("forbidden"), &json!("your account is suspended"))
    );
}

/// A listener has its own routes and no others: users can't reach the tasks' route, nor tasks the
/// users'.
#[tokio::test]
async fn each_listener_has_its_own_routes() {
    let platform = Platform::start().await;
    for (kind, path) in ROUTES {
        let (own, other) = match kind {
            Kind::User => (&platform.users, &platform.tasks),
            Kind::Task => (&platform.tasks, &platform.users),
        };
        let (status, _) =
            platform.post(other, path, &good(kind, &platform), &json!({"sql": "SELECT 1"})).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path} on the other listener");
        let get = platform.http.request(Method::GET, own.join(path).unwrap()).send().await.unwrap();
        assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    for path in PUBLIC {
        let answer = platform.http.get(platform.tasks.join(path).unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn bodies_are_parsed_strictly() {
    let platform = Platform::start().await;
    let token = platform.flights_token(1);
    for body in [
        json!({}),
        json!({"sql": 1}),
        json!({"sql": "SELECT 1", "x": 1}),
        json!({"sql": "SELECT 1", "format": "xml"}),
    ] {
        let (status, _) = platform.post(&platform.tasks, "v1/task/query", &token, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }
    let large = json!({"sql": "x".repeat(5 << 20)});
    let (status, _) = platform.post(&platform.tasks, "v1/task/query", &token, &large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}
