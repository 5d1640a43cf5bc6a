//! A platform of the test's own, and the command line that talks to it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

/// A `trace up` on a folder that goes with it.
pub struct Platform {
    folder: tempfile::TempDir,
    /// What `trace up` is given beside its folder.
    more: Vec<String>,
    up: Child,
}

impl Platform {
    /// Starts one and waits until it says that it is ready.
    pub fn start() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), &[])
    }

    /// Starts one whose egress gateway has this file of its operator.
    pub fn with_egress_policy(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("egress.json");
        fs::write(&path, policy).unwrap();
        Self::in_folder(folder, &["--egress-policy", path.to_str().unwrap()])
    }

    /// Starts one whose egress gateway has this file of its operator, and believes these authorities.
    pub fn with_receivers(policy: &str, authorities: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (policy_file, ca_file) = (folder.path().join("egress.json"), folder.path().join("ca.pem"));
        fs::write(&policy_file, policy).unwrap();
        fs::write(&ca_file, authorities).unwrap();
        let files =
            ["--egress-policy", policy_file.to_str().unwrap(), "--egress-ca", ca_file.to_str().unwrap()];
        Self::in_folder(folder, &files)
    }

    fn in_folder(folder: tempfile::TempDir, more: &[&str]) -> Self {
        let more: Vec<String> = more.iter().map(|&text| text.to_owned()).collect();
        let up = start_on(&folder.path().join("data"), &more);
        Self { folder, more, up }
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The platform's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The process id of `trace up`.
    pub fn pid(&self) -> u32 {
        self.up.id()
    }

    /// Ends the platform without a word, as a power cut would, and starts it again.
    pub fn crash_and_restart(&mut self) {
        self.up.kill().unwrap();
        self.up.wait().unwrap();
        self.up = start_on(&self.data(), &self.more);
    }

    /// Runs a command as the admin of `main`.
    pub fn trace(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command as the admin of `rival`.
    pub fn trace_as_rival(&self, args: &[&str]) -> Output {
        let token = fs::read_to_string(self.data().join("tokens/rival-admin.jwt")).unwrap();
        self.command(args).env("TRACE_TOKEN", token).output().unwrap()
    }

    /// A command, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trace"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_remove("TRACE_URL")
            .env_remove("TRACE_TOKEN")
            .env("TRACE_DATA_DIR", self.data());
        command
    }

    /// Runs a command that must succeed, and reads the JSON that it prints.
    pub fn json(&self, args: &[&str]) -> Value {
        json(&self.trace(args))
    }

    /// Writes a DAG with one Python UDF a job, and deploys it.
    pub fn deploy_python(&self, name: &str, jobs: &str, udfs: &[(&str, &str)]) {
        json(&self.try_deploy_python(name, jobs, udfs));
    }

    /// The same, which may be refused.
    pub fn try_deploy_python(&self, name: &str, jobs: &str, udfs: &[(&str, &str)]) -> Output {
        let dag = self.folder.path().join(name);
        for (udf, source) in udfs {
            fs::create_dir_all(dag.join(udf)).unwrap();
            fs::write(dag.join(udf).join("main.py"), source).unwrap();
        }
        fs::write(dag.join("dag.yaml"), format!("name: {name}\njobs:\n{jobs}")).unwrap();
        self.trace(&["deploy", &format!("{name}/dag.yaml"), "--json"])
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // Nothing else has this process id until we have waited for it.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.up.id()).unwrap());
        let _already_gone = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
        let status = self.up.wait();
        if !std::thread::panicking() {
            assert!(status.unwrap().success(), "the platform stops cleanly");
        }
    }
}

/// The JSON on the standard output of a command that succeeded.
pub fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a command wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn start_on(data: &Path, more: &[String]) -> Child {
    let mut up = Command::new(env!("CARGO_BIN_EXE_trace"))
        .args(["up", "--listen", "127.0.0.1:0", "--org", "main", "--org", "rival", "--data-dir"])
        .arg(data)
        .args(more)
        .env_remove("TRACE_URL")
        .env_remove("TRACE_TOKEN")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Unwrap safety: it was asked for just above.
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    let ready = lines.next().transpose().unwrap();
    assert!(ready.as_deref().is_some_and(|line| line.starts_with("ready http://")), "got {ready:?}");
    up
}
