//! A wrapper under test.

use std::{io::Write as _, num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trace_contracts::Secret;
use trace_worker_wrapper::{
    Config, Error,
    config::{Addressing, LauncherSettings, ObjectStore, SandboxSettings},
    launcher::Launcher,
    run_with,
    wakeups::{LongPoll, WakeUps},
};
use url::Url;

use crate::{
    dispatcher::{Dispatcher, Seen},
    fake_launcher::{FakeLauncher, Script},
};

/// A wrapper that runs against a fake dispatcher.
pub struct Harness {
    pub dispatcher: Dispatcher,
    pub launcher: Arc<FakeLauncher>,
    pub work_dir: tempfile::TempDir,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), Error>>,
}

impl Harness {
    /// Starts one with two slots after `prepare` has told the dispatcher what to do.
    pub async fn start(script: Script, prepare: impl FnOnce(&mut Seen)) -> Self {
        Self::start_with(script, Box::new(LongPoll::new(Duration::from_millis(500))), prepare).await
    }

    /// The same with other wake-ups.
    pub async fn start_with(
        script: Script,
        wakeups: Box<dyn WakeUps>,
        prepare: impl FnOnce(&mut Seen),
    ) -> Self {
        let dispatcher = Dispatcher::start().await;
        prepare(&mut dispatcher.seen());
        let work_dir = tempfile::tempdir().unwrap();
        let launcher = FakeLauncher::playing(script);
        let shutdown = CancellationToken::new();
        let config = config(&dispatcher, work_dir.path().join("worker"));
        let running = tokio::spawn(run_with(
            config,
            Arc::clone(&launcher) as Arc<dyn Launcher>,
            wakeups,
            shutdown.clone(),
        ));
        Self { dispatcher, launcher, work_dir, shutdown, running }
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(self) -> Dispatcher {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(20), self.running)
            .await
            .expect("the wrapper stops")
            .unwrap()
            .unwrap();
        let left: Vec<_> = std::fs::read_dir(self.work_dir.path().join("worker"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["lock"], "nothing of any attempt stays on the disk");
        self.dispatcher
    }
}

/// A configuration for two slots, with everything at the fake.
pub fn config(dispatcher: &Dispatcher, work_dir: std::path::PathBuf) -> Config {
    let url: Url = format!("http://{}/", dispatcher.address).parse().unwrap();
    Config {
        dispatcher: url.clone(),
        task_api: url.clone(),
        query: url.clone(),
        egress: None,
        object_store: ObjectStore {
            endpoint: url,
            region: "us-east-1".to_owned(),
            addressing: Addressing::Path,
        },
        identity: Secret::new("worker-identity".to_owned()),
        work_dir,
        slots: NonZeroUsize::new(2).unwrap(),
        cache_bytes: 1 << 20,
        claim_wait_ms: 500,
        drain_ms: 300,
        secrets: Default::default(),
        wake_ups: trace_worker_wrapper::wakeups::Source::Dispatcher,
        health: None,
        launcher: LauncherSettings::Process,
        transport: Default::default(),
        ready_file: None,
        ca_file: None,
        plain_http: Default::default(),
        sandbox: SandboxSettings::default(),
    }
}

/// A bundle with these files.
pub fn bundle(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The smallest bundle of Python code.
pub fn python() -> Vec<u8> {
    bundle(&[("main.py", "pass")])
}

/// Makes tasks t1 to this one ready.
pub fn ready(count: i64) -> impl FnOnce(&mut Seen) {
    move |seen| {
        for task in 1..=count {
            seen.add_task(task, &python());
        }
    }
}
