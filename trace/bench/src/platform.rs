//! A platform to measure: `trace up` in release, on a data folder of its own, and its command line.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

/// A `trace up` that ends, and whose data goes, with this.
pub struct Platform {
    folder: TempDir,
    trace: PathBuf,
    up: Child,
}

impl Platform {
    /// Starts the `trace` beside this program, and waits until it is ready.
    pub fn start() -> anyhow::Result<Self> {
        let trace = env::current_exe()?.with_file_name("trace");
        ensure!(trace.is_file(), "{} is missing: `make bench` builds it", trace.display());
        let folder = tempfile::Builder::new().prefix("trace-bench.").tempdir()?;
        let log = File::create(folder.path().join("up.log"))?;
        let mut up = on_data(Command::new(&trace), folder.path())
            .args(["up", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let said = up.stdout.take();
        let platform = Self { folder, trace, up };
        let line = said.and_then(|stdout| BufReader::new(stdout).lines().next()).transpose()?;
        if !line.as_deref().is_some_and(|line| line.starts_with("ready ")) {
            bail!("the platform did not get ready: {}", platform.log());
        }
        Ok(platform)
    }

    /// A folder for the benchmark's own files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The platform's data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The process that `trace up` is.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.up.id()
    }

    /// Everything that the platform has written to standard error.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("up.log")).unwrap_or_default()
    }

    /// Runs a command with `--json`, and reads what it prints.
    pub fn json<T: DeserializeOwned>(&self, arguments: &[impl AsRef<OsStr>]) -> anyhow::Result<T> {
        let mut command = on_data(Command::new(&self.trace), self.folder.path());
        let output = command.args(arguments).arg("--json").current_dir(self.folder.path()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} failed: {said}");
        serde_json::from_slice(&output.stdout).with_context(|| format!("what {command:?} printed"))
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.up.id()) {
            // Nothing else has this number before it was waited for.
            let _gone_already = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
        let _status = self.up.wait();
    }
}

/// What selects a platform comes from here alone.
fn on_data(mut command: Command, folder: &Path) -> Command {
    command.env("TRACE_DATA_DIR", folder.join("data")).env_remove("TRACE_URL").env_remove("TRACE_TOKEN");
    command
}
