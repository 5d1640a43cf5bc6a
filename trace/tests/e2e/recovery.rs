//! The platform dies and comes back: what was committed stays, what was running runs again.

use std::process::Stdio;

use crate::platform::Platform;

#[test]
fn a_run_survives_a_power_cut() {
    let mut platform = Platform::start();
    // The second attempt finds what the first one left as its checkpoint, so the test knows that
    // the cut came while the first one ran.
    let source = "
from trace_udf import task

@task
def run(ctx):
    if ctx.checkpoint is None:
        ctx.save_checkpoint(b'the first attempt was here')
        print('waiting for the end', flush=True)
        while True:
            pass
    ctx.write([{'checkpoint': ctx.checkpoint.decode()}])
";
    platform.deploy_python(
        "survivor",
        "  - name: a\n    udf: { language: python, path: a }\n    timeout: 300s\n    retries: { max: 0 }\npublish:\n  survived: { from: { job: a } }\n",
        &[("a", source)],
    );
    let run = platform.json(&["trigger", "survivor", "--json"]);
    let run = run["run"].as_str().unwrap().to_owned();
    let task = loop {
        let tasks = platform.json(&["tasks", &run, "--json"]);
        let task = tasks[0]["task"].as_str().unwrap().to_owned();
        let log = platform.trace(&["logs", &task]);
        if String::from_utf8_lossy(&log.stdout).contains("waiting for the end") {
            break task;
        }
    };
    platform.crash_and_restart();

    let mut follow = platform.command(&["logs", &task, "--follow"]).stdout(Stdio::null()).spawn().unwrap();
    assert!(follow.wait().unwrap().success());
    loop {
        let tasks = platform.json(&["tasks", &run, "--json"]);
        match tasks[0]["state"].as_str().unwrap() {
            "succeeded" => break,
            "dead" => panic!("a lost worker used up a retry: {tasks}"),
            _ => {}
        }
    }
    let rows = platform.json(&["query", "SELECT checkpoint FROM survived", "--format", "json"]);
    assert_eq!(rows["rows"], serde_json::json!([["the first attempt was here"]]));
}
