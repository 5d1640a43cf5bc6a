//! Errors on the wire: RFC 9457 problem details, with a code that programs can rely on.

use serde::{Deserialize, Serialize};

/// The body of every refusal (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of problem; stable.
    pub code: ErrorCode,
    /// The HTTP status, repeated.
    pub status: u16,
    /// The kind in a few words; the same for every problem of the code.
    pub title: String,
    /// What happened here and what to do about it.
    pub detail: String,
    /// Where in the input, for each thing that is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Seconds after which trying again may help, where that is known; also the `Retry-After` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
}

/// One thing that is wrong in what the caller sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The line in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The column in the line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// The field's path, such as `jobs[2].timeout`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident, $status:literal, $title:literal;)*) => {
        /// The kinds of problem, each with its HTTP status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The kind in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// What was sent can't be read.
    BadRequest, 400, "The request could not be read";
    /// A DAG's YAML is wrong.
    InvalidDag, 422, "The DAG is not valid";
    /// The SQL is not a single read of granted tables.
    SqlRefused, 400, "The statement is not allowed";
    /// The SQL is allowed and failed.
    SqlFailed, 422, "The query failed";
    /// No credentials, or credentials that prove nothing.
    Unauthenticated, 401, "Credentials are missing or not valid";
    /// The credentials have expired.
    TokenExpired, 401, "The token has expired";
    /// The token is for another service.
    WrongAudience, 401, "The token is for another audience";
    /// The attempt behind the token is over.
    Revoked, 401, "The attempt behind this token is over";
    /// The caller is known and may not.
    Forbidden, 403, "Not allowed";
    /// No such thing, or none that the caller may know of.
    NotFound, 404, "Not found";
    /// The route exists with another method.
    MethodNotAllowed, 405, "Method not allowed";
    /// It contradicts what is there.
    Conflict, 409, "Conflict";
    /// The lease is not the current one.
    StaleAttempt, 409, "The lease is not current";
    /// Too large.
    PayloadTooLarge, 413, "Too large";
    /// A row, byte or memory limit was reached.
    LimitExceeded, 422, "A limit was reached";
    /// Too often, or too many at once.
    TooManyRequests, 429, "Too many requests";
    /// It took too long.
    TimedOut, 504, "Timed out";
    /// Something this service needs is away; try again.
    Unavailable, 503, "Temporarily unavailable";
    /// A defect; the details are in the service's log.
    Internal, 500, "Internal error";
}

impl Problem {
    /// A problem of this kind.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            status: code.status(),
            title: code.title().to_owned(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: None,
        }
    }

    /// The same with the places that are wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }
}
