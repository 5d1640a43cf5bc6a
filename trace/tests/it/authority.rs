//! `trace keys`, `trace users` and `trace workers`.

use serde_json::{Value, json};

use crate::platform::{Answer, Platform};

const KID: &str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";

fn key(state: &str) -> Value {
    json!({
        "kid": KID, "state": state, "signs_from": "2027-01-01T00:00:00Z", "stopped_at": null,
        "retires_at": null, "revoked_at": null, "reason": null,
    })
}

fn user() -> Value {
    json!({
        "user": "u7", "issuer": "https://id", "external_id": "mallory\u{1b}[2J", "email": null,
        "role": "writer", "suspended_at": "2027-01-01T00:00:00Z",
    })
}

async fn platform() -> Platform {
    Platform::start(|asked| match asked.line.split('?').next().unwrap() {
        "GET /v1/keys" => Answer::json(&json!([key("signing")])),
        "POST /v1/keys/rotate" => Answer::json(&key("signing")),
        "GET /v1/users" => Answer::json(&json!([user()])),
        "POST /v1/users/u7/suspend" => Answer::json(&json!({ "user": user(), "runs_cancelled": 2 })),
        "POST /v1/users/u7/restore" => Answer::json(&user()),
        "POST /v1/workers/worker_7/revoke" => Answer::json(&json!({
            "worker": "w7", "revoked_at": "2027-01-01T00:00:00Z", "attempts_ended": 1,
        })),
        line if line == format!("POST /v1/keys/{KID}/revoke") => Answer::json(&json!({
            "revoked": key("revoked"), "signing": key("signing"), "attempts_ended": 3,
        })),
        line if line == format!("GET /v1/keys/{KID}/touched") => Answer::json(&json!([])),
        other => panic!("{other}"),
    })
    .await
}

#[tokio::test]
async fn authority_is_shown_and_taken_away_with_a_reason() {
    let platform = platform().await;
    for (arguments, shown) in [
        (&["keys", "list"][..], "signing"),
        (&["keys", "rotate", "--reason", "why"], "signs from now on"),
        (&["keys", "revoke", KID, "--reason", "why"], "3 attempts taken back"),
        (&["keys", "touched", KID, "--after", "7"], "no entries"),
        (&["users", "list"], "mallory"),
        (&["users", "suspend", "u7", "--reason", "why"], "u7 is suspended; 2 runs cancelled"),
        (&["users", "restore", "u7", "--reason", "why"], "u7 is let in again"),
        (&["workers", "revoke", "worker_7", "--reason", "why"], "1 attempt taken back"),
    ] {
        let ran = platform.trace(arguments).await.ended_with(0);
        assert!(ran.text().contains(shown), "{arguments:?}: {}", ran.text());
        assert!(!ran.text().contains('\u{1b}'), "{arguments:?}");
        let asked = platform.asked().pop().unwrap();
        if asked.line.starts_with("POST") {
            let body: Value = serde_json::from_slice(&asked.body).unwrap();
            assert_eq!(body, json!({ "reason": "why" }), "{arguments:?}");
        }
    }
    for wrong in [
        &["keys", "rotate"][..],
        &["keys", "revoke", "../x", "--reason", "y"],
        &["users", "suspend", "7", "--reason", "y"],
    ] {
        platform.trace(wrong).await.ended_with(2);
    }
}
