//! How commands fail, and with which exit code.

use std::{io, path::PathBuf};

use trace_contracts::{RunId, wire::user::RunState};

use crate::{client, connection, output::text, pack};

/// The exit codes. Programs rely on them: they are in `trace --help` and in `docs/cli.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// A run, a task, a UDF or a check failed.
    Failed = 1,
    /// Wrong use, or a local file that is missing or not right.
    Usage = 2,
    /// The platform refused.
    Refused = 3,
    /// The platform can't be found or reached, or has a fault of its own.
    Unreachable = 4,
    /// Something on this machine is missing that a platform or a sandbox needs.
    CannotStart = 5,
    /// Interrupted (128 + SIGINT).
    Interrupted = 130,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No platform to talk to.
    #[error(transparent)]
    Connection(#[from] connection::Error),
    /// The platform refused or did not answer.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The platform refused what was sent and said where it is wrong.
    #[error("{summary}\n{rendered}")]
    Wrong {
        /// The problem in one sentence.
        summary: String,
        /// Each error with its place.
        rendered: String,
    },
    /// Something can't be packed.
    #[error(transparent)]
    Pack(#[from] pack::Error),
    /// The run did not end well.
    #[error("run {run} of {dag} {}", end(*.state))]
    Run {
        /// The run.
        run: RunId,
        /// The DAG.
        dag: String,
        /// How it ended.
        state: RunState,
    },
    /// A user interrupted the wait for a run.
    #[error("interrupted; run {0} goes on. Stop it with `trace cancel {0}`")]
    WaitInterrupted(RunId),
    /// The user's own input is not right.
    #[error("{0}")]
    Usage(String),
    /// A token that the platform would not believe.
    #[error("the token is not good: {0}")]
    Token(String),
    /// Something is there that would be overwritten.
    #[error("{} is there already and is left as it is. Choose another name, or remove it first", .0.display())]
    Exists(PathBuf),
    /// A local file can't be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Standard output can't be written to.
    #[error("standard output can't be written to: {0}")]
    Output(#[from] io::Error),
    /// The system gives no threads.
    #[error("the runtime can't start: {0}")]
    Runtime(io::Error),
    /// `trace up` failed.
    #[error(transparent)]
    Up(#[from] crate::up::Error),
    /// `trace udf test` failed.
    #[error(transparent)]
    UdfTest(#[from] crate::udf_test::Error),
}

const fn end(state: RunState) -> &'static str {
    match state {
        RunState::Running => "is still running",
        RunState::Succeeded => "succeeded",
        RunState::Failed => "failed",
        RunState::Cancelled => "was cancelled",
    }
}

impl Error {
    /// The code to end with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Run { .. } | Self::Token(_) => Exit::Failed,
            Self::WaitInterrupted(_) => Exit::Interrupted,
            Self::Wrong { .. } => Exit::Refused,
            Self::Pack(_) | Self::Usage(_) | Self::Exists(_) | Self::File { .. } => Exit::Usage,
            Self::Connection(error) => of_connection(error),
            Self::Client(error) => of_client(error),
            Self::Output(_) => Exit::Usage,
            Self::Runtime(_) => Exit::CannotStart,
            Self::Up(error) => error.exit(),
            Self::UdfTest(error) => error.exit(),
        }
    }

    /// Whether the reader of standard output is gone, as `head` is once it has seen enough. That is
    /// no failure worth a word.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        match self {
            Self::Output(error)
            | Self::Client(client::Error::File { source: error, .. })
            | Self::UdfTest(crate::udf_test::Error::Io(error)) => error.kind() == io::ErrorKind::BrokenPipe,
            _ => false,
        }
    }

    /// The message for people, safe to show on a terminal.
    #[must_use]
    pub fn message(&self) -> String {
        let message = self.to_string();
        let lines: Vec<_> = message.lines().map(text::printable).collect();
        format!("error: {}", lines.join("\n"))
    }
}

const fn of_connection(error: &connection::Error) -> Exit {
    match error {
        connection::Error::NotFound(_) => Exit::Unreachable,
        _ => Exit::Usage,
    }
}

const fn of_client(error: &client::Error) -> Exit {
    match error {
        client::Error::Refused(problem) if problem.status < 500 => Exit::Refused,
        client::Error::Refused(_) | client::Error::Unreachable { .. } | client::Error::Unexpected { .. } => {
            Exit::Unreachable
        }
        client::Error::TooLarge { .. } | client::Error::File { .. } => Exit::Usage,
    }
}
