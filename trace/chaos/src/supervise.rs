//! Processes that are started again when they end, as a service manager does, and killed, stopped and
//! continued by their own number.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::Command,
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// A process that ended is started again after this time.
const RESTART: Duration = Duration::from_millis(150);

/// How to start it.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// For messages and the log's name.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<PathBuf>,
    /// Besides an empty environment.
    pub environment: Vec<(&'static str, PathBuf)>,
    /// Where it is started.
    pub folder: PathBuf,
    /// Whom it runs as; this process's user when absent.
    pub account: Option<(u32, u32)>,
    /// What it says goes there.
    pub log: PathBuf,
}

/// One process, over and over.
#[derive(Debug)]
pub struct Supervised {
    name: String,
    shared: Arc<Shared>,
    _watching: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    wanted: Wanted,
    not_before: Instant,
    pid: Option<u32>,
    /// Every number that it had.
    pids: Vec<u32>,
    /// Stopped, and to be continued.
    paused: Vec<u32>,
    last_end: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Running,
    Ended,
}

impl Supervised {
    /// Starts it.
    #[must_use]
    pub fn start(recipe: Recipe) -> Self {
        let state = State {
            wanted: Wanted::Running,
            not_before: Instant::now(),
            pid: None,
            pids: Vec::new(),
            paused: Vec::new(),
            last_end: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() });
        let watching = AbortOnDropHandle::new(tokio::spawn(watch(recipe.clone(), Arc::clone(&shared))));
        Self { name: recipe.name, shared, _watching: watching }
    }

    /// `SIGKILL`, and up again after `down`.
    pub fn kill(&self, down: Duration) {
        let mut state = self.shared.state();
        state.not_before = Instant::now() + down;
        if let Some(pid) = state.pid {
            signal(pid, Signal::SIGKILL);
        }
    }

    /// `SIGSTOP` for it and its children.
    pub fn pause(&self) {
        let mut state = self.shared.state();
        let Some(pid) = state.pid else { return };
        signal(pid, Signal::SIGSTOP);
        let children = children(pid);
        children.iter().for_each(|child| signal(*child, Signal::SIGSTOP));
        state.paused.push(pid);
        state.paused.extend(children);
    }

    /// `SIGCONT` for whatever was stopped, even where its parent is gone by now.
    pub fn resume(&self) {
        self.shared.state().paused.drain(..).for_each(|pid| signal(pid, Signal::SIGCONT));
    }

    /// Asks it to end, and waits until it has; it is not started again. Answers what its end looked like.
    ///
    /// # Errors
    /// When it does not end in time; it is killed then.
    pub async fn stop(&self, with: Signal, patience: Duration) -> anyhow::Result<String> {
        {
            let mut state = self.shared.state();
            state.wanted = Wanted::Ended;
            if let Some(pid) = state.pid {
                signal(pid, with);
            }
        }
        self.shared.changed.notify_waiters();
        let ended = async {
            loop {
                let changed = self.shared.changed.notified();
                if self.pid().is_none() {
                    return;
                }
                changed.await;
            }
        };
        if timeout(patience, ended).await.is_err() {
            if let Some(pid) = self.pid() {
                signal(pid, Signal::SIGKILL);
            }
            bail!("{} did not end within {patience:?} of {with}", self.name);
        }
        Ok(self.shared.state().last_end.clone().unwrap_or_default())
    }

    /// Starts it again after [`stop`](Self::stop).
    pub fn again(&self) {
        self.shared.state().wanted = Wanted::Running;
        self.shared.changed.notify_waiters();
    }

    /// Its number while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.shared.state().pid
    }

    /// Every number that it had.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.shared.state().pids.clone()
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.wanted = Wanted::Ended;
        if let Some(pid) = state.pid {
            signal(pid, Signal::SIGKILL);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until_wanted(&self) {
        loop {
            let changed = self.changed.notified();
            let (wanted, not_before) = {
                let state = self.state();
                (state.wanted, state.not_before)
            };
            match wanted {
                Wanted::Running if not_before <= Instant::now() => return,
                Wanted::Running => sleep_until(not_before).await,
                Wanted::Ended => changed.await,
            }
        }
    }
}

async fn watch(recipe: Recipe, shared: Arc<Shared>) {
    loop {
        shared.until_wanted().await;
        let end = match run_once(&recipe, &shared).await {
            Ok(end) => end,
            Err(error) => format!("{error:#}"),
        };
        {
            let mut state = shared.state();
            state.pid = None;
            state.last_end = Some(end);
            state.not_before = state.not_before.max(Instant::now() + RESTART);
        }
        shared.changed.notify_waiters();
    }
}

async fn run_once(recipe: &Recipe, shared: &Shared) -> anyhow::Result<String> {
    let log = File::options().create(true).append(true).open(&recipe.log)?;
    // It dies with the harness, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some((uid, gid)) = recipe.account {
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    command.arg("--").args(&recipe.command).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.envs(recipe.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(&recipe.folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn().with_context(|| format!("{} can't be started", recipe.name))?;
    if let Some(pid) = child.id() {
        let mut state = shared.state();
        state.pid = Some(pid);
        state.pids.push(pid);
        if state.wanted == Wanted::Ended {
            signal(pid, Signal::SIGKILL);
        }
    }
    let status = child.wait().await?;
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    })
}

fn signal(pid: u32, with: Signal) {
    let Ok(pid) = i32::try_from(pid) else { return };
    if let Err(error) = kill(Pid::from_raw(pid), with) {
        tracing::debug!(pid, %with, %error, "a process was gone already");
    }
}

/// The processes that this one has started.
#[must_use]
pub fn children(of: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent(*pid) == Some(of)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the parent is the second field after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
