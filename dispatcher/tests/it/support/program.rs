//! The program `dispatcher` itself, with a configuration file.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use tokio::time::{interval, timeout};
use url::Url;

use super::users::{ISSUER, Issuer};

const LONG: Duration = Duration::from_secs(60);

/// A folder with a configuration, and ports to listen on.
pub struct Setting {
    pub folder: tempfile::TempDir,
    pub issuer: Issuer,
    pub users: u16,
    pub tasks: u16,
    pub workers: u16,
}

/// What differs from one test to another; lines of YAML.
pub struct Lines<'a> {
    pub database_url: &'a str,
    pub object_store: &'a str,
    pub more: &'a str,
}

impl Setting {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer = Issuer::new(&folder.path().join("issuer"));
        fs::write(folder.path().join("users.json"), issuer.jwks()).unwrap();
        let [users, tasks, workers] = std::array::from_fn(|_| trace_ports::reserve());
        Self { folder, issuer, users, tasks, workers }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration; answers where.
    pub fn write(&self, lines: &Lines<'_>) -> PathBuf {
        let Self { users, tasks, workers, .. } = self;
        let (Lines { database_url, object_store, more }, folder) = (lines, self.folder.path().display());
        let text = format!(
            "database_url: '{database_url}'\n\
             listen: {{ users: '127.0.0.1:{users}', tasks: '127.0.0.1:{tasks}', workers: '127.0.0.1:{workers}' }}\n\
             key_dir: {folder}/keys\ncapability_issuer: https://trace.example\n\
             users: {{ issuer: '{ISSUER}', jwks: {{ file: {folder}/users.json }} }}\n\
             object_store: {{ region: us-east-1, bucket: trace, {object_store} }}\n{more}"
        );
        let path = self.path("dispatcher.yaml");
        fs::write(&path, text).unwrap();
        path
    }
}

/// The program, with nothing of this process's environment.
fn program(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dispatcher"));
    command.env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

/// Runs it to its end, which comes soon.
pub async fn run(arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::from(program(&[]));
    command.args(arguments).kill_on_drop(true);
    timeout(LONG, command.output()).await.expect("it ends by itself").unwrap()
}

/// It, serving. Dropping this kills it.
pub struct Serving {
    process: Child,
    log: PathBuf,
}

impl Serving {
    pub fn start(config: &Path, variables: &[(&str, &str)]) -> Self {
        let log = config.with_extension("log");
        let process = program(variables)
            .arg("--config")
            .arg(config)
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { process, log }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it answers there that it is ready.
    pub async fn until_ready(&mut self, http: &reqwest::Client, base: &str) {
        let url: Url = format!("{base}/readyz").parse().unwrap();
        let ready = async {
            let mut again = interval(Duration::from_millis(20));
            loop {
                again.tick().await;
                if let Some(status) = self.process.try_wait().unwrap() {
                    panic!("the dispatcher ended with {status}: {}", self.log());
                }
                if http.get(url.clone()).send().await.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
            }
        };
        timeout(LONG, ready).await.unwrap_or_else(|_| panic!("it does not get ready"));
    }

    /// Stops it as an orchestrator does, and waits for its end.
    pub async fn stop(mut self) {
        let id = nix::unistd::Pid::from_raw(self.process.id().cast_signed());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        let ended = async {
            let mut again = interval(Duration::from_millis(20));
            loop {
                again.tick().await;
                if let Some(status) = self.process.try_wait().unwrap() {
                    return status;
                }
            }
        };
        let status = timeout(LONG, ended).await.expect("it ends");
        assert!(status.success(), "{status}: {}", self.log());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _ = self.process.wait();
    }
}
