//! Files with tokens of identities: mode 0600, written in one step.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use trace_contracts::Secret;

/// Writes `NAME.token` into the folder, which is made (mode 0700) where it is absent. What lies there under that
/// name is replaced: a token that the database does not know is worth nothing.
pub(super) fn write(folder: &Path, name: &str, token: &Secret<String>) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join(format!("{name}.token"));
    let made = folder.join(format!(".{name}.{}", uuid::Uuid::new_v4()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made)?;
    file.write_all(token.expose().as_bytes()).and_then(|()| file.sync_all())?;
    fs::rename(&made, &path)?;
    // The name has to last before the database believes the token.
    fs::File::open(folder)?.sync_all()?;
    Ok(path)
}
