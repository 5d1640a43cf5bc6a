//! The engine process: one query at a time, from SQL to encoded result.
//!
//! DataFusion's own bounds are not hard: some operators and functions allocate past its pool, or
//! compute without yielding. So queries run here, in a process that has a memory limit, no
//! credentials, no environment and no other descriptors than its pipes, and that the service kills
//! when a query is over time or not wanted any more.

mod confine;
mod failure;
pub(crate) mod process;
pub(crate) mod protocol;
mod query;
pub(crate) mod spawner;

use std::{fs::File, io, os::fd::AsFd, process::ExitCode, thread};

use tokio::runtime::Runtime;
use trace_contracts::wire::limit;

use self::protocol::{Answer, Query, Ready, Setup, Taken};
#[cfg(test)]
pub(crate) use self::query::answer;
use crate::{session::Environment, store};

/// A thread's stack. Deep plans take much of it, and what is not touched costs nothing.
const STACK_BYTES: usize = 32 << 20;
/// Threads for what blocks: resolving names.
const BLOCKING_THREADS: usize = 2;

/// Why an engine ends before the service closes its pipe.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("confinement: {0}")]
    Confine(#[from] confine::Error),
    #[error("pipe: {0}")]
    Pipe(#[from] io::Error),
    #[error("HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    #[error("settings: {0}")]
    Settings(#[from] datafusion::error::DataFusionError),
    #[error("the thread that answers panicked")]
    Lost,
}

/// Runs an engine on standard input and output until the service closes them. Call it before
/// anything else starts a thread: `query-service engine` and `trace engine` do nothing besides.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    confine::identity()?;
    let (mut input, mut output) = (file(io::stdin())?, file(io::stdout())?);
    let Some((setup, _)) = protocol::read::<Setup>(&mut input, 0)? else { return Ok(()) };
    let environment = environment(&setup)?;
    let stacks = (setup.threads + BLOCKING_THREADS + 1) * STACK_BYTES;
    confine::memory(setup.memory_bytes, stacks as u64)?;
    confine::reach(&setup.ports)?;
    let runtime = runtime(&setup)?;
    protocol::write(&mut output, &Ready { pid: std::process::id() }, b"")?;
    let answering = thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || answer_all(&environment, &runtime, &mut input, &mut output))?;
    answering.join().map_err(|_| Error::Lost)?
}

/// Reads, plans and drives each query on this one thread: handing it to another takes longer than planning it.
fn answer_all(
    environment: &Environment,
    runtime: &Runtime,
    input: &mut File,
    output: &mut File,
) -> Result<(), Error> {
    let mut session = environment.blank()?;
    while let Some((query, sql)) = protocol::read::<Query>(input, limit::SQL_BYTES as u64)? {
        protocol::write(output, &Taken {}, b"")?;
        let answer = query::answer(environment.clone(), session, query, sql);
        let (answer, result) = runtime.block_on(answer);
        protocol::write(output, &answer, &result)?;
        if matches!(answer, Answer::Panicked) {
            break;
        }
        session = environment.blank()?;
    }
    Ok(())
}

/// A pipe without the buffers that standard streams have.
fn file(stream: impl AsFd) -> io::Result<File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

fn environment(setup: &Setup) -> Result<Environment, Error> {
    let memory_bytes = usize::try_from(setup.memory_bytes).unwrap_or(usize::MAX);
    Ok(Environment::new(store::http_client()?, setup.threads, memory_bytes)?)
}

fn runtime(setup: &Setup) -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(setup.threads)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
}
