//! Dispatchers are restarted one after the other while workers work and a user asks.

use std::path::Path;

use trace_chaos::{Workshop, rolling_restart};

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_fails_no_request_and_loses_no_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = Workshop::new(folder.path(), Path::new(env!("CARGO_BIN_EXE_trace-chaos"))).unwrap();
    let rolled = rolling_restart(&workshop, 2).await.unwrap();
    assert_eq!(rolled.findings.problems, Vec::<String>::new());
    assert_eq!(rolled.restarts, 4);
    assert!(rolled.runs >= 1 && rolled.calls > 0, "{rolled:?}");
}
