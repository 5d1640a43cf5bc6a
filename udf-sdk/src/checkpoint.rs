//! Where a task got to, for the attempt after this one.

use std::{fs, io, path::PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use ureq::http::Method;

use crate::{Context, Error, Result};

/// The longest checkpoint, in bytes of JSON.
const MAX_CHECKPOINT_BYTES: usize = 64 * 1024;

impl Context {
    /// What an earlier attempt at this task saved last; `None` when none did.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when it is not a `T`.
    pub fn checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let saved = match &self.tokens {
            Some(tokens) => match tokens.ask(&self.http, Method::GET, "checkpoint", &[]) {
                Ok(answer) if answer.status == 204 => Vec::new(),
                Ok(answer) => answer.body,
                Err(Error::Denied { code, .. }) if code == "not_found" => Vec::new(),
                Err(error) => return Err(error),
            },
            None => self.local_checkpoint()?,
        };
        if saved.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&saved).map(Some).map_err(|error| Error::Checkpoint(error.to_string()))
    }

    /// Saves where the task is, for the attempt after this one if there is one.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when it has more than 64 KiB as JSON.
    pub fn save_checkpoint(&self, value: &impl Serialize) -> Result<()> {
        let saved = serde_json::to_vec(value).map_err(|error| Error::Checkpoint(error.to_string()))?;
        if saved.len() > MAX_CHECKPOINT_BYTES {
            return Err(Error::Checkpoint(format!(
                "{} bytes of JSON: save at most {MAX_CHECKPOINT_BYTES}, such as a position instead of data",
                saved.len()
            )));
        }
        match &self.tokens {
            Some(tokens) => tokens.ask(&self.http, Method::PUT, "checkpoint", &saved).map(drop),
            None => {
                let path = self.local_checkpoint_path();
                fs::write(&path, saved).map_err(|source| Error::Io { path, source })
            }
        }
    }

    fn local_checkpoint_path(&self) -> PathBuf {
        self.config.temp_dir.join("trace-checkpoint.json")
    }

    fn local_checkpoint(&self) -> Result<Vec<u8>> {
        let path = self.local_checkpoint_path();
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            outcome => outcome.map_err(|source| Error::Io { path, source }),
        }
    }
}
