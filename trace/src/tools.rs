//! What a sandbox shows besides the task: the Python SDK, and the programs that belong to `trace`.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use crate::sdk;

/// The programs, by the name that they have in the sandbox and beside this one.
const PROGRAMS: [&str; 2] = ["trace-operator", "trace-udf-native"];

/// Why something is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is missing.
    #[error("{} is missing: it belongs beside `trace` (`cargo build --workspace --exclude trace-hostile` makes both)", .0.display())]
    Missing(PathBuf),
    /// The system does not say where this program is.
    #[error("the path of this program is not known: {0}")]
    Myself(io::Error),
    /// The SDK can't be written.
    #[error("the Python SDK can't be written to {path}: {source}", path = .path.display())]
    Sdk {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Tools {
    /// A folder with the package `trace_udf`.
    pub sdk: PathBuf,
    /// The programs by name.
    pub programs: BTreeMap<String, PathBuf>,
}

impl Tools {
    /// Finds the programs beside this one, and writes the SDK below `folder`.
    ///
    /// # Errors
    /// When a program is missing, or the folder can't be written to.
    pub fn prepare(folder: &Path) -> Result<Self, Error> {
        let myself = std::env::current_exe().map_err(Error::Myself)?;
        let beside = myself.parent().unwrap_or(Path::new("/"));
        Ok(Self { programs: programs(beside)?, sdk: write_sdk(folder)? })
    }
}

fn programs(beside: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    PROGRAMS
        .iter()
        .map(|name| {
            let path = beside.join(name);
            if path.is_file() { Ok(((*name).to_owned(), path)) } else { Err(Error::Missing(path)) }
        })
        .collect()
}

fn write_sdk(folder: &Path) -> Result<PathBuf, Error> {
    sdk::write(folder).map_err(|source| Error::Sdk { path: folder.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(PROGRAMS[0]), "").unwrap();
        let Err(Error::Missing(path)) = programs(folder.path()) else { panic!("it is missing") };
        assert_eq!(path, folder.path().join(PROGRAMS[1]));
    }
}
