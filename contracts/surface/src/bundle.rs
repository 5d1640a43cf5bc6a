//! Bundles on this machine's disk.
//!
//! What a bundle may hold, and how much of it, is decided in [`trace_bundle`], by which the dispatcher has examined it
//! before. Here every file is created anew in a fresh folder, and no link is ever made or followed.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use trace_bundle::{BundlePath, Rules, Sink};
use trace_contracts::wire::worker::Language;

/// Why a bundle was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is in it.
    #[error(transparent)]
    Bundle(#[from] trace_bundle::Error),
    /// This machine's disk.
    #[error("unpacking to {path}: {source}", path = path.display())]
    Disk {
        /// What was written.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    /// Whether it is this machine's fault, not the bundle's.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::Disk { .. })
    }
}

/// Unpacks `archive` into `folder`, which is created and must not exist, and checks that there is
/// something to run. Files are readable and not writable, and `main` is executable. Answers the
/// bytes written. On an error, `folder` holds a part and is the caller's to remove.
///
/// # Errors
/// Says what is wrong; see [`Error`].
pub fn unpack(archive: File, folder: &Path, language: Language, rules: &Rules) -> Result<u64, Error> {
    let packed = archive.metadata().map_err(disk(folder))?.len();
    let mut unpacking = Unpacking { folder, file: None };
    trace_bundle::read(archive, packed, language, rules, &mut unpacking)
}

/// Writes what it is given below a folder.
struct Unpacking<'a> {
    folder: &'a Path,
    /// What is written now.
    file: Option<Written>,
}

struct Written {
    path: PathBuf,
    file: File,
    mode: u32,
}

impl Sink for Unpacking<'_> {
    type Error = Error;

    fn folder(&mut self, path: &BundlePath) -> Result<(), Error> {
        create_folder(&self.folder.join(path.as_path()))
    }

    fn file(&mut self, path: &BundlePath) -> Result<(), Error> {
        // The archive has no say in this; and a set-user-id bit least of all.
        let mode = if path.as_str() == "main" { 0o555 } else { 0o444 };
        let path = self.folder.join(path.as_path());
        if let Some(parent) = path.parent() {
            create_folder(parent)?;
        }
        let file = File::create_new(&path).map_err(disk(&path))?;
        self.file = Some(Written { path, file, mode });
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.file {
            Some(Written { path, file, .. }) => file.write_all(bytes).map_err(disk(path)),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        match self.file.take() {
            Some(Written { path, file, mode }) => {
                file.set_permissions(Permissions::from_mode(mode)).map_err(disk(&path))
            }
            None => Ok(()),
        }
    }
}

/// Creates a folder, and those above it that are missing, for the sandbox's user to read whatever
/// the umask is.
fn create_folder(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folder(parent)?;
    }
    fs::create_dir(folder).map_err(disk(folder))?;
    fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(disk(folder))
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { path, source }
}

#[cfg(test)]
mod tests;
