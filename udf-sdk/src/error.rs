//! Errors that say which part of the platform refused, and what to do.

use std::{fmt, path::PathBuf};

use serde::Deserialize;

/// A result of the SDK.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The part of the platform that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// Tokens, credentials, the task's context, checkpoints.
    Dispatcher,
    /// SQL.
    Query,
}

/// Why a call of the SDK failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The capability does not allow it: another try changes nothing.
    #[error("denied by the {plane} ({code}): {detail}")]
    Denied {
        /// Who denied it.
        plane: Plane,
        /// The problem's stable code, such as `forbidden` or `sql_refused`.
        code: String,
        /// What happened and what to do about it.
        detail: String,
    },
    /// It was allowed and failed, such as a query that divides by zero or reaches a limit.
    #[error("the {plane} answered {code}: {detail}")]
    Failed {
        /// Who answered.
        plane: Plane,
        /// The problem's stable code, such as `sql_failed` or `limit_exceeded`.
        code: String,
        /// What happened and what to do about it.
        detail: String,
    },
    /// No answer came, or one that makes no sense.
    #[error("no sound answer from the {plane}: {detail}")]
    Unreachable {
        /// Who was asked.
        plane: Plane,
        /// What happened instead.
        detail: String,
    },
    /// The attempt's time is used up.
    #[error("the attempt's deadline has passed: give the job a longer `timeout`, or do less in one task")]
    DeadlinePassed,
    /// Something that only the platform offers was asked for without one.
    #[error("{0} needs the platform's dispatcher, which a local test does not have")]
    NoDispatcher(&'static str),
    /// The environment is not a task's.
    #[error("{name} {problem}: run this with `trace udf test`, or as a job of a DAG")]
    Environment {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A result has rows that do not fit the type asked for.
    #[error("row {row} of the result does not fit the type it is read into: {source}")]
    Row {
        /// Which row, from 1.
        row: usize,
        /// In what way.
        source: serde_json::Error,
    },
    /// A row can't be written.
    #[error("row {row} of `{output}` can't be written: {problem}")]
    Unwritable {
        /// Which row, from 1.
        row: usize,
        /// The output's name.
        output: String,
        /// Why not.
        problem: String,
    },
    /// The Parquet writer refused the rows.
    #[error("`{output}` was not written: {problem}")]
    Refused {
        /// The output's name.
        output: String,
        /// What the writer says.
        problem: String,
    },
    /// A name that can't be an output's or a table's.
    #[error("`{0}` is not a name: use letters, digits, `_`, `-` and `.`, not starting with `.`, at most 100")]
    Name(String),
    /// No such input file.
    #[error("the job has no file `{0}`: declare it under `files:` in the DAG")]
    NoFile(String),
    /// A checkpoint that can't be kept or read.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// Something that can't be delivered.
    #[error("delivery: {0}")]
    Delivery(String),
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// The body of a refusal, as far as the SDK reads it.
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

impl Error {
    /// What an answer that is not a success means.
    pub(crate) fn from_answer(plane: Plane, status: u16, body: &[u8]) -> Self {
        let Ok(Problem { code, detail }) = serde_json::from_slice(body) else {
            return Self::Unreachable { plane, detail: format!("HTTP status {status} without a reason") };
        };
        let denied = matches!(status, 401 | 403 | 404) || code == "sql_refused";
        if denied { Self::Denied { plane, code, detail } } else { Self::Failed { plane, code, detail } }
    }
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dispatcher => "dispatcher",
            Self::Query => "query service",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_typed_errors() {
        let problem = |code: &str| format!(r#"{{"code":"{code}","status":0,"title":"","detail":"d"}}"#);
        for (status, code, denied) in [
            (401, "revoked", true),
            (403, "forbidden", true),
            (404, "not_found", true),
            (400, "sql_refused", true),
            (400, "bad_request", false),
            (422, "sql_failed", false),
            (503, "unavailable", false),
        ] {
            let error = Error::from_answer(Plane::Query, status, problem(code).as_bytes());
            assert_eq!(matches!(error, Error::Denied { .. }), denied, "{code}");
        }
        let error = Error::from_answer(Plane::Query, 502, b"<html>");
        assert_eq!(
            error.to_string(),
            "no sound answer from the query service: HTTP status 502 without a reason"
        );
    }
}
