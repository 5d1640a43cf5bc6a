//! The compromise drill of `docs/operations.md`, step by step, while a task runs: rotate, revoke, show what the
//! key touched. And a user whose laptop was stolen.

use serde_json::Value;

use crate::platform::Platform;

/// The first attempt uses its authority, keeps its keys, and then works until it is ended; the second one
/// finds that out.
const SOURCE: &str = "
from trace_udf import task

@task
def run(ctx):
    if ctx.checkpoint() is None:
        ctx.sql('SELECT 1 AS one')
        print(ctx.objects.readable, flush=True)
        ctx.save_checkpoint('the first attempt was here')
        print('ready for the thief', flush=True)
        while True:
            pass
    ctx.sql('SELECT 2 AS two')
    ctx.write([{'checkpoint': ctx.checkpoint()}])
";

const JOBS: &str = "
  - name: a
    udf: { language: python, path: a }
    timeout: 300s
    retries: { max: 0 }
publish:
  survived: { from: { job: a } }
";

fn task(platform: &Platform, run: &str) -> Value {
    platform.json(&["tasks", run, "--json"])[0].take()
}

/// A run whose only task has used its authority and goes on working.
fn under_way(platform: &Platform) -> String {
    platform.deploy_python("victim", JOBS, &[("a", SOURCE)]);
    let run = platform.json(&["trigger", "victim", "--json"])["run"].as_str().unwrap().to_owned();
    loop {
        let id = task(platform, &run)["task"].as_str().unwrap().to_owned();
        if String::from_utf8_lossy(&platform.trace(&["logs", &id]).stdout).contains("ready for the thief") {
            return run;
        }
    }
}

#[test]
fn a_stolen_key_is_rotated_revoked_and_accounted_for() {
    let platform = Platform::start();
    let run = under_way(&platform);

    // 1. Which key signs?
    let keys = platform.json(&["keys", "list", "--json"]);
    assert_eq!(keys.as_array().unwrap().len(), 1);
    let stolen = keys[0]["kid"].as_str().unwrap().to_owned();

    // 2. A new one signs. What runs goes on.
    let fresh = platform.json(&["keys", "rotate", "--reason", "drill", "--json"]);
    assert_eq!(fresh["state"], "signing");
    let first = task(&platform, &run)["attempts"][0]["attempt"].clone();
    assert_eq!(task(&platform, &run)["state"], "running", "a rotation ends nothing");

    // 3. Nothing is believed any more that the old one signed, and what held it runs again.
    let revoked = platform.json(&["keys", "revoke", &stolen, "--reason", "a backup was stolen", "--json"]);
    assert_eq!(revoked["revoked"]["state"], "revoked");
    assert_eq!(revoked["signing"]["kid"], fresh["kid"]);
    assert_eq!(revoked["attempts_ended"], 1);
    let ended = loop {
        let task = task(&platform, &run);
        assert_ne!(task["state"], "dead", "it must not use up a retry: {task}");
        if task["state"] == "succeeded" {
            break task;
        }
    };
    let attempts = ended["attempts"].as_array().unwrap();
    let taken_back = attempts.iter().find(|one| one["attempt"] == first).unwrap();
    assert_eq!(taken_back["outcome"], "key_revoked");
    let rows = platform.json(&["query", "SELECT checkpoint FROM survived", "--format", "json"]);
    assert_eq!(rows["rows"], serde_json::json!([["the first attempt was here"]]));

    // 4. What did it touch? The first attempt's query and keys, and nothing of the second attempt.
    let touched = platform.json(&["keys", "touched", &stolen, "--json"]);
    let touched = touched.as_array().unwrap();
    let of = |action: &str| touched.iter().filter(|entry| entry["action"] == action).count();
    assert!(of("query") >= 1 && of("credentials.mint") >= 1, "{touched:?}");
    assert!(touched.iter().all(|entry| entry["kid"] == *stolen), "{touched:?}");
    assert!(touched.iter().all(|entry| entry["actor"]["attempt"] == first), "{touched:?}");
    let other = platform.json(&["keys", "touched", fresh["kid"].as_str().unwrap(), "--json"]);
    assert!(other.as_array().unwrap().iter().any(|entry| entry["action"] == "query"));

    // 5. Who did all this is in the log, with the reason.
    let log = platform.json(&["audit", "--limit", "1000", "--json"]);
    let why = |action: &str| {
        let entry = log.as_array().unwrap().iter().find(|entry| entry["action"] == action).cloned();
        entry.unwrap_or_else(|| panic!("no {action} in the log"))["detail"]["reason"].clone()
    };
    assert_eq!(why("key.rotate"), "drill");
    assert_eq!(why("key.revoke"), "a backup was stolen");

    // Another org's admin may do none of it.
    for command in [&["keys", "list"][..], &["keys", "rotate", "--reason", "x"]] {
        let refused = platform.trace_as_rival(command);
        assert_eq!(refused.status.code(), Some(3), "{}", crate::platform::stderr(&refused));
    }
}
