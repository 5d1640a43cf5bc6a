//! The code itself: a child with nothing of the runner's but its three standard streams.

use std::{
    fs, io,
    os::unix::{fs::chown, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::resource::{Resource, setrlimit},
    unistd::geteuid,
};
use tokio::{
    process::{Child, ChildStderr, ChildStdout, Command},
    time::timeout,
};
use trace_contracts::wire::{launch::RedeemReply, launch::RunnerExit};
use trace_surface::{
    Program,
    environment::{self, deadline, of_attempt},
    folders,
    python::{self, Interpreter},
    routes::{DISPATCHER, OBJECT_STORE, QUERY},
};

/// The user that the code runs as where the runner may choose; the process sandbox's, too.
const USER: u32 = 1000;
/// As in the process sandbox, where a control group counts them.
const PROCESSES: u64 = 64;
/// Threads of the runner, for a kernel that counts them to the same user.
const OWN_THREADS: u64 = 32;
/// Open files.
const DESCRIPTORS: u64 = 1024;
/// Exactly one byte keeps the kernel from starting a program for a core.
const NO_CORE: u64 = 1;
/// The control group of this container, where it is shown.
const MEMORY_EVENTS: &str = "/sys/fs/cgroup/memory.events";

/// Why the code was not started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no interpreter in the image.
    #[error(transparent)]
    Python(#[from] python::Error),
    /// What it should be told can't be passed.
    #[error(transparent)]
    Environment(#[from] environment::Error),
    /// The kernel refuses a limit or a folder.
    #[error("the container does not allow {0}: {1}")]
    Container(&'static str, io::Error),
    /// The program can't be executed.
    #[error("the code can't be started: {0}")]
    Start(io::Error),
}

/// Code that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    timeout: Duration,
}

/// Starts the code, which may run for so long. The streams are read by the caller.
///
/// # Errors
/// See [`Error`].
pub fn start(order: &RedeemReply, time: Duration) -> Result<(Running, ChildStdout, ChildStderr), Error> {
    let program = Program::of(&order.launch.code);
    let interpreter = Interpreter::find(Some(&Path::new(folders::TOOLS).join("python3")))?;
    let given =
        of_attempt(order.attempt, &order.launch, &order.capability_token, &order.region, deadline(time));
    let routes = [DISPATCHER, QUERY, OBJECT_STORE];
    let variables = environment::variables(&given, &routes, &interpreter.python_path())?;
    let mut command = command(&program, interpreter.executable);
    command.env_clear().envs(variables).current_dir(folders::BUNDLE);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true).process_group(0);
    give_up_root(&mut command)?;
    limit(order.launch.resources.disk_bytes)?;
    let mut child = command.spawn().map_err(Error::Start)?;
    match (child.stdout.take(), child.stderr.take()) {
        (Some(stdout), Some(stderr)) => Ok((Running { child, timeout: time }, stdout, stderr)),
        _ => Err(Error::Start(io::Error::other("its streams are not there"))),
    }
}

fn command(program: &Program, interpreter: PathBuf) -> Command {
    let mut command = match program.executable() {
        Some(executable) => Command::new(executable),
        None => {
            let mut command = Command::new(interpreter);
            command.args(python::ARGUMENTS);
            command
        }
    };
    command.args(program.arguments());
    command
}

/// As root the code is another user, who can reach nothing of the runner. Where the container has one user
/// alone, the two share it: the runner has hidden what it holds.
fn give_up_root(command: &mut Command) -> Result<(), Error> {
    if !geteuid().is_root() {
        return Ok(());
    }
    for folder in [folders::OUT, folders::TMP] {
        chown(folder, Some(USER), Some(USER))
            .map_err(|error| Error::Container("giving a folder away", error))?;
    }
    command.uid(USER).gid(USER);
    Ok(())
}

/// Inherited by the code, and it can't raise them.
fn limit(disk_bytes: u64) -> Result<(), Error> {
    let limits = [
        (Resource::RLIMIT_CORE, NO_CORE),
        (Resource::RLIMIT_NOFILE, DESCRIPTORS),
        (Resource::RLIMIT_NPROC, PROCESSES + OWN_THREADS),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_FSIZE, disk_bytes),
    ];
    for (resource, value) in limits {
        setrlimit(resource, value, value)
            .map_err(|errno| Error::Container("a limit on resources", errno.into()))?;
    }
    Ok(())
}

impl Running {
    /// Waits for the code to end by itself or at its time limit. What it has started may still run.
    pub async fn ended(mut self) -> RunnerExit {
        match timeout(self.timeout, self.child.wait()).await {
            Ok(Ok(status)) => judge(status),
            Ok(Err(_)) => RunnerExit::Signal { signal: nix::libc::SIGKILL },
            Err(_elapsed) => RunnerExit::Timeout,
        }
    }
}

fn judge(status: ExitStatus) -> RunnerExit {
    match (status.code(), status.signal()) {
        (Some(0), _) => RunnerExit::Succeeded,
        // What it met explains an end that was not a good one, as in the process sandbox.
        _ if was_out_of_memory() => RunnerExit::Memory,
        (Some(status), _) => RunnerExit::Status { status },
        (None, signal) => RunnerExit::Signal { signal: signal.unwrap_or_default() },
    }
}

/// Whether a process of this container was killed for memory, as far as the container is told.
fn was_out_of_memory() -> bool {
    let events = fs::read_to_string(MEMORY_EVENTS).unwrap_or_default();
    events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_by_its_status() {
        for (raw, expected) in [
            (0, RunnerExit::Succeeded),
            (3 << 8, RunnerExit::Status { status: 3 }),
            (11, RunnerExit::Signal { signal: 11 }),
        ] {
            let status = ExitStatus::from_raw(raw);
            assert!([expected, RunnerExit::Memory].contains(&judge(status)), "{status}");
        }
        assert_eq!(judge(ExitStatus::from_raw(0)), RunnerExit::Succeeded);
    }
}
