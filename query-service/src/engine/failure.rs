//! What went wrong, as the caller is told. The one mapping in an engine.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use tokio::task::JoinError;
use trace_contracts::ErrorCode;

use super::protocol::Answer;
use crate::{encode, gate, store};

/// Longer messages are cut: some quote the query.
const MAX_DETAIL_CHARS: usize = 1_000;

/// A query that was refused or failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// What the caller is told.
    Told { code: ErrorCode, detail: String },
    /// A task of the plan panicked. Its message may quote data, and is told to nobody.
    Panicked,
}

impl Failure {
    fn new(code: ErrorCode, detail: impl ToString) -> Self {
        Self::Told { code, detail: detail.to_string().chars().take(MAX_DETAIL_CHARS).collect() }
    }

    pub(super) fn not_utf8() -> Self {
        Self::new(ErrorCode::SqlRefused, "a statement is UTF-8 text")
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Told { code, detail } => Self::Failed { code, detail },
            Failure::Panicked => Self::Panicked,
        }
    }
}

impl From<gate::Error> for Failure {
    fn from(error: gate::Error) -> Self {
        use gate::Error as E;
        let code = match error {
            E::Table { .. } => ErrorCode::Forbidden,
            E::TooLarge(_) | E::Syntax(_) | E::NotARead(_) | E::Function(_) => ErrorCode::SqlRefused,
            E::Plan(error) => return error.into(),
        };
        Self::new(code, error)
    }
}

impl From<encode::Error> for Failure {
    fn from(error: encode::Error) -> Self {
        use encode::Error as E;
        let code = match error {
            E::Rows(_) | E::Bytes(_) => ErrorCode::LimitExceeded,
            E::Format(_) => ErrorCode::SqlFailed,
            E::Query(error) => return error.into(),
        };
        Self::new(code, error)
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::new(
                ErrorCode::LimitExceeded,
                "the query needs more memory than one query may use; read fewer rows or columns, or aggregate in steps",
            ),
            root if is_panic(root) => Self::Panicked,
            DataFusionError::Plan(message) => Self::new(ErrorCode::SqlFailed, message),
            DataFusionError::Internal(_) => {
                Self::new(ErrorCode::SqlFailed, "the engine can't execute this query; try another form of it")
            }
            root => Self::new(ErrorCode::SqlFailed, root.strip_backtrace()),
        }
    }
}

/// Whether a task of the plan panicked. Most operators go on panicking then; some make an error of it.
fn is_panic(root: &DataFusionError) -> bool {
    match root {
        DataFusionError::ExecutionJoin(error) => error.is_panic(),
        DataFusionError::External(error) => {
            error.downcast_ref::<Arc<JoinError>>().is_some_and(|error| error.is_panic())
        }
        _ => false,
    }
}

impl From<store::Failure> for Failure {
    fn from(failure: store::Failure) -> Self {
        let code = match failure {
            store::Failure::Changed(_) => ErrorCode::SqlFailed,
            store::Failure::Refused(_) | store::Failure::Away(_) => ErrorCode::Unavailable,
        };
        Self::new(code, failure)
    }
}
