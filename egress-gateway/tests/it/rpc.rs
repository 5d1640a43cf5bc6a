//! `POST /rpc/NAME`, with real HTTPS providers on loopback.

use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use trace_contracts::wire::plane::AuditVerdict;

use crate::{
    dns::{Dns, addresses},
    platform::{Identity, Platform, limits, loopback},
    provider::{Answering, Authority, Heard, Provider, echoing, failing},
};

/// What providers are shown, and nobody else.
const KEY: &str = "provider-key-0123456789";

/// A gateway with one pool, `eth`, of these providers, and who may call it.
struct Stand {
    platform: Platform,
    _dns: Dns,
    providers: Vec<Provider>,
    _authority: Authority,
}

impl Stand {
    async fn with(providers: Vec<Provider>, authority: Authority, more: Value) -> Self {
        let file = authority.secret("key", KEY);
        let upstreams: Vec<Value> = providers
            .iter()
            .map(|provider| {
                json!({ "url": format!("https://provider.test:{}/v1", provider.port),
                        "credential": { "file": file, "in": "bearer" } })
            })
            .collect();
        let mut pool = json!({
            "upstreams": upstreams,
            "methods": ["eth_call", "eth_blockNumber", "eth_sendRawTransaction"],
            "repeatable": ["eth_call", "eth_blockNumber"],
        });
        for (name, value) in more.as_object().unwrap() {
            pool[name] = value.clone();
        }
        Self::of_pool(providers, authority, pool).await
    }

    async fn of_pool(providers: Vec<Provider>, authority: Authority, pool: Value) -> Self {
        let dns = Dns::start(vec![("provider.test", addresses(&["127.0.0.1"]))]).await;
        let rpc = json!({ "pools": { "eth": pool, "btc": pool }, "ca_file": authority.file() });
        let services = json!({ "indexer": { "rpc": ["eth"] }, "idle": {} });
        let platform = Platform::with_rpc(limits(), loopback(), vec![dns.address], rpc, services).await;
        Self { platform, _dns: dns, providers, _authority: authority }
    }

    async fn of(behaviours: Vec<Answering>, more: Value) -> Self {
        let authority = Authority::new();
        let mut providers = Vec::new();
        for behaviour in behaviours {
            providers.push(authority.provider("provider.test", behaviour).await);
        }
        Self::with(providers, authority, more).await
    }

    /// Asks as the service that may.
    async fn ask(&self, body: &str) -> (u16, String) {
        let answer = self.platform.post_rpc("/rpc/eth", Some(Identity::INDEXER), body).await;
        // Shown where a test fails: the caller is not told why.
        let tried = self.platform.audited().into_iter().map(|entry| entry.detail["tried"].clone());
        println!("{} after {:?}", answer.0, tried.collect::<Vec<_>>());
        answer
    }

    fn asked(&self) -> Vec<usize> {
        self.providers.iter().map(|provider| provider.heard().len()).collect()
    }
}

fn call(method: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": "mine", "method": method, "params": [{ "to": "0x1" }] }).to_string()
}

#[tokio::test]
async fn a_call_goes_to_a_provider_with_its_key_and_comes_back_with_its_own_id() {
    let stand = Stand::of(vec![echoing], json!({})).await;
    let (status, body) = stand.ask(&call("eth_call")).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body, r#"{"jsonrpc":"2.0","id":"mine","result":"eth_call"}"#);
    let heard = stand.providers[0].heard();
    assert_eq!(heard[0].target, "/v1");
    assert_eq!(heard[0].headers["authorization"], format!("Bearer {KEY}").as_str());
    assert_eq!(heard[0].headers["host"], format!("provider.test:{}", stand.providers[0].port).as_str());
    assert!(!format!("{:?}", heard[0]).contains(Identity::INDEXER), "nothing of the caller goes on");
    assert_eq!(heard[0].body["params"], json!([{ "to": "0x1" }]));

    let row = stand.platform.audit_of(|entry| entry.action == "egress.rpc").await;
    assert_eq!((row.object.as_str(), row.verdict), ("eth", AuditVerdict::Allow));
    assert_eq!(row.detail["service"], "indexer");
    assert_eq!(row.detail["methods"], json!(["eth_call"]));
    let row = stand.platform.audit_of(|entry| entry.action == "egress.rpc_answer").await;
    assert_eq!(row.detail["tried"][0]["address"], "127.0.0.1");
    assert_eq!(row.detail["outcome"], "answered");
    assert!(row.detail["bytes_up"].as_u64() > Some(10) && row.detail["bytes_down"].as_u64() > Some(10));
    assert!(!format!("{:?}", stand.platform.audited()).contains(KEY));
}

#[tokio::test]
async fn a_batch_is_answered_in_its_own_order_and_notifications_are_not() {
    let stand = Stand::of(vec![echoing], json!({})).await;
    let body = r#"[{"jsonrpc":"2.0","id":1,"method":"eth_call"},{"jsonrpc":"2.0","method":"eth_blockNumber"},
                   {"jsonrpc":"2.0","id":"1","method":"eth_blockNumber"}]"#;
    let (status, answer) = stand.ask(body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer,
        r#"[{"jsonrpc":"2.0","id":1,"result":"eth_call"},{"jsonrpc":"2.0","id":"1","result":"eth_blockNumber"}]"#
    );
    let (status, answer) = stand.ask(r#"{"jsonrpc":"2.0","method":"eth_blockNumber"}"#).await;
    assert_eq!((status, answer.as_str()), (204, ""));
}

#[tokio::test]
async fn one_call_that_is_not_listed_keeps_its_whole_batch_here() {
    let stand = Stand::of(vec![echoing], json!({ "limits": { "batch": 3 } })).await;
    let good = call("eth_call");
    for (status, body, word) in [
        (403, call("eth_accounts"), "eth_accounts"),
        (403, call("ETH_CALL"), "ETH_CALL"),
        (403, format!("[{good},{}]", call("admin_peers")), "admin_peers"),
        (400, r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","method":"admin_peers"}"#.to_owned(), "twice"),
        (400, r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":{"a":1,"a":2}}"#.to_owned(), "twice"),
        (400, "[]".to_owned(), "one call at least"),
        (400, format!("[{good},{good},{good},{good}]"), "at most 3"),
        (400, "{".to_owned(), "body"),
        (413, " ".repeat(300 * 1024), "bytes"),
    ] {
        let (answered, answer) = stand.ask(&body).await;
        assert_eq!(answered, status, "{answer}");
        assert!(answer.contains(word), "{answer}");
    }
    assert_eq!(stand.asked(), [0]);
    let row = stand.platform.denied_by("method_not_listed").await;
    assert_eq!(row.verdict, AuditVerdict::Deny);
    stand.platform.denied_by("malformed").await;
}

/// Whatever a provider says of its key, in whatever way, the caller and the audit log do not have it. That it
/// was shown is checked first: a search for what was never there would find nothing either.
#[tokio::test]
async fn a_providers_key_is_never_told() {
    fn telling(heard: &Heard) -> (StatusCode, String) {
        let key = heard.headers["authorization"].to_str().unwrap().to_owned();
        let escaped: String = key.chars().map(|one| format!("\\u{:04x}", u32::from(one))).collect();
        let said = if heard.body["method"] == "eth_call" { key } else { escaped };
        let status = if heard.body["method"] == "eth_sendRawTransaction" {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::OK
        };
        (
            status,
            format!(r#"{{"jsonrpc":"2.0","id":0,"error":{{"code":-32000,"message":"bad key {said}"}}}}"#),
        )
    }
    let stand = Stand::of(vec![telling], json!({})).await;
    for method in ["eth_call", "eth_blockNumber", "eth_sendRawTransaction"] {
        let (status, answer) = stand.ask(&call(method)).await;
        assert_eq!(status, 503, "{answer}");
        assert!(!answer.contains(KEY) && !answer.contains("\\u"), "{answer}");
    }
    let heard = stand.providers[0].heard();
    assert_eq!(heard.len(), 3);
    assert!(
        heard.iter().all(|one| one.headers["authorization"].to_str().unwrap().contains(KEY)),
        "it was shown"
    );
    stand.platform.audit_of(|entry| entry.detail["tried"][0]["ended"] == "key_in_answer").await;
    stand.platform.audit_of(|entry| entry.detail["tried"][0]["ended"] == "status").await;
    assert!(!format!("{:?}", stand.platform.audited()).contains(KEY));
}

#[tokio::test]
async fn what_may_be_repeated_goes_to_another_provider_and_what_may_not_does_not() {
    let stand = Stand::of(vec![failing, failing, echoing], json!({})).await;
    let (status, answer) = stand.ask(&call("eth_call")).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(stand.asked(), [1, 1, 1]);
    let row = stand.platform.audit_of(|entry| entry.action == "egress.rpc_answer").await;
    let ended: Vec<_> =
        row.detail["tried"].as_array().unwrap().iter().map(|one| one["ended"].clone()).collect();
    assert_eq!(ended, ["status", "status", "ok"]);

    let stand = Stand::of(vec![failing, failing], json!({})).await;
    let mixed = format!("[{},{}]", call("eth_call"), call("eth_sendRawTransaction"));
    for (place, body) in [call("eth_sendRawTransaction"), mixed].into_iter().enumerate() {
        assert_eq!(stand.ask(&body).await.0, 503);
        assert_eq!(stand.asked().iter().sum::<usize>(), place + 1, "it went to one provider: {body}");
    }
}

#[tokio::test]
async fn what_was_not_sent_goes_to_another_provider_whatever_it_is() {
    let authority = Authority::new();
    // One has another name than its certificate says, so that nothing is ever sent to it.
    let impostor = authority.provider("other.test", echoing).await;
    let good = authority.provider("provider.test", echoing).await;
    let stand = Stand::with(vec![impostor, good], authority, json!({})).await;
    let (status, answer) = stand.ask(&call("eth_sendRawTransaction")).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(stand.asked(), [0, 1], "and nothing was sent to who did not prove who it is");
    let row = stand.platform.audit_of(|entry| entry.action == "egress.rpc_answer").await;
    assert_eq!(row.detail["tried"][0]["ended"], "tls");
}

/// It takes its part of the time and no more.
#[tokio::test]
async fn a_silent_provider_leaves_time_for_another() {
    let authority = Authority::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = authority.provider("provider.test", echoing).await;
    let address = |port: u16| json!({ "url": format!("https://provider.test:{port}/") });
    let pool = json!({
        "upstreams": [address(silent.local_addr().unwrap().port()), address(good.port)],
        "methods": ["eth_call"], "repeatable": ["eth_call"], "limits": { "timeout_ms": 4_000 },
    });
    let stand = Stand::of_pool(vec![good], authority, pool).await;
    let (status, answer) = stand.ask(&call("eth_call")).await;
    assert_eq!(status, 200, "{answer}");
    let row = stand.platform.audit_of(|entry| entry.action == "egress.rpc_answer").await;
    assert_eq!(row.detail["tried"][0]["ended"], "time_up");
}

/// Whoever does not wait for the answer is in the log all the same.
#[tokio::test]
async fn a_caller_that_leaves_is_written_down() {
    let authority = Authority::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://provider.test:{}/", silent.local_addr().unwrap().port());
    let pool = json!({ "upstreams": [{ "url": url }], "methods": ["eth_call"] });
    let stand = Stand::of_pool(Vec::new(), authority, pool).await;
    let body = call("eth_call");
    let asking = stand.ask(&body);
    tokio::select! {
        _ = asking => panic!("nobody answers"),
        // It has been decided on, and connected to: the caller goes.
        _ = silent.accept() => {}
    }
    stand.platform.audit_of(|entry| entry.detail["outcome"] == "abandoned").await;
}

#[tokio::test]
async fn a_provider_that_fails_is_left_alone() {
    let stand = Stand::of(vec![failing, echoing], json!({})).await;
    for _ in 0..20 {
        assert_eq!(stand.ask(&call("eth_call")).await.0, 200);
    }
    let asked = stand.asked();
    assert_eq!(asked[1], 20);
    assert!((1..20).contains(&asked[0]), "{asked:?}");
}

#[tokio::test]
async fn calls_are_counted_for_each_caller_and_for_all() {
    let rate = json!({ "per_second": 0, "burst": 50 });
    let stand = Stand::of(vec![echoing], json!({ "caller_rate": rate })).await;
    let batch = |calls: usize| format!("[{}]", vec![call("eth_call"); calls].join(","));
    assert_eq!(stand.ask(&batch(49)).await.0, 200);
    assert_eq!(stand.ask(&batch(2)).await.0, 429, "it is calls that count");
    assert_eq!(stand.ask(&call("eth_call")).await.0, 200, "what was refused is not counted");
    assert_eq!(stand.ask(&call("eth_call")).await.0, 429);
    stand.platform.denied_by("rate").await;
    let all = Stand::of(vec![echoing], json!({ "rate": rate })).await;
    assert_eq!(all.ask(&batch(50)).await.0, 200);
    assert_eq!(all.ask(&call("eth_call")).await.0, 429);
}

#[tokio::test]
async fn answers_are_bounded_and_redirects_are_not_followed() {
    fn long(_: &Heard) -> (StatusCode, String) {
        (StatusCode::OK, format!(r#"{{"id":0,"result":"{}"}}"#, "x".repeat(5_000)))
    }
    fn moved(_: &Heard) -> (StatusCode, String) {
        (StatusCode::TEMPORARY_REDIRECT, r#"{"id":0,"result":1}"#.to_owned())
    }
    let bounds = json!({ "limits": { "answer_bytes": 4_000 } });
    for (behaviour, ended) in [(long as Answering, "unusable"), (moved, "status")] {
        let stand = Stand::of(vec![behaviour], bounds.clone()).await;
        assert_eq!(stand.ask(&call("eth_call")).await.0, 503);
        stand.platform.audit_of(|entry| entry.detail["tried"][0]["ended"] == ended).await;
    }
}

#[tokio::test]
async fn a_provider_at_a_private_address_is_not_dialled_unless_the_operator_says_so() {
    let authority = Authority::new();
    let provider = authority.provider("provider.test", echoing).await;
    let dns = Dns::start(vec![("provider.test", addresses(&["127.0.0.13"]))]).await;
    let pool = json!({
        "upstreams": [{ "url": format!("https://provider.test:{}/", provider.port) }], "methods": ["eth_call"],
    });
    let rpc = json!({ "pools": { "eth": pool }, "ca_file": authority.file() });
    let services = json!({ "indexer": { "rpc": ["eth"] } });
    let platform = Platform::with_rpc(limits(), loopback(), vec![dns.address], rpc, services).await;
    let (status, _) = platform.post_rpc("/rpc/eth", Some(Identity::INDEXER), &call("eth_call")).await;
    assert_eq!(status, 503);
    let row = platform.audit_of(|entry| entry.action == "egress.rpc_answer").await;
    assert_eq!(row.detail["tried"][0]["ended"], "denied_network");
}

/// The refusal matrix of this listener: its one route, against every wrong caller.
#[tokio::test]
async fn the_route_refuses_every_wrong_caller() {
    let stand = Stand::of(vec![echoing], json!({})).await;
    let capability = stand.platform.token(1, &[]);
    for (who, shown, status, code) in [
        ("nobody", None, 401, "unauthenticated"),
        ("a task", Some(capability.as_str()), 401, "unauthenticated"),
        ("a short capability", Some("eyJhbGciOiJFUzI1NiJ9.e30.c2ln"), 401, "unauthenticated"),
        ("an empty identity", Some(""), 401, "unauthenticated"),
        ("somebody unknown", Some("plane_nobody"), 403, "forbidden"),
        ("somebody revoked", Some(Identity::REVOKED), 403, "forbidden"),
        ("a service that is not named", Some(Identity::UNNAMED), 403, "forbidden"),
        ("a service without a pool", Some(Identity::IDLE), 403, "forbidden"),
    ] {
        let (answered, answer) = stand.platform.post_rpc("/rpc/eth", shown, &call("eth_call")).await;
        assert_eq!(answered, status, "{who}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["code"], code, "{who}");
    }
    // A pool that it may not use and one that is not there look the same.
    let other = stand.platform.post_rpc("/rpc/btc", Some(Identity::INDEXER), &call("eth_call")).await;
    let none = stand.platform.post_rpc("/rpc/none", Some(Identity::INDEXER), &call("eth_call")).await;
    assert_eq!(other.0, 403);
    assert_eq!(other, none);
    for path in ["/", "/rpc", "/rpc/", "/rpc/eth/x", "/internal/audit"] {
        let (status, _) = stand.platform.post_rpc(path, Some(Identity::INDEXER), &call("eth_call")).await;
        assert_eq!(status, 404, "{path}");
    }
    assert_eq!(stand.asked(), [0]);
    assert_eq!(stand.ask(&call("eth_call")).await.0, 200, "and the right one is let in");
}

#[tokio::test]
async fn what_can_not_be_audited_is_not_asked() {
    let stand = Stand::of(vec![echoing], json!({})).await;
    *stand.platform.dispatcher.audit_is_away.lock().unwrap() = true;
    assert_eq!(stand.ask(&call("eth_call")).await.0, 503);
    assert_eq!(stand.asked(), [0]);
}

#[tokio::test]
async fn a_dispatcher_that_can_not_be_asked_lets_nobody_in() {
    let stand = Stand::of(vec![echoing], json!({})).await;
    *stand.platform.dispatcher.identities_are_away.lock().unwrap() = true;
    let (status, answer) = stand.ask(&call("eth_call")).await;
    assert_eq!(status, 503, "{answer}");
    assert_eq!(stand.asked(), [0]);
}

/// Each says what is wrong and where, and none says a key.
#[tokio::test]
async fn mistakes_in_pools_stop_the_start_and_are_named() {
    let authority = Authority::new();
    let key = authority.secret("good", KEY);
    let (open, short) = (authority.secret("open", KEY), authority.secret("short", "short"));
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&open, readable).unwrap();
    let upstream = |url: &str, key: &std::path::Path| json!({ "url": url, "credential": { "file": key, "in": "bearer" } });
    let good = upstream("https://a.example.com/", &key);
    let pool = |name: &str, value: Value| {
        let mut pool = json!({ "upstreams": [good], "methods": ["a"] });
        pool[name] = value;
        json!({ "pools": { "eth": pool } })
    };
    let upstreams = |one: Value| pool("upstreams", json!([one]));
    let none = json!({});
    for (rpc, services, words) in [
        (pool("upstreams", json!([])), &none, "one upstream"),
        (pool("methods", json!([])), &none, "one method"),
        (pool("repeatable", json!(["b"])), &none, "`b` is in `repeatable`"),
        (pool("rate", json!({ "per_second": 1, "burst": 2 })), &none, "`burst` of 50"),
        (upstreams(upstream("http://a.example.com/", &key)), &none, "without TLS"),
        (upstreams(upstream("ftp://a.example.com/", &key)), &none, "neither"),
        (upstreams(upstream("https://user:hunter2@a.example.com/", &key)), &none, "go into `credential`"),
        (upstreams(upstream("https://a_b.example.com/", &key)), &none, "pool `eth`"),
        (upstreams(upstream("https://a.example.com/", &open)), &none, "chmod 600"),
        (upstreams(upstream("https://a.example.com/", &short)), &none, "visible characters"),
        (upstreams(upstream("https://a.example.com/", std::path::Path::new("/none"))), &none, "/none"),
        (json!({ "ca_file": "/none" }), &none, "ca_file"),
        (json!({}), &json!({ "indexer": { "rpc": ["eth"] } }), "`eth`"),
    ] {
        let config = json!({
            "dispatcher": "http://127.0.0.1:1/", "identity": "plane_x", "dns_servers": ["127.0.0.1:9"],
            "capabilities": { "issuer": "trace", "jwks": "http://127.0.0.1:1/jwks" },
            "rpc": rpc, "services": services,
        });
        let config = serde_json::from_value(config).unwrap();
        let started = trace_egress_gateway::start(config, Default::default()).await;
        let error = started.err().unwrap_or_else(|| panic!("{rpc} is taken")).to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert!(!error.contains(KEY) && !error.contains("hunter2"), "{error}");
    }
}
