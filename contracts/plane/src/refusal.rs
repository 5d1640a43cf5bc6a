//! The one place where an error becomes an HTTP answer.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use trace_contracts::{ErrorCode, FieldError, Problem, token};

/// A request that was refused or failed. Its body is a [`Problem`] and nothing else.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {}", .0.title, .0.detail)]
pub struct Refusal(Box<Problem>);

/// What a handler answers.
pub type Reply<T> = Result<T, Refusal>;

impl Refusal {
    /// A refusal of this kind; `detail` says what happened and what to do.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, detail)))
    }

    /// The same with the places that are wrong.
    #[must_use]
    pub fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self(Box::new(self.0.with_errors(errors)))
    }

    /// The same with the seconds after which trying again may help.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// A defect or a fault: `cause` goes to the log, the caller learns nothing of it.
    #[must_use]
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = cause, "a request failed");
        Self::new(ErrorCode::Internal, "something went wrong here; the service's log has the details")
    }

    /// What kind.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The body.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.0
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<token::Error> for Refusal {
    fn from(error: token::Error) -> Self {
        let code = match error {
            token::Error::Expired => ErrorCode::TokenExpired,
            token::Error::Audience => ErrorCode::WrongAudience,
            _ => ErrorCode::Unauthenticated,
        };
        Self::new(code, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.0.code {
            ErrorCode::Unauthenticated | ErrorCode::TokenExpired | ErrorCode::WrongAudience => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            ErrorCode::TooManyRequests | ErrorCode::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(self.0.retry_after_s.unwrap_or(1)));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_answers_its_status_as_problem_json() {
        for code in ErrorCode::ALL {
            let response = Refusal::new(*code, "x").into_response();
            assert_eq!(response.status().as_u16(), code.status());
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        }
    }
}
