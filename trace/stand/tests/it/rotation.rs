//! Keys are rotated while tasks run: no request fails.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use trace_contracts::{ClaimId, Role, wire::worker::ClaimReply};
use trace_stand::{Plane, Stand, Verdict};

/// Whole lives of attempts, as fast as they go. Every request must be served.
async fn live(stand: &Stand, stop: &AtomicBool, lives: &AtomicUsize, rotations: &AtomicUsize) {
    // Each sees several keys, however slow the machine is.
    while !stop.load(Ordering::SeqCst) {
        stand.run("owner").await.unwrap();
        let claim = json!({ "claim_id": ClaimId::random(), "max": 1, "wait_ms": 20_000 });
        let claimed: ClaimReply = stand.dispatcher.worker("/internal/claim", &claim).await.unwrap();
        let Some(lease) = claimed.leases.into_iter().next() else { continue };
        let attempt = stand.attempt_of(lease, "owner").await.unwrap();
        let begun = rotations.load(Ordering::SeqCst);
        attempt.put_output().await.unwrap();
        // The tokens that it began with outlast at least one rotation.
        loop {
            for plane in Plane::ALL {
                let said = stand.show(&attempt, plane).await.unwrap();
                assert_eq!(said, Verdict::Served, "{plane:?} under {}", attempt.kid);
            }
            if stop.load(Ordering::SeqCst) || rotations.load(Ordering::SeqCst) > begun {
                break;
            }
        }
        stand.end(&attempt, trace_stand::Cause::Completed).await.unwrap();
        lives.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_load_fails_no_request() {
    const ROTATIONS: usize = 6;
    let stand = Arc::new(Stand::start(trace_stand::LONG).await.unwrap());
    let second = stand.second_dispatcher().await.unwrap();
    let (stop, lives, rotations) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let loads: Vec<_> = (0..3)
        .map(|_| {
            let (stand, stop) = (Arc::clone(&stand), Arc::clone(&stop));
            let (lives, rotations) = (Arc::clone(&lives), Arc::clone(&rotations));
            tokio::spawn(async move { live(&stand, &stop, &lives, &rotations).await })
        })
        .collect();
    let admin = stand.issuer.token("admin", Role::Admin).unwrap();
    let why = json!({ "reason": "a test" });
    for n in 0..ROTATIONS {
        // By turns, so that each dispatcher has to follow the other one.
        let by = if n % 2 == 0 { &stand.dispatcher } else { &second };
        let _key: Value = by.user(&admin, "/v1/keys/rotate", &why).await.unwrap();
        rotations.fetch_add(1, Ordering::SeqCst);
        let before = lives.load(Ordering::SeqCst);
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(20));
        let went_on = async {
            while lives.load(Ordering::SeqCst) < before + 2 {
                looks.tick().await;
                assert!(!loads.iter().any(tokio::task::JoinHandle::is_finished), "a request failed");
            }
        };
        // An attempt lives until the next rotation; so they do not all have to end.
        let _some = tokio::time::timeout(std::time::Duration::from_secs(3), went_on).await;
    }
    stop.store(true, Ordering::SeqCst);
    for load in loads {
        load.await.unwrap();
    }
    assert!(lives.load(Ordering::SeqCst) >= ROTATIONS, "attempts lived through the rotations");
    let keys: Value = stand.dispatcher.get(&admin, "/v1/keys").await.unwrap();
    assert_eq!(keys.as_array().unwrap().len(), ROTATIONS + 1);
}
