//! The wrapper's folder: locked against a second wrapper, and swept at start-up, so that nothing of
//! a run that ended in the middle of anything is ever taken for something.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::cache;

/// Why there is no folder to work in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another wrapper has it.
    #[error("{} is used by another worker; give each worker a `work_dir` of its own", .0.display())]
    Taken(PathBuf),
    /// The disk refuses.
    #[error("{path}: {source}", path = path.display())]
    Disk {
        /// What was touched.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Folders of this wrapper alone, empty at first; emptied again when dropped.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// One folder for each attempt.
    pub(crate) attempts: PathBuf,
    /// Shared content.
    pub(crate) cache: PathBuf,
    /// Held for as long as this process lives.
    _lock: File,
}

impl Workspace {
    /// Takes the folder, which is created if it is not there.
    ///
    /// # Errors
    /// When another wrapper has it, or the disk refuses.
    pub(crate) fn take(folder: &Path) -> Result<Self, Error> {
        let create =
            |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(disk(path));
        create(folder)?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(disk(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::Taken(folder.to_owned()),
            TryLockError::Error(source) => Error::Disk { path: lock_path, source },
        })?;
        let workspace = Self { attempts: folder.join("attempts"), cache: folder.join("cache"), _lock: lock };
        for path in workspace.folders() {
            cache::remove(path).map_err(disk(path))?;
            create(path)?;
        }
        Ok(workspace)
    }

    fn folders(&self) -> [&PathBuf; 2] {
        [&self.attempts, &self.cache]
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        for path in self.folders() {
            if let Err(error) = cache::remove(path) {
                tracing::warn!(path = %path.display(), %error, "stays until the next start");
            }
        }
    }
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_taken_once_and_starts_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker");
        let first = Workspace::take(&path).unwrap();
        fs::create_dir_all(first.attempts.join("a1/files")).unwrap();
        assert!(matches!(Workspace::take(&path), Err(Error::Taken(_))));
        // As a crash would leave it: without the sweep of an orderly end.
        std::mem::forget(first);
        let crashed = folder.path().join("crashed");
        fs::create_dir_all(crashed.join("attempts/a1/files")).unwrap();
        let next = Workspace::take(&crashed).unwrap();
        assert_eq!(fs::read_dir(&next.attempts).unwrap().count(), 0);
    }
}
