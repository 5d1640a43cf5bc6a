//! The table: every cause that ends an attempt's authority, on every plane.

use trace_contracts::{Role, wire::worker::ClaimReply};
use trace_stand::{Attempt, Cause, LONG, Plane, Stand, Verdict};

/// What a plane says to an attempt whose authority is over. The object store speaks S3: 400 is its answer to
/// the keys of an attempt that is over.
const fn refusal(plane: Plane) -> &'static str {
    match plane {
        Plane::ObjectStore => "400",
        _ => "revoked",
    }
}

/// The dispatcher decides by the database and refuses from the cause's answer on; the others hear of it.
const fn hears(plane: Plane) -> bool {
    matches!(plane, Plane::Query | Plane::ObjectStore)
}

async fn every_plane_refuses(stand: &Stand, cause: Cause) {
    // Nobody else: one of the owners is suspended.
    let attempt = stand.attempt(&format!("owner_{cause:?}")).await.unwrap();
    attempt.put_output().await.unwrap();
    for plane in Plane::ALL {
        let before = stand.show(&attempt, plane).await.unwrap();
        assert_eq!(before, Verdict::Served, "{cause:?}, {plane:?}: an attempt that lives is served");
    }
    let download = attempt.running_download().await.unwrap();
    let query = stand.running_query(&attempt).await.unwrap();

    stand.end(&attempt, cause).await.unwrap();
    for plane in Plane::ALL {
        let said = if hears(plane) {
            stand.until_refused(&attempt, plane).await.unwrap()
        } else {
            match stand.show(&attempt, plane).await.unwrap() {
                Verdict::Refused(code) => code,
                Verdict::Served => panic!("{cause:?}: {plane:?} serves an attempt that is over"),
            }
        };
        assert_eq!(said, refusal(plane), "{cause:?}, {plane:?}");
        // Once refused, always refused.
        assert_eq!(
            stand.show(&attempt, plane).await.unwrap(),
            Verdict::Refused(said),
            "{cause:?}, {plane:?}"
        );
    }
    assert_eq!(query.await.unwrap().as_deref(), Some("revoked"), "{cause:?}: a query that runs is ended");
    let whole = tokio::time::timeout(LONG, download.finish()).await.expect("the download ends");
    assert!(!whole, "{cause:?}: a download that runs is broken off");
    if matches!(cause, Cause::LostLease | Cause::Retried | Cause::KeyRevoked) {
        another_attempt_is_served(stand, &attempt).await;
    }
}

/// The task runs again, under another attempt that has everything that the first one had.
async fn another_attempt_is_served(stand: &Stand, first: &Attempt) {
    let claim =
        serde_json::json!({ "claim_id": trace_contracts::ClaimId::random(), "max": 1, "wait_ms": 20_000 });
    let claimed: ClaimReply = stand.dispatcher.worker("/internal/claim", &claim).await.unwrap();
    let lease = claimed.leases.into_iter().next().expect("the task is ready again");
    assert_eq!(lease.launch.task, first.lease.launch.task);
    assert_ne!(lease.attempt, first.lease.attempt);
    let second = stand.attempt_of(lease, &first.owner).await.unwrap();
    for plane in Plane::ALL {
        assert_eq!(stand.show(&second, plane).await.unwrap(), Verdict::Served, "{plane:?}");
    }
    stand.end(&second, Cause::Cancelled).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cause_on_every_plane() {
    let stand = Stand::start(trace_stand::LONG).await.unwrap();
    for cause in Cause::ALL {
        every_plane_refuses(&stand, cause).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_a_suspended_user_is_ended_and_others_go_on() {
    let stand = Stand::start(trace_stand::LONG).await.unwrap();
    let mallory = stand.issuer.token("mallory", Role::Reader).unwrap();
    let alice = stand.issuer.token("alice", Role::Reader).unwrap();
    let asked = stand.query.ask_slowly_as_user(&stand.http, &mallory);
    stand.query.busy().await.unwrap();
    let admin = stand.issuer.token("admin", Role::Admin).unwrap();
    let who: serde_json::Value = stand.dispatcher.get(&mallory, "/v1/whoami").await.unwrap();
    let path = format!("/v1/users/{}/suspend", who["user"].as_str().unwrap());
    let why = serde_json::json!({ "reason": "a test" });
    let _done: serde_json::Value = stand.dispatcher.user(&admin, &path, &why).await.unwrap();
    let ended = tokio::time::timeout(LONG, asked).await.expect("the query is ended").unwrap().unwrap();
    assert_eq!(ended.status(), 403);
    let refused = stand.query.ask_as_user(&stand.http, &mallory, "SELECT 1").await.unwrap();
    assert_eq!(refused.status(), 403, "they are told that it is they who may not");
    let served = stand.query.ask_as_user(&stand.http, &alice, "SELECT 1").await.unwrap();
    assert_eq!(served.status(), 200);
}
