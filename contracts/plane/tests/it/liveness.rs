//! What a plane believes about attempts, and for how long.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use tokio::sync::{Notify, watch};
use trace_contracts::{
    AttemptId, Capability, ErrorCode, KeyId, Secret, UserId,
    wire::plane::{LivenessReply, LivenessRequest},
};
use trace_plane::{Liveness, PlaneClient};

use crate::signer::Signer;

/// Longer than anything here takes, so that a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(20);

struct Dispatcher {
    dead: Mutex<HashSet<AttemptId>>,
    revoked: Mutex<HashSet<KeyId>>,
    suspended: Mutex<HashSet<UserId>>,
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
        let reply = dispatcher.over(&request);
        let is_over =
            !(reply.dead.is_empty() && reply.revoked_keys.is_empty() && reply.suspended_users.is_empty());
        if is_over || tokio::time::timeout_at(deadline, news.changed()).await.is_err() {
            if dispatcher.delay_next.swap(false, Ordering::SeqCst) {
                dispatcher.delayed.notify_one();
                dispatcher.let_go.notified().await;
            }
            return Ok(Json(reply));
        }
    }
}

/// Those of `asked` that are among `over`.
fn among<T: Clone + Eq + std::hash::Hash>(asked: &[T], over: &Mutex<HashSet<T>>) -> Vec<T> {
    let over = over.lock().unwrap();
    asked.iter().filter(|one| over.contains(one)).cloned().collect()
}

impl Dispatcher {
    fn over(&self, request: &LivenessRequest) -> LivenessReply {
        LivenessReply {
            dead: among(&request.attempts, &self.dead),
            revoked_keys: among(&request.keys, &self.revoked),
            suspended_users: among(&request.users, &self.suspended),
        }
    }

    fn revoke(&self, kid: &KeyId) {
        self.revoked.lock().unwrap().insert(kid.clone());
        self.news.send_replace(());
    }

    fn suspend(&self, user: UserId) {
        self.suspended.lock().unwrap().insert(user);
        self.news.send_replace(());
    }

    fn kill(&self, attempt: AttemptId) {
        self.dead.lock().unwrap().insert(attempt);
        self.news.send_replace(());
    }
}

async fn start() -> (Arc<Dispatcher>, PlaneClient) {
    let dispatcher = Arc::new(Dispatcher {
        dead: Mutex::default(),
        revoked: Mutex::default(),
        suspended: Mutex::default(),
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
    Signer::new("k").capability(attempt)
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

#[tokio::test]
async fn a_revoked_key_ends_what_it_signed_for_every_attempt_and_nothing_else() {
    let (dispatcher, client) = start().await;
    let liveness = Liveness::new(client);
    let (stolen, fresh) = (Signer::new("stolen"), Signer::new("fresh"));
    // The thief's token is for an attempt that has a good one, too.
    let (thief, owner, other) = (stolen.capability(1), fresh.capability(1), stolen.capability(2));
    let ended = liveness.admit(&thief).await.unwrap();
    let goes_on = liveness.admit(&owner).await.unwrap();
    let also_ended = liveness.admit(&other).await.unwrap();
    dispatcher.revoke(thief.kid());
    for live in [&ended, &also_ended] {
        tokio::time::timeout(LONG, live.ended().cancelled()).await.expect("revocation reaches the plane");
    }
    assert!(!goes_on.ended().is_cancelled());
    assert!(liveness.admit(&owner).await.is_ok());
    for capability in [&thief, &other, &stolen.capability(3)] {
        assert_eq!(liveness.admit(capability).await.err().unwrap().code(), ErrorCode::Revoked);
    }
}

#[tokio::test]
async fn a_suspension_ends_what_runs_for_the_user() {
    let (dispatcher, client) = start().await;
    let liveness = Liveness::with_bound(client, Duration::from_millis(600));
    let (mallory, alice) = (UserId::from_db(1), UserId::from_db(2));
    let ended = liveness.hold_user(mallory, std::time::Instant::now());
    let goes_on = liveness.hold_user(alice, std::time::Instant::now());
    dispatcher.suspend(mallory);
    tokio::time::timeout(LONG, ended.ended().cancelled()).await.expect("it reaches the plane");
    assert!(!goes_on.ended().is_cancelled());
    assert_eq!(ended.refusal().code(), ErrorCode::Forbidden);
    // And users are believed no longer than attempts by a plane that is cut off.
    dispatcher.away.store(true, Ordering::SeqCst);
    dispatcher.news.send_replace(());
    tokio::time::timeout(LONG, goes_on.ended().cancelled()).await.expect("a stale feed ends what runs");
}
