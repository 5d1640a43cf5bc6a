//! The refusal matrix: every way in, against every wrong caller.

use serde_json::Value;
use trace_contracts::Audience;

use crate::{
    outside::Outside,
    platform::{Platform, grant, status},
    tokens,
};

/// Every way in that takes a token, as the line that a request begins with.
const WAYS_IN: [&str; 3] = [
    "GET http://DESTINATION/ HTTP/1.1",
    "POST http://DESTINATION/x HTTP/1.1",
    "CONNECT DESTINATION HTTP/1.1",
];
/// Every route that takes none.
const PUBLIC: [&str; 2] = ["/healthz", "/readyz"];

fn body(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").expect("a head").1)
        .unwrap_or_else(|_| panic!("{answer}"))
}

#[tokio::test]
async fn every_way_in_refuses_every_wrong_caller() {
    let platform = Platform::start().await;
    platform.kill_attempt(66);
    let outside = Outside::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let destination = outside.address.to_string();
    let claims = || tokens::claims(1, vec![grant(&destination)]);
    let with = |change: &dyn Fn(&mut _)| {
        let mut claims = claims();
        change(&mut claims);
        format!("Proxy-Authorization: Bearer {}", tokens::capability(&claims))
    };
    let good = with(&|_| {});
    let cases = [
        ("nothing", "X-None: 1".to_owned(), "unauthenticated"),
        ("a token for the destination", good.replace("Proxy-", ""), "unauthenticated"),
        ("twice", format!("{good}\r\n{good}"), "unauthenticated"),
        ("no JWT", "Proxy-Authorization: Bearer abc".to_owned(), "unauthenticated"),
        ("another scheme", good.replace("Bearer", "Digest"), "unauthenticated"),
        ("too long", format!("Proxy-Authorization: Bearer {}", "a".repeat(20_000)), "unauthenticated"),
        (
            "of a user's type",
            format!("Proxy-Authorization: Bearer {}", tokens::of_users_type(&claims())),
            "unauthenticated",
        ),
        ("expired", with(&|c| c.exp -= 400), "token_expired"),
        ("not yet", with(&|c| c.nbf = c.exp), "unauthenticated"),
        ("for the dispatcher", with(&|c| c.aud = Audience::Dispatcher), "wrong_audience"),
        ("for the query service", with(&|c| c.aud = Audience::Query), "wrong_audience"),
        ("from another issuer", with(&|c| c.iss = "other".into()), "unauthenticated"),
        (
            "signed by another",
            format!("Proxy-Authorization: Bearer {}", tokens::forged(&claims())),
            "unauthenticated",
        ),
        ("of a dead attempt", with(&|c| c.attempt = "a66".parse().unwrap()), "revoked"),
    ];
    for way_in in WAYS_IN {
        let line = way_in.replace("DESTINATION", &destination);
        for (case, header, code) in &cases {
            let answer =
                platform.raw(format!("{line}\r\n{header}\r\nConnection: close\r\n\r\n").as_bytes()).await;
            assert_eq!(status(&answer), 407, "{way_in}, {case}: {answer}");
            assert_eq!(body(&answer)["code"], *code, "{way_in}, {case}");
            assert!(answer.to_lowercase().contains("proxy-authenticate: basic"), "{answer}");
        }
    }
    assert!(outside.heard().is_empty(), "nobody was let through");
    let answer = platform
        .raw(format!("GET http://{destination}/ HTTP/1.1\r\n{good}\r\nConnection: close\r\n\r\n").as_bytes())
        .await;
    assert_eq!(status(&answer), 200, "the same with a good token: {answer}");
    let dead = platform.denied_by("revoked").await;
    assert_eq!(serde_json::to_value(dead.actor).unwrap()["attempt"], "a66");
}

#[tokio::test]
async fn health_needs_no_token_and_there_is_nothing_else() {
    let platform = Platform::start().await;
    for path in PUBLIC {
        let answer =
            platform.raw(format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(status(&answer), 200, "{path}");
    }
    for line in ["GET /", "GET /internal/audit", "POST /healthz", "OPTIONS *", "GET //example.com/"] {
        let answer = platform.raw(format!("{line} HTTP/1.1\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(status(&answer), 404, "{line}: {answer}");
    }
}

#[tokio::test]
async fn what_can_not_be_audited_is_not_done() {
    let platform = Platform::start().await;
    let outside = Outside::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let token = platform.token(1, &[grant(&outside.address.to_string())]);
    *platform.dispatcher.audit_is_away.lock().unwrap() = true;
    let (answered, _) = platform.get(&token, &format!("http://{}/", outside.address)).await;
    assert_eq!(answered, 503);
    let (answered, _) = platform.open(&token, &outside.address.to_string()).await;
    assert_eq!(answered, 503);
    assert!(outside.heard().is_empty());
}
