//! The folder that `trace up` keeps everything in.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be made, or read.
    #[error("{path} can't be used: {source}", path = .path.display())]
    Io {
        /// The folder, or what is in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no folder of this user's own.
    #[error("{} is not a folder of yours: name another one with --data-dir", .0.display())]
    Foreign(PathBuf),
    /// Others may look into it.
    #[error("{path} is open to others: run `chmod 700 {path}`, or name another one with --data-dir", path = .0.display())]
    Open(PathBuf),
    /// Another `trace up` runs on it.
    #[error("another `trace up` runs on {}: stop it first, or name another folder with --data-dir", .0.display())]
    Taken(PathBuf),
}

/// The folder, held by this process alone while this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Released by the kernel however this process ends.
    _lock: Flock<fs::File>,
}

impl DataDir {
    /// Makes the folder (mode 0700) where it is absent, and takes its lock.
    ///
    /// # Errors
    /// When others can look into it, or another process has it.
    pub fn take(path: &Path) -> Result<Self, Error> {
        private_folder(path)?;
        let path = path.canonicalize().map_err(at(path))?;
        let found = fs::metadata(&path).map_err(at(&path))?;
        if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
            return Err(Error::Foreign(path));
        }
        if found.mode() & 0o077 != 0 {
            return Err(Error::Open(path));
        }
        let _lock = lock(&path)?;
        Ok(Self { path, _lock })
    }

    /// The folder itself, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it, made (mode 0700) where it is absent.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        private_folder(&path)?;
        Ok(path)
    }
}

fn private_folder(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))
}

fn lock(folder: &Path) -> Result<Flock<fs::File>, Error> {
    let path = folder.join("up.lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(at(&path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => Error::Taken(folder.to_owned()),
        other => at(&path)(other.into()),
    })
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_process_has_it_at_a_time() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/data");
        let first = DataDir::take(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert!(matches!(DataDir::take(&path), Err(Error::Taken(_))));
        drop(first);
        assert!(DataDir::take(&path).is_ok());
    }

    #[test]
    fn nobody_else_may_look_into_it() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("data");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(DataDir::take(&path), Err(Error::Open(_))));
        fs::write(outer.path().join("file"), "").unwrap();
        assert!(matches!(DataDir::take(&outer.path().join("file")), Err(Error::Io { .. })));
    }
}
