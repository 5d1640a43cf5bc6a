//! `dispatcher init`: the first org, its admin, the identities of workers and planes.

use std::{fs, os::unix::fs::MetadataExt as _, time::Duration};

use reqwest::StatusCode;
use serde_json::{Value, json};
use trace_contracts::{ClaimId, Role, Sha256};
use trace_plane::Trust;

use crate::support::{
    app::Client,
    postgres,
    program::{self, Lines, Serving, Setting},
};

const STORE: &str = "access_key_id: a, secret_access_key: hush";

/// Runs `init` with these arguments beside the configuration and the org; answers what it printed, or said.
async fn init(config: &str, arguments: &[&str]) -> Result<Value, String> {
    let fixed = ["init", "--config", config, "--org", "main"];
    let output = program::run(&[&fixed[..], arguments].concat()).await;
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_makes_is_let_in_and_making_it_again_changes_nothing() {
    let setting = Setting::new();
    let database_url = postgres::fresh_database().await;
    let config = setting.write(&Lines { database_url: &database_url, object_store: STORE, more: "" });
    let config = config.to_str().unwrap();
    let tokens = setting.path("tokens");
    let chosen = "plane_of-my-own-making";
    let query = format!("query={}", Sha256::of(chosen.as_bytes()));
    let arguments =
        ["--admin", "alice", "--worker", "w1", "--plane", &query, "--tokens-dir", tokens.to_str().unwrap()];
    let made = init(config, &arguments).await.unwrap();
    let file = tokens.join("w1.token");
    assert_eq!(
        made,
        json!({
            "org": { "name": "main", "id": "o1" },
            "admin": "alice",
            "identities": [
                { "name": "w1", "kind": "worker", "done": { "written": file } },
                { "name": "query", "kind": "plane", "done": "given" },
            ],
        })
    );
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&tokens).unwrap().mode() & 0o777, 0o700);
    let token = fs::read_to_string(&file).unwrap();

    let again = init(config, &arguments).await.unwrap();
    let done: Vec<&Value> = again["identities"].as_array().unwrap().iter().map(|one| &one["done"]).collect();
    assert_eq!(done, ["kept", "kept"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), token, "a running worker goes on with its token");

    let http = Trust::default().http_client(Duration::from_secs(10));
    let mut serving = Serving::start(config.as_ref(), &[]);
    serving.until_ready(&http, &format!("http://127.0.0.1:{}", setting.users)).await;
    let workers = format!("http://127.0.0.1:{}", setting.workers);
    let claim = json!({ "claim_id": ClaimId::random(), "max": 1, "wait_ms": 0 });
    let claimed = Client::at(&http, &workers, &token).post("/internal/claim", &claim).await;
    assert_eq!(claimed.status(), StatusCode::OK);
    let asked = json!({ "attempts": [], "wait_ms": 0 });
    let as_plane = Client::at(&http, &workers, chosen).post("/internal/liveness", &asked).await;
    assert_ne!(as_plane.status(), StatusCode::FORBIDDEN);
    let as_worker = Client::at(&http, &workers, chosen).post("/internal/claim", &claim).await;
    assert_eq!(as_worker.status(), StatusCode::FORBIDDEN);
    let users = format!("http://127.0.0.1:{}", setting.users);
    let admin = Client::at(&http, &users, &setting.issuer.token("alice", "main", Role::Admin));
    let known: Value = admin.get("/v1/users").await;
    assert!(known.to_string().contains("\"alice\""), "{known}");
    // What was reserved for one org is not another's.
    let elsewhere = Client::at(&http, &users, &setting.issuer.token("alice", "rival", Role::Admin));
    assert!(elsewhere.send(reqwest::Method::GET, "/v1/dags").await.status().is_client_error());
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_neither_lost_nor_taken_away_without_a_word() {
    let setting = Setting::new();
    let database_url = postgres::fresh_database().await;
    let config = setting.write(&Lines { database_url: &database_url, object_store: STORE, more: "" });
    let config = config.to_str().unwrap();
    let lost = init(config, &["--worker", "w1"]).await.unwrap_err();
    assert!(lost.contains("--tokens-dir or --print-tokens"), "{lost}");
    let told = |made: &Value| made["identities"][0]["done"]["made"].as_str().unwrap().to_owned();
    let first = told(&init(config, &["--worker", "w1", "--print-tokens"]).await.unwrap());
    assert!(first.starts_with("worker_") && first.len() > 40, "{first}");

    let other_kind = init(config, &["--plane", "w1", "--print-tokens"]).await.unwrap_err();
    assert!(other_kind.contains("is a worker already"), "{other_kind}");
    let hash = Sha256::of(b"another");
    let by_hash = format!("w1={hash}");
    let other = init(config, &["--worker", &by_hash]).await.unwrap_err();
    assert!(other.contains("give --replace"), "{other}");
    let same = format!("w1={}", Sha256::of(first.as_bytes()));
    assert_eq!(init(config, &["--worker", &same]).await.unwrap()["identities"][0]["done"], "kept");

    let second = told(&init(config, &["--worker", "w1", "--print-tokens", "--replace"]).await.unwrap());
    assert_ne!(first, second);
    assert_eq!(
        init(config, &["--worker", &by_hash, "--replace"]).await.unwrap()["identities"][0]["done"],
        "given"
    );
    assert_eq!(
        init(config, &["--worker", &by_hash, "--replace"]).await.unwrap()["identities"][0]["done"],
        "kept"
    );

    for bad in [&["--worker", "W1"][..], &["--worker", "w1=abc"], &["--worker", "w/../1", "--print-tokens"]] {
        assert!(init(config, bad).await.is_err(), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_make_each_identity_once() {
    let setting = Setting::new();
    let database_url = postgres::fresh_database().await;
    let config = setting.write(&Lines { database_url: &database_url, object_store: STORE, more: "" });
    let config = config.to_str().unwrap();
    let arguments = ["--worker", "w1", "--plane", "p1", "--print-tokens"];
    let (one, two) = tokio::join!(init(config, &arguments), init(config, &arguments));
    let mut made: Vec<usize> = [one, two]
        .map(|done| {
            let done = done.unwrap();
            let of = done["identities"].as_array().unwrap().clone();
            of.iter().filter(|one| one["done"].get("made").is_some()).count()
        })
        .to_vec();
    made.sort_unstable();
    assert_eq!(made, [0, 2]);
}
