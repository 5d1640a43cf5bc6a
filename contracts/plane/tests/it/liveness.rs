//! What a plane believes about attempts, and for how long.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use tokio::sync::{Notify, watch};
use trace_contracts::{
    AttemptId, Audience, Capability, ErrorCode, Secret,
    keys::KeySet,
    wire::plane::{LivenessReply, LivenessRequest},
};
use trace_plane::{Liveness, PlaneClient};

/// Longer than anything here takes, so that a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(20);

struct Dispatcher {
    dead: Mutex<HashSet<AttemptId>>,
    news: watch::Sender<()>,
    away: AtomicBool,
    asked: AtomicUsize,
    /// The next answer stays on its way until it is let go.
    delay_next: AtomicBool,
    delayed: Notify,
    let_go: Notify,
}

async fn liveness(
    State(dispatcher): State<Arc<Dispatcher>>,
    Json(request): Json<LivenessRequest>,
) -> Result<Json<LivenessReply>, StatusCode> {
    dispatcher.asked.fetch_add(1, Ordering::SeqCst);
    let mut news = dispatcher.news.subscribe();
    let deadline = tokio::time::Instant::now() + Duration::from_millis(request.wait_ms);
    loop {
        if dispatcher.away.load(Ordering::SeqCst) {
            return Err(StatusCode::BAD_GATEWAY);
        }
        let dead: Vec<_> = {
            let dead = dispatcher.dead.lock().unwrap();
            request.attempts.iter().copied().filter(|attempt| dead.contains(attempt)).collect()
        };
        if !dead.is_empty() || tokio::time::timeout_at(deadline, news.changed()).await.is_err() {
            if dispatcher.delay_next.swap(false, Ordering::SeqCst) {
                dispatcher.delayed.notify_one();
                dispatcher.let_go.notified().await;
            }
            return Ok(Json(LivenessReply { dead }));
        }
    }
}

impl Dispatcher {
    fn kill(&self, attempt: AttemptId) {
        self.dead.lock().unwrap().insert(attempt);
        self.news.send_replace(());
    }
}

async fn start() -> (Arc<Dispatcher>, PlaneClient) {
    let dispatcher = Arc::new(Dispatcher {
        dead: Mutex::default(),
        news: watch::Sender::new(()),
        away: AtomicBool::new(false),
        asked: AtomicUsize::new(0),
        delay_next: AtomicBool::new(false),
        delayed: Notify::new(),
        let_go: Notify::new(),
    });
    let router =
        Router::new().route("/internal/liveness", post(liveness)).with_state(Arc::clone(&dispatcher));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (dispatcher, PlaneClient::new(base, Secret::new("plane".to_owned())))
}

fn capability(attempt: i64) -> Arc<Capability> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let key = jsonwebtoken::EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)}]});
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    header.kid = Some("k".to_owned());
    header.typ = Some("trace-cap+jwt".to_owned());
    let now = chrono::Utc::now().timestamp();
    let claims = json!({
        "iss": "i", "aud": "trace:query", "sub": "t1.0", "attempt": format!("a{attempt}"), "org": "o1",
        "jti": "6f8b8a0e-3a0e-4d3a-9f4c-0d9f2f8f2a11", "iat": now, "nbf": now, "exp": now + 300,
        "grants": {"inputs": {}, "output": "s3://trace/o/", "scratch": "s3://trace/s/"},
    });
    let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    let keys = KeySet::from_jwks(&keys.to_string()).unwrap();
    Arc::new(Capability::verify(&token, &keys, "i", Audience::Query).unwrap())
}

#[tokio::test]
async fn a_dead_attempt_is_not_admitted() {
    let (dispatcher, client) = start().await;
    let capability = capability(1);
    dispatcher.kill(capability.attempt());
    let refusal = Liveness::new(client).admit(&capability).await.err().unwrap();
    assert_eq!(refusal.code(), ErrorCode::Revoked);
}

#[tokio::test]
async fn what_runs_ends_when_its_attempt_does_and_others_go_on() {
    let (dispatcher, client) = start().await;
    let liveness = Liveness::new(client);
    let (first, second) = (capability(1), capability(2));
    let doomed = liveness.admit(&first).await.unwrap();
    let other = liveness.admit(&second).await.unwrap();
    dispatcher.kill(first.attempt());
    tokio::time::timeout(LONG, doomed.ended().cancelled()).await.expect("revocation reaches the plane");
    assert!(!other.ended().is_cancelled());
    assert_eq!(liveness.admit(&first).await.err().unwrap().code(), ErrorCode::Revoked);
    assert!(liveness.admit(&second).await.is_ok());
}

#[tokio::test]
async fn a_plane_that_is_cut_off_believes_nobody_past_its_bound() {
    let (dispatcher, client) = start().await;
    let liveness = Liveness::with_bound(client, Duration::from_millis(600));
    let capability = capability(1);
    let live = liveness.admit(&capability).await.unwrap();
    dispatcher.away.store(true, Ordering::SeqCst);
    dispatcher.news.send_replace(());
    tokio::time::timeout(LONG, live.ended().cancelled()).await.expect("a stale feed ends what runs");
    assert_eq!(liveness.admit(&capability).await.err().unwrap().code(), ErrorCode::Unavailable);

    dispatcher.away.store(false, Ordering::SeqCst);
    assert!(liveness.admit(&capability).await.is_ok(), "and believes again once the dispatcher is back");
}

#[tokio::test]
async fn an_older_answer_does_not_bring_back_what_is_over() {
    let (dispatcher, client) = start().await;
    let liveness = Liveness::new(client);
    let capability = capability(1);
    dispatcher.delay_next.store(true, Ordering::SeqCst);
    let (asking, early) = (liveness.clone(), Arc::clone(&capability));
    let late = tokio::spawn(async move { asking.admit(&early).await.err().map(|refusal| refusal.code()) });
    dispatcher.delayed.notified().await;
    let live = liveness.admit(&capability).await.unwrap();
    dispatcher.kill(capability.attempt());
    tokio::time::timeout(LONG, live.ended().cancelled()).await.expect("revocation reaches the plane");
    // "It lives" was true when it was said.
    dispatcher.let_go.notify_one();
    assert_eq!(late.await.unwrap(), Some(ErrorCode::Revoked));
}

#[tokio::test]
async fn an_attempt_that_is_held_is_asked_about_by_the_feed_alone() {
    let (dispatcher, client) = start().await;
    let liveness = Liveness::new(client);
    let capability = capability(1);
    let _live = liveness.admit(&capability).await.unwrap();
    for _ in 0..1_000 {
        drop(liveness.admit(&capability).await.unwrap());
    }
    assert!(dispatcher.asked.load(Ordering::SeqCst) < 20, "the feed answers, not one question an admission");
}
