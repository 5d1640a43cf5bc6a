//! The UDF of the chaos runs: one static executable without dependencies, compiled by the harness with
//! `rustc` alone.

#[allow(dead_code)]
#[path = "../src/behaviour.rs"]
mod behaviour;

use behaviour::{behaviour, content, Fails, OUTPUT};

fn main() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (job, partition) = (variable("TRACE_JOB"), variable("TRACE_PARTITION"));
    let failures = variable("TRACE_FAILURES").parse().expect("the wrapper says how often it failed");
    let does = behaviour(&job, &partition, failures);
    if does.takes_ms > 0 {
        std::thread::sleep(std::time::Duration::from_millis(does.takes_ms));
    }
    if does.fails == Fails::Yes {
        eprintln!("failing as the seed says, for the {failures}th time");
        std::process::exit(3);
    }
    let path = std::path::Path::new(&variable("TRACE_OUTPUT_DIR")).join(OUTPUT);
    std::fs::write(path, content(&job, &partition, &variable("TRACE_ATTEMPT"))).expect("the output is written");
}
