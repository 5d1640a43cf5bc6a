//! The frame of a UDF's `main`.

use std::process::ExitCode;

use crate::{Context, config::of_process};

/// Whatever made a UDF fail; `?` turns every error into it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs a UDF. When it returns an error, the error and its causes go to the task's log, the process
/// exits with 1, and the platform tries again as the job's `retries` say.
pub fn run(udf: impl FnOnce(&Context) -> Result<(), Failure>) -> ExitCode {
    let outcome = Context::from_variables(of_process).map_err(Failure::from).and_then(|ctx| udf(&ctx));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            let mut cause = failure.source();
            while let Some(error) = cause {
                eprintln!("  because {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}
