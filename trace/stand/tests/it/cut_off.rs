//! A plane that can't hear the dispatcher any more.

use std::time::Duration;

use trace_stand::{Cause, Plane, Stand, Verdict};

/// Attempts and keys are told of by one feed, and have one bound.
#[tokio::test(flavor = "multi_thread")]
async fn a_plane_that_is_cut_off_refuses_within_its_bound() {
    let stand = Stand::start(Duration::from_millis(700)).await.unwrap();
    for cause in [Cause::Cancelled, Cause::KeyRevoked] {
        let attempt = stand.attempt("owner").await.unwrap();
        assert_eq!(stand.show(&attempt, Plane::Query).await.unwrap(), Verdict::Served);
        let query = stand.running_query(&attempt).await.unwrap();
        stand.cable.cut();
        // The plane can't know, and must not go on for ever.
        stand.end(&attempt, cause).await.unwrap();
        let said = query.await.unwrap();
        // What can't be audited is not answered either, and the audit log is on the other side.
        assert!(matches!(said.as_deref(), Some("revoked" | "unavailable")), "{cause:?}: {said:?}");
        let said = stand.until_refused(&attempt, Plane::Query).await.unwrap();
        assert_eq!(said, "unavailable", "{cause:?}: nobody is believed");
        stand.cable.mend();
        let refused =
            async { while stand.until_refused(&attempt, Plane::Query).await.unwrap() != "revoked" {} };
        tokio::time::timeout(trace_stand::LONG, refused).await.expect("it hears again");
        // Its task may be ready again, and is not the one that comes now.
        stand.end(&attempt, Cause::Cancelled).await.unwrap();
        let live = stand.attempt("owner").await.unwrap();
        assert_eq!(stand.show(&live, Plane::Query).await.unwrap(), Verdict::Served, "{cause:?}");
        stand.end(&live, Cause::Cancelled).await.unwrap();
    }
}
