//! One UDF, once, on this machine and without a platform: for `trace udf test`. The bundle is
//! unpacked, launched, watched and judged by the same code as an attempt's; what differs is that
//! there is no lease, and that the outputs are copied to a folder instead of being uploaded.

use std::{
    convert::Infallible,
    fs::{self, File},
    future::pending,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::task::spawn_blocking;
use trace_bundle::Rules;
use trace_contracts::wire::worker::{FailureReason, Language, LogLine, Outcome, Resources};

use crate::{
    attempt::{Watched, bundle, classify, failed, watch},
    launcher::{self, Ended, Launcher, Order, OutputError, Outputs, ProcessLauncher, Program},
    logs::{LogBook, Masker},
    sandbox::{Sandbox, SandboxConfig, Upstreams},
};

/// What to run.
#[derive(Debug, Clone)]
pub struct LocalRun {
    /// What the sandbox shows of this machine.
    pub sandbox: SandboxConfig,
    /// What the UDF is written in.
    pub language: Language,
    /// The zip that would be deployed.
    pub bundle: Bytes,
    /// A folder shown as `/task/files`.
    pub files: Option<PathBuf>,
    /// A folder shown as `/task/inputs`.
    pub inputs: Option<PathBuf>,
    /// Variables besides those that the sandbox sets, such as `TRACE_LOCAL_INPUTS`.
    pub env: Vec<(String, String)>,
    /// What can be reached from inside; `TRACE_QUERY_URL` leads to the query engine given here.
    pub upstreams: Upstreams,
    /// Hard bounds.
    pub resources: Resources,
    /// Wall-clock time.
    pub timeout: Duration,
    /// An empty folder of the caller's, who removes it. The outputs are in its folder `out`
    /// afterwards.
    pub work_dir: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct LocalOutcome {
    /// As the dispatcher would be told.
    pub outcome: Outcome,
    /// The outputs' paths, in `work_dir`; empty unless it succeeded.
    pub outputs: Vec<PathBuf>,
    /// What it printed, masked and capped as on the platform.
    pub log: Vec<LogLine>,
}

/// Why it could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine can't confine it.
    #[error(transparent)]
    Sandbox(#[from] crate::sandbox::Error),
    /// It could not be started.
    #[error(transparent)]
    Launch(#[from] launcher::Error),
    /// The bundle is not acceptable.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// The disk refuses.
    #[error("{path}: {source}", path = path.display())]
    Disk {
        /// What was touched.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Runs one bundle to its end. Dropping this kills what runs.
///
/// # Errors
/// When it can't be started; a UDF that fails is a [`LocalOutcome`].
pub async fn run(run: LocalRun) -> Result<LocalOutcome, Error> {
    let sandbox = Sandbox::probe(run.sandbox.clone()).await?;
    let launcher = ProcessLauncher::new(sandbox, run.upstreams.clone());
    run_with(run, &launcher).await
}

async fn run_with(run: LocalRun, launcher: &dyn Launcher) -> Result<LocalOutcome, Error> {
    let book = Arc::new(LogBook::new(Masker::default()));
    let bundle = unpack(&run).await?;
    let order = Order {
        lease: None,
        program: match run.language {
            Language::Python => Program::Python,
            Language::Rust => Program::Native,
        },
        bundle: Some(bundle),
        files: run.files,
        inputs: run.inputs,
        env: run.env,
        resources: run.resources,
        timeout: run.timeout,
        egress: None,
    };
    let launched = launcher.launch(order).await?;
    let Ended { exit, outputs } = match watch(launched, &book, pending::<Infallible>()).await {
        Watched::Ended(ended) => ended?,
        Watched::Stopped(never) => match never {},
    };
    let out = run.work_dir.join("out");
    let (outcome, outputs) = match classify(&exit, book.last_error_line().as_deref()) {
        Outcome::Succeeded => copy_outputs(outputs, out).await?,
        failure => (failure, Vec::new()),
    };
    Ok(LocalOutcome { outcome, outputs, log: book.take() })
}

async fn unpack(run: &LocalRun) -> Result<PathBuf, Error> {
    let (archive, folder) = (run.work_dir.join("bundle.zip"), run.work_dir.join("bundle"));
    let (bytes, language) = (run.bundle.clone(), run.language);
    blocking(archive.clone(), move || {
        fs::write(&archive, &bytes).map_err(disk(&archive))?;
        let packed = File::open(&archive).map_err(disk(&archive))?;
        bundle::unpack(packed, &folder, language, &Rules::at_worker())?;
        Ok(folder)
    })
    .await
}

/// Copies what the UDF left to `out`. Outputs that are not acceptable are the UDF's failure.
async fn copy_outputs(outputs: Box<dyn Outputs>, out: PathBuf) -> Result<(Outcome, Vec<PathBuf>), Error> {
    let files = match outputs.files() {
        Ok(files) => files,
        Err(OutputError::Unacceptable(detail)) => {
            return Ok((failed(FailureReason::Output, detail), Vec::new()));
        }
        Err(OutputError::Unreadable(detail)) => return Err(disk(&out)(io::Error::other(detail))),
    };
    blocking(out.clone(), move || {
        let mut copies = Vec::new();
        for file in files {
            let target = out.join(&file.path);
            let folder = target.parent().unwrap_or(&out);
            fs::create_dir_all(folder).map_err(disk(folder))?;
            let mut source = outputs.open(&file).map_err(|error| disk(&target)(io::Error::other(error)))?;
            let mut copy = File::create_new(&target).map_err(disk(&target))?;
            io::copy(&mut source, &mut copy).map_err(disk(&target))?;
            copies.push(target);
        }
        Ok((Outcome::Succeeded, copies))
    })
    .await
}

/// Runs `work` where it may block. `path` is what an error names when this process stops meanwhile.
async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work).await.map_err(|error| disk(&path)(io::Error::other(error)))?
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { path, source }
}
