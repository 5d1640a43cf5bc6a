//! Code that is not run: what the UDF would do is done here, without a sandbox. Its outputs are files
//! on the worker's disk all the same, so that a full disk is felt.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    time::Duration,
};

use async_trait::async_trait;
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;
use trace_worker_wrapper::launcher::{
    Ended, Error, Exit, Launched, Launcher, Order, OutputError, OutputFile, Outputs,
};

use crate::behaviour::{Fails, OUTPUT, behaviour, content};

/// Plays the tasks' code.
pub(super) struct ScriptedLauncher {
    outputs: PathBuf,
}

impl ScriptedLauncher {
    pub(super) fn new(outputs: PathBuf) -> io::Result<Self> {
        if outputs.exists() {
            fs::remove_dir_all(&outputs)?;
        }
        fs::create_dir_all(&outputs)?;
        Ok(Self { outputs })
    }
}

impl Drop for ScriptedLauncher {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.outputs) {
            tracing::warn!(%error, "the outputs' folder stays");
        }
    }
}

#[async_trait]
impl Launcher for ScriptedLauncher {
    async fn launch(&self, order: Order) -> Result<Launched, Error> {
        let variable = |name: &str| {
            let found = order.env.iter().find(|(key, _)| key == name);
            found.map_or_else(String::new, |(_, value)| value.clone())
        };
        let (job, partition, attempt) =
            (variable("TRACE_JOB"), variable("TRACE_PARTITION"), variable("TRACE_ATTEMPT"));
        let failures =
            variable("TRACE_FAILURES").parse().map_err(|_| Error::Machine("no failures".to_owned()))?;
        let does = behaviour(&job, &partition, failures);
        let folder = self.outputs.join(&attempt);
        let machine = |error: io::Error| Error::Machine(error.to_string());
        fs::create_dir_all(&folder).map_err(machine)?;
        let outputs = Folder(folder);
        if does.fails == Fails::No {
            fs::write(outputs.0.join(OUTPUT), content(&job, &partition, &attempt)).map_err(machine)?;
        }
        let killed = CancellationToken::new();
        let dying = killed.clone();
        let ended = async move {
            let time = Duration::from_millis(does.takes_ms);
            let exit = match tokio::time::timeout(time, dying.cancelled()).await {
                Ok(()) => Exit::Killed,
                Err(_took_its_time) if does.fails == Fails::Yes => Exit::Status(3),
                Err(_took_its_time) => Exit::Success,
            };
            Ok(Ended { exit, outputs: Box::new(outputs) as Box<dyn Outputs> })
        };
        Ok(Launched {
            stdout: Box::new(tokio::io::empty()),
            stderr: Box::new(tokio::io::empty()),
            kill: Box::new(move || killed.cancel()),
            ended: ended.boxed(),
        })
    }
}

/// What one attempt left; removed when dropped.
struct Folder(PathBuf);

impl Outputs for Folder {
    fn files(&self) -> Result<Vec<OutputFile>, OutputError> {
        let unreadable = |error: io::Error| OutputError::Unreadable(error.to_string());
        let size = fs::metadata(self.0.join(OUTPUT)).map_err(unreadable)?.len();
        Ok(vec![OutputFile { path: OUTPUT.to_owned(), size }])
    }

    fn open(&self, file: &OutputFile) -> Result<File, OutputError> {
        File::open(self.0.join(&file.path)).map_err(|error| OutputError::Unreadable(error.to_string()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "an attempt's outputs stay");
        }
    }
}
