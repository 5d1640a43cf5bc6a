//! The folder of the Unix socket. A socket's path has at most 107 bytes, and a data folder may be
//! deeper than that or closed to the server's user: the socket lies in a short private folder of its
//! own, and the data folder remembers which.

use std::{
    fs::Permissions,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use tempfile::TempDir;

use super::{Error, account::Account, cluster};

/// Only the socket's name has it: `.s.PGSQL.5432`.
pub(super) const PORT: u16 = 5432;

/// Short, and still there when the user has logged out, which `/run/user/…` is not.
const BASE: &str = "/tmp";

const PREFIX: &str = "trace-pg-";

/// The folder; removed when it is dropped.
pub(super) struct SocketFolder(TempDir);

impl SocketFolder {
    /// Makes a folder that only the server's user, and root, can enter, and removes the one of an
    /// earlier start that did not end well.
    pub(super) fn create(folder: &Path, account: &Account) -> Result<Self, Error> {
        let note = folder.join("socket");
        remove_old(&note, account);
        let mut builder = tempfile::Builder::new();
        let private = builder.prefix(PREFIX).permissions(Permissions::from_mode(0o700));
        let made = private.tempdir_in(BASE).map_err(Error::io(Path::new(BASE)))?;
        cluster::give(made.path(), account)?;
        std::fs::write(&note, made.path().as_os_str().as_encoded_bytes()).map_err(Error::io(&note))?;
        Ok(Self(made))
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Removes the folder that the note names, if it is one of ours.
fn remove_old(note: &Path, account: &Account) {
    let Ok(old) = std::fs::read_to_string(note) else { return };
    let old = Path::new(&old);
    let is_ours = old.is_absolute()
        && old.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX))
        && old.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == account.uid.as_raw());
    if is_ours && let Err(error) = std::fs::remove_dir_all(old) {
        tracing::warn!(%error, folder = %old.display(), "an old socket folder could not be removed");
    }
}
