//! Readiness by a file, for whatever watches over a service without asking it by HTTP: it is there while the service
//! is ready, and its time says when that was last so.
//!
//! A service that was killed leaves its file behind. So [`check`] looks at the file's time too, and a service removes
//! what it finds as it starts.

use std::{
    fs::{File, FileTimes},
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often readiness is looked at.
const EVERY: Duration = Duration::from_secs(5);
/// [`check`] believes a file for this long: three looks that failed, and a little.
pub const FRESH_FOR: Duration = Duration::from_secs(20);

/// Whether a service takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// Not now.
    NotReady,
}

/// Why a service is not known to be ready.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be looked at; where there is none, the service is not ready.
    #[error("not ready: {path}: {source}", path = .path.display())]
    Absent {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was written too long ago.
    #[error("not ready: {path} was last written {age} s ago", path = .path.display(), age = .age.as_secs())]
    Stale {
        /// The file.
        path: PathBuf,
        /// Since it was written.
        age: Duration,
    },
}

/// Keeps the file as `look` says, until `stop`; then it is gone.
pub async fn keep<L>(path: PathBuf, look: impl Fn() -> L, stop: CancellationToken)
where
    L: Future<Output = Readiness>,
{
    keep_looking(path, look, stop, EVERY).await;
}

/// The same at another interval.
pub async fn keep_looking<L>(path: PathBuf, look: impl Fn() -> L, stop: CancellationToken, every: Duration)
where
    L: Future<Output = Readiness>,
{
    remove(&path);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let looked = async {
            ticks.tick().await;
            look().await
        };
        tokio::select! {
            readiness = looked => show(&path, readiness),
            () = stop.cancelled() => return remove(&path),
        }
    }
}

/// Whether the service that keeps this file is ready, for the command that a container's health check runs.
///
/// # Errors
/// When it is not known to be.
pub fn check(path: &Path) -> Result<(), Error> {
    let absent = |source| Error::Absent { path: path.to_owned(), source };
    let written = std::fs::metadata(path).and_then(|found| found.modified()).map_err(absent)?;
    // A file from the future is as good as new: the clock was set back.
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    if age > FRESH_FOR { Err(Error::Stale { path: path.to_owned(), age }) } else { Ok(()) }
}

/// [`check`] as the status of a program, which says on standard error why it is not ready.
#[must_use]
pub fn exit_code(path: &Path) -> ExitCode {
    match check(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn show(path: &Path, readiness: Readiness) {
    match readiness {
        Readiness::Ready => {
            let now = FileTimes::new().set_modified(SystemTime::now());
            if let Err(error) = File::create(path).and_then(|file| file.set_times(now)) {
                tracing::error!(path = %path.display(), %error, "`ready_file` can't be written: whoever looks at it takes this service for dead");
            }
        }
        Readiness::NotReady => remove(path),
    }
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::error!(path = %path.display(), %error, "`ready_file` can't be removed: whoever looks at it takes this service for ready");
        }
        _ => {}
    }
}
