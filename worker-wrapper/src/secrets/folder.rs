//! Secrets in a folder of this machine: a file for each, named `ORG/NAME`, such as `o1/warehouse`.
//!
//! Nobody but this program's user may read them or put others in their place: folders are 0700, files 0600, all of that
//! user, and no links. A file is read at each launch, so that a new value counts from the next one on.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use tokio::task::spawn_blocking;
use trace_contracts::{Name, OrgId, Secret};

use super::{Error, SecretStore, value};
use crate::logs::LONGEST_SECRET;

/// What group and others must not have.
const OTHERS: u32 = 0o077;

/// A folder or a file of secrets that somebody else could read or change.
#[derive(Debug, thiserror::Error)]
pub enum NotPrivate {
    /// Its mode.
    #[error("{path} is open to others: run `chmod {wanted:o} {path}`", path = .path.display())]
    Open {
        /// Where.
        path: PathBuf,
        /// The mode that it should have.
        wanted: u32,
    },
    /// Its owner.
    #[error("{path} belongs to another user: run `chown {user} {path}`", path = .path.display())]
    Foreign {
        /// Where.
        path: PathBuf,
        /// This program's user.
        user: u32,
    },
    /// A link, or another kind of thing.
    #[error("{} is not what it should be: links are not followed, `ORG` is a folder and `ORG/NAME` a file", .0.display())]
    Kind(PathBuf),
    /// It can't be looked at.
    #[error("{path} can't be read: {reason}", path = .path.display())]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
}

/// A folder of secrets.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The secrets of this folder.
    ///
    /// # Errors
    /// When somebody else could read or change it.
    pub fn open(path: PathBuf) -> Result<Self, NotPrivate> {
        check_folder(&path)?;
        Ok(Self { path })
    }
}

#[async_trait]
impl SecretStore for Folder {
    async fn value(&self, org: OrgId, name: &Name) -> Result<Secret<String>, Error> {
        let (place, base, org) =
            (format!("{org}/{name}"), self.path.clone(), self.path.join(org.to_string()));
        let file = org.join(&**name);
        let reading = spawn_blocking(move || read(&base, &org, &file));
        // It fails when this program stops in the middle.
        let read = reading.await.map_err(|error| Error::away(name, error))?;
        let bytes = read.map_err(|why| explain(&place, name, &why))?;
        value::parse(bytes).map_err(|why| Error::unavailable(name, why))
    }
}

/// The log has the path and what to do about it; the task's owner is told what concerns them.
fn explain(place: &str, name: &Name, why: &NotPrivate) -> Error {
    tracing::error!(secret = place, error = %why, "a secret can't be read");
    match why {
        NotPrivate::Unreadable { reason, .. } if reason.kind() == io::ErrorKind::NotFound => {
            let how = format!(
                "an operator of the platform writes it to `{place}` in the worker's folder of secrets"
            );
            Error::unavailable(name, format!("is not there: {how}"))
        }
        NotPrivate::Unreadable { .. } => {
            Error::unavailable(name, "can't be read from the worker's disk; the log of the worker says why")
        }
        NotPrivate::Open { .. } | NotPrivate::Foreign { .. } | NotPrivate::Kind(_) => {
            let why = "is not used: others could read or change it; the log of the worker says what to do";
            Error::unavailable(name, why)
        }
    }
}

fn read(base: &Path, org: &Path, file: &Path) -> Result<Vec<u8>, NotPrivate> {
    check_folder(base)?;
    match check_folder(org) {
        // Who is told the path is to make the file, and with it the folder.
        Err(NotPrivate::Unreadable { reason, .. }) if reason.kind() == io::ErrorKind::NotFound => {
            return Err(NotPrivate::Unreadable { path: file.to_owned(), reason });
        }
        checked => checked?,
    }
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(file);
    let opened: File = opened.map_err(|reason| match reason.raw_os_error() {
        Some(libc::ELOOP) => NotPrivate::Kind(file.to_owned()),
        _ => NotPrivate::Unreadable { path: file.to_owned(), reason },
    })?;
    let metadata = opened.metadata().map_err(unreadable(file))?;
    if !metadata.is_file() {
        return Err(NotPrivate::Kind(file.to_owned()));
    }
    check_mode(file, &metadata, 0o600)?;
    let mut bytes = Vec::new();
    // With the line feed that editors add, and one more byte by which it is too long.
    opened.take(LONGEST_SECRET as u64 + 2).read_to_end(&mut bytes).map_err(unreadable(file))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(bytes)
}

fn check_folder(path: &Path) -> Result<(), NotPrivate> {
    let metadata = fs::symlink_metadata(path).map_err(unreadable(path))?;
    if !metadata.is_dir() {
        return Err(NotPrivate::Kind(path.to_owned()));
    }
    check_mode(path, &metadata, 0o700)
}

fn check_mode(path: &Path, metadata: &Metadata, wanted: u32) -> Result<(), NotPrivate> {
    let user = nix::unistd::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(NotPrivate::Foreign { path: path.to_owned(), user });
    }
    if metadata.mode() & OTHERS != 0 {
        return Err(NotPrivate::Open { path: path.to_owned(), wanted });
    }
    Ok(())
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> NotPrivate {
    let path = path.to_owned();
    move |reason| NotPrivate::Unreadable { path, reason }
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

    use tempfile::TempDir;

    use super::*;

    const VALUE: &str = "correct-horse-battery";

    /// A folder with the secret `warehouse` of org `o1`.
    fn folder() -> TempDir {
        let folder = TempDir::new().unwrap();
        set_mode(folder.path(), 0o700);
        let org = folder.path().join("o1");
        fs::create_dir(&org).unwrap();
        set_mode(&org, 0o700);
        write(&org.join("warehouse"), VALUE);
        folder
    }

    fn write(path: &Path, value: &str) {
        fs::write(path, value).unwrap();
        set_mode(path, 0o600);
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// What the log says.
    fn logged(folder: &TempDir, name: &str) -> String {
        let org = folder.path().join("o1");
        super::read(folder.path(), &org, &org.join(name)).unwrap_err().to_string()
    }

    async fn read(folder: &TempDir, org: i64, name: &str) -> Result<String, String> {
        let store = Folder { path: folder.path().to_owned() };
        let value = store.value(OrgId::from_db(org), &name.parse().unwrap()).await;
        value.map(|value| value.expose().clone()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_secret_is_its_orgs_and_a_new_value_counts_at_once() {
        let folder = folder();
        assert_eq!(read(&folder, 1, "warehouse").await.unwrap(), VALUE);
        write(&folder.path().join("o1/warehouse"), "another-value\n");
        assert_eq!(read(&folder, 1, "warehouse").await.unwrap(), "another-value", "without the line feed");
        for (org, name) in [(1, "other"), (2, "warehouse")] {
            let absent = read(&folder, org, name).await.unwrap_err();
            assert!(absent.contains(&format!("writes it to `o{org}/{name}`")), "{absent}");
        }
    }

    #[tokio::test]
    async fn what_others_could_read_or_change_is_not_used_and_the_error_says_what_to_do() {
        let folder = folder();
        let org = folder.path().join("o1");
        for (path, mode, back) in [
            (folder.path().to_owned(), 0o750, 0o700),
            (org.clone(), 0o711, 0o700),
            (org.join("warehouse"), 0o640, 0o600),
            (org.join("warehouse"), 0o604, 0o600),
        ] {
            set_mode(&path, mode);
            let refused = read(&folder, 1, "warehouse").await.unwrap_err();
            assert!(refused.contains("others could read or change it"), "{mode:o}: {refused}");
            let logged = logged(&folder, "warehouse");
            assert!(logged.contains(&format!("chmod {back:o} {}", path.display())), "{mode:o}: {logged}");
            assert!(!logged.contains(VALUE));
            set_mode(&path, back);
        }
        assert!(read(&folder, 1, "warehouse").await.is_ok(), "all is well again");
        set_mode(folder.path(), 0o755);
        assert!(Folder::open(folder.path().to_owned()).unwrap_err().to_string().contains("chmod 700"));
    }

    #[tokio::test]
    async fn links_and_folders_are_no_secrets() {
        let folder = folder();
        let org = folder.path().join("o1");
        std::os::unix::fs::symlink(org.join("warehouse"), org.join("link")).unwrap();
        fs::create_dir(org.join("inner")).unwrap();
        std::os::unix::fs::symlink(&org, folder.path().join("o2")).unwrap();
        for (number, name) in [(1, "link"), (1, "inner"), (2, "warehouse")] {
            let refused = read(&folder, number, name).await.unwrap_err();
            assert!(refused.contains("is not used"), "{refused}");
        }
        write(&org.join("long"), &"x".repeat(LONGEST_SECRET + 1));
        assert!(read(&folder, 1, "long").await.unwrap_err().contains("16 KiB"));
        write(&org.join("longest"), &format!("{}\n", "x".repeat(LONGEST_SECRET)));
        assert!(read(&folder, 1, "longest").await.is_ok());
    }
}
