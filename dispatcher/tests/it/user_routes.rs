//! The refusal matrix of `/v1`: every route for users, and who is turned away from it. A route that
//! is not in it fails the test.

use chrono::Utc;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use trace_contracts::{ErrorCode, Role, token::CAPABILITY_TYPE};
use trace_dispatcher::http::{Caller, all_routes};

use crate::{
    support::{
        app::{Client, TestApp, code},
        users::Issuer,
    },
    user_deploy::ONE_JOB,
};

/// What another org's admin gets from a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foreign {
    /// What the address names does not exist for them.
    NotFound,
    /// A list without anything of ours.
    Empty,
    /// Nothing of ours is named or answered.
    Own,
}

/// One route: how to call it, and who may not.
struct Case {
    method: Method,
    route: &'static str,
    body: Value,
    denied: &'static [Role],
    foreign: Foreign,
}

fn case(method: Method, route: &'static str, body: Value, denied: &'static [Role], foreign: Foreign) -> Case {
    Case { method, route, body, denied, foreign }
}

const AUDITOR: &[Role] = &[Role::Auditor];
const NO_WRITERS: &[Role] = &[Role::Reader, Role::Auditor];
const NO_OPERATORS: &[Role] = &[Role::Reader, Role::Writer, Role::Auditor];
const NO_ADMINS: &[Role] = &[Role::Reader, Role::Writer, Role::Operator, Role::Auditor];

fn matrix() -> Vec<Case> {
    use Foreign::{Empty, NotFound, Own};
    let none = Value::Null;
    vec![
        case(Method::GET, "/v1/whoami", none.clone(), &[], Own),
        case(Method::HEAD, "/v1/blobs/{sha256}", none.clone(), NO_WRITERS, NotFound),
        case(Method::PUT, "/v1/blobs/{sha256}", json!("blob"), NO_WRITERS, Own),
        case(Method::POST, "/v1/dags", json!({ "yaml": "" }), NO_WRITERS, Own),
        case(Method::GET, "/v1/dags", none.clone(), AUDITOR, Empty),
        case(Method::GET, "/v1/dags/{name}", none.clone(), AUDITOR, NotFound),
        case(Method::POST, "/v1/dags/{name}/runs", json!({}), NO_WRITERS, NotFound),
        case(Method::GET, "/v1/runs", none.clone(), AUDITOR, Empty),
        case(Method::GET, "/v1/runs/{run}", none.clone(), AUDITOR, NotFound),
        case(Method::POST, "/v1/runs/{run}/cancel", json!({}), NO_OPERATORS, NotFound),
        case(Method::GET, "/v1/runs/{run}/tasks", none.clone(), AUDITOR, NotFound),
        case(Method::GET, "/v1/runs/{run}/why", none.clone(), AUDITOR, NotFound),
        case(Method::GET, "/v1/tasks/{task}/why", none.clone(), AUDITOR, NotFound),
        case(Method::GET, "/v1/limits", none.clone(), AUDITOR, Own),
        case(Method::PUT, "/v1/limits", json!({}), NO_ADMINS, Own),
        case(Method::GET, "/v1/tasks/{task}", none.clone(), AUDITOR, NotFound),
        case(Method::POST, "/v1/tasks/{task}/retry", json!({}), NO_OPERATORS, NotFound),
        case(Method::GET, "/v1/tasks/{task}/logs", none.clone(), AUDITOR, NotFound),
        case(Method::GET, "/v1/dead-letters", none.clone(), AUDITOR, Empty),
        case(Method::GET, "/v1/datasets", none.clone(), AUDITOR, Empty),
        case(Method::GET, "/v1/datasets/{name}", none.clone(), AUDITOR, NotFound),
        case(Method::POST, "/v1/datasets/{name}/grants", json!({ "role": "reader" }), NO_ADMINS, NotFound),
        case(Method::GET, "/v1/egress", none.clone(), &[Role::Reader, Role::Writer], Empty),
        case(Method::POST, "/v1/egress", egress_rule("b.example.com:443"), NO_ADMINS, Own),
        case(Method::DELETE, "/v1/egress/{rule}", none.clone(), NO_ADMINS, NotFound),
        case(Method::GET, "/v1/webhooks", none.clone(), &[Role::Reader, Role::Writer], Empty),
        case(
            Method::POST,
            "/v1/webhooks",
            json!({ "name": "b", "url": "https://b.example.com/" }),
            NO_ADMINS,
            Own,
        ),
        case(Method::POST, "/v1/webhooks/{name}/rotate", json!({}), NO_ADMINS, NotFound),
        case(Method::POST, "/v1/webhooks/{name}/enable", json!({}), NO_ADMINS, NotFound),
        case(
            Method::GET,
            "/v1/webhooks/{name}/deliveries",
            none.clone(),
            &[Role::Reader, Role::Writer],
            NotFound,
        ),
        case(Method::POST, "/v1/webhooks/{name}/redrive", json!({}), NO_ADMINS, NotFound),
        case(Method::DELETE, "/v1/webhooks/{name}", none.clone(), NO_ADMINS, NotFound),
        case(Method::GET, "/v1/audit", none.clone(), &[Role::Reader, Role::Writer, Role::Operator], Own),
        case(Method::GET, "/v1/keys", none.clone(), NO_ADMINS, Own),
        case(Method::POST, "/v1/keys/rotate", json!({ "reason": "x" }), NO_ADMINS, Own),
        case(Method::GET, "/v1/keys/{kid}/touched", none.clone(), NO_ADMINS, Own),
        case(Method::POST, "/v1/keys/{kid}/revoke", json!({ "reason": "x" }), NO_ADMINS, Own),
        case(Method::POST, "/v1/workers/{name}/revoke", json!({ "reason": "x" }), NO_ADMINS, Own),
        case(Method::GET, "/v1/users", none, &[Role::Reader, Role::Writer, Role::Operator], Own),
        case(Method::POST, "/v1/users/{user}/suspend", json!({ "reason": "x" }), NO_ADMINS, NotFound),
        case(Method::POST, "/v1/users/{user}/restore", json!({ "reason": "x" }), NO_ADMINS, NotFound),
    ]
}

fn egress_rule(to: &str) -> Value {
    json!({ "effect": "allow", "to": to })
}

/// Something of `main` for every address.
struct Things {
    run: String,
    task: String,
    sha256: String,
    kid: String,
    user: String,
    rule: String,
}

impl Things {
    async fn of(test: &TestApp) -> Self {
        let writer = test.user(Role::Writer);
        let sha256 = writer.upload(b"\"blob\"").await.sha256.to_string();
        writer.deploy(ONE_JOB).await;
        let run = writer.trigger("d").await.run.to_string();
        let task = test.claim().await[0].launch.task.to_string();
        let keys: Value = test.user(Role::Admin).get("/v1/keys").await;
        let kid = keys[0]["kid"].as_str().expect("a key signs").to_owned();
        // Nobody's whom the matrix calls by: they would be suspended in the middle of it.
        let other: Value = test.named("other", "main", Role::Reader).get("/v1/whoami").await;
        let user = other["user"].as_str().expect("a user").to_owned();
        let set = test.user(Role::Admin).post("/v1/egress", &egress_rule("a.example.com:443")).await;
        let set: Value = set.json().await.expect("a rule is set");
        let rule = set["rule"]["rule"].as_str().expect("a rule").to_owned();
        let hook = json!({ "name": "ops", "url": "https://hooks.example.com/" });
        let added = test.user(Role::Admin).post("/v1/webhooks", &hook).await;
        assert_eq!(added.status(), StatusCode::CREATED);
        Self { run, task, sha256, kid, user, rule }
    }

    fn address(&self, route: &str) -> String {
        let name = match route {
            route if route.starts_with("/v1/datasets") => "out",
            route if route.starts_with("/v1/webhooks") => "ops",
            // A name of nobody: the worker is needed by the rest.
            route if route.starts_with("/v1/workers") => "nobody",
            _ => "d",
        };
        route
            .replace("{name}", name)
            .replace("{run}", &self.run)
            .replace("{task}", &self.task)
            .replace("{sha256}", &self.sha256)
            .replace("{kid}", &self.kid)
            .replace("{user}", &self.user)
            .replace("{rule}", &self.rule)
    }
}

async fn call(client: &Client, case: &Case, address: &str) -> reqwest::Response {
    let request = client.request(case.method.clone(), address);
    let request = if case.body.is_null() { request } else { request.json(&case.body) };
    request.send().await.expect("the dispatcher answers")
}

/// The answer to a `HEAD` has no body, so that its status has to do.
async fn is(response: reqwest::Response, method: &Method, expected: ErrorCode) -> bool {
    if method == Method::HEAD {
        return response.status().as_u16() == expected.status();
    }
    code(response).await == expected
}

/// Tokens that open nothing, and what is said to them.
fn bad_tokens(test: &TestApp) -> Vec<(&'static str, Option<String>, ErrorCode)> {
    let claims = Issuer::claims("admin", "main", Role::Admin);
    let with = |field: &str, value: Value| {
        let mut claims = claims.clone();
        claims[field] = value;
        Some(test.issuer.sign("JWT", &claims))
    };
    let past = Utc::now().timestamp() - 60;
    let stranger = Issuer::new(&tempfile::tempdir().expect("a folder is made").path().join("key"));
    vec![
        ("none", None, ErrorCode::Unauthenticated),
        ("garbage", Some("garbage".to_owned()), ErrorCode::Unauthenticated),
        ("expired", with("exp", json!(past)), ErrorCode::TokenExpired),
        ("another audience", with("aud", json!("trace:dispatcher")), ErrorCode::WrongAudience),
        ("another issuer", with("iss", json!("https://evil.example")), ErrorCode::Unauthenticated),
        ("an unknown role", with("custom:role", json!("root")), ErrorCode::Unauthenticated),
        ("a capability", Some(test.issuer.sign(CAPABILITY_TYPE, &claims)), ErrorCode::Unauthenticated),
        ("another key", Some(stranger.token("admin", "main", Role::Admin)), ErrorCode::Unauthenticated),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_for_users_refuses_who_may_not() {
    let test = TestApp::start().await;
    let things = Things::of(&test).await;
    let matrix = matrix();
    for route in all_routes().into_iter().filter(|route| route.caller == Caller::User) {
        let method = &route.method;
        let cases: Vec<&Case> =
            matrix.iter().filter(|case| case.method == *method && case.route == route.path).collect();
        assert_eq!(cases.len(), 1, "{method} {} must be in the matrix once", route.path);
        let (case, address) = (cases[0], things.address(route.path));
        for (what, token, expected) in bad_tokens(&test) {
            let response = call(&test.with_token(token), case, &address).await;
            assert!(is(response, &case.method, expected).await, "{method} {address} with token: {what}");
        }
        for role in Role::ALL {
            let response = call(&test.user(role), case, &address).await;
            let denied = response.status() == StatusCode::FORBIDDEN;
            assert_eq!(denied, case.denied.contains(&role), "{method} {address} as {role}");
        }
        let rival = test.named("rival_admin", "rival", Role::Admin);
        let response = call(&rival, case, &address).await;
        match case.foreign {
            Foreign::NotFound => {
                assert!(
                    is(response, &case.method, ErrorCode::NotFound).await,
                    "{method} {address} as a rival"
                );
            }
            Foreign::Empty => {
                let list: Vec<Value> = response.json().await.expect("a list");
                assert!(list.is_empty(), "{method} {address} shows a rival {list:?}");
            }
            Foreign::Own => assert_ne!(response.status(), StatusCode::NOT_FOUND, "{method} {address}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_public_needs_no_token_and_nothing_else_is() {
    let test = TestApp::start().await;
    let public: Vec<_> = all_routes().into_iter().filter(|route| route.caller == Caller::Public).collect();
    let paths: Vec<&str> = public.iter().map(|route| route.path).collect();
    for path in ["/v1/schema/dag.json", "/.well-known/jwks.json", "/healthz", "/readyz"] {
        assert!(paths.contains(&path), "{path} is public");
        assert!(test.with_token(None).send(Method::GET, path).await.status().is_success());
    }
    assert_eq!(paths.len(), 4, "{paths:?}");
    let schema: Value = test.with_token(None).get("/v1/schema/dag.json").await;
    assert_eq!(schema, trace_dispatcher::dag::schema::schema());
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_nothing_and_wrong_parameters_are_refused() {
    let test = TestApp::start().await;
    let reader = test.user(Role::Reader);
    for path in
        ["/v1/runs/r999", "/v1/runs/999", "/v1/runs/t1", "/v1/tasks/t999.0/logs", "/v1/dags/No", "/v1/dags/x"]
    {
        assert_eq!(code(reader.send(Method::GET, path).await).await, ErrorCode::NotFound, "{path}");
    }
    for path in
        ["/v1/runs?limit=0", "/v1/runs?limit=1001", "/v1/runs?after=x", "/v1/dags?befor=x", "/v1/runs?dag=A"]
    {
        assert_eq!(code(reader.send(Method::GET, path).await).await, ErrorCode::BadRequest, "{path}");
    }
    // Identity comes from the token alone.
    let forwarded = reader.request(Method::GET, "/v1/whoami").header("x-forwarded-user", "admin");
    let who: Value = forwarded.header("x-trace-role", "admin").send().await.unwrap().json().await.unwrap();
    assert_eq!(who["role"], "reader");
    let none = test.with_token(None).request(Method::GET, "/v1/whoami").header("x-trace-user", "u1");
    assert_eq!(code(none.send().await.unwrap()).await, ErrorCode::Unauthenticated);
}

/// `docs/openapi.json` is kept by hand; this keeps it complete.
#[test]
fn the_api_description_names_every_route() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let described: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut described: Vec<String> = described["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let mut served: Vec<String> = all_routes()
        .into_iter()
        .filter(|route| matches!(route.caller, Caller::User | Caller::Public))
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    described.sort();
    served.sort();
    assert_eq!(described, served);
}
