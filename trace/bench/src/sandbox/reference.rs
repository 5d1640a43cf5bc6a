//! What the sandbox is compared with.

use std::{
    path::Path,
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
