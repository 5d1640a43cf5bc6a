//! What can go wrong between the command line and the platform.

use trace_contracts::{ErrorCode, Problem};
use url::Url;

/// Why a call has no answer, or a refusal for one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answered.
    #[error("{origin} does not answer: {reason}. Is `trace up` running there?")]
    Unreachable {
        /// Whom the call was for.
        origin: String,
        /// Why it failed.
        reason: String,
    },
    /// The platform refused, and said why.
    #[error("{}", sentence(.0))]
    Refused(Problem),
    /// What answered is not a platform of this version.
    #[error("{url} gave an answer that is not the platform's: {reason}")]
    Unexpected {
        /// What was called.
        url: Url,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The answer is larger than the command line takes in.
    #[error("the answer of {url} is larger than {limit} bytes. Ask for less, or for a format that streams")]
    TooLarge {
        /// What was called.
        url: Url,
        /// In bytes.
        limit: usize,
    },
    /// A file that was to be sent can't be read, or what arrived can't be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// A transport error, in the words of its innermost cause, without the address's details.
    pub(super) fn transport(url: &Url, error: &reqwest::Error) -> Self {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let reason = if error.is_timeout() { "it took too long".to_owned() } else { cause.to_string() };
        Self::Unreachable { origin: url.origin().ascii_serialization(), reason }
    }

    /// The refusal's code, if it is one.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(problem) => Some(problem.code),
            _ => None,
        }
    }

    /// Seconds after which asking again may help, where the platform says so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Refused(problem) => problem.retry_after_s,
            _ => None,
        }
    }

    /// Whether asking again, as it is, may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(problem) => problem.status >= 500 || problem.status == 429,
            _ => false,
        }
    }
}

/// A problem in one sentence: its title, and its detail where that says more.
fn sentence(problem: &Problem) -> String {
    let hint = match problem.code {
        ErrorCode::TokenExpired => ". Start `trace up` again to get a new token, or set TRACE_TOKEN",
        ErrorCode::Unauthenticated | ErrorCode::WrongAudience => ". Check TRACE_TOKEN",
        _ => "",
    };
    if problem.detail.is_empty() {
        format!("{}{hint}", problem.title)
    } else {
        format!("{}: {}{hint}", problem.title, problem.detail.trim_end_matches('.'))
    }
}
