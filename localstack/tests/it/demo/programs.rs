//! Programs of this workspace, as they are installed: started with nothing of this process's environment, stopped as
//! an orchestrator stops them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use trace_localstack::until;

/// A program beside the tests, which are one folder deeper.
pub fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = this.ancestors().nth(2).unwrap().join(name);
    assert!(
        path.is_file(),
        "`{name}` is not built: `cargo build --workspace --exclude trace-hostile` does it"
    );
    path
}

/// Runs one to its end, which must be a good one.
pub async fn run(mut command: Command) -> Output {
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap());
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A command with nothing but the search path, which a worker finds the interpreter by.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
    command
}

/// One that runs. It is told to stop when this is dropped, and waited for.
pub struct Running {
    name: &'static str,
    process: Child,
    log: PathBuf,
    ready_file: PathBuf,
}

impl Running {
    /// Starts it and waits until its `ready_file` says that it is ready.
    pub async fn start(name: &'static str, arguments: &[&str], folder: &Path, ready_file: PathBuf) -> Self {
        let log = folder.join(format!("{name}.log"));
        let process = command(name)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut running = Self { name, process, log, ready_file };
        until(&format!("{name} gets ready"), async || running.is_ready().await).await.unwrap_or_else(
            |error| {
                panic!("{error}: {}", running.log());
            },
        );
        running
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// By the health check of its container.
    async fn is_ready(&mut self) -> anyhow::Result<Option<()>> {
        if let Some(status) = self.process.try_wait()? {
            anyhow::bail!("{} has ended with {status}", self.name);
        }
        let mut asked = command(self.name);
        asked.arg("ready").arg(&self.ready_file).stderr(Stdio::null());
        let status = tokio::task::spawn_blocking(move || asked.status()).await??;
        Ok(status.success().then_some(()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing else has this process id until we have waited for it.
        let id = nix::unistd::Pid::from_raw(self.process.id().cast_signed());
        let _gone_already = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
        let _ended = self.process.wait();
        if std::thread::panicking() {
            eprintln!("{}: {}", self.name, self.log());
        }
    }
}
