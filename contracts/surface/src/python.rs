//! The Python interpreter that tasks run with.
//!
//! `python3` on the search path may be a shim that costs ten times the start of the real interpreter,
//! so it is asked once where the real one is.
//!
//! It starts without the module `site` ([`ARGUMENTS`]), which would run code of every installed package that
//! has a `.pth` file, at each start and before the task; the folders that `site` would have found are asked
//! for once and put on the path.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

use crate::folders::SDK;

/// Before the program's own arguments: without the module `site`.
pub const ARGUMENTS: [&str; 1] = ["-S"];

/// A Python interpreter.
#[derive(Debug, Clone)]
pub struct Interpreter {
    /// The executable itself.
    pub executable: PathBuf,
    /// The folder of its standard library.
    pub library: PathBuf,
    /// Such as `3.11.7`.
    pub version: String,
    /// Where modules are found, the standard library first.
    pub path: Vec<PathBuf>,
}

/// Why there is no interpreter.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// What the interpreter says about itself.
#[derive(Deserialize)]
struct Answer {
    executable: PathBuf,
    library: PathBuf,
    version: String,
    path: Vec<PathBuf>,
}

const QUESTION: &str = "import json, os, sys, sysconfig; print(json.dumps({\
    'executable': os.path.realpath(sys.executable), \
    'library': os.path.realpath(sysconfig.get_path('stdlib')), \
    'version': '%d.%d.%d' % sys.version_info[:3], \
    'path': [os.path.realpath(folder) for folder in sys.path]}))";

impl Interpreter {
    /// Asks `python`, which may be a shim or belong to a virtual environment, what it really is; then
    /// that one, where modules are found.
    ///
    /// # Errors
    /// When it does not start, or says nothing that can be understood.
    pub fn find(python: Option<&Path>) -> Result<Self, Error> {
        let asked = python.unwrap_or(Path::new("python3"));
        let Answer { executable, library, version, .. } = ask(asked, &["-I", "-S"])?;
        let mut path = ask(&executable, &["-I"])?.path;
        // What else is there is not shown inside.
        path.retain(|folder| folder.starts_with(&library) && folder.is_dir());
        Ok(Self { executable, library, version, path })
    }

    /// `PYTHONPATH` inside: the SDK, then where the modules of this interpreter are.
    #[must_use]
    pub fn python_path(&self) -> String {
        let folders = self.path.iter().map(|folder| folder.to_string_lossy().into_owned());
        // A folder whose name holds the separator can't be named there.
        let folders = folders.filter(|folder| !folder.contains(':'));
        std::iter::once(SDK.to_owned()).chain(folders).collect::<Vec<_>>().join(":")
    }
}

/// Asks an interpreter what it is.
fn ask(python: &Path, arguments: &[&str]) -> Result<Answer, Error> {
    let output = Command::new(python)
        .args(arguments)
        .args(["-c", QUESTION])
        .output()
        .map_err(|error| Error(format!("{} does not start: {error}", python.display())))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error(format!("{} fails: {}", python.display(), said.trim_end())));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Error(format!("{} does not say what it is: {error}", python.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_python_is_named() {
        for path in ["/bin/true", "/nonexistent/python3"] {
            let error = Interpreter::find(Some(Path::new(path))).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}
