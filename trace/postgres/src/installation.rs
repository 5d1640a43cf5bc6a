//! The installed programs.

use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest major version that is supported.
pub const OLDEST: u32 = 15;

/// Below these, packages have a folder for each version: Debian and Ubuntu, then the PostgreSQL
/// project's RPMs (`/usr/pgsql-17/bin`).
const PACKAGED: [&str; 2] = ["/usr/lib/postgresql", "/usr"];

/// One installed PostgreSQL, with server and `initdb`.
#[derive(Debug, Clone)]
pub struct Installation {
    postgres: PathBuf,
    version: u32,
}

/// There is none that is new enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("PostgreSQL is not installed: install version {OLDEST} or newer")]
pub struct Missing;

impl Installation {
    /// All of them, the newest first: those on the search path and those of packages.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut found: Vec<_> = folders().iter().filter_map(|folder| Self::at(folder)).collect();
        found.sort_by_key(|installation| Reverse(installation.version));
        found
    }

    /// The newest.
    ///
    /// # Errors
    /// When there is none, or it is too old.
    pub fn newest() -> Result<Self, Missing> {
        Self::all().into_iter().next().filter(|newest| newest.version >= OLDEST).ok_or(Missing)
    }

    /// The installation in a folder, if there is a whole one.
    fn at(folder: &Path) -> Option<Self> {
        // A link on the PATH leads to the folder that has the rest.
        let postgres = folder.join("postgres").canonicalize().ok()?;
        if !postgres.with_file_name("initdb").is_file() {
            return None;
        }
        let output = Command::new(&postgres).arg("--version").env_clear().output().ok()?;
        let version = major(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { postgres, version })
    }

    /// The major version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// One of its programs, such as `postgres`, `initdb` or `pg_ctl`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.postgres.with_file_name(name)
    }
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is 15.
fn major(said: &str) -> Option<u32> {
    let version = said.split("(PostgreSQL) ").nth(1)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn folders() -> Vec<PathBuf> {
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
    fn the_newest_comes_first_and_is_whole() {
        let all = Installation::all();
        assert!(all.is_sorted_by_key(|installation| Reverse(installation.version())));
        let newest = Installation::newest().expect("the tests of this workspace need PostgreSQL");
        assert!(newest.program("initdb").is_file() && newest.program("pg_ctl").is_file());
    }
}
