//! A container as Fargate makes one, or an environment as Lambda does, for as far as a runner can tell: a root folder
//! of its own that is read-only but for what is meant to be written, one ordinary user without capabilities, no
//! processes but its own, and a network in which nothing answers but what the test lets through.

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, ensure};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};
use trace_surface::{
    forwarder::{Forwarders, Way},
    python::Interpreter,
};

/// What the image of the runner holds.
#[derive(Debug, Clone)]
pub struct Image {
    runner: PathBuf,
    python: Interpreter,
    sdk: PathBuf,
}

/// A container that runs. It ends when this is dropped.
pub struct Container {
    child: Child,
    _network: Forwarders,
}

/// Where a runner can write.
#[derive(Debug, Clone, Copy)]
pub enum Writable<'a> {
    /// In three volumes, as the task definition of ECS has them.
    Volumes,
    /// In `/tmp` alone, which is this folder and outlives the process, as in Lambda. The image has links into it.
    Temporary(&'a Path),
}

/// The user of the task definition.
const USER: &str = "65532";
/// Waits for its network and its variables, which no other process is started with, and becomes the runner.
const ENTRY: &str = r#"echo up; while read -r name value; do if [ "$name" = go ]; then break; fi; export "$name=$value"; done; exec /trace-runner"#;

impl Image {
    /// The runner beside this program, with this machine's Python and the SDK of this repository.
    ///
    /// # Errors
    /// When the runner is not built.
    pub fn here() -> anyhow::Result<Self> {
        let this = std::env::current_exe()?;
        let mut beside = this.ancestors().skip(1).take(2).map(|folder| folder.join("trace-runner"));
        let runner = beside.find(|path| path.is_file());
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../udf-sdk/python").canonicalize()?;
        Ok(Self {
            runner: runner
                .context("`trace-runner` is not built: `cargo build --bin trace-runner` does it")?,
            python: Interpreter::find(None)?,
            sdk,
        })
    }

    /// Starts a container with these variables and no others, from where these addresses can be reached.
    ///
    /// # Errors
    /// When bubblewrap is missing, or refuses.
    pub async fn start(
        &self,
        writable: Writable<'_>,
        variables: &[(String, String)],
        reachable: &[SocketAddr],
    ) -> anyhow::Result<Container> {
        let mut child = self
            .command(writable)?
            .spawn()
            .context("bubblewrap does not start: install the package bubblewrap")?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (mut stdin, stdout) = (stdin.context("no pipe")?, stdout.context("no pipe")?);
        let mut said = String::new();
        BufReader::new(stdout).read_line(&mut said).await?;
        ensure!(said == "up\n", "bubblewrap did not start the container");
        let outside = child.id().context("it has ended")?;
        // One service may stand for two.
        let reachable = reachable.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
        let routes = tokio::task::spawn_blocking(move || listen_inside(outside, &reachable)).await??;
        let routes = routes.into_iter().map(|(listener, address)| (listener, Way::Bytes(address.into())));
        let network = Forwarders::start(routes)?;
        let told: String = variables.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
        stdin.write_all(format!("{told}go\n").as_bytes()).await?;
        Ok(Container { child, _network: network })
    }

    fn command(&self, writable: Writable<'_>) -> anyhow::Result<Command> {
        let mut command = Command::new("/usr/bin/bwrap");
        command.args([
            "--unshare-all",
            "--die-with-parent",
            "--uid",
            USER,
            "--gid",
            USER,
            "--cap-drop",
            "ALL",
        ]);
        for shown in ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/ssl"] {
            command.args(["--ro-bind-try", shown, shown]);
        }
        // With the shared library of the interpreter, which is beside its folder.
        let prefix = self.python.executable.ancestors().nth(2).context("an interpreter without a prefix")?;
        command.arg("--ro-bind").args([prefix, prefix]);
        command.args(["--proc", "/proc", "--dev", "/dev"]);
        match writable {
            Writable::Volumes => {
                for volume in ["/task", "/out", "/tmp"] {
                    command.args(["--tmpfs", volume]);
                }
            }
            Writable::Temporary(folder) => {
                command.arg("--bind").args([folder, Path::new("/tmp")]);
                for (target, link) in [("/tmp/trace/task", "/task"), ("/tmp/trace/out", "/out")] {
                    command.args(["--symlink", target, link]);
                }
            }
        }
        command.arg("--ro-bind").args([&self.runner, Path::new("/trace-runner")]);
        command.arg("--ro-bind").args([&self.sdk, Path::new("/trace/python")]);
        command.arg("--symlink").args([&self.python.executable, Path::new("/trace/bin/python3")]);
        command.args(["--remount-ro", "/", "/bin/sh", "-c", ENTRY]);
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        Ok(command)
    }
}

/// Listens inside at the very addresses that lead there outside.
fn listen_inside(outside: u32, reachable: &[SocketAddr]) -> anyhow::Result<Vec<(OwnedFd, SocketAddr)>> {
    let reachable = reachable.to_vec();
    // A thread of its own, which ends: it does not come back from there.
    let thread = std::thread::spawn(move || -> anyhow::Result<_> {
        let children = fs::read_to_string(format!("/proc/{outside}/task/{outside}/children"))?;
        let inside = children.split_whitespace().next().context("the container has ended")?;
        setns(fs::File::open(format!("/proc/{inside}/ns/net"))?, CloneFlags::CLONE_NEWNET)?;
        let listen = |address: SocketAddr| Ok((OwnedFd::from(TcpListener::bind(address)?), address));
        reachable.into_iter().map(listen).collect()
    });
    thread.join().map_err(|_| anyhow::anyhow!("the thread panicked"))?
}

impl Container {
    /// Waits until it has ended; answers the status of the runner.
    ///
    /// # Errors
    /// When it can't be waited for.
    pub async fn ended(&mut self) -> anyhow::Result<Option<i32>> {
        Ok(self.child.wait().await?.code())
    }

    /// Ends it with all that runs in it.
    pub fn terminate(&self) {
        if let Some(pid) = self.child.id() {
            // Gone already is as good.
            let _gone = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}
