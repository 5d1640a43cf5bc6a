//! `trace udf test`: one UDF, once, in the sandbox that a worker would use, over local files.
//!
//! The bundle is packed as a deploy would pack it. SQL goes to a query engine of its own, over the
//! inputs and nothing else; there is no dispatcher, no token and no object store.

mod inputs;
mod report;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use chrono::Utc;
use tokio_util::sync::CancellationToken;
use trace_contracts::{
    Name,
    wire::worker::{FailureReason, Language, Outcome, Resources},
};
use trace_query_service::{
    config::{Engines, Limits},
    local,
};
use trace_worker_wrapper::{
    local::{self as wrapper, LocalOutcome, LocalRun},
    sandbox::{SandboxConfig, Upstreams},
};

use crate::{
    cli::Exit,
    output::{Form, progress::Progress},
    pack,
    tools::{self, Tools},
};

/// What an attempt gets when a job does not say.
const RESOURCES: Resources = Resources { cpu_millis: 1_000, memory_bytes: 512 << 20, disk_bytes: 256 << 20 };
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// A UDF's folder, or a file in it.
    pub udf: PathBuf,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// A text that stands for a missing value in CSV inputs.
    pub csv_null: Option<String>,
    /// How to answer.
    pub form: Form,
}

/// A file for the UDF to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The name that the UDF knows it by.
    pub name: Name,
    /// CSV (also gzipped) or Parquet, by its ending.
    pub file: PathBuf,
}

/// Why a UDF was not run, or not well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither main.py nor Cargo.toml.
    #[error("{} is no UDF: there is neither main.py (Python) nor Cargo.toml (Rust)", .0.display())]
    NoUdf(PathBuf),
    /// It can't be packed.
    #[error(transparent)]
    Pack(#[from] pack::Error),
    /// An input is not right.
    #[error(transparent)]
    Input(#[from] inputs::Error),
    /// Something of `trace` is missing.
    #[error(transparent)]
    Tools(#[from] tools::Error),
    /// The query engine does not start.
    #[error("the query engine does not start: {0}")]
    Engine(#[from] local::Error),
    /// This machine can't confine it, or it could not be started.
    #[error(transparent)]
    Run(#[from] wrapper::Error),
    /// Its outputs can't be shown.
    #[error("the outputs can't be shown: {0}")]
    Report(String),
    /// No folder to work in, or standard output is gone.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It ran, and failed.
    #[error("the UDF failed ({}): {detail}", word(*.reason))]
    Failed {
        /// Why, for programs.
        reason: FailureReason,
        /// Why, for people.
        detail: String,
    },
}

/// The reason as the API writes it, such as `memory`.
fn word(reason: FailureReason) -> String {
    let json = serde_json::to_value(reason).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

impl Error {
    /// The code to end with.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NoUdf(_) | Self::Pack(_) | Self::Input(_) | Self::Run(wrapper::Error::Bundle(_)) => {
                Exit::Usage
            }
            Self::Failed { .. } => Exit::Failed,
            Self::Tools(_) | Self::Engine(_) | Self::Run(_) | Self::Report(_) | Self::Io(_) => {
                Exit::CannotStart
            }
        }
    }
}

/// Runs the UDF, prints its log and its outputs.
///
/// # Errors
/// When it can't be run, or fails.
pub async fn run(options: Options) -> Result<(), Error> {
    let work = tempfile::Builder::new().prefix("trace-udf-").tempdir()?;
    let (language, folder) = locate(&options.udf)?;
    let bundle = bundle(folder, language).await?;
    let stopping = CancellationToken::new();
    // Whatever happens next, the engine goes when this function does.
    let _stop = stopping.clone().drop_guard();

    let (inputs, files) = inputs::stage(work.path(), options.inputs, options.csv_null).await?;
    let engine = local::serve(engine(files), stopping.clone()).await?;
    let run = LocalRun {
        sandbox: sandbox(work.path())?,
        language,
        bundle,
        files: None,
        inputs: Some(inputs),
        env: environment(),
        upstreams: Upstreams { query: Some(engine.address.into()), ..Upstreams::default() },
        resources: RESOURCES,
        timeout: TIMEOUT,
        work_dir: subfolder(work.path(), "run")?,
    };
    let work_dir = run.work_dir.clone();
    let ran = wrapper::run(run).await?;
    report::show(&ran, &work_dir, options.form, &stopping).await?;
    stopping.cancel();
    engine.stopped().await;
    verdict(ran)
}

fn verdict(ran: LocalOutcome) -> Result<(), Error> {
    match ran.outcome {
        Outcome::Succeeded => Ok(()),
        Outcome::Failed { reason, detail } => Err(Error::Failed { reason, detail }),
    }
}

/// The UDF's folder, and its language by what is in it.
fn locate(unverified: &Path) -> Result<(Language, PathBuf), Error> {
    let folder = match unverified.parent() {
        Some(parent) if unverified.is_file() && parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) if unverified.is_file() => parent.to_owned(),
        _ => unverified.to_owned(),
    };
    if folder.join("main.py").is_file() {
        Ok((Language::Python, folder))
    } else if folder.join("Cargo.toml").is_file() {
        Ok((Language::Rust, folder))
    } else {
        Err(Error::NoUdf(unverified.to_owned()))
    }
}

/// Packing may run a compiler, so it gets a thread that may block.
async fn bundle(folder: PathBuf, language: Language) -> Result<Bytes, Error> {
    let progress = Arc::new(Progress::on_stderr());
    let packing = tokio::task::spawn_blocking(move || pack::bundle(&folder, language, &progress));
    Ok(packing.await.map_err(io::Error::from)??)
}

fn engine(files: std::collections::BTreeMap<Name, PathBuf>) -> local::Config {
    local::Config { files, engines: Engines { count: 1, ..Engines::default() }, limits: Limits::default() }
}

fn sandbox(work: &Path) -> Result<SandboxConfig, Error> {
    let tools = Tools::prepare(work)?;
    Ok(SandboxConfig { sdk: Some(tools.sdk), tools: tools.programs, ..SandboxConfig::default() })
}

fn environment() -> Vec<(String, String)> {
    let deadline = Utc::now() + TIMEOUT;
    [
        ("TRACE_LOCAL_INPUTS", "/task/inputs".to_owned()),
        ("TRACE_PARTITION", "all".to_owned()),
        ("TRACE_FAILURES", "0".to_owned()),
        ("TRACE_DEADLINE_MS", deadline.timestamp_millis().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn subfolder(work: &Path, name: &str) -> Result<PathBuf, Error> {
    let path = work.join(name);
    std::fs::create_dir(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_udf_is_found_by_its_folder_or_a_file_in_it() {
        let work = tempfile::tempdir().unwrap();
        for (file, language) in [("py/main.py", Language::Python), ("rs/Cargo.toml", Language::Rust)] {
            let path = work.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            let folder = path.parent().unwrap().to_owned();
            assert_eq!(locate(&path).unwrap(), (language, folder.clone()));
            assert_eq!(locate(&folder).unwrap(), (language, folder));
        }
        assert!(matches!(locate(work.path()), Err(Error::NoUdf(_))));
        assert!(matches!(locate(&work.path().join("absent")), Err(Error::NoUdf(_))));
    }
}
