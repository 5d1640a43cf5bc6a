//! The platform dies and comes back: what was committed stays, what was running runs again.

use serde_json::Value;

use crate::platform::Platform;

/// The second attempt finds what the first one left as its checkpoint, so the test knows that the
/// cut came while the first one ran.
const SOURCE: &str = "
from trace_udf import task

@task
def run(ctx):
    if ctx.checkpoint() is None:
        ctx.save_checkpoint('the first attempt was here')
        print('waiting for the end', flush=True)
        while True:
            pass
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

/// The only task of a run.
fn task(platform: &Platform, run: &str) -> Value {
    let task = platform.json(&["tasks", run, "--json"])[0].take();
    assert_ne!(task["state"], "dead", "a lost worker must not use up a retry: {task}");
    task
}

#[test]
fn a_run_survives_a_power_cut() {
    let mut platform = Platform::start();
    platform.deploy_python("survivor", JOBS, &[("a", SOURCE)]);
    let run = platform.json(&["trigger", "survivor", "--json"]);
    let run = run["run"].as_str().unwrap().to_owned();
    loop {
        let id = task(&platform, &run)["task"].as_str().unwrap().to_owned();
        if String::from_utf8_lossy(&platform.trace(&["logs", &id]).stdout).contains("waiting for the end") {
            break;
        }
    }
    platform.crash_and_restart();

    while task(&platform, &run)["state"] != "succeeded" {}
    let rows = platform.json(&["query", "SELECT checkpoint FROM survived", "--format", "json"]);
    assert_eq!(rows["rows"], serde_json::json!([["the first attempt was here"]]));
}
