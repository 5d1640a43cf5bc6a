//! Who may call what. Every route of the crate is walked; one that this file does not know fails it.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;
use trace_contracts::{
    Audience, ErrorCode, Secret,
    token::{CAPABILITY_TYPE, CapabilityClaims, USER_TYPES},
    wire::{task::TokenReply, worker::Lease},
};
use trace_dispatcher::http::{Caller, all_routes};

use crate::support::{
    Platform,
    dags::{job, partitioned, spec},
    platform::{CAPABILITY_ISSUER, USER_ISSUER},
    wire::{ok, problem, succeeded},
};

/// The routes for tasks, workers and planes, and everybody's. Routes for users are in the matrix of
/// the user API as well, which knows their roles.
const KNOWN: &[(&str, &str)] = &[
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/v1/schema/dag.json"),
    ("POST", "/v1/task/token"),
    ("POST", "/v1/task/credentials"),
    ("POST", "/v1/task/objects"),
    ("GET", "/v1/task/context"),
    ("GET", "/v1/task/checkpoint"),
    ("PUT", "/v1/task/checkpoint"),
    ("POST", "/v1/task/deliveries"),
    ("POST", "/v1/task/launch"),
    ("POST", "/v1/task/launch/report"),
    ("POST", "/internal/claim"),
    ("POST", "/internal/heartbeat"),
    ("POST", "/internal/complete"),
    ("POST", "/internal/logs"),
    ("GET", "/internal/blobs/{sha256}"),
    ("POST", "/internal/launch/ticket"),
    ("POST", "/internal/launch/watch"),
    ("POST", "/internal/launch/over"),
    ("POST", "/internal/liveness"),
    ("POST", "/internal/users/resolve"),
    ("POST", "/internal/deliveries/claim"),
    ("POST", "/internal/deliveries/report"),
    ("POST", "/internal/identities/resolve"),
    ("POST", "/internal/audit"),
    ("GET", "/internal/manifests/{version}/{sha256}"),
];

#[test]
fn every_route_is_known_here() {
    let listed: BTreeSet<(String, &str)> = all_routes()
        .iter()
        .filter(|route| route.caller != Caller::User)
        .map(|route| (route.method.to_string(), route.path))
        .collect();
    let known: BTreeSet<(String, &str)> =
        KNOWN.iter().map(|(method, path)| ((*method).to_owned(), *path)).collect();
    assert_eq!(listed, known, "a route was added or removed: say here who may call it");
}

/// Somebody who calls, and the credentials that they show.
struct Strangers {
    user: Secret<String>,
    query: Secret<String>,
    expired: Secret<String>,
    forged: Secret<String>,
    ended: Secret<String>,
    revoked: Secret<String>,
    capability: Secret<String>,
    unredeemed: Secret<String>,
    over: Secret<String>,
}

async fn strangers(platform: &Platform) -> Strangers {
    platform.run(spec("d", vec![partitioned(job("a"), 2)])).await;
    let leases = platform.claim(2).await;
    let exchange = platform.task(Method::POST, "/v1/task/token", &leases[0].capability_token);
    let query: TokenReply =
        ok(exchange.json(&json!({"audience": "trace:query"})).send().await.unwrap()).await;
    let unredeemed = ticket(platform, &leases[0]).await;
    sqlx::query("update launches set expires_at = now()").execute(&platform.db).await.unwrap();
    let over = ticket(platform, &leases[1]).await;
    platform.complete_one(succeeded(&leases[1])).await;
    let other_key = trace_dispatcher::keys::SigningKey::open(&platform.dir.path().join("other")).unwrap();
    let now = chrono::Utc::now().timestamp();
    let revoked = trace_dispatcher::bootstrap::issue_identity(
        &platform.db,
        "revoked",
        trace_dispatcher::identity::Kind::Worker,
    )
    .await
    .unwrap();
    sqlx::query("update workers set revoked_at = now() where name = 'revoked'")
        .execute(&platform.db)
        .await
        .unwrap();
    let signing = platform.app.keys.signing(&mut platform.db.acquire().await.unwrap()).await.unwrap();
    Strangers {
        user: user_token(platform),
        query: query.token,
        expired: sign(&signing, claims(platform, &leases[0], now - 60)),
        forged: sign(&other_key, claims(platform, &leases[0], now + 600)),
        ended: leases[1].capability_token.clone(),
        revoked,
        capability: leases[0].capability_token.clone(),
        unredeemed,
        over,
    }
}

/// A launch ticket, as a bearer token.
async fn ticket(platform: &Platform, lease: &Lease) -> Secret<String> {
    Secret::new(platform.ticket(lease).await.ticket.expose().to_owned())
}

fn claims(platform: &Platform, lease: &Lease, exp: i64) -> CapabilityClaims {
    let capability = platform.verify(lease.capability_token.expose(), Audience::Dispatcher);
    CapabilityClaims {
        iss: CAPABILITY_ISSUER.to_owned(),
        aud: Audience::Dispatcher,
        sub: capability.task(),
        attempt: capability.attempt(),
        org: capability.org(),
        jti: uuid::Uuid::new_v4(),
        iat: exp - 600,
        nbf: exp - 600,
        exp,
        grants: capability.grants().clone(),
    }
}

fn sign(key: &trace_dispatcher::keys::SigningKey, claims: CapabilityClaims) -> Secret<String> {
    Secret::new(key.token(CAPABILITY_TYPE, &claims).unwrap())
}

pub fn user_token(platform: &Platform) -> Secret<String> {
    let now = chrono::Utc::now().timestamp();
    let claims = json!({
        "iss": USER_ISSUER, "aud": "trace", "sub": "alice", "custom:org_id": "main", "custom:role": "admin",
        "iat": now, "exp": now + 600,
    });
    Secret::new(platform.user_key.token(USER_TYPES[0], &claims).unwrap())
}

/// What a caller gets who shows this to a route that takes `caller`.
fn expected(
    caller: Caller,
    platform: &Platform,
    who: &Strangers,
) -> Vec<(&'static str, Option<Secret<String>>, ErrorCode)> {
    let garbage = Secret::new("garbage".to_owned());
    let show = |secret: &Secret<String>| Some(secret.clone());
    match caller {
        Caller::Public => Vec::new(),
        Caller::User => vec![
            ("nothing", None, ErrorCode::Unauthenticated),
            ("garbage", Some(garbage), ErrorCode::Unauthenticated),
            ("a capability", show(&who.capability), ErrorCode::Unauthenticated),
            ("a worker's token", show(&platform.worker), ErrorCode::Unauthenticated),
            ("a plane's token", show(&platform.plane), ErrorCode::Unauthenticated),
        ],
        Caller::Task => vec![
            ("nothing", None, ErrorCode::Unauthenticated),
            ("garbage", Some(garbage), ErrorCode::Unauthenticated),
            ("a user's token", show(&who.user), ErrorCode::Unauthenticated),
            ("a worker's token", show(&platform.worker), ErrorCode::Unauthenticated),
            ("a plane's token", show(&platform.plane), ErrorCode::Unauthenticated),
            ("a token for the query service", show(&who.query), ErrorCode::WrongAudience),
            ("an expired token", show(&who.expired), ErrorCode::TokenExpired),
            ("a token of another key", show(&who.forged), ErrorCode::Unauthenticated),
            ("an ended attempt's token", show(&who.ended), ErrorCode::Revoked),
        ],
        Caller::Runner => vec![
            ("nothing", None, ErrorCode::Unauthenticated),
            ("garbage", Some(garbage), ErrorCode::Unauthenticated),
            ("a user's token", show(&who.user), ErrorCode::Unauthenticated),
            ("a worker's token", show(&platform.worker), ErrorCode::Unauthenticated),
            ("a plane's token", show(&platform.plane), ErrorCode::Unauthenticated),
            ("a capability", show(&who.capability), ErrorCode::Unauthenticated),
            ("a ticket whose time is up", show(&who.unredeemed), ErrorCode::Unauthenticated),
            ("an ended attempt's ticket", show(&who.over), ErrorCode::Unauthenticated),
        ],
        Caller::Worker | Caller::Plane => vec![
            ("nothing", None, ErrorCode::Unauthenticated),
            ("garbage", Some(garbage), ErrorCode::Forbidden),
            ("a user's token", show(&who.user), ErrorCode::Forbidden),
            ("a capability", show(&who.capability), ErrorCode::Forbidden),
            ("a revoked identity", show(&who.revoked), ErrorCode::Forbidden),
            (
                "the other kind's token",
                show(if caller == Caller::Worker { &platform.plane } else { &platform.worker }),
                ErrorCode::Forbidden,
            ),
        ],
    }
}

#[tokio::test]
async fn every_route_refuses_everybody_else() {
    let platform = Platform::start().await;
    let who = strangers(&platform).await;
    for route in all_routes() {
        let address = match route.caller {
            Caller::Public | Caller::User => platform.addresses.users,
            Caller::Task | Caller::Runner => platform.addresses.tasks,
            Caller::Worker | Caller::Plane => platform.addresses.workers,
        };
        let path = route
            .path
            .replace("{sha256}", &"0".repeat(64))
            .replace("{run}", "r1")
            .replace("{version}", "dv1.0");
        let path = path.replace("{task}", "t1.0").replace("{name}", "n").replace("{user}", "u1");
        let path = path.replace("{kid}", "k1").replace("{rule}", "e1");
        for (what, token, code) in expected(route.caller, &platform, &who) {
            let mut request = platform.http.request(route.method.clone(), format!("http://{address}{path}"));
            if let Some(token) = token {
                request = request.bearer_auth(token.expose());
            }
            let response = request.send().await.unwrap();
            if route.method == Method::HEAD {
                assert_eq!(response.status().as_u16(), code.status(), "HEAD {path} with {what}");
                continue;
            }
            let refused = problem(response).await;
            assert_eq!(refused.code, code, "{} {path} with {what}: {}", route.method, refused.detail);
        }
    }
    platform.assert_consistent().await;
}

#[tokio::test]
async fn listeners_serve_their_own_routes_alone() {
    let platform = Platform::start().await;
    let addresses = platform.addresses;
    for route in all_routes() {
        let own = match route.caller {
            Caller::Public | Caller::User => addresses.users,
            Caller::Task | Caller::Runner => addresses.tasks,
            Caller::Worker | Caller::Plane => addresses.workers,
        };
        for other in [addresses.users, addresses.tasks, addresses.workers] {
            if other != own {
                let url = format!("http://{other}{}", route.path.replace(['{', '}'], ""));
                let status = platform.http.request(route.method.clone(), url).send().await.unwrap().status();
                assert_eq!(status, 404, "{} on another listener", route.path);
            }
        }
    }
}

#[tokio::test]
async fn identities_in_forwarded_headers_are_ignored() {
    let platform = Platform::start().await;
    let url = format!("http://{}/internal/claim", platform.addresses.workers);
    let request = platform.http.post(url).header("x-forwarded-user", "w1").header("x-worker-id", "w1");
    assert_eq!(problem(request.send().await.unwrap()).await.code, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn oversized_and_unknown_bodies_are_refused() {
    let platform = Platform::start().await;
    let fences: Vec<_> = (0..501)
        .map(|_| json!({"task": "t1.0", "attempt": "a1", "lease_token": uuid::Uuid::new_v4()}))
        .collect();
    let too_many = platform.post("/internal/heartbeat", &json!({ "leases": fences })).await;
    assert_eq!(problem(too_many).await.code, ErrorCode::BadRequest);
    let unknown = platform.post("/internal/heartbeat", &json!({ "leases": [], "extra": 1 })).await;
    assert_eq!(problem(unknown).await.code, ErrorCode::BadRequest);
    let huge = "x".repeat(5 * 1024 * 1024);
    let large = platform.post("/internal/heartbeat", &json!({ "leases": huge })).await;
    assert_eq!(problem(large).await.code, ErrorCode::PayloadTooLarge);
}
