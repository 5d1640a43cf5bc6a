//! Which platform the command line talks to, and as whom.
//!
//! `TRACE_URL` and `TRACE_TOKEN` select one; without them it is the one whose data folder is given,
//! by what `trace up` wrote there. A token found in a folder is only ever sent to the address found
//! beside it.

mod address;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use trace_contracts::Secret;
use trace_plane::{Trust, tls::TrustError};

pub use self::address::{Address, InvalidAddress};

/// The name of the file in the data folder.
const FILE_NAME: &str = "connection.json";
/// Larger than any connection file that `trace up` writes.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Why there is no platform to talk to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither the environment nor the data folder names one.
    #[error(
        "no platform found: {} is not there. Start one with `trace up --data-dir {}`, name its data folder with \
         --data-dir or TRACE_DATA_DIR, or set TRACE_URL and TRACE_TOKEN",
        .0.join(FILE_NAME).display(),
        .0.display()
    )]
    NotFound(PathBuf),
    /// An address without a token.
    #[error(
        "TRACE_URL is set and TRACE_TOKEN is not: set both, or neither to use the data folder of `trace up`"
    )]
    NoToken,
    /// The file in the data folder can't be read.
    #[error("{path} can't be read: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file in the data folder can't be written.
    #[error("{path} can't be written: {source}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds a token and others may read it.
    #[error("{path} holds a token and others can read it: run `chmod 600 {path}`", path = .0.display())]
    Exposed(PathBuf),
    /// The file is not what `trace up` writes.
    #[error("{path} is not a connection file of `trace up`: {reason}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The address is not one.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The file of `TRACE_CA_FILE` holds no authorities.
    #[error("TRACE_CA_FILE: {0}")]
    Trust(#[from] TrustError),
    /// The token can't be sent.
    #[error(
        "the token holds characters that no token has: check TRACE_TOKEN, or start `trace up` again to write a new one"
    )]
    Token,
}

/// A platform, and the token to show it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Where.
    pub address: Address,
    /// As whom.
    pub token: Secret<String>,
    /// Whose certificates are believed.
    pub trust: Trust,
}

/// What the environment says. Empty variables count as absent.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `TRACE_URL`.
    pub url: Option<String>,
    /// `TRACE_TOKEN`.
    pub token: Option<Secret<String>>,
    /// `TRACE_CA_FILE`: authorities (PEM) that are believed beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// `<data-dir>/connection.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    url: String,
    token: Secret<String>,
}

impl Environment {
    /// Reads `TRACE_URL` and `TRACE_TOKEN`.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the command line reads its environment")]
    pub fn read() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        Self {
            url: variable("TRACE_URL"),
            token: variable("TRACE_TOKEN").map(Secret::new),
            ca_file: variable("TRACE_CA_FILE").map(PathBuf::from),
        }
    }
}

impl Connection {
    /// Finds the platform: `TRACE_URL` with `TRACE_TOKEN`, else the data folder's, where
    /// `TRACE_TOKEN` alone means another user of the same platform.
    ///
    /// # Errors
    /// Says what to set or start; see [`Error`].
    pub fn find(data_dir: &Path, environment: &Environment) -> Result<Self, Error> {
        let trust = Trust::read(environment.ca_file.as_deref())?;
        let connection = match (&environment.url, &environment.token) {
            (Some(url), Some(token)) => Self { address: url.parse()?, token: token.clone(), trust },
            (Some(_), None) => return Err(Error::NoToken),
            (None, Some(token)) => Self { token: token.clone(), trust, ..Self::read(data_dir)? },
            (None, None) => Self { trust, ..Self::read(data_dir)? },
        };
        connection.with_clean_token()
    }

    /// Writes the file that [`Connection::find`] finds, readable by its owner only.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, data_dir: &Path) -> Result<(), Error> {
        let path = data_dir.join(FILE_NAME);
        let file = File { url: self.address.to_string(), token: self.token.clone() };
        write_private(&path, &serde_json::to_vec_pretty(&file).unwrap_or_default())
            .map_err(|source| Error::Write { path, source })
    }

    /// Removes the file, so that the token isn't shown to whoever listens there next.
    ///
    /// # Errors
    /// When it is there and can't be removed.
    pub fn remove(data_dir: &Path) -> Result<(), Error> {
        let path = data_dir.join(FILE_NAME);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Write { path, source }),
            _ => Ok(()),
        }
    }

    fn read(data_dir: &Path) -> Result<Self, Error> {
        let path = data_dir.join(FILE_NAME);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotFound(data_dir.to_owned()));
            }
            Err(source) => return Err(Error::Read { path, source }),
        };
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(Error::Exposed(path));
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(Error::Malformed { path, reason: "it is too large".to_owned() });
        }
        let unverified = match fs::read(&path) {
            Ok(unverified) => unverified,
            Err(source) => return Err(Error::Read { path, source }),
        };
        let file: File = serde_json::from_slice(&unverified)
            .map_err(|error| Error::Malformed { path, reason: error.to_string() })?;
        Ok(Self { address: file.url.parse()?, token: file.token, trust: Trust::default() })
    }

    fn with_clean_token(self) -> Result<Self, Error> {
        let token = self.token.expose().trim().to_owned();
        if token.is_empty() || HeaderValue::from_str(&token).is_err() {
            return Err(Error::Token);
        }
        Ok(Self { token: Secret::new(token), ..self })
    }
}

/// Writes a file that only its owner can read, in one step: readers see the old one or the new one.
///
/// # Errors
/// When it can't be written.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(url: Option<&str>, token: Option<&str>) -> Environment {
        let token = token.map(|t| Secret::new(t.to_owned()));
        Environment { url: url.map(str::to_owned), token, ca_file: None }
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        Connection {
            address: "http://127.0.0.1:7070".parse().unwrap(),
            token: Secret::new("of-the-folder".to_owned()),
            trust: Trust::default(),
        }
        .write(folder.path())
        .unwrap();
        folder
    }

    #[test]
    fn the_environment_goes_before_the_folder() {
        let folder = folder();
        for (url, token, address, shown) in [
            (None, None, "http://127.0.0.1:7070", "of-the-folder"),
            (None, Some("mine"), "http://127.0.0.1:7070", "mine"),
            (Some("https://trace.example/"), Some("mine\n"), "https://trace.example", "mine"),
        ] {
            let found = Connection::find(folder.path(), &environment(url, token)).unwrap();
            assert_eq!(found.address.to_string(), address);
            assert_eq!(found.token.expose(), shown);
        }
    }

    #[test]
    fn an_authority_of_ones_own_has_to_be_there() {
        let folder = folder();
        let ca_file = Some(folder.path().join("authority.pem"));
        let found = Connection::find(folder.path(), &Environment { ca_file, ..Environment::default() });
        let said = found.unwrap_err().to_string();
        assert!(said.contains("TRACE_CA_FILE") && said.contains("authority.pem"), "{said}");
    }

    #[test]
    fn the_folders_token_is_never_sent_to_another_address() {
        let folder = folder();
        let found = Connection::find(folder.path(), &environment(Some("https://evil.example"), None));
        assert!(matches!(found, Err(Error::NoToken)));
    }

    #[test]
    fn a_missing_an_exposed_and_a_malformed_file_are_told_apart() {
        let empty = tempfile::tempdir().unwrap();
        let find = |folder: &Path| Connection::find(folder, &Environment::default()).unwrap_err();
        assert!(matches!(find(empty.path()), Error::NotFound(_)));

        let folder = folder();
        let path = folder.path().join(FILE_NAME);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(find(folder.path()), Error::Exposed(_)));

        write_private(&path, b"{}").unwrap();
        assert!(matches!(find(folder.path()), Error::Malformed { .. }));
    }

    #[test]
    fn a_token_with_a_line_break_is_refused() {
        let found = Connection::find(Path::new("."), &environment(Some("https://a.b"), Some("a\nb")));
        assert!(matches!(found, Err(Error::Token)));
    }
}
