//! What is measured beside Trace, in the same run: programs of the machine.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

/// The program alone.
pub fn plain(program: &Path) -> Command {
    Command::new(program)
}

/// The program in bubblewrap: every namespace, a root with nothing but the program, and what a program
/// expects to find (`/proc`, `/dev`, `/tmp`). It has no limits, no system call filter and no Landlock.
pub fn bubblewrap(program: &Path) -> Command {
    let mut command = Command::new("bwrap");
    command
        .args(["--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--ro-bind"])
        .arg(program)
        .args(["/main", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "/main"]);
    command
}

/// The interpreter itself, behind a shim or not; found once, because a shim costs more than a start.
pub fn interpreter() -> anyhow::Result<PathBuf> {
    let question = "import os, sys; print(os.path.realpath(sys.executable), end='')";
    let output = Command::new("python3").args(["-I", "-S", "-c", question]).output()?;
    ensure!(output.status.success(), "python3 {}", output.status);
    Ok(PathBuf::from(String::from_utf8(output.stdout)?))
}

/// The interpreter alone, as people start it, with an empty program.
pub fn python(interpreter: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command.args(["-c", "pass"]);
    command
}

/// The same in bubblewrap, which shows it the whole machine.
pub fn bubblewrapped_python(interpreter: &Path) -> Command {
    let mut command = Command::new("bwrap");
    command
        .args([
            "--unshare-all",
            "--die-with-parent",
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
        ])
        .arg(interpreter)
        .args(["-c", "pass"]);
    command
}

/// Runs it to its end, and says how long that took.
pub fn run(mut command: Command) -> anyhow::Result<Duration> {
    let program = command.get_program().to_owned();
    command.stdin(Stdio::null());
    let started = Instant::now();
    let status = command.status().with_context(|| {
        format!("{} does not start: `scripts/setup.sh bench` installs it", program.display())
    })?;
    let time = started.elapsed();
    ensure!(status.success(), "{} {status}", program.display());
    Ok(time)
}
