//! The installed binaries.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::Error;

/// The oldest major version that is supported.
pub(super) const OLDEST: u32 = 15;

/// Below these, packages have a folder for each version: Debian and Ubuntu, then the PostgreSQL
/// project's RPMs (`/usr/pgsql-17/bin`).
const PACKAGED: [&str; 2] = ["/usr/lib/postgresql", "/usr"];

/// One installed PostgreSQL.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    postgres: PathBuf,
    initdb: PathBuf,
    version: u32,
}

impl Installation {
    /// The newest installation; with a cluster, the newest one of its version.
    pub(super) fn find(wanted: Option<u32>, cluster: &Path) -> Result<Self, Error> {
        let mut found: Vec<_> = candidates().iter().filter_map(|folder| Self::at(folder)).collect();
        found.sort_by_key(|installation| std::cmp::Reverse(installation.version));
        let newest = found.first().map(|installation| installation.version);
        let fits = |version: u32| version >= OLDEST && wanted.is_none_or(|wanted| wanted == version);
        match (found.into_iter().find(|installation| fits(installation.version)), wanted) {
            (Some(installation), _) => Ok(installation),
            (None, Some(version)) => Err(Error::OtherVersion { folder: cluster.to_owned(), version }),
            (None, None) => Err(Error::NotInstalled {
                found: newest.map_or_else(String::new, |version| format!(" (only {version} is here)")),
            }),
        }
    }

    /// The installation in a folder, if there is a whole one.
    fn at(folder: &Path) -> Option<Self> {
        // A link on the PATH leads to the folder that has the rest.
        let postgres = folder.join("postgres").canonicalize().ok()?;
        let initdb = postgres.with_file_name("initdb");
        if !initdb.is_file() {
            return None;
        }
        let output = Command::new(&postgres).arg("--version").env_clear().output().ok()?;
        let version = major(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { postgres, initdb, version })
    }

    /// The major version.
    pub(super) const fn version(&self) -> u32 {
        self.version
    }

    /// The server.
    pub(super) fn postgres(&self) -> &Path {
        &self.postgres
    }

    /// What makes a cluster.
    pub(super) fn initdb(&self) -> &Path {
        &self.initdb
    }
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is 15.
fn major(said: &str) -> Option<u32> {
    let version = said.split("(PostgreSQL) ").nth(1)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    for base in PACKAGED {
        let versions = std::fs::read_dir(base).into_iter().flatten().flatten();
        folders.extend(versions.map(|version| version.path().join("bin")));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_they_are_said() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("postgres (EnterpriseDB) 15\n"), None);
        assert_eq!(major(""), None);
    }

    #[test]
    fn a_cluster_of_a_version_that_is_not_here_is_told_so() {
        let error = Installation::find(Some(9), Path::new("/data/postgres")).unwrap_err();
        assert!(matches!(&error, Error::OtherVersion { version: 9, .. }), "{error}");
        assert!(error.to_string().contains("apt-get install postgresql-9"), "{error}");
    }
}
