//! A run without a platform, in the real sandbox of this machine.

use std::time::Duration;

use bytes::Bytes;
use trace_contracts::wire::worker::{FailureReason, Language, Outcome, Resources};
use trace_worker_wrapper::{
    local::{Error, LocalRun, run},
    sandbox::{SandboxConfig, Upstreams},
};

use crate::{harness::bundle, sandbox::kit::alone};

fn local(folder: &tempfile::TempDir, main: &str) -> LocalRun {
    LocalRun {
        sandbox: SandboxConfig::default(),
        language: Language::Python,
        bundle: Bytes::from(bundle(&[("main.py", main)])),
        files: None,
        inputs: None,
        env: vec![("TRACE_JOB".to_owned(), "delays".to_owned())],
        upstreams: Upstreams::default(),
        resources: Resources { cpu_millis: 1000, memory_bytes: 256 << 20, disk_bytes: 16 << 20 },
        timeout: Duration::from_secs(20),
        work_dir: folder.path().to_owned(),
    }
}

#[tokio::test]
async fn a_udf_runs_and_its_outputs_are_copied() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let main = "import os\nprint('job', os.environ['TRACE_JOB'])\nos.mkdir('/out/d')\nopen('/out/d/x.csv', 'w').write('a,b')\n";
    let outcome = run(local(&folder, main)).await.unwrap();
    assert_eq!(outcome.outcome, Outcome::Succeeded, "{:?}", outcome.log);
    assert_eq!(outcome.outputs, [folder.path().join("out/d/x.csv")]);
    assert_eq!(std::fs::read_to_string(&outcome.outputs[0]).unwrap(), "a,b");
    assert_eq!(outcome.log[0].text, "job delays");
}

#[tokio::test]
async fn a_udf_that_raises_says_so() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(local(&folder, "raise ValueError('no rows')")).await.unwrap();
    let detail = "exited with status 1: ValueError: no rows".to_owned();
    assert_eq!(outcome.outcome, Outcome::Failed { reason: FailureReason::Exit, detail });
    assert!(outcome.outputs.is_empty());
}

#[tokio::test]
async fn outputs_that_are_links_are_the_udfs_failure() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(local(&folder, "import os\nos.symlink('/etc/passwd', '/out/x')")).await.unwrap();
    let Outcome::Failed { reason, detail } = outcome.outcome else { panic!("a link was taken") };
    assert_eq!(reason, FailureReason::Output);
    assert!(detail.contains("/out/x is a link"), "{detail}");
}

#[tokio::test]
async fn a_bundle_without_a_main_file_is_refused() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let run_it = LocalRun { bundle: Bytes::from(bundle(&[("other.py", "")])), ..local(&folder, "") };
    assert!(matches!(run(run_it).await, Err(Error::Bundle(_))));
}
